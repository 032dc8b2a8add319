package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const installationCols = "id, host_id, secret_hash, next_secret_hash, next_until, active, superseded_at, created_at"

// Installation reads an installation. NotFound when there is none.
func (q Queries) Installation(ctx context.Context, id string) (*fleet.Installation, error) {
	var i fleet.Installation
	err := q.get(ctx, &i, `SELECT `+installationCols+` FROM installations WHERE id = ?`, id)
	return one(&i, err, "installation %s", id)
}

// Installations lists the installations of a host, the newest first: its active
// one, one that has enrolled and not yet signed in, and those before.
func (q Queries) Installations(ctx context.Context, host fleet.HostID) ([]fleet.Installation, error) {
	var list []fleet.Installation
	err := q.all(ctx, &list, `SELECT `+installationCols+` FROM installations WHERE host_id = ? ORDER BY created_at DESC, id DESC`, host)
	if err != nil {
		return nil, fmt.Errorf("list installations of host %s: %w", host, err)
	}
	return list, nil
}

// ActivateInstallation makes an installation the one of its host at its first
// sign-in; the ones before it are superseded and cannot sign in again. Idempotent.
// CredentialUnknown when it was superseded itself.
func (tx *Tx) ActivateInstallation(ctx context.Context, host fleet.HostID, id string) error {
	n, err := tx.exec(ctx, `UPDATE installations SET active = TRUE WHERE id = ? AND host_id = ? AND superseded_at = 0`, id, host)
	if err != nil {
		return fmt.Errorf("activate installation %s: %w", id, err)
	}
	if n == 0 {
		return fleet.Errorf(fleet.CredentialUnknown, "Another installation has taken the place of this one; enrol again.")
	}
	_, err = tx.exec(ctx, `UPDATE installations SET active = FALSE, superseded_at = ? WHERE host_id = ? AND id <> ? AND superseded_at = 0
		AND created_at <= (SELECT created_at FROM installations WHERE id = ?)`, tx.Now, host, id, id)
	if err != nil {
		return fmt.Errorf("supersede the installations before %s: %w", id, err)
	}
	return nil
}

// OfferSecret lets another secret of an installation work beside the present one
// until a moment. Idempotent for the same hash.
func (tx *Tx) OfferSecret(ctx context.Context, id, hash string, until fleet.Time) error {
	n, err := tx.exec(ctx, `UPDATE installations SET next_secret_hash = ?, next_until = ? WHERE id = ? AND superseded_at = 0`, hash, until, id)
	if err != nil {
		return fmt.Errorf("offer a secret of installation %s: %w", id, err)
	}
	if n == 0 {
		return missingNow("installation %s", id)
	}
	return nil
}

// AdoptSecret drops the present secret of an installation for the offered one,
// once that was used. It tells whether it did.
func (tx *Tx) AdoptSecret(ctx context.Context, id, hash string) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE installations SET secret_hash = next_secret_hash, next_secret_hash = '', next_until = 0
		WHERE id = ? AND next_secret_hash = ? AND next_until > ?`, id, hash, tx.Now)
	if err != nil {
		return false, fmt.Errorf("adopt the secret of installation %s: %w", id, err)
	}
	return n == 1, nil
}
