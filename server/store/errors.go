package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"restic-manager/server/fleet"
)

// kind is what a driver's error means to us.
type kind int

const (
	other        kind = iota
	notUnique         // a UNIQUE or a primary key
	noSuchParent      // a foreign key, at either end
	lostRace          // serialization, deadlock, a dead connection: another attempt may go through
	busy              // nobody answers, or not in time
	corrupt           // the file is damaged
	full              // there is no room on its disk
)

// violation is a driver's error with its meaning.
type violation struct {
	kind kind
	err  error
}

func (v *violation) Error() string { return v.err.Error() }
func (v *violation) Unwrap() error { return v.err }

// violates tells whether an error has that meaning.
func violates(err error, k kind) bool {
	var v *violation
	return errors.As(err, &v) && v.kind == k
}

// coded gives a driver's error its meaning, and its code where every caller would
// give the same one.
func coded(err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var seen *violation
	if errors.As(err, &seen) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	switch k := classify(err); k {
	case other:
		return err
	case busy, lostRace:
		return fleet.Wrap(fleet.Unavailable, &violation{k, err}, "The database does not answer; try again.")
	case corrupt:
		return fleet.Wrap(fleet.DatabaseCorrupt, &violation{k, err}, "The database is damaged.")
	case full:
		return fleet.Wrap(fleet.ServerDiskFull, &violation{k, err}, "The disk with the server's database is full, so nothing could be kept. Make room there: it goes on by itself, and what agents have to report waits at them.")
	default:
		return &violation{k, err}
	}
}

func classify(err error) kind {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return classifySQLite(lite.Code())
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return classifyPostgres(pg.Code)
	}
	var dial *pgconn.ConnectError
	if errors.As(err, &dial) || pgconn.Timeout(err) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn) {
		return busy
	}
	return other
}

func classifySQLite(code int) kind {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return notUnique
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return noSuchParent
	}
	switch code & 0xff { // the primary code
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return busy
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return corrupt
	case sqlite3.SQLITE_FULL:
		return full
	}
	if code == sqlite3.SQLITE_IOERR_SHMSIZE { // the index of the log beside it does not fit
		return full
	}
	return other
}

func classifyPostgres(state string) kind {
	switch state {
	case "23505":
		return notUnique
	case "23503":
		return noSuchParent
	case "40001", "40P01":
		return lostRace
	case "53100":
		return full
	case "57P01", "57P02", "57P03", "53300", "55P03":
		return busy
	}
	if len(state) == 5 && state[:2] == "08" { // connection exceptions
		return busy
	}
	return other
}
