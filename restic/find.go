package restic

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
)

func findOperation() Operation {
	return Operation{
		Name: "find", Group: GroupLook,
		Title:       "Find files",
		Description: "Looks for files by their names in one snapshot or in all, the newest first. Changes nothing.",
		Fields: []Field{
			repositoryField(),
			{
				Name: "patterns", Type: FieldStringList, Required: true, MaxItems: 20, MaxLength: 1000, Pattern: `(?s).+`,
				Label: "Names or patterns", Help: "* stands for any characters, ? for one; with a / in it, for the whole path",
			},
			{Name: "ignore_case", Type: FieldBool, Label: "Ignore case", Help: "take capitals and small letters for the same"},
			{Name: "snapshot_id", Type: FieldSnapshotID, Label: "Snapshot", Help: "the full id of one snapshot", Default: "all of them"},
		},
		Lock: LockNone, Slot: SlotAppend, Places: []Place{PlaceHost, PlaceMaintenanceHost}, Anywhere: true,
		Facts: []Column{
			{"snapshots", "Snapshots with matches", ColumnInt},
			{"hits", "Matches", ColumnInt},
		},
		Rows: append([]Column{{"snapshot_id", "Snapshot", ColumnID}}, nodeColumns()...),
	}
}

// maxMatches is how many matches of one snapshot are kept: restic names the snapshot
// behind them.
const maxMatches = 20_000

// Matches are what was found in one snapshot.
type Matches struct {
	SnapshotID string
	Nodes      []Node // at most 20 000
	Hits       int64  // of all
}

// Find looks for entries by name, in the newest snapshot first. restic says nothing and
// ends well where the snapshot does not exist: look for it before.
type Find struct {
	Patterns   []string // as of path.Match; with a / in it, of the whole path
	IgnoreCase bool
	SnapshotID string // 64 hexadecimal digits; "" for all

	// Each gets what was found, a snapshot at a time, while restic runs. Its error ends
	// the search.
	Each func(Matches) error
}

var _ Op[struct{}] = Find{}

// Name returns "find".
func (Find) Name() string { return "find" }

// Validate checks the patterns and the id.
func (f Find) Validate() error {
	var errs Errors
	if len(f.Patterns) == 0 {
		errs = append(errs, &Error{Code: CodeFieldRequired, Field: "patterns", Message: "is required"})
	}
	for i, pattern := range f.Patterns {
		if _, err := path.Match(pattern, "x"); err != nil || pattern == "" || strings.ContainsRune(pattern, 0) { //guard:find-pattern
			errs = append(errs, &Error{
				Code: CodeFieldInvalid, Field: fmt.Sprintf("patterns[%d]", i), Message: "is not a pattern",
				Next: `write [ and \ that mean themselves as [[] and \\`,
			})
		}
	}
	if f.SnapshotID != "" && !fullIDPattern.MatchString(f.SnapshotID) {
		errs = append(errs, notFullID("snapshot_id"))
	}
	return errs.orNil()
}

func (f Find) plan(Version) plan {
	p := plan{verb: []string{"find"}, operands: f.Patterns, reads: true, deadline: longDeadline, stream: f.read}
	if f.IgnoreCase {
		p.flags = append(p.flags, "--ignore-case")
	}
	if f.SnapshotID != "" {
		p.flags = append(p.flags, "--snapshot="+f.SnapshotID)
	}
	return p
}

// read takes an array of what was found in each snapshot.
func (f Find) read(dec *json.Decoder) error {
	return eachOf(dec, func() error {
		m, err := readMatches(dec)
		if err != nil {
			return err
		}
		if err := f.Each(m); err != nil {
			return notTaken{err}
		}
		return nil
	})
}

func readMatches(dec *json.Decoder) (m Matches, err error) {
	if _, err := dec.Token(); err != nil {
		return m, err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return m, err
		}
		switch key {
		case "matches":
			err = eachOf(dec, func() error {
				var n Node
				if err := dec.Decode(&n); err != nil || len(m.Nodes) == maxMatches {
					return err
				}
				m.Nodes = append(m.Nodes, n)
				return nil
			})
		case "hits":
			err = dec.Decode(&m.Hits)
		case "snapshot":
			err = dec.Decode(&m.SnapshotID)
		default:
			err = dec.Decode(new(json.RawMessage))
		}
		if err != nil {
			return m, err
		}
	}
	_, err = dec.Token()
	return m, err
}

// eachOf calls each before every value of the array that comes next; null is none.
func eachOf(dec *json.Decoder, each func() error) error {
	switch open, err := dec.Token(); {
	case err != nil, open == nil:
		return err
	case open != json.Delim('['):
		return errors.New("there is no list")
	}
	for dec.More() {
		if err := each(); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

func (f Find) decode(out *output) (struct{}, error) {
	if !out.whole { //guard:find-whole
		return struct{}{}, noResult(f.Name(), "complete list")
	}
	return struct{}{}, nil
}
