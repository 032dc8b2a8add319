package job

import (
	"cmp"
	"context"
	"fmt"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// An operation of which restic's list says so may be ordered at a host that is not
// configured for its repository: a snapshot of a machine that is gone is restored onto
// another one. The command then brings along how to reach the repository, and the host
// gets the secrets that it names for as long as the job lasts.

// fieldSnapshot is the member of params that names a snapshot.
const fieldSnapshot = "snapshot_id"

// findAnywhere takes a repository that the wish's host is not configured for.
func (w *wish) findAnywhere(ctx context.Context, tx *store.Tx, id fleet.RepositoryID, given map[string]any) error {
	r, err := tx.Repository(ctx, id)
	if fleet.Is(err, fleet.NotFound) {
		return fleet.Wrap(fleet.InvalidField, err, "There is no such repository.").At("/repository_id")
	}
	if err != nil {
		return err
	}
	w.repository = r
	given[fieldRepository] = string(id)
	return w.borrow(ctx, tx, given)
}

// borrow decides whose append credential the wish uses at a repository that is not its
// host's: that of the snapshot's host where it has one of its own, since it may reach no
// other part of the storage; else the host's own or the one of all hosts; else any.
func (w *wish) borrow(ctx context.Context, tx *store.Tx, given map[string]any) error {
	all, err := tx.Credentials(ctx, w.repository.ID)
	if err != nil {
		return err
	}
	of, first := map[fleet.HostID]bool{}, fleet.HostID("")
	for _, c := range all {
		if c.Slot == fleet.AppendSlot {
			of[c.HostID] = true
			first = cmp.Or(first, c.HostID)
		}
	}
	made, err := w.madeBy(ctx, tx, given)
	switch {
	case err != nil:
		return err
	case made != "" && of[made]:
		w.access = made
	case !of[""] && !of[w.host.ID]:
		w.access = first
	}
	if w.access == w.host.ID {
		w.access = ""
	}
	return nil
}

// madeBy gives the host that made the snapshot which params name; empty where that is
// not known.
func (w *wish) madeBy(ctx context.Context, tx *store.Tx, given map[string]any) (fleet.HostID, error) {
	id, _ := given[fieldSnapshot].(string)
	if id == "" {
		return "", nil
	}
	snapshot, err := tx.Snapshot(ctx, w.repository.ID, id)
	if fleet.Is(err, fleet.NotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return snapshot.HostID, nil
}

// bring adds to a command how to reach its repository, where the host's configuration
// does not hold it. It is worked out when the command is sent, so that it names present
// versions of secrets.
func bring(ctx context.Context, q store.Queries, host fleet.HostID, c *Command) error {
	op, known := restic.OperationNamed(c.Operation)
	if c.Kind != commandRun || !known || !op.Anywhere {
		return nil
	}
	j, err := q.Job(ctx, c.JobID)
	if fleet.Is(err, fleet.NotFound) || err == nil && j.RepositoryID == "" {
		return nil
	}
	if err != nil {
		return err
	}
	mine, err := q.RepositoriesKnown(ctx, host)
	if err != nil {
		return err
	}
	for i := range mine {
		if mine[i].ID == j.RepositoryID {
			return nil
		}
	}
	r, err := q.Repository(ctx, j.RepositoryID)
	if fleet.Is(err, fleet.NotFound) { // it was deleted: the agent refuses the job, and says why
		return nil
	}
	if err != nil {
		return err
	}
	credentials, err := q.CredentialsFor(ctx, accessOf(j), j.RepositoryID)
	if err != nil {
		return fmt.Errorf("find out how job %s reaches its repository: %w", j.ID, err)
	}
	reached := configure(*r, credentials)
	c.Repository = &reached
	return nil
}

// accessOf is the host whose append credential a job uses.
func accessOf(j *fleet.Job) fleet.HostID { return cmp.Or(j.AccessHost, j.HostID) }
