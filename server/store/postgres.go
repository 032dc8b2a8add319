package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3/lock"

	"restic-manager/server/fleet"
)

// maxConnections bounds the connections of one replica; its listener has one more.
const maxConnections = 16

// openPostgres opens the pool and migrates. Replicas that start together wait for
// each other.
func (s *Store) openPostgres(ctx context.Context, beside bool) error {
	s.postgres = true
	if err := s.connect(ctx); err != nil {
		return err
	}
	s.Queries.x = s.db
	if beside {
		return migrated(ctx, s.db.DB, migration{log: s.log, files: migrations(), postgres: true})
	}
	// The default asks every five seconds only.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 30))
	if err != nil {
		return err
	}
	return migrate(ctx, s.db.DB, migration{log: s.log, files: migrations(), postgres: true, locker: locker})
}

// connect opens the pool and sees that the database answers.
func (s *Store) connect(ctx context.Context) error {
	cfg, err := pgx.ParseConfig(s.url)
	if err != nil { // its text may hold the password
		return fleet.Errorf(fleet.Invalid, "database URL: not understood; write postgres://user:password@host:5432/database")
	}
	s.db = sqlx.NewDb(stdlib.OpenDB(*cfg), "pgx")
	s.db.SetMaxOpenConns(maxConnections)
	s.db.SetMaxIdleConns(maxConnections)
	s.db.SetConnMaxIdleTime(5 * time.Minute)
	if err := s.db.PingContext(ctx); err != nil {
		return coded(fmt.Errorf("connect to %s: %w", describe(s.url), err))
	}
	return nil
}
