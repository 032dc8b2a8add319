package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"restic-manager/server/fleet"
)

const tokenCols = "id, host_id, secret_hash, created_at, expires_at, revoked_at, used_at, used_by"

// EnrolmentToken reads a host's token. NotFound when there is none.
func (q Queries) EnrolmentToken(ctx context.Context, host fleet.HostID, id fleet.TokenID) (*fleet.EnrolmentToken, error) {
	var t fleet.EnrolmentToken
	err := q.get(ctx, &t, `SELECT `+tokenCols+` FROM enrolment_tokens WHERE id = ? AND host_id = ?`, id, host)
	return one(&t, err, "enrolment token %s", id)
}

// EnrolmentTokens lists a host's newest tokens.
func (q Queries) EnrolmentTokens(ctx context.Context, host fleet.HostID) ([]fleet.EnrolmentToken, error) {
	var list []fleet.EnrolmentToken
	err := q.all(ctx, &list, `SELECT `+tokenCols+` FROM enrolment_tokens WHERE host_id = ? ORDER BY created_at DESC, id DESC LIMIT ?`, host, MaxPageSize)
	if err != nil {
		return nil, fmt.Errorf("list enrolment tokens of host %s: %w", host, err)
	}
	return list, nil
}

// CreateEnrolmentToken adds a token and revokes the open ones before it: one line
// per host works at a time.
func (tx *Tx) CreateEnrolmentToken(ctx context.Context, t *fleet.EnrolmentToken) error {
	if t.CreatedAt.IsZero() {
		t.CreatedAt = tx.Now
	}
	if _, err := tx.exec(ctx, `UPDATE enrolment_tokens SET revoked_at = ? WHERE host_id = ? AND used_at = 0 AND revoked_at = 0`, tx.Now, t.HostID); err != nil {
		return fmt.Errorf("revoke the tokens of host %s: %w", t.HostID, err)
	}
	if _, err := tx.named(ctx, insert("enrolment_tokens", tokenCols), t); err != nil {
		if violates(err, noSuchParent) {
			return missingNow("host %s", t.HostID)
		}
		return fmt.Errorf("create an enrolment token: %w", err)
	}
	tx.Touch(fleet.TopicHosts, string(t.HostID))
	return nil
}

// RevokeEnrolmentToken makes a token useless. Idempotent; NotFound when there is
// none.
func (tx *Tx) RevokeEnrolmentToken(ctx context.Context, host fleet.HostID, id fleet.TokenID) error {
	if _, err := tx.EnrolmentToken(ctx, host, id); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `UPDATE enrolment_tokens SET revoked_at = ? WHERE id = ? AND used_at = 0 AND revoked_at = 0`, tx.Now, id)
	tx.Touch(fleet.TopicHosts, string(host))
	return err
}

// Enrolment is an agent that comes with a token.
type Enrolment struct {
	TokenHash    string // SHA-256 in hex
	InstallID    string
	SecretHash   string // SHA-256 in hex
	Hostname     string
	OS, Arch     string
	AgentVersion string
}

// Enrol turns a token into an installation of the token's host, once. A repeat of
// the same token, installation and secret gives the same host and changes nothing
// (repeated is true), so a lost answer costs nothing.
//
// The new installation can sign in at once; an older one goes on until then.
// EnrolmentTokenUsed for a token that another installation has used,
// EnrolmentTokenInvalid for an unknown, expired or revoked one, AgentMismatch for
// an installation that belongs to another host.
func (tx *Tx) Enrol(ctx context.Context, e Enrolment) (id fleet.HostID, repeated bool, err error) {
	var t fleet.EnrolmentToken
	use := `UPDATE enrolment_tokens SET used_at = ?, used_by = ? WHERE secret_hash = ?`
	use += ` AND used_at = 0` //guard:token-once
	err = tx.get(ctx, &t, use+` RETURNING `+tokenCols, tx.Now, e.InstallID, e.TokenHash)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		id, err = tx.enrolledBefore(ctx, e)
		return id, true, err
	case err != nil:
		return "", false, fmt.Errorf("use an enrolment token: %w", err)
	case !t.RevokedAt.IsZero(): //guard:token-revoked
		return "", false, tokenInvalid() // with the transaction its use is taken back
	case t.ExpiresAt <= tx.Now: //guard:token-expired
		return "", false, tokenInvalid()
	}
	id = t.HostID
	if err := tx.putInstallation(ctx, id, e); err != nil {
		return "", false, err
	}
	_, err = tx.exec(ctx, `UPDATE hosts SET version = version + 1, os = ?, arch = ?, agent_version = ?,
		enrolled_at = CASE WHEN enrolled_at = 0 THEN ? ELSE enrolled_at END,
		snapshot_host = CASE WHEN snapshot_host = '' THEN ? ELSE snapshot_host END WHERE id = ?`,
		e.OS, e.Arch, e.AgentVersion, tx.Now, e.Hostname, id)
	if err != nil {
		return "", false, fmt.Errorf("enrol host %s: %w", id, err)
	}
	tx.Touch(fleet.TopicHosts, string(id))
	return id, false, tx.bumpMaintainersOfHost(ctx, id) // its snapshots have a name now
}

func tokenInvalid() error {
	return fleet.Errorf(fleet.EnrolmentTokenInvalid, "This enrolment token is unknown, revoked or expired: make a new enrolment line.")
}

// enrolledBefore tells a repeat from a token that cannot be used.
func (tx *Tx) enrolledBefore(ctx context.Context, e Enrolment) (fleet.HostID, error) {
	var t fleet.EnrolmentToken
	err := tx.get(ctx, &t, `SELECT `+tokenCols+` FROM enrolment_tokens WHERE secret_hash = ?`, e.TokenHash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read an enrolment token: %w", err)
	}
	if err != nil || t.UsedAt.IsZero() {
		return "", tokenInvalid()
	}
	if t.UsedBy == e.InstallID {
		i, err := tx.Installation(ctx, e.InstallID)
		if err != nil {
			return "", err
		}
		if i.HostID == t.HostID && (i.SecretHash == e.SecretHash || i.NextSecretHash == e.SecretHash) {
			return t.HostID, nil
		}
	}
	return "", fleet.Errorf(fleet.EnrolmentTokenUsed, "This enrolment token was used by another installation: make a new enrolment line.")
}

// putInstallation adds the installation, or gives one of the same host that came
// with another token its new secret. It becomes active at its first sign-in.
func (tx *Tx) putInstallation(ctx context.Context, host fleet.HostID, e Enrolment) error {
	n, err := tx.exec(ctx, `INSERT INTO installations (id, host_id, secret_hash, active, created_at) VALUES (?, ?, ?, FALSE, ?)
		ON CONFLICT (id) DO UPDATE SET secret_hash = excluded.secret_hash, next_secret_hash = '', next_until = 0,
			superseded_at = 0, created_at = excluded.created_at
		WHERE installations.host_id = excluded.host_id`, e.InstallID, host, e.SecretHash, tx.Now)
	if err != nil {
		return fmt.Errorf("add installation %s: %w", e.InstallID, err)
	}
	if n == 0 { //guard:installation-host
		return fleet.Errorf(fleet.AgentMismatch, "This installation belongs to another host: remove the agent's state and enrol again.")
	}
	return nil
}
