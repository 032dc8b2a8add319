package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"restic-manager/server/fleet"
)

// SignIns keeps the browser's sessions in the form that scs asks for. Tokens are
// kept as hashes. What ends the sign-ins of one account is its Generation, which
// belongs into the session's data: see UpdateUser.
type SignIns struct{ s *Store }

// SignIns gives the session store.
func (s *Store) SignIns() SignIns { return SignIns{s} }

// FindCtx gives the data of a session; false when it is unknown or has expired.
func (i SignIns) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	var data string
	err := i.s.get(ctx, &data, `SELECT data FROM sign_ins WHERE token_hash = ? AND expires_at > ?`, tokenHash(token), i.s.now())
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read a sign-in: %w", err)
	}
	b, err := base64.StdEncoding.DecodeString(data)
	return b, err == nil, err
}

// CommitCtx adds or replaces a session.
func (i SignIns) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	return i.s.Write(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `INSERT INTO sign_ins (token_hash, data, expires_at) VALUES (?, ?, ?)
			ON CONFLICT (token_hash) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at`,
			tokenHash(token), base64.StdEncoding.EncodeToString(b), fleet.At(expiry))
		return err
	})
}

// DeleteCtx ends a session; an unknown one is fine.
func (i SignIns) DeleteCtx(ctx context.Context, token string) error {
	return i.s.Write(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `DELETE FROM sign_ins WHERE token_hash = ?`, tokenHash(token))
		return err
	})
}

// Find is FindCtx; scs asks for it and uses the other.
func (i SignIns) Find(token string) ([]byte, bool, error) {
	return i.FindCtx(context.Background(), token)
}

// Commit is CommitCtx; scs asks for it and uses the other.
func (i SignIns) Commit(token string, b []byte, expiry time.Time) error {
	return i.CommitCtx(context.Background(), token, b, expiry)
}

// Delete is DeleteCtx; scs asks for it and uses the other.
func (i SignIns) Delete(token string) error { return i.DeleteCtx(context.Background(), token) }

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
