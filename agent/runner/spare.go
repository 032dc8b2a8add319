package runner

import (
	"context"
	"time"

	"restic-manager/restic"
)

// spare keeps aside the files of snapshots that are about to be replaced by others. Where
// what is in them changes, the floors hold as for any removal: else an order to rewrite
// would take what an order to remove may not.
func (t *Task) spare(ctx context.Context, doomed []restic.Snapshot, floors bool) *Ending {
	if !t.reach.maintained || len(doomed) == 0 {
		return nil
	}
	o, e := t.look(ctx)
	if e != nil {
		return e
	}
	defer o.close()
	ids := make([]string, len(doomed))
	for i, s := range doomed {
		ids[i] = s.ID
	}
	if refused := o.plan.Refused(ids); floors && len(refused) > 0 { //guard:replace-floor
		return rejected(CodeRetentionFloor, refusals(refused),
			"leave the old ones beside the new ones, or as root change the floors in the maintenance section of this host's policy file")
	}
	if floors {
		if e := t.setOut(o, ids); e != nil {
			return e
		}
	}
	_, e = t.keepFiles(o, ids)
	return e
}

// keepFiles keeps aside the files of snapshots that are about to go, and returns until when
// they can be brought back: zero where this host does not work in the repository's folder.
func (t *Task) keepFiles(o *outlook, ids []string) (until time.Time, e *Ending) {
	if o.folder == nil || len(ids) == 0 {
		return time.Time{}, nil
	}
	made, err := o.folder.Keep("forget", o.id, ids, t.runner.now())
	if err != nil {
		return time.Time{}, failed(CodePruneNoUndo, "nothing was changed, since the snapshots could not be kept aside: "+err.Error(),
			"look at the room and the rights beside the repository's folder")
	}
	t.Say("the snapshots' files are kept aside in " + made.Path)
	return made.At.AddDate(0, 0, t.reach.rule.UndoDays), nil
}

// setOut records what is about to go, so that it counts for a day whatever comes of it.
func (t *Task) setOut(o *outlook, doomed []string) *Ending {
	var err error
	if len(doomed) > 0 {
		err = o.ledger.SetOut(t.runner.now(), doomed) //guard:forget-set-out
	}
	if err != nil {
		return ledgerTrouble(err)
	}
	return nil
}
