package runner

import (
	"context"
	"fmt"
	"time"

	"restic-manager/agent/retention"
)

// decisions hands over what becomes of each snapshot.
func (t *Task) decisions(ctx context.Context, o *outlook) *rows {
	list := t.rows(ctx)
	for _, d := range o.plan.Decisions {
		row := map[string]any{
			"snapshot_id": d.ID, "verdict": string(d.Verdict), "reasons": d.Reasons, "first_seen": d.FirstSeen.UTC(),
			"host": d.Host, "schedule_id": d.Schedule, "schedule": o.names[d.Schedule], "bytes": d.Size,
		}
		if !d.Claimed.IsZero() {
			row["time"] = d.Claimed.UTC()
		}
		if list.Add(row) != nil {
			break
		}
	}
	return list
}

// keepFacts are the facts of retention and forget.
type keepFacts struct {
	DryRun    bool      `json:"dry_run"`
	Snapshots int       `json:"snapshots"`
	Kept      int       `json:"kept"`
	Removed   int       `json:"removed"`
	Suspects  int       `json:"suspects"`
	Left      int       `json:"left_for_next_run"`
	KeepDays  int       `json:"keep_days"`
	KeepLast  int       `json:"keep_last"`
	Fraction  float64   `json:"max_delete_fraction"`
	SeenBy    string    `json:"first_seen_by"`
	UndoUntil time.Time `json:"undo_until,omitzero"`
}

func (t *Task) keepFacts(o *outlook, removed int) keepFacts {
	rule, seenBy := t.reach.rule, "the storage: the times of its files"
	if o.folder == nil {
		seenBy = "this host, when it listed them first"
	}
	return keepFacts{
		Snapshots: len(o.plan.Decisions), Removed: removed, Kept: len(o.plan.Decisions) - removed,
		Suspects: len(o.plan.IDs(retention.Suspect)), Left: len(o.plan.IDs(retention.Later)),
		KeepDays: rule.KeepDays, KeepLast: rule.KeepLast, Fraction: rule.MaxDeleteFraction, SeenBy: seenBy,
	}
}

// summary says in words what a plan comes to.
func (k keepFacts) summary() string {
	verb := "removed"
	if k.DryRun {
		verb = "would remove"
	}
	text := fmt.Sprintf("%s %d of %d snapshots", verb, k.Removed, k.Snapshots)
	if k.Left > 0 {
		text += fmt.Sprintf("; %d more are left for later runs", k.Left)
	}
	if k.Suspects > 0 {
		text += fmt.Sprintf("; %d are suspects, which are kept and count for nothing", k.Suspects)
	}
	return text
}
