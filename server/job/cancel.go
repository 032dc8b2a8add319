package job

import (
	"context"
	"errors"
	"fmt"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// errAsked stops a transaction that would ask a second time.
var errAsked = errors.New("the job was asked to stop before")

// Cancel asks for a job to be stopped. A job that its agent was never offered ends
// at once, as does one that waits for its turn; any other is ended by its agent, whose word wins where the job ended
// first. It is idempotent. It fails with NotFound and JobFinished.
func (s *Service) Cancel(ctx context.Context, actor Actor, id fleet.JobID) (*fleet.Job, error) {
	var j *fleet.Job
	err := s.Store.Update(ctx, actor.entry("job.cancel"), func(tx *store.Tx) error {
		var err error
		if j, err = tx.LockJob(ctx, id); err != nil {
			return err
		}
		tx.Audit.ObjectType, tx.Audit.ObjectID, tx.Audit.ObjectName = "job", string(j.ID), j.Operation
		switch {
		case j.State == fleet.Finished:
			return fleet.Errorf(fleet.JobFinished, "The job has ended already: %s.", j.Result)
		case j.Cancel:
			return errAsked
		}
		return s.cancel(ctx, tx, j, actor)
	})
	if err != nil && !errors.Is(err, errAsked) {
		return nil, err
	}
	return j, nil
}

// cancel ends a job that no agent can know, or tells its agent. Withdrawing is a
// compare-and-swap against offering: a command is marked as offered before it is
// sent, so exactly one of the two wins.
func (s *Service) cancel(ctx context.Context, tx *store.Tx, j *fleet.Job, actor Actor) error {
	j.Cancel = true
	if j.Held {
		return s.end(ctx, tx, j, Outcome{
			Result: string(fleet.Cancelled), Code: "cancelled_before_start",
			Message: fmt.Sprintf("Cancelled by %s while it waited for its turn.", actor.Name),
		})
	}
	if j.State == fleet.Pending {
		withdrawn, err := tx.WithdrawCommands(ctx, j.ID, true)
		if err != nil {
			return err
		}
		if withdrawn > 0 {
			return s.end(ctx, tx, j, Outcome{
				Result: string(fleet.Cancelled), Code: "cancelled_before_start",
				Message: fmt.Sprintf("Cancelled by %s before its agent saw it.", actor.Name),
			})
		}
	}
	err := tx.CreateCommand(ctx, &fleet.Command{
		HostID: j.HostID, ID: fleet.NewID[string](), Kind: commandCancel, JobID: j.ID, Epoch: j.Epoch,
	})
	if err != nil {
		return err
	}
	touch(tx, j)
	tx.Wake(j.HostID)
	return tx.SaveJob(ctx, j)
}
