package job

import (
	"context"
	"fmt"
	"slices"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// listAgain has the snapshots of a repository listed where a job has ended that may have
// removed, replaced or added some, also one that failed half-way: what is gone disappears
// here, and what came is shown. So does what somebody removed with restic alone, once a job
// was to work with it.
func listAgain(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome) error {
	op, known := restic.OperationNamed(j.Operation)
	began := []fleet.Result{fleet.Succeeded, fleet.Warning, fleet.Failed, fleet.Interrupted, fleet.Cancelled}
	if !known || j.RepositoryID == "" || j.StartedAt.IsZero() || !slices.Contains(began, j.Result) {
		return nil
	}
	changed := (op.Deletes || op.Name == "copy") && !dryRun(j.Params)
	if !changed {
		outdated, err := missesListed(ctx, tx, j, o)
		if err != nil || !outdated {
			return err
		}
	}
	r, err := tx.Repository(ctx, j.RepositoryID)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	host := j.HostID
	if !changed {
		if host, err = forgetter(ctx, tx, r, j); err != nil || host == "" {
			return err
		}
	}
	active, err := tx.ActiveJobs(ctx, host)
	if err != nil {
		return err
	}
	for i := range active {
		waits := active[i].State == fleet.Pending // one that runs may have looked before
		if waits && active[i].Operation == OperationSnapshots && active[i].RepositoryID == r.ID {
			return nil
		}
	}
	return list(ctx, tx, r, host)
}

// missesListed tells whether a job did not find a snapshot in the repository although all
// that it names are listed here. A listing ends that, so one is enough for many such jobs.
func missesListed(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome) (bool, error) {
	if restic.Code(o.Code) != restic.CodeSnapshotNotFound {
		return false, nil
	}
	var names struct {
		Snapshot string   `json:"snapshot_id"`
		Many     []string `json:"snapshot_ids"`
		From     string   `json:"from"`
		To       string   `json:"to"`
	}
	if err := j.Params.Read(&names); err != nil {
		return false, fmt.Errorf("read the params of job %s: %w", j.ID, err)
	}
	named := slices.DeleteFunc(append(names.Many, names.Snapshot, names.From, names.To), func(id string) bool { return id == "" })
	for _, id := range named {
		if _, err := tx.Snapshot(ctx, j.RepositoryID, id); err != nil {
			if fleet.Is(err, fleet.NotFound) { //guard:listed-once
				return false, nil
			}
			return false, err
		}
	}
	return len(named) > 0, nil
}

// forgetter is the host whose listing tells that a snapshot is gone after a job missed it:
// the one that maintains the repository, or, where none does, one that backs up there: the
// job's own, to which the repository may only have been lent, before others that are in touch.
func forgetter(ctx context.Context, tx *store.Tx, r *fleet.Repository, j *fleet.Job) (fleet.HostID, error) {
	if r.MaintenanceHost != "" {
		return r.MaintenanceHost, nil
	}
	hosts, err := tx.HostsOfRepository(ctx, r.ID)
	if slices.ContainsFunc(hosts, func(h fleet.Host) bool { return h.ID == j.HostID }) {
		return j.HostID, err
	}
	for i := range hosts {
		if hosts[i].Presence(tx.Now.Time()) == fleet.Online {
			return hosts[i].ID, nil
		}
	}
	return "", err
}
