package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"restic-manager/agent/spool"
	"restic-manager/agent/upkeep"
	"restic-manager/restic"
)

// pruneFacts are the facts of a prune.
type pruneFacts struct {
	Freed       int64     `json:"freed_bytes"`
	Repacked    int64     `json:"repacked_bytes"`
	Remaining   int64     `json:"remaining_bytes"`
	Unused      int64     `json:"unused_bytes"`
	Verified    string    `json:"verified,omitempty"`
	Packs       int       `json:"verified_packs,omitempty"`
	NewPacks    int       `json:"new_packs,omitempty"`
	Unexplained int64     `json:"unexplained_bytes"`
	Undo        string    `json:"undo,omitempty"`
	UndoUntil   time.Time `json:"undo_until,omitzero"`
	Copies      int       `json:"undo_copies"`
}

// runPrune removes what no snapshot needs: once all data is known to be what it should be,
// and what could go wrong can be undone.
func runPrune(ctx context.Context, t *Task) *Ending {
	o, e := t.look(ctx)
	if e != nil {
		return e
	}
	defer o.close()
	would, e := perform(ctx, t, restic.Prune{DryRun: true})
	if e != nil {
		return e
	}
	facts := pruneFacts{Remaining: would.Value.Remaining, Unused: would.Value.Unused, Copies: len(o.copies)}
	if would.Value.Freed == 0 && would.Value.Repacked == 0 {
		return t.nothingToPrune(ctx, o, facts)
	}
	if !forgotten(o.copies) {
		facts.Unexplained = would.Value.Freed
	}
	read, e := t.guarded(ctx, o, &facts)
	if e != nil {
		e.facts(facts)
		return e
	}
	pruned, e := perform(ctx, t, restic.Prune{})
	if e != nil {
		if facts.Undo != "" {
			e.addMessage("what it may have removed lies in " + facts.Undo + " until " + facts.UndoUntil.UTC().Format("2006-01-02") + " (" + t.undoWords() + ")")
		}
		e.facts(facts)
		return e
	}
	facts.Freed, facts.Repacked = pruned.Value.Freed, pruned.Value.Repacked
	facts.Remaining, facts.Unused = pruned.Value.Remaining, pruned.Value.Unused
	return t.afterPrune(ctx, o, read, facts)
}

// nothingToPrune reads what was not read all the same: that nothing can go says nothing of
// whether what stays is good.
func (t *Task) nothingToPrune(ctx context.Context, o *outlook, facts pruneFacts) *Ending {
	_, e := t.verify(ctx, o, &facts)
	if e == nil {
		e = outcomeOf("there is nothing to reclaim")
	}
	e.facts(facts)
	return e
}

// forgotten reports whether snapshots were removed since the last prune. Without that
// there is little to reclaim, of backups that were interrupted; or somebody has stored
// what is there already a second time.
func forgotten(copies []upkeep.Copy) bool {
	for _, c := range slices.Backward(copies) {
		switch c.Before {
		case "forget", "repair":
			return true
		case "prune":
			return false
		}
	}
	return false
}

// afterPrune checks the repository and tells what came of it. Packs that nobody has read
// yet are read now, as is all where some were passed over before.
func (t *Task) afterPrune(ctx context.Context, o *outlook, read gate, facts pruneFacts) *Ending {
	after, cancel := lingering(ctx, t.runner.afterInit)
	defer cancel()
	back := "there is no copy to bring back"
	if facts.Undo != "" {
		back = t.undoWords()
	}
	now, fresh, e := t.unread(after, o, read)
	facts.NewPacks = fresh
	var checked restic.Result[restic.CheckReport]
	op := restic.Check{}
	if fresh > 0 || read.loose { //guard:prune-after
		op.ReadData = true
	}
	if e == nil {
		checked, e = perform(after, t, op)
	}
	switch {
	case e != nil:
		e.addMessage("the prune itself had ended well, but could not be checked")
		e.NextStep = clip(back, 2000)
	case !checked.Value.Good(): //guard:prune-damaged
		bad := end(spool.Failed, CodePruneDamaged, "after the prune the check found damage: "+whatIsBroken(checked.Value), back)
		e = t.brokenRows(after, checked.Value).into(&bad)
	default:
		if op.ReadData {
			e = t.remember(o, now, checked.Value)
		}
		if e == nil {
			e = facts.pruned(back)
		}
	}
	e.facts(facts)
	return e
}

// pruned is the ending of a prune that left all well.
func (f pruneFacts) pruned(back string) *Ending {
	freed, remain := humanize.IBytes(uint64(max(0, f.Freed))), humanize.IBytes(uint64(max(0, f.Remaining)))
	var e *Ending
	if f.Undo != "" { // its links hold the data until it goes
		e = outcomeOf(fmt.Sprintf("%s become free after %s, when the copy kept aside goes, and %s remain; until then what was removed can be brought back (%s)",
			freed, f.UndoUntil.UTC().Format("2006-01-02"), remain, back))
	} else {
		e = outcomeOf(fmt.Sprintf("freed %s, %s remain; it cannot be undone: this host does not work in the repository's folder", freed, remain))
	}
	if f.Unexplained > 0 {
		e.addMessage("data was not needed although nothing here has removed a snapshot: backups that were interrupted leave some, and so does what plain restic removes")
	}
	return e
}
