package restic

import (
	"fmt"
	"slices"
)

// maxForget is how many snapshots one restic removes: their ids are its arguments.
const maxForget = 250

func forgetOperation() Operation {
	return Operation{
		Name: "forget", Group: GroupMaintain,
		Title: "Remove snapshots",
		Description: "Removes the named snapshots, within the floors of the maintenance host's own policy. " +
			"Their data goes with the next prune; until then, and as long as the host keeps it, they can be brought back.",
		Fields: []Field{repositoryField(), {
			Name: "snapshot_ids", Type: FieldSnapshotIDList, Label: "Snapshots to remove", Help: "full ids of 64 hexadecimal digits", Required: true,
			MaxLength: 64, MaxItems: 1000,
		}},
		Lock: LockExclusive, Slot: SlotMaintenance, Places: []Place{PlaceMaintenanceHost},
		Deletes: true, Confirm: true,
		Facts: keepFacts(),
		Rows:  keepRows(),
		check: func(p Params) error {
			if ids := p.Strings("snapshot_ids"); len(ids) == 0 { //guard:forget-none
				return Forget{IDs: ids}.Validate()
			}
			return nil
		},
	}
}

func retentionOperation() Operation {
	return Operation{
		Name: "retention", Group: GroupMaintain,
		Title: "Thin out snapshots",
		Description: "Removes the snapshots that no schedule's retention keeps. The maintenance host plans it by when each snapshot was " +
			"first seen in the storage, within the floors of its own policy. A dry run only says what would become of each.",
		Fields: []Field{repositoryField(), {
			Name: "dry_run", Type: FieldBool, Label: "Only plan", Help: "remove nothing, and say what would be removed and why",
		}, {
			Name: "doubted", Type: FieldStringList, Pattern: "[0-9a-f]{64}", MaxLength: 64, MaxItems: 1000, Rare: true,
			Label: "Not confirmed", Help: "snapshots of its schedules that no host has told of; the server fills it in",
		}},
		Lock: LockExclusive, DryLock: LockNone, Slot: SlotMaintenance, Places: []Place{PlaceMaintenanceHost},
		Deletes: true,
		Facts:   keepFacts(),
		Rows:    keepRows(),
	}
}

// keepFacts are what a plan comes to.
func keepFacts() []Column {
	return []Column{
		{"dry_run", "Only planned", ColumnBool},
		{"snapshots", "Snapshots", ColumnInt},
		{"kept", "Kept", ColumnInt},
		{"removed", "Removed", ColumnInt},
		{"suspects", "Suspects", ColumnInt},
		{"left_for_next_run", "Left for later runs", ColumnInt},
		{"keep_days", "Days that the host's policy keeps", ColumnInt},
		{"keep_last", "Snapshots of each series that it keeps", ColumnInt},
		{"max_delete_fraction", "Part that a day's runs may remove", ColumnShare},
		{"first_seen_by", "First seen by", ColumnText},
		{"undo_until", "Can be brought back until", ColumnTime},
	}
}

func keepRows() []Column {
	return []Column{
		{"snapshot_id", "Snapshot", ColumnID},
		{"verdict", "Verdict", ColumnText},
		{"reasons", "Reasons", ColumnList},
		{"first_seen", "First seen", ColumnTime},
		{"time", "Claims to be of", ColumnTime},
		{"host", "Host", ColumnText},
		{"schedule_id", "Schedule", ColumnID},
		{"schedule", "Name", ColumnText},
		{"bytes", "Size", ColumnBytes},
	}
}

// Forget removes snapshots, and no data. What restic says of it cannot be relied on: list
// the snapshots afterwards.
type Forget struct {
	IDs []string // full ids, each once, at most 250
}

var _ Op[struct{}] = Forget{}

// Name returns "forget".
func (Forget) Name() string { return "forget" }

// Validate refuses an empty list, and everything but full ids.
func (f Forget) Validate() error {
	var errs Errors
	if len(f.IDs) == 0 || len(f.IDs) > maxForget { //guard:forget-empty
		errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "snapshot_ids", Message: fmt.Sprintf("must be from 1 to %d snapshots", maxForget)})
	}
	for i, id := range f.IDs {
		if !fullIDPattern.MatchString(id) || slices.Contains(f.IDs[:i], id) { //guard:forget-ids
			errs = append(errs, &Error{Code: CodeFieldInvalid, Field: "snapshot_ids", Message: "must be full snapshot ids of 64 hexadecimal digits, each once"})
			break
		}
	}
	return errs.orNil()
}

// ForgetBatches cuts a list into as many as restic can be given at a time.
func ForgetBatches(ids []string) [][]string { return slices.Collect(slices.Chunk(ids, maxForget)) }

func (f Forget) plan(Version) plan {
	return plan{
		verb: []string{"forget"}, operands: f.IDs, deadline: noDeadline,
		exits: map[int]exitClass{3: exitWarning}, // 0.19: some could not be removed; before, that ends with 0
	}
}

func (Forget) decode(*output) (struct{}, error) { return struct{}{}, nil }
