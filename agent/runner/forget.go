package runner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"restic-manager/agent/retention"
	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// runRetention removes what no rule keeps, or says what that would be.
func runRetention(ctx context.Context, t *Task) *Ending {
	o, e := t.look(ctx)
	if e != nil {
		return e
	}
	defer o.close()
	doomed := o.plan.IDs(retention.Remove)
	if t.Params.Bool("dry_run") {
		list := t.decisions(ctx, o)
		facts := t.keepFacts(o, len(doomed))
		facts.DryRun = true
		e := outcomeOf(facts.summary())
		e.facts(facts)
		return list.into(e)
	}
	return t.remove(ctx, o, doomed)
}

// runForget removes the snapshots that a person has chosen, within the same floors.
func runForget(ctx context.Context, t *Task) *Ending {
	o, e := t.look(ctx)
	if e != nil {
		return e
	}
	defer o.close()
	chosen := slices.Compact(slices.Sorted(slices.Values(t.Params.Strings("snapshot_ids"))))
	if refused := o.plan.Refused(chosen); len(refused) > 0 { //guard:forget-floor
		return rejected(CodeRetentionFloor, refusals(refused),
			"choose others, or wait for tomorrow where only a day's part is used up; as root on this host the floors can be changed in the maintenance "+
				"section of its policy file, and plain restic removes what no order may")
	}
	for i := range o.plan.Decisions {
		if d := &o.plan.Decisions[i]; slices.Contains(chosen, d.ID) {
			d.Verdict, d.Reasons = retention.Remove, []string{"chosen by a person"}
		} else if d.Verdict == retention.Remove || d.Verdict == retention.Later {
			d.Verdict = retention.Keep
			d.Reasons = append(d.Reasons, "not chosen")
		}
	}
	return t.remove(ctx, o, chosen)
}

// refusals names the first few.
func refusals(refused map[string]string) string {
	const named = 5
	var lines []string
	for _, id := range slices.Sorted(maps.Keys(refused)) {
		if len(lines) == named {
			break
		}
		lines = append(lines, fmt.Sprintf("%.12s…: %s", id, refused[id]))
	}
	text := fmt.Sprintf("%d of the snapshots may not be removed, and so none was: %s", len(refused), strings.Join(lines, "; "))
	if len(refused) > named {
		text += "; …"
	}
	return text
}

// remove keeps the snapshots' files aside, removes them, and counts by a new listing what
// has gone: what restic says of it cannot be relied on.
func (t *Task) remove(ctx context.Context, o *outlook, doomed []string) *Ending {
	until, e := t.keepFiles(o, doomed)
	if e != nil {
		return e
	}
	if e := t.setOut(o, doomed); e != nil {
		return e
	}
	var trouble *Ending
	for _, batch := range restic.ForgetBatches(doomed) {
		if _, trouble = perform(ctx, t, restic.Forget{IDs: batch}); trouble != nil {
			break
		}
	}
	if trouble != nil && trouble.Code == string(restic.CodeRepoLocked) {
		return trouble
	}
	after, cancel := lingering(ctx, t.runner.afterInit)
	defer cancel()
	left, e := t.remaining(after, o, doomed)
	if e != nil {
		return e
	}
	for i := range o.plan.Decisions {
		if d := &o.plan.Decisions[i]; slices.Contains(left, d.ID) {
			d.Verdict = retention.Later
			d.Reasons = append(d.Reasons, "it could not be removed")
		}
	}
	facts := t.keepFacts(o, len(doomed)-len(left))
	facts.UndoUntil = until
	ending := outcomeOf(facts.summary())
	if trouble != nil {
		ending = trouble
		ending.addMessage(facts.summary())
	} else if len(left) > 0 { //guard:forget-verify
		e := end(spool.Failed, CodeForgetIncomplete, fmt.Sprintf("%d of %d snapshots are still there, although restic did not fail", len(left), len(doomed)),
			"look at the job's log: the storage may refuse to delete")
		ending = &e
	}
	ending.facts(facts)
	return t.decisions(after, o).into(ending)
}

// remaining lists which of the snapshots are still there.
func (t *Task) remaining(ctx context.Context, o *outlook, doomed []string) ([]string, *Ending) {
	if len(doomed) == 0 {
		return nil, nil
	}
	there := map[string]bool{}
	if o.folder != nil {
		files, err := o.folder.SnapshotFiles()
		if err != nil {
			return nil, failed(CodeMaintenanceFolder, err.Error(), "")
		}
		for id := range files {
			there[id] = true
		}
	} else {
		listing, e := perform(ctx, t, restic.Snapshots{})
		if e != nil {
			return nil, e
		}
		for _, s := range listing.Value {
			there[s.ID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(doomed), func(id string) bool { return !there[id] }), nil
}
