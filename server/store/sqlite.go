package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"

	"restic-manager/server/fleet"
)

// openSQLite opens the file with one connection that writes and a pool that only
// reads. A file made here is for its owner alone, and so are the two that SQLite
// keeps beside it.
func (s *Store) openSQLite(ctx context.Context, dataDir string, beside bool) error {
	path, err := sqlitePath(s.url)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); beside && errors.Is(err, fs.ErrNotExist) {
		return fleet.Wrap(fleet.NotFound, err, "There is no database %s: give the server's own options, and start it once first.", path)
	}
	if dataDir == "" {
		dataDir = filepath.Dir(path)
	}
	existed, err := ensureFile(path)
	if err != nil {
		return err
	}
	writing, err := openFile(path, "_txlock=immediate")
	if err != nil {
		return err
	}
	writing.SetMaxOpenConns(1)
	if beside {
		err = migrated(ctx, writing.DB, migration{log: s.log, files: migrations()})
	} else {
		err = prepareFile(ctx, writing, s, path, dataDir, existed)
	}
	if err != nil {
		return errors.Join(err, writing.Close())
	}
	s.writer = newWriter(writing, &s.counters)

	if s.db, err = openFile(path, "_query_only=1"); err != nil {
		return err
	}
	readers := max(4, 2*runtime.GOMAXPROCS(0))
	s.db.SetMaxOpenConns(readers)
	s.db.SetMaxIdleConns(readers)
	s.Queries.x = s.db
	return nil
}

// prepareFile checks and migrates the database before anybody else uses it.
func prepareFile(ctx context.Context, db *sqlx.DB, s *Store, path, dataDir string, existed bool) error {
	if existed {
		began := time.Now()
		if err := checkFile(ctx, db, path); err != nil {
			return err
		}
		s.log.InfoContext(ctx, "database checked for damage", "dur", time.Since(began))
	}
	return migrate(ctx, db.DB, migration{
		log:   s.log,
		files: migrations(),
		copy: func(ctx context.Context, from int64) error {
			to := filepath.Join(dataDir, fmt.Sprintf("%s.before-migration-from-%04d-%s.db",
				strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), from, time.Now().UTC().Format("20060102T150405Z")))
			if err := copyInto(ctx, db, to); err != nil {
				return fmt.Errorf("copy the database before migrating it: %w", err)
			}
			s.log.InfoContext(ctx, "database copied before its migration", "path", to)
			return nil
		},
	})
}

// ensureFile makes the file and its folder where they are missing and tells
// whether there was a database.
func ensureFile(path string) (existed bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, fmt.Errorf("make the database's folder: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return false, f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, fmt.Errorf("make the database: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("look at the database: %w", err)
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("the database %s is no regular file", path)
	}
	return info.Size() > 0, nil
}

// openFile opens a pool with the settings of every connection and one more option.
func openFile(path, option string) (*sqlx.DB, error) {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	if !strings.HasPrefix(u.Path, "/") { // C:/…
		u.Path = "/" + u.Path
	}
	u.RawQuery = "_busy_timeout=5000&_foreign_keys=1&_journal_mode=WAL&_synchronous=FULL&_dqs=0&_defensive=1"
	if option != "" {
		u.RawQuery += "&" + option
	}
	connector, err := sqlite.NewConnector(u.String())
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", path, err)
	}
	// sqlx knows the placeholders of this name; the driver is modernc's.
	return sqlx.NewDb(sql.OpenDB(preparing{connector}), "sqlite3"), nil
}

// checkFile looks through the whole file for damage. It never mends anything and
// never begins anew.
func checkFile(ctx context.Context, db *sqlx.DB, path string) error {
	var findings []string
	err := coded(db.SelectContext(ctx, &findings, "PRAGMA quick_check(5)"))
	if err == nil && len(findings) == 1 && findings[0] == "ok" {
		return nil
	}
	if err == nil {
		err = errors.New(strings.Join(findings, "; "))
	} else if !fleet.Is(err, fleet.DatabaseCorrupt) {
		return fmt.Errorf("check the database %s: %w", path, err)
	}
	return fleet.Wrap(fleet.DatabaseCorrupt, err,
		"The database %s is damaged. Nothing was changed. Put it aside and restore the newest copy (a backup of the data directory, "+
			"or a file beside it named before-migration), then start again; agents go on with their schedules meanwhile.", path)
}

// copyInto writes a copy of the database, complete and compact, to a new file.
func copyInto(ctx context.Context, db *sqlx.DB, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // SQLite takes an empty file and keeps its mode
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return errors.Join(coded(err), os.Remove(path))
	}
	return nil
}

// Copy writes a copy of a SQLite database to a new file while the server runs and
// goes on writing. With PostgreSQL it is an error: its own tools do that.
func (s *Store) Copy(ctx context.Context, path string) error {
	if s.postgres {
		return fleet.Errorf(fleet.Invalid, "The database is PostgreSQL: copy it with pg_dump.")
	}
	from, err := sqlitePath(s.url)
	if err != nil {
		return err
	}
	// Neither a connection that may only read nor the one that everybody's writing
	// waits for.
	db, err := openFile(from, "")
	if err != nil {
		return err
	}
	return errors.Join(copyInto(ctx, db, path), db.Close())
}
