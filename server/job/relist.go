package job

import (
	"context"
	"slices"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// listAgain has the snapshots of a repository listed where a job has ended that may have
// removed, replaced or added some, also one that failed half-way: what is gone disappears
// here, and what came is shown.
func listAgain(ctx context.Context, tx *store.Tx, j *fleet.Job) error {
	op, known := restic.OperationNamed(j.Operation)
	began := []fleet.Result{fleet.Succeeded, fleet.Warning, fleet.Failed, fleet.Interrupted, fleet.Cancelled}
	if !known || !op.Deletes && op.Name != "copy" || j.RepositoryID == "" || j.StartedAt.IsZero() || !slices.Contains(began, j.Result) {
		return nil
	}
	if dryRun(j.Params) {
		return nil
	}
	r, err := tx.Repository(ctx, j.RepositoryID)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	active, err := tx.ActiveJobs(ctx, j.HostID)
	if err != nil {
		return err
	}
	for i := range active {
		waits := active[i].State == fleet.Pending // one that runs may have looked before
		if waits && active[i].Operation == OperationSnapshots && active[i].RepositoryID == r.ID {
			return nil
		}
	}
	return list(ctx, tx, r, j)
}
