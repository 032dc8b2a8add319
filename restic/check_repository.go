package restic

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const maxCheckParts = 365

func checkOperation() Operation {
	return Operation{
		Name: "check", Group: GroupMaintain,
		Title: "Check",
		Description: "Looks whether everything that the repository's lists name is there, and reads the data itself as far as asked for. " +
			"Changes nothing, and nobody else may change the repository meanwhile.",
		Fields: []Field{
			repositoryField(),
			{
				Name: "read_data", Type: FieldBool,
				Label: "Read all data", Help: "read and compare every pack; without it, flipped bits are not noticed",
			},
			{
				Name: "part", Type: FieldInt, Min: 1, Max: maxCheckParts,
				Label: "Part to read", Help: "which one of the parts below, instead of all data", Default: "no data, only the structure",
			},
			{
				Name: "parts", Type: FieldInt, Min: 1, Max: maxCheckParts,
				Label: "Parts in all", Help: "into how many the data is cut; one check of each reads everything", Unit: "parts",
			},
			{
				Name: "percent", Type: FieldInt, Min: 1, Max: 100,
				Label: "Share picked at random", Help: "read so much of the data, instead of all or a part", Unit: "%", Rare: true,
			},
		},
		Lock:   LockExclusive,
		Slot:   SlotAppend,
		Places: []Place{PlaceHost, PlaceMaintenanceHost},
		Facts: []Column{
			{"errors", "Errors", ColumnInt},
			{"packs_broken", "Broken packs", ColumnInt},
			{"suggest_repair_index", "The index should be repaired", ColumnBool},
			{"suggest_prune", "A prune would tidy up", ColumnBool},
			{"read_data", "All data was read", ColumnBool},
			{"read_part", "Part that was read", ColumnInt},
			{"read_parts", "Of parts", ColumnInt},
			{"read_percent", "Percent that were read", ColumnInt},
			{"duration_ms", "Took", ColumnDuration},
		},
		Rows:  []Column{{"pack_id", "Pack", ColumnID}, {"error", "Error", ColumnText}},
		check: func(p Params) error { return CheckOf(p).Validate() },
	}
}

// Check looks for damage. It succeeds when restic could look, whatever it found: a
// repository is damaged where the Value has Errors. What kept restic from looking (a
// lock, the network, a cancel) is a failure of its own kind and no damage.
type Check struct {
	ReadData bool
	Part     int // from 1, of Parts
	Parts    int
	Percent  int
}

// CheckOf is the check that a job's params ask for.
func CheckOf(p Params) Check {
	return Check{ReadData: p.Bool("read_data"), Part: int(p.Int("part")), Parts: int(p.Int("parts")), Percent: int(p.Int("percent"))}
}

// CheckReport is what a check found.
type CheckReport struct {
	NumErrors          int64    `json:"num_errors"`
	BrokenPacks        []string `json:"broken_packs"` // that hold something else than they should
	SuggestRepairIndex bool     `json:"suggest_repair_index"`

	// SuggestPrune says that there may be packs that no index names: those are not read.
	SuggestPrune bool `json:"suggest_prune"`

	// Errors are in restic's words, those that are damage before what kept it from looking:
	// of each the first 200 and the last 50.
	Errors []string `json:"-"`
}

// Good reports whether nothing is wrong.
func (r CheckReport) Good() bool { return r.NumErrors == 0 && len(r.BrokenPacks) == 0 }

// LacksData reports whether it found that something is missing which snapshots need.
func (r CheckReport) LacksData() bool {
	return slices.ContainsFunc(r.Errors, func(text string) bool { return strings.Contains(text, "not found in index") })
}

var _ Op[CheckReport] = Check{}

// Name returns "check", or "check --read-data".
func (c Check) Name() string {
	if c.ReadData {
		return "check --read-data"
	}
	return "check"
}

// Validate refuses two ways to read at once, and a part of nothing.
func (c Check) Validate() error {
	var errs Errors
	ways := 0
	for _, asked := range []bool{c.ReadData, c.Part != 0 || c.Parts != 0, c.Percent != 0} {
		if asked {
			ways++
		}
	}
	if ways > 1 {
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "read_data", Message: "read_data, part of parts, and percent exclude one another", Next: "give one of them"})
	}
	if (c.Part != 0 || c.Parts != 0) && (c.Part < 1 || c.Part > c.Parts || c.Parts > maxCheckParts) {
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "part", Message: fmt.Sprintf("must be from 1 to parts, and parts at most %d", maxCheckParts), Next: "give both part and parts"})
	}
	if c.Percent < 0 || c.Percent > 100 {
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "percent", Message: "must be from 1 to 100"})
	}
	return errs.orNil()
}

func (c Check) plan(Version) plan {
	p := plan{verb: []string{"check"}, deadline: noDeadline, exits: map[int]exitClass{1: exitFindings}}
	switch {
	case c.ReadData:
		p.flags = []string{"--read-data"}
	case c.Parts > 0:
		p.flags = []string{fmt.Sprintf("--read-data-subset=%d/%d", c.Part, c.Parts)}
	case c.Percent > 0:
		p.flags = []string{fmt.Sprintf("--read-data-subset=%d%%", c.Percent)}
	}
	return p
}

func (c Check) decode(out *output) (CheckReport, error) {
	var report CheckReport
	if out.summary == nil || json.Unmarshal(out.summary, &report) != nil {
		return CheckReport{}, noResult(c.Name(), "summary")
	}
	for _, list := range []ItemList{out.found.damage, out.found.kept} {
		for _, item := range append(append([]Item{}, list.First...), list.Last...) {
			report.Errors = append(report.Errors, item.Message)
		}
	}
	return report, nil
}

// findings are the errors of a check, told apart as they come: there may be any number of
// either kind between those of the other, and not all are kept.
type findings struct {
	damage ItemList // about the repository itself
	kept   ItemList // what kept the check from looking
	why    Code     // the last of those
}

func (f *findings) add(item Item) {
	if isAdvice(item.Message) {
		return
	}
	switch code := signOf(item.Message); code {
	case "", CodeRepoDamaged:
		f.damage.add(item)
	default:
		f.kept.add(item)
		f.why = code
	}
}

// real reports whether one of the errors is damage.
func (f *findings) real() bool { return f.damage.Count > 0 }

// adviceOf are beginnings of what check says beside errors, in the same messages.
var adviceOf = []string{
	"The repository contains damaged pack files", "The repository is damaged", "Damaged pack files can be caused",
	"restic repair ", "The repository index is damaged", "error for tree ", "run `restic",
}

func isAdvice(message string) bool {
	if message == "" {
		return true
	}
	for _, begin := range adviceOf {
		if strings.HasPrefix(message, begin) {
			return true
		}
	}
	return false
}

// packPattern finds the pack that an error of check is about.
var packPattern = regexp.MustCompile(`\bpack ([0-9a-f]{64})\b`)

// PackOf returns the id of the pack that an error of a check names, or "".
func PackOf(message string) string {
	if m := packPattern.FindStringSubmatch(message); m != nil {
		return m[1]
	}
	return ""
}
