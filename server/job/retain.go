package job

import (
	"context"
	"fmt"
	"time"

	"restic-manager/server/store"
)

// Keep is how long what has ended is kept; 0 is for ever. Logs go before their jobs.
type Keep struct{ Jobs, Logs time.Duration }

// longestHistory is how long ago a job may have begun that is not known here, where
// jobs are kept longer: an agent does not bear jobs of the past.
const longestHistory = 400 * 24 * time.Hour

// historyLimit is how long ago a job may have begun that is not known here: what is
// older may have been removed.
func (s *Service) historyLimit() time.Duration {
	if s.Keep.Jobs > 0 {
		return min(s.Keep.Jobs, longestHistory)
	}
	return longestHistory
}

// What is removed at a time, so that nobody waits long for the database, and in a
// round at most.
const (
	retainSlice  = 200
	retainSlices = 100
	retainEvery  = 10 * time.Minute
)

// Retain removes logs and jobs that ended longer ago than they are kept, a slice in a
// transaction each. What has not ended stays, however old it is, and so do the numbers
// of each day. What an agent still reports of a job that was removed is answered
// TakenClosed.
func (s *Service) Retain(ctx context.Context) error {
	keep := s.Keep
	const day = 24 * time.Hour
	for _, part := range []struct {
		age  time.Duration
		drop func(*store.Tx) (int, error)
	}{
		{keep.Logs, func(tx *store.Tx) (int, error) { return tx.DropLogs(ctx, tx.Now.Add(-keep.Logs), retainSlice) }},
		{keep.Jobs, func(tx *store.Tx) (int, error) {
			return tx.DropJobs(ctx, int64(tx.Now.Add(-keep.Jobs).Time().Sub(time.Unix(0, 0))/day), retainSlice)
		}},
	} {
		for n, left := retainSlice, retainSlices; part.age > 0 && n == retainSlice && left > 0; left-- {
			err := s.Store.Write(ctx, func(tx *store.Tx) (err error) {
				n, err = part.drop(tx)
				return err
			})
			if err != nil {
				return fmt.Errorf("remove old history: %w", err)
			}
		}
	}
	return nil
}

// RunRetain calls Retain again and again until ctx ends. Any number of replicas may
// run it.
func (s *Service) RunRetain(ctx context.Context) {
	ticker := time.NewTicker(retainEvery)
	defer ticker.Stop()
	for {
		s.round(ctx, "remove old history", s.Retain)
		s.round(ctx, "keep indexes of snapshots within their bound", s.RetainIndexes)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
