package runner

import (
	"context"

	"restic-manager/agent/spool"
	"restic-manager/agent/upkeep"
	"restic-manager/restic"
)

// announce writes down which snapshots are about to be replaced, before that begins.
// Whoever takes the place of one inherits when it was first seen, whatever becomes of the
// job: else a cut would leave good snapshots that count as new.
func (t *Task) announce(doomed []restic.Snapshot, sameTree bool) *Ending {
	if !t.reach.maintained || len(doomed) == 0 {
		return nil
	}
	r := upkeep.Replacing{JobID: t.Job.ID, At: t.runner.now().UTC()}
	for _, s := range doomed {
		// restic's tag names in the new one what the old one was first, the others the old
		// one itself.
		d := upkeep.Doomed{ID: s.ID, First: s.ID, Time: s.Time, Host: s.Host}
		if sameTree {
			d.First, d.Tree = firstID(s), s.Tree
		}
		r.Snapshots = append(r.Snapshots, d)
	}
	if err := r.Write(t.runner.keepsake, t.seen); err != nil {
		return failed(CodeJournalFailed, err.Error(), nextJournal)
	}
	return nil
}

// settle gives snapshots the first-seen times of those that they have taken the place of,
// in this job or in one that was cut off. One that lies beside the old one is a newcomer,
// and a suspect: else it could take the old one's place in the rules.
func (t *Task) settle(ledger *upkeep.Ledger, listed []restic.Snapshot) error {
	r, err := upkeep.ReadReplacing(t.runner.keepsake, t.seen)
	if err != nil || len(r.Snapshots) == 0 {
		return err
	}
	var there []upkeep.Newcomer
	for _, s := range listed {
		there = append(there, upkeep.Newcomer{ID: s.ID, First: s.Original, Time: s.Time, Host: s.Host, Tree: s.Tree})
	}
	err = ledger.Inherit(t.runner.now(), r.Heirs(ledger, there)) //guard:replace-inherit
	if err != nil {
		return err
	}
	return upkeep.EndReplacing(t.runner.keepsake, t.seen)
}

// settled is settle for a job that has no ledger open. What goes wrong is left to the next
// look at the repository, which does it again.
func (t *Task) settled(listed []restic.Snapshot) {
	if !t.reach.maintained || t.seen == "" {
		return
	}
	ledger, err := t.openLedger(t.seen)
	if err == nil {
		err = t.settle(ledger, listed)
	}
	if err != nil {
		t.Note("whose place the new snapshots have taken could not be recorded: " + err.Error())
	}
}

// cutOff looks, after a restic that ended early, what it had replaced until then.
func (t *Task) cutOff(ctx context.Context) {
	if !t.reach.maintained {
		return
	}
	after, cancel := lingering(ctx, t.runner.afterInit)
	defer cancel()
	if listed, e := perform(after, t, restic.Snapshots{}); e == nil { //guard:replace-cut
		t.settled(listed.Value)
	}
}

// recoverReplaced looks what a job had replaced that the agent died under.
func recoverReplaced(ctx context.Context, t *Task) *Ending {
	listed, e := t.all(ctx)
	if e != nil {
		return nil
	}
	t.settled(listed)
	final := end(spool.Interrupted, CodeAgentDied, "the agent or the machine died while the job ran; the snapshots that it had changed until then keep their age",
		"list the snapshots, and run it again for those that are left")
	return &final
}
