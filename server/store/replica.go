package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"restic-manager/server/fleet"
)

const (
	beatEvery = 5 * time.Second
	deadAfter = 3 * beatEvery   // a replica that did not beat for so long is gone
	quietTime = 5 * time.Minute // how long nobody is called silent after we were away
	clockJump = 30 * time.Second

	// leftRow keeps when the last replica left in order.
	leftRow = "left"
)

// replica is this process among those that share the database.
type replica struct {
	id     string
	offset atomic.Int64 // the database's clock minus ours, nanoseconds

	mu     sync.Mutex
	quiet  fleet.Time
	beatAt fleet.Time // of the last beat, by the store's clock
	ranAt  time.Time  // the same by the process clock, which does not jump
}

// ReplicaID names this process among those that share the database.
func (s *Store) ReplicaID() string { return s.replica.id }

// QuietUntil is the moment before which nobody may be called silent: all of us were
// away, or the clock jumped, so the others had no chance to be heard.
func (s *Store) QuietUntil() time.Time {
	s.replica.mu.Lock()
	defer s.replica.mu.Unlock()
	return s.replica.quiet.Time()
}

// databaseClock is the process clock with SQLite and the database's with
// PostgreSQL, as of the last beat.
func (s *Store) databaseClock() time.Time {
	return time.Now().Add(time.Duration(s.replica.offset.Load()))
}

// join enters this process among the replicas.
func (s *Store) join(ctx context.Context) error {
	if err := s.measureClock(ctx); err != nil {
		return err
	}
	var newest fleet.Time
	if err := s.get(ctx, &newest, `SELECT COALESCE(MAX(beat), 0) FROM replicas`); err != nil {
		return fmt.Errorf("read the replicas: %w", err)
	}
	if now := s.now(); !newest.IsZero() && newest.Add(deadAfter) < now {
		s.keepQuiet(now)
		if err := s.noteOutage(ctx, Outage{newest, now}); err != nil {
			return fmt.Errorf("keep when nobody was here: %w", err)
		}
	}
	return s.Beat(ctx)
}

// leave takes this process from the replicas and keeps when that was.
func (s *Store) leave(ctx context.Context) error {
	return s.Write(ctx, func(tx *Tx) error {
		if _, err := tx.exec(ctx, `DELETE FROM replicas WHERE id = ?`, s.replica.id); err != nil {
			return err
		}
		return tx.beat(ctx, leftRow)
	})
}

// Beat says that this process lives. The first one to notice that another died
// resets the feed: the other may have kept changes untold.
func (s *Store) Beat(ctx context.Context) error {
	if err := s.measureClock(ctx); err != nil {
		return err
	}
	err := s.Write(ctx, func(tx *Tx) error {
		if err := tx.beat(ctx, s.replica.id); err != nil {
			return err
		}
		died, err := tx.exec(ctx, `DELETE FROM replicas WHERE beat < ? AND id <> ?`, tx.Now.Add(-deadAfter), leftRow)
		if err != nil || died == 0 {
			return err
		}
		_, err = tx.appendFeed(ctx, []fleet.Change{{Topic: topicReset}})
		return err
	})
	if err != nil {
		return fmt.Errorf("beat: %w", err)
	}
	s.noticeJump()
	return nil
}

func (tx *Tx) beat(ctx context.Context, id string) error {
	_, err := tx.exec(ctx, `INSERT INTO replicas (id, beat) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET beat = excluded.beat`, id, tx.Now)
	return err
}

// noticeJump compares how far two clocks came since the last beat.
func (s *Store) noticeJump() {
	now, ran := s.now(), time.Now()
	s.replica.mu.Lock()
	before, ranBefore := s.replica.beatAt, s.replica.ranAt
	s.replica.beatAt, s.replica.ranAt = now, ran
	s.replica.mu.Unlock()
	if before.IsZero() {
		return
	}
	if jump := now.Time().Sub(before.Time()) - ran.Sub(ranBefore); jump.Abs() > clockJump {
		s.log.Warn("clock jumped", "dur", jump)
		s.keepQuiet(now)
	}
}

func (s *Store) keepQuiet(now fleet.Time) {
	s.replica.mu.Lock()
	defer s.replica.mu.Unlock()
	s.replica.quiet = now.Add(quietTime)
}

// measureClock asks PostgreSQL for the time.
func (s *Store) measureClock(ctx context.Context) error {
	if !s.postgres {
		return nil
	}
	asked := time.Now()
	var micros int64
	if err := s.get(ctx, &micros, `SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`); err != nil {
		return fmt.Errorf("ask the database for the time: %w", err)
	}
	middle := asked.Add(time.Since(asked) / 2)
	s.replica.offset.Store(int64(time.UnixMicro(micros).Sub(middle)))
	return nil
}
