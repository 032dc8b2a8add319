package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
		e := outcomeOf("there is nothing to reclaim")
		e.facts(facts)
		return e
	}
	if !forgotten(o.copies) {
		facts.Unexplained = would.Value.Freed
	}
	if e := t.guarded(ctx, o, &facts); e != nil {
		e.facts(facts)
		return e
	}
	pruned, e := perform(ctx, t, restic.Prune{})
	if e != nil {
		e.facts(facts)
		return e
	}
	facts.Freed, facts.Repacked = pruned.Value.Freed, pruned.Value.Repacked
	facts.Remaining, facts.Unused = pruned.Value.Remaining, pruned.Value.Unused
	return t.afterPrune(ctx, facts)
}

// forgotten reports whether snapshots were removed since the last prune. Without that
// there is little to reclaim, of backups that were interrupted; or somebody has stored
// what is there already a second time.
func forgotten(copies []upkeep.Copy) bool {
	for _, c := range slices.Backward(copies) {
		switch c.Before {
		case "forget":
			return true
		case "prune":
			return false
		}
	}
	return false
}

// maxRounds is how often all is read because more was stored meanwhile.
const maxRounds = 3

// guarded lets a prune go on when every pack there is has been read and found good, and
// the repository is kept aside. What was stored meanwhile is read too.
func (t *Task) guarded(ctx context.Context, o *outlook, facts *pruneFacts) *Ending {
	for range maxRounds {
		if e := t.verify(ctx, o, facts); e != nil {
			return e
		}
		if o.folder == nil {
			return nil
		}
		if e := t.keepAside(o, facts); e != nil {
			return e
		}
		packs, err := o.folder.Packs()
		if err != nil {
			return failed(CodeMaintenanceFolder, err.Error(), "")
		}
		if len(upkeep.ReadVerified(t.runner.keepsake, o.id).Missing(packs)) == 0 {
			return nil
		}
		t.Say("more was stored meanwhile, which is read too")
	}
	return failed(CodePruneUnverified, "nothing was removed: each time that all data had been read, more had been stored",
		"run it at a time when no backups run")
}

// verify reads all data, unless all of it was read before.
func (t *Task) verify(ctx context.Context, o *outlook, facts *pruneFacts) *Ending {
	var packs []string
	if o.folder != nil {
		var err error
		if packs, err = o.folder.Packs(); err != nil {
			return failed(CodeMaintenanceFolder, err.Error(), "")
		}
		known := upkeep.ReadVerified(t.runner.keepsake, o.id)
		if len(known.Missing(packs)) == 0 && len(packs) > 0 {
			facts.Verified, facts.Packs = "all read by "+known.At.UTC().Format(time.RFC3339)+", nothing was stored since", len(packs)
			return nil
		}
	}
	read, e := perform(ctx, t, restic.ReadData{})
	if e != nil {
		return e
	}
	if !read.Value.Good() { //guard:prune-gate
		return t.unverified(ctx, read.Value)
	}
	facts.Verified, facts.Packs = "all read now", len(packs)
	if o.folder == nil {
		return nil
	}
	if err := (upkeep.Verified{At: t.runner.now().UTC(), Packs: packs}).Write(t.runner.keepsake, o.id); err != nil {
		return failed(CodeJournalFailed, err.Error(), nextJournal)
	}
	return nil
}

// unverified refuses to prune what does not hold what it should.
func (t *Task) unverified(ctx context.Context, read restic.DataRead) *Ending {
	var named []string
	for _, id := range read.Broken[:min(len(read.Broken), 8)] {
		named = append(named, id[:min(8, len(id))])
	}
	what := fmt.Sprintf("%d errors were found", read.Errors)
	if len(named) > 0 {
		what = fmt.Sprintf("packs %s… hold wrong content", strings.Join(named, ", "))
	}
	list := t.rows(ctx)
	for _, id := range read.Broken {
		if list.Add(map[string]any{"pack_id": id, "problem": "holds wrong content"}) != nil {
			break
		}
	}
	e := end(spool.Failed, CodePruneUnverified, "nothing was removed: the data was read, and "+what+
		". A prune could keep the wrong one of two copies", "restore from the snapshots still works. At the maintenance host, as root: put the named packs "+
		"aside, repair the index, and check again; see the recovery page of the manual")
	return list.into(&e)
}

// keepAside makes the undo copy.
func (t *Task) keepAside(o *outlook, facts *pruneFacts) *Ending {
	made, err := o.folder.Keep("prune", o.id, nil, t.runner.now())
	switch {
	case errors.Is(err, upkeep.ErrNoLinks):
		return failed(CodePruneNoUndo, "nothing was removed: the file system of the repository has no hard links, so that it cannot be kept aside",
			"move the repository to a file system that has them, such as ext4, XFS, Btrfs or ZFS")
	case err != nil:
		return failed(CodePruneNoUndo, "nothing was removed: "+err.Error(), "look at the room and the rights beside the repository's folder")
	}
	facts.Undo, facts.UndoUntil, facts.Copies = made.Path, made.At.AddDate(0, 0, t.reach.rule.UndoDays), facts.Copies+1
	return nil
}

// afterPrune checks the repository and tells what came of it.
func (t *Task) afterPrune(ctx context.Context, facts pruneFacts) *Ending {
	after, cancel := lingering(ctx, t.runner.afterInit)
	defer cancel()
	checked, e := perform(after, t, restic.ReadData{StructureOnly: true})
	back := "there is no copy to bring back"
	if facts.Undo != "" {
		back = "as root: restic-manager-agent storage undo --path " + t.reach.folder() + "; the copy itself is a repository that plain restic reads"
	}
	switch {
	case e != nil:
		e.addMessage("the prune itself had ended well, but could not be checked")
		e.NextStep = clip(back, 2000)
	case !checked.Value.Good():
		bad := end(spool.Failed, CodePruneDamaged, fmt.Sprintf("after the prune the check found %d errors", checked.Value.Errors), back)
		e = &bad
	default:
		e = outcomeOf(fmt.Sprintf("freed %s, %s remain", humanize.IBytes(uint64(max(0, facts.Freed))), humanize.IBytes(uint64(max(0, facts.Remaining)))))
		if facts.Undo != "" {
			e.addMessage("what was removed can be brought back until " + facts.UndoUntil.UTC().Format("2006-01-02") + " (" + back + ")")
		} else {
			e.addMessage("it cannot be undone: this host does not work in the repository's folder")
		}
		if facts.Unexplained > 0 {
			e.addMessage("data was not needed although no snapshot had been removed: backups that were interrupted leave some")
		}
	}
	e.facts(facts)
	return e
}
