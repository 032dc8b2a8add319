package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"restic-manager/server/fleet"
)

// channel is the one channel of all replicas; each picks what concerns it.
const channel = "restic_manager"

// MaxPayload is how many bytes a notification may carry.
const MaxPayload = 7000

// Listener hears what replicas tell each other, on a connection of its own. It is
// used by one goroutine.
type Listener struct{ conn *pgx.Conn }

// Listen begins to hear. What was told before is not heard, so whoever relies on
// it reads the database after this. With SQLite it is an error: there is one
// process.
func (s *Store) Listen(ctx context.Context) (*Listener, error) {
	if !s.postgres {
		return nil, fleet.Errorf(fleet.Invalid, "SQLite has no notifications.")
	}
	cfg, err := pgx.ParseConfig(s.listenURL)
	if err != nil { // its text may hold the password
		return nil, fleet.Errorf(fleet.Invalid, "listen URL: not understood; write postgres://user:password@host:5432/database")
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, coded(fmt.Errorf("connect to listen: %w", err))
	}
	l := &Listener{conn}
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		l.Close()
		return nil, coded(fmt.Errorf("listen: %w", err))
	}
	return l, nil
}

// Next waits for a payload. When ctx ends first the connection can still be used.
func (l *Listener) Next(ctx context.Context) (string, error) {
	n, err := l.conn.WaitForNotification(ctx)
	if err != nil {
		return "", err
	}
	return n.Payload, nil
}

// Ping tells whether the connection still works.
func (l *Listener) Ping(ctx context.Context) error {
	_, err := l.conn.Exec(ctx, "SELECT 1")
	return err
}

// Close ends the connection; it waits a moment to do so in order.
func (l *Listener) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx) // the socket is closed either way
}

// Notify tells all replicas, this one too. It is a transaction of its own that does
// not wait for the disk: a notification that a crash loses is made up by the shared
// poll.
func (s *Store) Notify(ctx context.Context, payloads ...string) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return coded(fmt.Errorf("notify: %w", err))
	}
	defer tx.Rollback() //nolint:errcheck // does nothing after a commit
	if _, err := tx.ExecContext(ctx, `SET LOCAL synchronous_commit = off`); err != nil {
		return coded(fmt.Errorf("notify: %w", err))
	}
	for _, p := range payloads {
		if _, err := tx.ExecContext(ctx, `SELECT pg_notify($1, $2)`, channel, p); err != nil {
			return coded(fmt.Errorf("notify: %w", err))
		}
	}
	if err := tx.Commit(); err != nil {
		return coded(fmt.Errorf("notify: %w", err))
	}
	return nil
}

// HostsWithCommands lists the hosts for which a command was issued after a moment
// that their agents have not taken: what the shared poll looks for.
func (q Queries) HostsWithCommands(ctx context.Context, issuedAfter fleet.Time) ([]fleet.HostID, error) {
	var ids []fleet.HostID
	err := q.all(ctx, &ids, `SELECT DISTINCT host_id FROM commands WHERE state = 'queued' AND issued_at > ?`, issuedAfter)
	if err != nil {
		return nil, fmt.Errorf("look for queued commands: %w", err)
	}
	return ids, nil
}
