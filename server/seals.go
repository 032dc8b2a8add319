package server

import (
	"context"
	"fmt"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/secret"
	"restic-manager/server/store"
)

// metaCheck is the key of the check value that tells whether a sealing key belongs
// to the database.
const metaCheck = "sealing_check"

// seals speaks of secrets as the verbs do, and of bytes with server/secret.
type seals struct{ keys *secret.Keys }

// Seal seals a secret for the place where it will lie.
func (s seals) Seal(table, id, column string, version int64, value restic.Secret) (string, error) {
	return s.keys.Seal(secret.Binding{Table: table, Row: id, Column: column, Version: version}, []byte(value.Reveal()))
}

// Open opens what was sealed for that place.
func (s seals) Open(table, id, column string, version int64, sealed string) (restic.Secret, error) {
	plain, err := s.keys.Open(secret.Binding{Table: table, Row: id, Column: column, Version: version}, sealed)
	if err != nil {
		return restic.Secret{}, err
	}
	return restic.NewSecret(string(plain)), nil
}

// openSeals reads the sealing key; for a new database it is made. A key that is not
// the database's is an error, never a reason for another one.
func openSeals(ctx context.Context, st *store.Store, path string) (seals, error) {
	stored, err := st.Meta(ctx, metaCheck)
	if err != nil && !fleet.Is(err, fleet.NotFound) {
		return seals{}, fmt.Errorf("read the check of the sealing key: %w", err)
	}
	keys, renewed, err := secret.Load(path, stored)
	if err != nil {
		return seals{}, fmt.Errorf("sealing key: %w", err)
	}
	if renewed == "" {
		return seals{keys}, nil
	}
	var kept bool
	err = st.Write(ctx, func(tx *store.Tx) (err error) {
		if stored == "" {
			kept, err = tx.AddMeta(ctx, metaCheck, renewed)
			return err
		}
		kept, err = tx.SwapMeta(ctx, metaCheck, stored, renewed)
		return err
	})
	if err != nil {
		return seals{}, fmt.Errorf("keep the check of the sealing key: %w", err)
	}
	if kept {
		return seals{keys}, nil
	}
	// Another server began at the same time, and its check counts.
	if stored, err = st.Meta(ctx, metaCheck); err != nil {
		return seals{}, fmt.Errorf("read the check of the sealing key: %w", err)
	}
	return seals{keys}, keys.Verify(stored)
}
