package runner

import (
	"context"
	"fmt"

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
	if o.folder == nil {
		return nil
	}
	made, err := o.folder.Keep("forget", o.id, ids, t.runner.now())
	if err != nil {
		return failed(CodePruneNoUndo, fmt.Sprintf("nothing was changed, since the snapshots could not be kept aside: %v", err),
			"look at the room and the rights beside the repository's folder")
	}
	t.Say("the snapshots' files are kept aside in " + made.Path)
	return nil
}
