package spool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Homeless reports whether the spool lives in memory, since the disk refused it when it
// was opened. It does so until it is closed; see GoHome.
func (s *Spool) Homeless() bool { return s.homeless != nil }

// Idle reports whether nothing is under way or waits for the server.
func (s *Spool) Idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.jobs) == 0
}

// DiskTakes returns nil once a homeless spool's disk takes a database again.
func (s *Spool) DiskTakes(ctx context.Context) error {
	return s.atHome(ctx, nil)
}

// GoHome writes what a homeless and idle spool remembers, small values and which jobs were
// taken, into the database that the next Open finds. What that knew of them before is older.
// The spool itself stays in memory; what happens to it afterwards is lost.
func (s *Spool) GoHome(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jobs) > 0 { //guard:home-idle
		return fmt.Errorf("%d jobs wait for the server", len(s.jobs))
	}
	var moves []statement
	err := s.each(ctx, `SELECT name, value FROM facts WHERE name >= ? AND name < ?`, []any{factValue, factValue + "\x7f"}, func(row *sql.Rows) error {
		var name string
		var value []byte
		err := row.Scan(&name, &value)
		moves = append(moves, statement{setFact, []any{name, value}})
		return err
	})
	if err != nil {
		return fmt.Errorf("read what is remembered: %w", err)
	}
	err = s.each(ctx, `SELECT id, what, epoch, at FROM seen`, nil, func(row *sql.Rows) error {
		var id, what string
		var epoch, at int64
		err := row.Scan(&id, &what, &epoch, &at)
		moves = append(moves, statement{setSeen, []any{id, what, epoch, at}})
		return err
	})
	if err != nil {
		return fmt.Errorf("read what was taken: %w", err)
	}
	return s.atHome(ctx, moves)
}

// atHome writes into the database on disk, which is made anew where it is damaged.
func (s *Spool) atHome(ctx context.Context, moves []statement) error {
	path := filepath.Join(s.dir, databaseName)
	db, err := openDatabase(ctx, path)
	if errors.Is(err, errDamaged) {
		if err := moveAside(path, s.now()); err != nil {
			return err
		}
		db, err = openDatabase(ctx, path)
	}
	if err != nil {
		return err
	}
	return errors.Join(s.move(ctx, db, moves), db.Close())
}

// move makes all of the moves or none, and proves in any case that the disk takes a write.
func (s *Spool) move(ctx context.Context, db *sql.DB, moves []statement) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	w := writer{ctx: ctx, tx: tx}
	w.exec(setFact, factProbe, []byte(s.now().UTC().Format(time.RFC3339)))
	for _, m := range moves {
		w.exec(m.sql, m.args...)
	}
	if w.err != nil {
		return errors.Join(w.err, tx.Rollback())
	}
	return tx.Commit()
}
