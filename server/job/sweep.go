package job

import (
	"context"
	"fmt"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// lostAfter is how long an agent may be silent about a job before the job counts as
// lost: laptops sleep, lines fail. It never makes anything run again.
const lostAfter = 24 * time.Hour

// askAgainAfter is how long an agent that is in touch may say nothing of a job before
// it is made to tell all that it has. It names the jobs it works on in each sync, and
// reports what has ended: saying nothing, it has forgotten the job, or the database was
// set back to a copy from before the job ended.
const askAgainAfter = 5 * time.Minute

// Sweep notices jobs whose agents fell silent: unresponsive when the lease has
// ended, lost a day later, or as soon as an agent that is in touch turns out not to
// know them. After an outage of our own nobody is judged before the
// agents had the time to come back, see store.QuietUntil.
func (s *Service) Sweep(ctx context.Context) error {
	if s.Store.Now().Before(s.Store.QuietUntil()) {
		return nil
	}
	now := fleet.At(s.Store.Now())
	silent, err := s.Store.SilentJobs(ctx, now, false, batch)
	if err != nil {
		return fmt.Errorf("look for silent jobs: %w", err)
	}
	for _, id := range silent {
		if err := s.Store.Write(ctx, func(tx *store.Tx) error { return fallSilent(ctx, tx, id) }); err != nil {
			return fmt.Errorf("mark job %s as unresponsive: %w", id, err)
		}
	}
	if err := s.askAgain(ctx, now); err != nil {
		return err
	}
	gone, err := s.Store.SilentJobs(ctx, now.Add(-lostAfter), true, batch)
	if err != nil {
		return fmt.Errorf("look for lost jobs: %w", err)
	}
	for _, id := range gone {
		if err := s.Store.Write(ctx, func(tx *store.Tx) error { return s.lose(ctx, tx, id) }); err != nil {
			return fmt.Errorf("mark job %s as lost: %w", id, err)
		}
	}
	return nil
}

func fallSilent(ctx context.Context, tx *store.Tx, id fleet.JobID) error {
	j, err := tx.LockJob(ctx, id)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err != nil || !j.OnAgent() || j.State == fleet.Unresponsive || j.LeaseUntil > tx.Now {
		return err
	}
	j.State = fleet.Unresponsive
	touch(tx, j)
	return tx.SaveJob(ctx, j)
}

func (s *Service) lose(ctx context.Context, tx *store.Tx, id fleet.JobID) error {
	j, err := tx.LockJob(ctx, id)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err != nil || j.State != fleet.Unresponsive || j.LeaseUntil.Add(lostAfter) > tx.Now {
		return err
	}
	return s.end(ctx, tx, j, Outcome{
		Result: string(fleet.Lost), Code: "agent_silent",
		Message:  "The agent has said nothing of this job for 24 hours.",
		NextStep: "Look after the host; what its agent reports when it is back replaces this.",
	})
}

// askAgain ends the sessions of agents that are in touch and silent about a job.
func (s *Service) askAgain(ctx context.Context, now fleet.Time) error {
	hosts, err := s.Store.HostsToAskAgain(ctx, now.Add(-askAgainAfter), now, batch)
	if err != nil {
		return fmt.Errorf("look for agents that are silent about a job: %w", err)
	}
	for _, id := range hosts {
		if err := s.Store.Write(ctx, func(tx *store.Tx) error { return tx.EndSession(ctx, id) }); err != nil {
			return err
		}
	}
	return nil
}
