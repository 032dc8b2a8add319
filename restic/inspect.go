package restic

import "encoding/json"

func inspectOperation() Operation {
	return Operation{
		Name: "inspect", Group: GroupLook,
		Title: "Look at the repository's folder",
		Description: "Looks for files that restic did not make or that the password does not open, for keys that were added, and for snapshots " +
			"that claim another time than they were first seen at. Changes nothing.",
		Fields: []Field{repositoryField()},
		Lock:   LockNone, Slot: SlotMaintenance, Places: []Place{PlaceMaintenanceHost},
		Facts: []Column{
			{"files", "Files", ColumnInt},
			{"bytes", "Size", ColumnBytes},
			{"free_bytes", "Free on the disk", ColumnBytes},
			{"total_bytes", "Size of the disk", ColumnBytes},
			{"snapshots", "Snapshots", ColumnInt},
			{"suspects", "Suspects", ColumnInt},
			{"foreign_objects", "Foreign files", ColumnInt},
			{"keys", "Keys", ColumnInt},
			{"key_ids", "Which keys", ColumnList},
			{"foreign_keys", "Keys that were added", ColumnInt},
			{"undo_copies", "Copies kept aside", ColumnInt},
			{"undo_until", "Can be brought back until", ColumnTime},
			{"watched_since", "Watched since", ColumnTime},
		},
		Rows: []Column{
			{"kind", "What", ColumnText},
			{"object", "Object", ColumnPath},
			{"problem", "What is wrong", ColumnText},
			{"bytes", "Size", ColumnBytes},
			{"time", "Stored", ColumnTime},
		},
	}
}

// CatIndex reads one file of the index, to see that it can be read.
type CatIndex struct {
	ID string // 64 hexadecimal digits
}

var _ Op[struct{}] = CatIndex{}

// Name returns "cat index".
func (CatIndex) Name() string { return "cat index" }

// Validate refuses anything but a full id.
func (c CatIndex) Validate() error {
	if fullIDPattern.MatchString(c.ID) {
		return nil
	}
	return Errors{{Code: CodeFieldInvalid, Field: "id", Message: "must be a full id of 64 hexadecimal digits"}}
}

func (c CatIndex) plan(Version) plan {
	return plan{verb: []string{"cat"}, operands: []string{"index", c.ID}, reads: true, document: true}
}

func (c CatIndex) decode(out *output) (struct{}, error) {
	if !json.Valid(out.document) {
		return struct{}{}, noResult(c.Name(), "index")
	}
	return struct{}{}, nil
}
