package job

import (
	"context"
	"fmt"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// How long somebody who looked counts as a watcher, and how often that is written.
const (
	interestTime  = 60 * time.Second
	interestEvery = 20 * time.Second
)

// Watch says that somebody looks at a job, for the next 60 s: its agent then
// reports each second. Call it with every waiting read of a job, its events or its
// log; it writes at most once in 20 s. A job that is finished is left alone.
func (s *Service) Watch(ctx context.Context, j *fleet.Job) error {
	if !j.Active() {
		return nil
	}
	until, err := s.Store.Interest(ctx, j.ID)
	if err != nil {
		return fmt.Errorf("read who watches job %s: %w", j.ID, err)
	}
	now := fleet.At(s.Store.Now())
	if until > now.Add(interestTime-interestEvery) {
		return nil
	}
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		if until <= tx.Now { // nobody watched: the agent is to know at once
			tx.Wake(j.HostID)
		}
		return tx.SetInterest(ctx, j.ID, tx.Now.Add(interestTime))
	})
	if err != nil {
		return fmt.Errorf("watch job %s: %w", j.ID, err)
	}
	return nil
}
