package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const sessionCols = "id, host_id, no, install_id, boot_id, opened_at, superseded_at, closed_at"

// Session reads a session. SessionUnknown when there is none.
func (q Queries) Session(ctx context.Context, id fleet.SessionID) (*fleet.Session, error) {
	var s fleet.Session
	err := q.get(ctx, &s, `SELECT `+sessionCols+` FROM sessions WHERE id = ?`, id)
	if err = missing(err, "session %s", id); fleet.Is(err, fleet.NotFound) {
		return nil, fleet.Errorf(fleet.SessionUnknown, "This session is unknown: open a new one.")
	} else if err != nil {
		return nil, err
	}
	return &s, nil
}

// OpenSession begins a session of a host's agent and supersedes the one before.
func (tx *Tx) OpenSession(ctx context.Context, host fleet.HostID, installID, bootID string) (*fleet.Session, error) {
	s := fleet.Session{ID: fleet.NewID[fleet.SessionID](), HostID: host, InstallID: installID, BootID: bootID, OpenedAt: tx.Now}
	// The host's row is locked first, so that two sessions opened at once are
	// numbered one after the other.
	err := tx.get(ctx, &s.No, `UPDATE hosts SET session_no = session_no + 1 WHERE id = ? RETURNING session_no`, host)
	if err != nil {
		return nil, missing(err, "host %s", host)
	}
	_, err = tx.exec(ctx, `UPDATE sessions SET superseded_at = ? WHERE host_id = ? AND superseded_at = 0 AND closed_at = 0`, tx.Now, host)
	if err != nil {
		return nil, fmt.Errorf("supersede the session of host %s: %w", host, err)
	}
	if _, err := tx.named(ctx, insert("sessions", sessionCols), s); err != nil {
		return nil, fmt.Errorf("open a session of host %s: %w", host, err)
	}
	tx.Touch(fleet.TopicHosts, string(host))
	tx.Wake(host) // a request that is parked under the older session learns of it
	return &s, nil
}

// CloseSession ends a session in order. Idempotent.
func (tx *Tx) CloseSession(ctx context.Context, host fleet.HostID, id fleet.SessionID) error {
	n, err := tx.exec(ctx, `UPDATE sessions SET closed_at = ? WHERE id = ? AND host_id = ? AND closed_at = 0`, tx.Now, id, host)
	if err != nil {
		return fmt.Errorf("close session %s: %w", id, err)
	}
	if n > 0 {
		tx.Touch(fleet.TopicHosts, string(host))
		tx.Wake(host)
	}
	return nil
}

// HostsToAskAgain reads hosts whose agents are in touch and have not spoken of a job
// they are to have since a moment, nor told all that they have since then.
func (q Queries) HostsToAskAgain(ctx context.Context, silentSince, now fleet.Time, limit int) ([]fleet.HostID, error) {
	var ids []fleet.HostID
	err := q.all(ctx, &ids, `SELECT id FROM hosts WHERE contact_deadline >= ? AND EXISTS (
		SELECT 1 FROM jobs j JOIN sessions s ON s.host_id = j.host_id AND s.opened_at < j.lease_until
		WHERE j.host_id = hosts.id AND j.state = 'unresponsive' AND j.lease_until <= ? AND s.superseded_at = 0 AND s.closed_at = 0)
		ORDER BY id LIMIT ?`, now, silentSince, limit)
	return ids, err
}

// EndSession ends the session of a host, if it has one: its agent opens another and
// tells all that it has.
func (tx *Tx) EndSession(ctx context.Context, host fleet.HostID) error {
	_, err := tx.exec(ctx, `UPDATE sessions SET closed_at = ? WHERE host_id = ? AND superseded_at = 0 AND closed_at = 0`, tx.Now, host)
	if err != nil {
		return fmt.Errorf("end the session of host %s: %w", host, err)
	}
	tx.Touch(fleet.TopicHosts, string(host))
	tx.Wake(host)
	return nil
}

// Alternations counts how often a host's sessions opened since a moment went to
// another machine and came back: a boot id that was replaced and is seen again. A
// machine that restarts never comes back to an older boot, nor does an agent that
// restarts change it; two clones of a machine do nothing else.
func (q Queries) Alternations(ctx context.Context, host fleet.HostID, since fleet.Time) (int, error) {
	var boots []string
	err := q.all(ctx, &boots, `SELECT boot_id FROM sessions WHERE host_id = ? AND opened_at >= ? ORDER BY no DESC LIMIT 1000`, host, since)
	if err != nil {
		return 0, fmt.Errorf("read the sessions of host %s: %w", host, err)
	}
	seen := map[string]bool{}
	returns := 0
	for i, boot := range boots {
		if i > 0 && boot != boots[i-1] && seen[boot] {
			returns++
		}
		seen[boot] = true
	}
	return returns, nil
}
