package store

import (
	"context"
	"fmt"
	"time"

	"restic-manager/server/fleet"
)

// IdempotencyKept is how long the answer to a key is kept.
const IdempotencyKept = 24 * time.Hour

// IdempotencyLease is how long a request may work at its answer: longer than any does.
// One that has none by then died with its server, and its key is free again.
const IdempotencyLease = 2 * time.Minute

// Replay is the answer that was given to a key before.
type Replay struct {
	Status int    `db:"status"`
	Body   string `db:"body"`
}

// ClaimIdempotency begins the request of a key: nil means that it is the first one
// and shall be done. A repeat gets the answer of the first, IdempotencyInFlight
// while there is none, IdempotencyMismatch when its fingerprint is another.
//
// Claimed and finished in the transaction of the change itself there is no moment
// in which the change is made and its answer is not kept: then a repeat waits for
// the first one instead of being refused.
func (tx *Tx) ClaimIdempotency(ctx context.Context, keyHash, fingerprint string) (*Replay, error) {
	_, err := tx.exec(ctx, `DELETE FROM idempotency WHERE key_hash = ? AND (created_at <= ? OR status = 0 AND created_at <= ?)`,
		keyHash, tx.Now.Add(-IdempotencyKept), tx.Now.Add(-IdempotencyLease))
	if err != nil {
		return nil, fmt.Errorf("forget an old idempotency key: %w", err)
	}
	n, err := tx.exec(ctx, `INSERT INTO idempotency (key_hash, fingerprint, created_at) VALUES (?, ?, ?) ON CONFLICT (key_hash) DO NOTHING`,
		keyHash, fingerprint, tx.Now)
	if err != nil {
		return nil, fmt.Errorf("claim an idempotency key: %w", err)
	}
	if n == 1 {
		return nil, nil
	}
	var row struct {
		Replay
		Fingerprint string `db:"fingerprint"`
	}
	if err := tx.get(ctx, &row, `SELECT fingerprint, status, body FROM idempotency WHERE key_hash = ?`, keyHash); err != nil {
		return nil, fmt.Errorf("read an idempotency key: %w", err)
	}
	switch {
	case row.Fingerprint != fingerprint:
		return nil, fleet.Errorf(fleet.IdempotencyMismatch, "This Idempotency-Key came with another request before; use a new one.")
	case row.Status == 0:
		return nil, fleet.Errorf(fleet.IdempotencyInFlight, "The first request with this Idempotency-Key has no answer yet; ask again later.")
	}
	return &row.Replay, nil
}

// FinishIdempotency keeps the answer of a claimed key.
func (tx *Tx) FinishIdempotency(ctx context.Context, keyHash string, r Replay) error {
	_, err := tx.exec(ctx, `UPDATE idempotency SET status = ?, body = ? WHERE key_hash = ?`, r.Status, r.Body, keyHash)
	return err
}

// ReleaseIdempotency gives a claimed key free whose request changed nothing.
func (tx *Tx) ReleaseIdempotency(ctx context.Context, keyHash string) error {
	_, err := tx.exec(ctx, `DELETE FROM idempotency WHERE key_hash = ? AND status = 0`, keyHash)
	return err
}
