package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

// Attendance is a host together with the session that its agent speaks in: what
// every request of an agent begins with, in one read.
type Attendance struct {
	fleet.Host
	InstallID    string     `db:"session_install"`
	SupersededAt fleet.Time `db:"session_superseded_at"`
	ClosedAt     fleet.Time `db:"session_closed_at"`
	Holds        int        `db:"session_holds"` // repositories at which its backups may be held back
}

// Attendance reads the host of a session. SessionUnknown when there is no such
// session, or its host is gone.
func (q Queries) Attendance(ctx context.Context, id fleet.SessionID) (*Attendance, error) {
	var a Attendance
	err := q.get(ctx, &a, `SELECT `+hostCols+`, session_install, session_superseded_at, session_closed_at,
		(SELECT count(*) FROM repositories r JOIN schedules hs ON hs.repository_id = r.id
			WHERE r.hold_job <> '' AND r.hold_until > 0 AND hs.host_id = hosts.id) AS session_holds FROM hosts
		JOIN (SELECT host_id AS session_host, install_id AS session_install, superseded_at AS session_superseded_at,
			closed_at AS session_closed_at FROM sessions WHERE id = ?) s ON hosts.id = session_host`, id)
	if err = missing(err, "session %s", id); fleet.Is(err, fleet.NotFound) {
		return nil, fleet.Errorf(fleet.SessionUnknown, "This session is unknown: open a new one.")
	} else if err != nil {
		return nil, err
	}
	return &a, nil
}

// LockHost reads a host that nobody else changes before this transaction ends.
// NotFound when there is none.
func (tx *Tx) LockHost(ctx context.Context, id fleet.HostID) (*fleet.Host, error) {
	var h fleet.Host
	err := tx.get(ctx, &h, `UPDATE hosts SET version = version WHERE id = ? RETURNING `+hostCols, id)
	return one(&h, err, "host %s", id)
}

// SetJournal writes which journal a host's agent keeps.
func (tx *Tx) SetJournal(ctx context.Context, id fleet.HostID, journal string) error {
	if _, err := tx.exec(ctx, `UPDATE hosts SET journal_id = ? WHERE id = ?`, journal, id); err != nil {
		return fmt.Errorf("write the journal of host %s: %w", id, err)
	}
	return nil
}

// SetAcked writes up to which number a host's agent has journaled its commands; it
// never goes back.
func (tx *Tx) SetAcked(ctx context.Context, id fleet.HostID, seq int64) error {
	if _, err := tx.exec(ctx, `UPDATE hosts SET acked_seq = ? WHERE id = ? AND acked_seq < ?`, seq, id, seq); err != nil {
		return fmt.Errorf("acknowledge the commands of host %s: %w", id, err)
	}
	return nil
}
