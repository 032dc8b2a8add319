package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

// Keys of meta that the store itself uses.
const (
	metaEpoch     = "server_epoch"
	metaAuditHead = "audit_head"
	metaSetup     = "setup_done"
)

// Meta reads a value. NotFound when the key has none.
func (q Queries) Meta(ctx context.Context, key string) (string, error) {
	var value string
	err := q.get(ctx, &value, `SELECT value FROM meta WHERE key = ?`, key)
	return value, missing(err, "setting %s", key)
}

// SetMeta writes a value.
func (tx *Tx) SetMeta(ctx context.Context, key, value string) error {
	_, err := tx.exec(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
	return err
}

// AddMeta writes a value where the key has none and tells whether it did.
func (tx *Tx) AddMeta(ctx context.Context, key, value string) (bool, error) {
	n, err := tx.exec(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING`, key, value)
	return n == 1, err
}

// SwapMeta writes a value where the key has another, known one and tells whether
// it did.
func (tx *Tx) SwapMeta(ctx context.Context, key, old, value string) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE meta SET value = ? WHERE key = ? AND value = ?`, value, key, old)
	return n == 1, err
}

// DeleteMeta removes a key; a missing one is fine.
func (tx *Tx) DeleteMeta(ctx context.Context, key string) error {
	_, err := tx.exec(ctx, `DELETE FROM meta WHERE key = ?`, key)
	return err
}

// Epoch names this life of the database. It is made once and changes when somebody
// moves the command counters after a restore, see RenewEpoch.
func (s *Store) Epoch(ctx context.Context) (string, error) { return s.Meta(ctx, metaEpoch) }

// RenewEpoch begins another life of the database: agents open new sessions.
func (tx *Tx) RenewEpoch(ctx context.Context) error {
	return tx.SetMeta(ctx, metaEpoch, fleet.NewID[string]())
}

// makeEpoch makes the epoch of a new database.
func (s *Store) makeEpoch(ctx context.Context) error {
	if _, err := s.Epoch(ctx); !fleet.Is(err, fleet.NotFound) {
		return err
	}
	err := s.Write(ctx, func(tx *Tx) error {
		_, err := tx.AddMeta(ctx, metaEpoch, fleet.NewID[string]())
		return err
	})
	if err != nil {
		return fmt.Errorf("make the server's epoch: %w", err)
	}
	return nil
}
