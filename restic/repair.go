package restic

import "regexp"

// wouldSave is how rewrite and repair snapshots tell of a new snapshot.
var wouldSave = regexp.MustCompile(`^(saved|would save) new snapshot`)

func repairOperation(name, title, description string, fields ...Field) Operation {
	return Operation{
		Name: name, Group: GroupMaintain, Title: title, Description: description, Fields: append([]Field{repositoryField()}, fields...),
		Lock: LockExclusive, Slot: SlotMaintenance, Places: []Place{PlaceMaintenanceHost}, Deletes: true, Confirm: true,
	}
}

func repairIndexOperation() Operation {
	o := repairOperation("repair-index", "Repair the index",
		"Makes the list of what is in the packs anew. Nothing is removed that is still there.",
		Field{Name: "read_all_packs", Type: FieldBool, Label: "Read every pack", Help: "make the whole list anew, also of packs whose entries seem right"})
	o.Facts = []Column{{"read_all_packs", "Every pack was read", ColumnBool}}
	return o
}

func repairSnapshotsOperation() Operation {
	o := repairOperation("repair-snapshots", "Repair snapshots",
		"Makes new snapshots of those with files whose data is lost; the new ones have what is left of them. Removes the old ones if that is asked for.",
		snapshotsField(false),
		Field{Name: "forget", Type: FieldBool, Label: "Remove the damaged ones", Help: "remove each snapshot that was repaired; without it, both stay"},
		Field{Name: "dry_run", Type: FieldBool, Label: "Only plan", Help: "change nothing, and say what would be changed"})
	o.Facts, o.Rows = replacedFacts(), replacedRows()
	return o
}

func repairPacksOperation() Operation {
	o := repairOperation("repair-packs", "Repair packs",
		"Saves what is intact in damaged packs, and removes the packs. What is damaged in them is lost, until a backup of a host that still has it stores it again.",
		Field{
			Name: "pack_ids", Type: FieldStringList, Pattern: "[0-9a-f]{64}", Required: true, MaxItems: 1000, Label: "Damaged packs", Help: "full ids of packs, as a check names them",
			From: []Source{{"check", "pack_id", ""}, {"prune", "pack_id", ""}},
		})
	o.check = func(p Params) error { return RepairPacks{p.Strings("pack_ids")}.Validate() }
	o.Facts = []Column{{"packs", "Packs repaired", ColumnInt}, {"blobs_lost", "Pieces of data lost", ColumnInt}}
	return o
}

// RepairIndex makes the index anew.
type RepairIndex struct{ ReadAllPacks bool }

var _ Op[Done] = RepairIndex{}

// Name returns "repair index".
func (RepairIndex) Name() string { return "repair index" }

// Validate returns nil.
func (RepairIndex) Validate() error { return nil }

func (r RepairIndex) plan(Version) plan {
	p := plan{verb: []string{"repair", "index"}, deadline: noDeadline}
	if r.ReadAllPacks {
		p.flags = []string{"--read-all-packs"}
	}
	return p
}

func (RepairIndex) decode(*output) (Done, error) { return Done{}, nil }

// RepairSnapshots makes new snapshots of those that lack data; of all where none is
// named. What became of each is only known by listing the snapshots.
type RepairSnapshots struct {
	SnapshotIDs []string
	Forget      bool // remove the originals
	DryRun      bool
}

var _ Op[Done] = RepairSnapshots{}

// Name returns "repair snapshots".
func (r RepairSnapshots) Name() string { return dryName("repair snapshots", r.DryRun) }

// Validate refuses short ids.
func (r RepairSnapshots) Validate() error { return idErrors("snapshot_ids", r.SnapshotIDs).orNil() }

func (r RepairSnapshots) plan(Version) plan {
	p := plan{verb: []string{"repair", "snapshots"}, operands: r.SnapshotIDs, deadline: noDeadline}
	return p.change(r.Forget, r.DryRun)
}

func (r RepairSnapshots) decode(out *output) (Done, error) { return doneOf(out), nil }

// RepairPacks saves what is intact in packs and removes them.
type RepairPacks struct{ PackIDs []string }

// PacksRepaired is what a repair of packs says.
type PacksRepaired struct{ BlobsLost int }

var _ Op[PacksRepaired] = RepairPacks{}

// Name returns "repair packs".
func (RepairPacks) Name() string { return "repair packs" }

// Validate refuses short ids and a repair of nothing.
func (r RepairPacks) Validate() error {
	errs := idErrors("pack_ids", r.PackIDs)
	if len(r.PackIDs) == 0 {
		errs = append(errs, &Error{Code: CodeFieldRequired, Field: "pack_ids", Message: "is required"})
	}
	return errs.orNil()
}

func (r RepairPacks) plan(Version) plan {
	return plan{verb: []string{"repair", "packs"}, operands: r.PackIDs, deadline: noDeadline, absent: CodePackNotFound}
}

func (RepairPacks) decode(out *output) (PacksRepaired, error) {
	return PacksRepaired{BlobsLost: out.lostBlobs}, nil
}
