package job

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// batch is how many jobs a loop looks at in a round.
const batch = 100

// Expire ends the jobs that should have been picked up by now and were not; those that
// wait for their turn only while their host is away. An agent
// that has journaled one whose acknowledgement got lost may still run it; what it
// reports then replaces the result.
func (s *Service) Expire(ctx context.Context) error {
	ids, err := s.Store.JobsToExpire(ctx, fleet.At(s.Store.Now()), batch)
	if err != nil {
		return fmt.Errorf("look for jobs to expire: %w", err)
	}
	held, err := s.Store.HeldToExpire(ctx, fleet.At(s.Store.Now()), batch)
	if err != nil {
		return fmt.Errorf("look for jobs to expire that wait for their turn: %w", err)
	}
	for _, id := range append(ids, held...) {
		if err := s.Store.Write(ctx, func(tx *store.Tx) error { return s.expire(ctx, tx, id) }); err != nil {
			return fmt.Errorf("expire job %s: %w", id, err)
		}
	}
	return nil
}

func (s *Service) expire(ctx context.Context, tx *store.Tx, id fleet.JobID) error {
	j, err := tx.LockJob(ctx, id)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err != nil || j.State != fleet.Pending && !j.Held || j.ExpiresAt > tx.Now {
		return err
	}
	err = s.end(ctx, tx, j, Outcome{
		Result: string(fleet.Expired), Code: "not_picked_up",
		Message:  "The host did not pick the job up in time.",
		NextStep: "Look why the host is away, or give the job more time.",
	})
	if err != nil {
		return err
	}
	_, err = tx.WithdrawCommands(ctx, j.ID, false)
	return err
}
