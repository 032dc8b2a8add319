package restic

import (
	"regexp"
	"strconv"
	"strings"
)

func pruneOperation() Operation {
	return Operation{
		Name: "prune", Group: GroupMaintain,
		Title: "Reclaim space",
		Description: "Removes data that no snapshot needs. First all data is read and verified, unless that was done and nothing has changed since; " +
			"then, where the maintenance host works in the repository's folder, everything that could go is kept aside so that it can be brought back, and the disk gets room only when that copy goes. " +
			"Afterwards it is read again if there are packs that were not read before.",
		Fields: []Field{repositoryField()},
		Lock:   LockExclusive, Slot: SlotMaintenance, Places: []Place{PlaceMaintenanceHost},
		Deletes: true, Confirm: true,
		Facts: []Column{
			{"freed_bytes", "Freed", ColumnBytes},
			{"repacked_bytes", "Packed anew", ColumnBytes},
			{"remaining_bytes", "Remaining", ColumnBytes},
			{"unused_bytes", "Still unused", ColumnBytes},
			{"verified", "Read before", ColumnText},
			{"verified_packs", "Packs", ColumnInt},
			{"new_packs", "New packs, read afterwards", ColumnInt},
			{"unexplained_bytes", "Unneeded though nothing was forgotten", ColumnBytes},
			{"undo", "Kept aside in", ColumnPath},
			{"undo_until", "Can be brought back until", ColumnTime},
			{"undo_copies", "Copies kept aside", ColumnInt},
		},
		Rows: []Column{
			{"pack_id", "Pack", ColumnID},
			{"problem", "What is wrong", ColumnText},
		},
	}
}

// Prune removes data that no snapshot needs.
type Prune struct {
	DryRun bool // only say what would be done; takes no lock
}

// Pruned is what restic says of it. Sizes are rounded as restic prints them.
type Pruned struct {
	Repacked, Freed, Remaining, Unused int64 // bytes
}

var _ Op[Pruned] = Prune{}

// Name returns "prune".
func (Prune) Name() string { return "prune" }

// Validate returns nil.
func (Prune) Validate() error { return nil }

func (p Prune) plan(Version) plan {
	made := plan{verb: []string{"prune"}, deadline: noDeadline, reads: p.DryRun}
	if p.DryRun {
		made.flags = []string{"--dry-run"}
	}
	return made
}

var (
	pruneLine = regexp.MustCompile(`^(to repack|total prune|remaining): +\d+ blobs / ([0-9.]+) (B|KiB|MiB|GiB|TiB)$`)
	pruneRest = regexp.MustCompile(`^unused size after prune: ([0-9.]+) (B|KiB|MiB|GiB|TiB) `)
)

// decode reads the lines that restic prints whether or not it is asked for JSON.
func (p Prune) decode(out *output) (Pruned, error) {
	var pruned Pruned
	found := 0
	for _, line := range out.lines {
		if m := pruneLine.FindStringSubmatch(line); m != nil {
			found++
			switch m[1] {
			case "to repack":
				pruned.Repacked = sizeOf(m[2], m[3])
			case "total prune":
				pruned.Freed = sizeOf(m[2], m[3])
			case "remaining":
				pruned.Remaining = sizeOf(m[2], m[3])
			}
		}
		if m := pruneRest.FindStringSubmatch(line); m != nil {
			pruned.Unused = sizeOf(m[1], m[2])
		}
	}
	if found < 3 && !strings.Contains(out.text(), "nothing to do") {
		return Pruned{}, noResult(p.Name(), "sizes")
	}
	return pruned, nil
}

func sizeOf(number, unit string) int64 {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	return int64(n * map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[unit])
}
