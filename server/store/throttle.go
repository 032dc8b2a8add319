package store

import (
	"context"
	"fmt"
	"time"

	"restic-manager/server/fleet"
)

// BlockedUntil gives the latest moment until which one of the keys is blocked;
// zero when none is. A key is an account or an address.
func (q Queries) BlockedUntil(ctx context.Context, keys ...string) (fleet.Time, error) {
	var until fleet.Time
	err := q.getIn(ctx, &until, `SELECT COALESCE(MAX(blocked_to), 0) FROM throttles WHERE key IN (?)`, keys)
	if err != nil {
		return 0, fmt.Errorf("read throttles: %w", err)
	}
	if until <= q.now() {
		return 0, nil
	}
	return until, nil
}

// CountFailure counts a failure of a key and gives the number within the window;
// the first failure after it begins a new one. Concurrent ones are all counted.
func (tx *Tx) CountFailure(ctx context.Context, key string, window time.Duration) (int64, error) {
	var failures int64
	err := tx.get(ctx, &failures, `INSERT INTO throttles (key, failures, first_at, blocked_to) VALUES (?, 1, ?, 0)
		ON CONFLICT (key) DO UPDATE SET
			failures = CASE WHEN throttles.first_at < ? THEN 1 ELSE throttles.failures + 1 END,
			first_at = CASE WHEN throttles.first_at < ? THEN excluded.first_at ELSE throttles.first_at END
		RETURNING failures`, key, tx.Now, tx.Now.Add(-window), tx.Now.Add(-window))
	if err != nil {
		return 0, fmt.Errorf("count a failure: %w", err)
	}
	return failures, nil
}

// Block refuses a key for a time; it never shortens a block.
func (tx *Tx) Block(ctx context.Context, key string, d time.Duration) error {
	_, err := tx.exec(ctx, `UPDATE throttles SET blocked_to = ? WHERE key = ? AND blocked_to < ?`, tx.Now.Add(d), key, tx.Now.Add(d))
	return err
}

// ClearFailures forgets the failures of a key.
func (tx *Tx) ClearFailures(ctx context.Context, key string) error {
	_, err := tx.exec(ctx, `DELETE FROM throttles WHERE key = ?`, key)
	return err
}
