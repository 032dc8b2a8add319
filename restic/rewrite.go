package restic

import (
	"regexp"
	"slices"
	"strconv"
	"time"
)

func rewriteOperation() Operation {
	return Operation{
		Name: "rewrite", Group: GroupMaintain,
		Title: "Take out of snapshots",
		Description: "Makes new snapshots that lack what the patterns exclude, and removes the old ones if that is asked for. The data itself goes with the " +
			"next prune, when no snapshot needs it.",
		Fields: []Field{
			repositoryField(), snapshotsField(true),
			{
				Name: "excludes", Type: FieldStringList, Required: true, MaxItems: 256,
				Label: "What to take out", Help: "restic's patterns, such as *.iso or /home/*/.cache",
			},
			{Name: "forget", Type: FieldBool, Label: "Remove the old ones", Help: "remove each snapshot that was rewritten; without it, both stay"},
			{Name: "dry_run", Type: FieldBool, Label: "Only plan", Help: "change nothing, and say what would be changed"},
		},
		Lock: LockExclusive, Slot: SlotMaintenance, Places: []Place{PlaceMaintenanceHost}, Deletes: true, Confirm: true,
		Facts: replacedFacts(),
		Rows:  replacedRows(),
		check: func(p Params) error {
			return Rewrite{SnapshotIDs: p.Strings("snapshot_ids"), Excludes: p.Strings("excludes")}.Validate()
		},
	}
}

func replacedFacts() []Column {
	return []Column{
		{"changed", "Snapshots changed", ColumnInt},
		{"unchanged", "Snapshots that stay as they are", ColumnInt},
		{"removed", "Old snapshots removed", ColumnInt},
		{"dry_run", "Dry run", ColumnBool},
	}
}

// Rewrite makes new snapshots without what Excludes match, see [Backup]. What became of
// each is only known by listing the snapshots.
type Rewrite struct {
	SnapshotIDs []string
	Excludes    []string
	Forget      bool // remove the originals
	DryRun      bool
}

// Done is the value of a restic that says nothing usable beside its exit code.
type Done struct {
	Changed int      // how many snapshots it says it changed, or would
	Lost    []string // the files and folders of which a repair says that they lack something
}

var _ Op[Done] = Rewrite{}

// Name returns "rewrite".
func (r Rewrite) Name() string { return dryName("rewrite", r.DryRun) }

func dryName(name string, dry bool) string {
	if dry {
		return name + " --dry-run"
	}
	return name
}

// Validate refuses short ids, and a rewrite of nothing or without a pattern.
func (r Rewrite) Validate() error {
	errs := idErrors("snapshot_ids", r.SnapshotIDs)
	if len(r.SnapshotIDs) == 0 { //guard:rewrite-all
		errs = append(errs, &Error{Code: CodeFieldRequired, Field: "snapshot_ids", Message: "is required"})
	}
	if len(r.Excludes) == 0 {
		errs = append(errs, &Error{Code: CodeFieldRequired, Field: "excludes", Message: "is required", Next: "say what to take out"})
	}
	for i, pattern := range r.Excludes {
		errs = append(errs, entryErrors("excludes", i, CheckExclude(pattern))...)
	}
	return errs.orNil()
}

func (r Rewrite) plan(Version) plan {
	p := plan{
		verb: []string{"rewrite"}, operands: r.SnapshotIDs, deadline: noDeadline,
		files: []listFile{{flag: "--exclude-file", content: excludeList(r.Excludes)}},
	}
	return p.change(r.Forget, r.DryRun)
}

// change adds what rewrite and repair snapshots have in common.
func (p plan) change(forget, dry bool) plan {
	if forget {
		p.flags = append(p.flags, "--forget")
	}
	if dry {
		p.flags = append(p.flags, "--dry-run")
	}
	return p
}

func (r Rewrite) decode(out *output) (Done, error) { return doneOf(out), nil }

// lacking is how repair snapshots tells of what it has left out of a snapshot.
var lacking = regexp.MustCompile(`^\s*(?:file|dir) ("(?:[^"\\]|\\.)*"): (?:removed|replaced)`)

func doneOf(out *output) Done {
	var d Done
	for _, line := range out.lines {
		if wouldSave.MatchString(line) {
			d.Changed++
		}
		if m := lacking.FindStringSubmatch(line); m != nil {
			if name, err := strconv.Unquote(m[1]); err == nil && !slices.Contains(d.Lost, name) {
				d.Lost = append(d.Lost, name)
			}
		}
	}
	return d
}

// repairDeadline bounds what is quick but for the network.
const repairDeadline = 30 * time.Minute
