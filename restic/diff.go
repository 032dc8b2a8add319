package restic

import "encoding/json"

func diffOperation() Operation {
	// What people ask for first, then what only those who know restic do.
	facts := []Column{{"changed_files", "Files with other contents", ColumnInt}}
	var inner []Column
	for _, side := range []struct{ name, label string }{{"added", "Added"}, {"removed", "Removed"}} {
		facts = append(facts,
			Column{side.name + "_files", side.label + ": files", ColumnInt},
			Column{side.name + "_dirs", side.label + ": folders", ColumnInt},
			Column{side.name + "_bytes", side.label + ": data", ColumnBytes},
		)
		inner = append(inner,
			Column{side.name + "_others", side.label + ": others", ColumnInt},
			Column{side.name + "_data_blobs", side.label + ": data blobs", ColumnInt},
			Column{side.name + "_tree_blobs", side.label + ": tree blobs", ColumnInt},
		)
	}
	facts = append(facts, inner...)
	return Operation{
		Name: "diff", Group: GroupLook,
		Title:       "Compare snapshots",
		Description: "Compares two snapshots, and lists what was added, removed and changed from the first to the second. Changes nothing.",
		Fields: []Field{
			repositoryField(),
			{Name: "from", Type: FieldSnapshotID, Required: true, Label: "Older snapshot", Help: "the full id of a snapshot"},
			{Name: "to", Type: FieldSnapshotID, Required: true, Label: "Newer snapshot", Help: "the full id of another snapshot"},
			{Name: "metadata", Type: FieldBool, Label: "Metadata too", Help: "also list what differs only in its times, owner or mode", Rare: true},
		},
		Lock: LockNone, Slot: SlotAppend, Places: []Place{PlaceHost, PlaceMaintenanceHost},
		Facts: facts,
		Rows: []Column{
			{"path", "Path", ColumnPath},
			{"modifier", "Sign", ColumnText},
			{"change", "Change", ColumnText},
		},
	}
}

// Diff compares two snapshots.
type Diff struct {
	From, To string // 64 hexadecimal digits each
	Metadata bool   // what differs only in metadata is a change too

	// Each gets the changes one by one, while restic runs. Its error ends the comparison.
	Each func(Change) error
}

// Change is one entry that differs.
type Change struct {
	Path     string `json:"path"`     // of a folder, with a / at its end
	Modifier string `json:"modifier"` // + - T M U ?, and what they mean in Words
}

// Words say what a change is.
func (c Change) Words() string {
	switch c.Modifier {
	case "+":
		return "added"
	case "-":
		return "removed"
	case "T":
		return "of another type"
	case "M":
		return "changed"
	case "U":
		return "metadata changed"
	case "?":
		return "differs though it was not changed"
	}
	return c.Modifier
}

// DiffStatistics is restic's summary of a comparison.
type DiffStatistics struct {
	From         string    `json:"source_snapshot"`
	To           string    `json:"target_snapshot"`
	ChangedFiles int64     `json:"changed_files"`
	Added        DiffTotal `json:"added"`
	Removed      DiffTotal `json:"removed"`
}

// DiffTotal counts what one side has and the other has not.
type DiffTotal struct {
	Files     int64 `json:"files"`
	Dirs      int64 `json:"dirs"`
	Others    int64 `json:"others"`
	DataBlobs int64 `json:"data_blobs"`
	TreeBlobs int64 `json:"tree_blobs"`
	Bytes     int64 `json:"bytes"`
}

var _ Op[DiffStatistics] = Diff{}

// Name returns "diff".
func (Diff) Name() string { return "diff" }

// Validate checks both ids.
func (d Diff) Validate() error {
	var errs Errors
	for _, id := range []struct{ field, value string }{{"from", d.From}, {"to", d.To}} {
		if !fullIDPattern.MatchString(id.value) {
			errs = append(errs, notFullID(id.field))
		}
	}
	return errs.orNil()
}

func (d Diff) plan(Version) plan {
	p := plan{verb: []string{"diff"}, operands: []string{d.From, d.To}, reads: true, deadline: longDeadline, item: d.item}
	if d.Metadata {
		p.flags = []string{"--metadata"}
	}
	return p
}

func (d Diff) item(line []byte) (bool, error) {
	var c Change
	if messageType(line) != "change" || json.Unmarshal(line, &c) != nil || c.Path == "" {
		return false, nil
	}
	return true, d.Each(c)
}

func (d Diff) decode(out *output) (DiffStatistics, error) {
	message, ok := out.message("statistics")
	var s DiffStatistics
	if !ok || json.Unmarshal(message, &s) != nil { //guard:diff-statistics
		return DiffStatistics{}, noResult(d.Name(), "statistics")
	}
	return s, nil
}
