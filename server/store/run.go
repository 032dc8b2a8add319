package store

import (
	"context"
	"fmt"
	"time"
)

// How long what is left over is kept.
const (
	throttleKept = 24 * time.Hour
	sessionKept  = 30 * 24 * time.Hour
)

// Run does what is due by the clock until ctx ends: it writes contacts each second,
// says that this replica lives and forgets what is old. What fails is logged and
// tried again. It returns after the last contacts are written.
func (s *Store) Run(ctx context.Context) {
	contacts, beat, forget := time.NewTicker(time.Second), time.NewTicker(beatEvery), time.NewTicker(time.Minute)
	defer contacts.Stop()
	defer beat.Stop()
	defer forget.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			s.stopRunning(ctx)
			return
		case <-contacts.C:
			err = s.FlushContacts(ctx)
		case <-beat.C:
			err = s.Beat(ctx)
		case <-forget.C:
			err = s.Forget(ctx)
		}
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "database upkeep failed", "err", err)
		}
	}
}

func (s *Store) stopRunning(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.FlushContacts(ctx); err != nil {
		s.log.ErrorContext(ctx, "last contacts not written", "err", err)
	}
	if err := s.leave(ctx); err != nil {
		s.log.ErrorContext(ctx, "replica did not leave in order", "err", err)
	}
}

// Forget removes what is past its time: changes, answers to idempotency keys,
// sign-ins, throttles, sessions. Each in a transaction of its own, so that none
// takes long.
func (s *Store) Forget(ctx context.Context) error {
	now := s.now()
	for _, f := range []struct {
		what, statement string
		args            []any
	}{
		{"changes", `DELETE FROM changes WHERE at < ?`, []any{now.Add(-FeedKept)}},
		{"idempotency keys", `DELETE FROM idempotency WHERE created_at < ?`, []any{now.Add(-IdempotencyKept)}},
		{"sign-ins", `DELETE FROM sign_ins WHERE expires_at < ?`, []any{now}},
		{"throttles", `DELETE FROM throttles WHERE first_at < ? AND blocked_to < ?`, []any{now.Add(-throttleKept), now}},
		{"sessions", `DELETE FROM sessions WHERE opened_at < ? AND (superseded_at > 0 OR closed_at > 0)`, []any{now.Add(-sessionKept)}},
	} {
		err := s.Write(ctx, func(tx *Tx) error {
			_, err := tx.exec(ctx, f.statement, f.args...)
			return err
		})
		if err != nil {
			return fmt.Errorf("forget old %s: %w", f.what, err)
		}
	}
	return nil
}
