package spool

import (
	"context"
	"database/sql"
	_ "embed" // for the schema
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	databaseName  = "state.db"
	inMemory      = ":memory:" // in the place of a path
	schemaVersion = 1
)

//go:embed schema.sql
var schema string

// errDamaged says that the file is not, or no longer, our database.
var errDamaged = errors.New("state database is damaged")

// openDatabase opens the database at path and makes its schema where it is new.
// The error is errDamaged, ErrInUse or ErrNewer where that is what is wrong.
func openDatabase(ctx context.Context, path string) (*sql.DB, error) {
	if err := makePrivate(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dataSource(path))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if err := prepare(ctx, db); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, errors.Join(classify(err), db.Close()))
	}
	return db, nil
}

// makePrivate makes the file, or takes it from others: SQLite gives the files beside
// it the same rights.
func makePrivate(path string) error {
	if path == inMemory {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	err = f.Chmod(0o600) //guard:state-private
	return errors.Join(err, f.Close())
}

// dataSource names the file and how it is kept: a write is on the disk when its
// commit returns, and nobody else has the file meanwhile.
func dataSource(path string) string {
	pragmas := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(1000)",
		"locking_mode(EXCLUSIVE)",
		"auto_vacuum(INCREMENTAL)",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"journal_size_limit(8388608)",
		"cache_size(-1024)",
	}}
	if path == inMemory {
		return "file:" + inMemory + "?" + pragmas.Encode()
	}
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // a Windows drive
	}
	return (&url.URL{Scheme: "file", Path: p, RawQuery: pragmas.Encode()}).String()
}

func prepare(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	if version > schemaVersion {
		return ErrNewer
	}
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, verdict)
	}
	if version == 0 {
		return create(ctx, db)
	}
	// Give back what an outage took. A full disk may refuse; the next start tries again.
	_, _ = db.ExecContext(ctx, `PRAGMA incremental_vacuum`)
	return nil
}

func create(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, schema+fmt.Sprintf("\nPRAGMA user_version = %d;", schemaVersion))
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// classify gives the driver's errors our names where we have one.
func classify(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", errDamaged, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	return err
}

// moveAside renames a damaged database and what belongs to it.
func moveAside(path string, now time.Time) error {
	aside := path + ".damaged-" + now.UTC().Format("20060102T150405.000000")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("move damaged state database aside: %w", err)
		}
	}
	return nil
}

// movedAside lists the damaged databases that still lie in dir.
func movedAside(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, databaseName+".damaged-*")) // the pattern is well-formed
	var databases []string
	for _, path := range found {
		if !strings.HasSuffix(path, "-wal") && !strings.HasSuffix(path, "-shm") {
			databases = append(databases, path)
		}
	}
	return databases
}
