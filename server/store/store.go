package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"restic-manager/server/fleet"
)

// Options adjust a Store.
type Options struct {
	Logger  *slog.Logger     // nil discards
	Now     func() time.Time // nil is the clock: the machine's with SQLite, the database's with PostgreSQL
	DataDir string           // where copies are put before a migration; empty is beside the database file
	Serve   bool             // this process serves: with SQLite no other one may, until Close
	Beside  bool             // beside a server that may run: makes and migrates nothing, is no replica

	// ListenURL is where PostgreSQL notifies: a way past a pooler that hands out
	// connections by the transaction. Empty is the database URL.
	ListenURL string
}

// Store is the database. It is safe for concurrent use.
type Store struct {
	Queries

	db        *sqlx.DB // every connection of PostgreSQL, the readers of SQLite
	writer    *writer  // nil with PostgreSQL
	postgres  bool
	url       string
	listenURL string
	lock      *os.File // of a SQLite database that this process serves; else nil
	log       *slog.Logger

	listener atomic.Pointer[func(Effects)]
	contacts contacts
	replica  replica
	fullAt   atomic.Int64 // when something could last not be kept for want of room; 0: never
	counters counters
	close    sync.Once
	closeErr error
}

// Effects is what a committed transaction changed.
type Effects struct {
	Hosts   []fleet.HostID // whose agents have something to fetch
	Changes []fleet.Change // for the changes feed
}

// Stats counts what a Store did since it was opened.
type Stats struct {
	Statements   int64 // all but the ones that begin and end transactions
	Transactions int64 // functions of Update and Write that were committed
	Commits      int64 // commits that carried them
}

type counters struct{ statements, transactions, commits atomic.Int64 }

// Open opens the database at a URL, makes it where it is missing, checks it and
// migrates it. The URL is postgres://… for PostgreSQL, sqlite:///path/file.db or a
// plain path for SQLite.
//
// It fails with DatabaseCorrupt for a damaged file, which it leaves as it is, with
// SchemaNewer where a later program has migrated, with NotFound where Beside finds no
// database, or an older program's, and with DatabaseInUse where both
// this process and another serve the same file. Close it.
func Open(ctx context.Context, databaseURL string, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{log: o.Logger, url: databaseURL, listenURL: cmp.Or(o.ListenURL, databaseURL)}
	s.contacts.seen = map[fleet.HostID]contact{}
	s.replica.id = fleet.NewID[string]()
	clock := o.Now
	if clock == nil {
		clock = s.databaseClock
	}
	s.Queries = Queries{
		now:      func() fleet.Time { return fleet.At(clock()) },
		quiet:    func() fleet.Time { return fleet.At(s.QuietUntil()) },
		counters: &s.counters,
	}

	var err error
	if scheme, _, ok := strings.Cut(databaseURL, "://"); ok && (scheme == "postgres" || scheme == "postgresql") {
		err = s.openPostgres(ctx, o.Beside)
	} else if err = s.claimFile(o.Serve); err == nil {
		err = s.openSQLite(ctx, o.DataDir, o.Beside)
	}
	switch {
	case err != nil:
	case o.Beside:
		err = s.measureClock(ctx)
	default:
		if err = s.makeEpoch(ctx); err == nil {
			err = s.join(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends the connections. Transactions that wait for their turn fail with
// Unavailable. It may be called more than once.
func (s *Store) Close() error {
	s.close.Do(func() {
		if s.writer != nil {
			s.closeErr = s.writer.close()
		}
		if s.db != nil {
			s.closeErr = errors.Join(s.closeErr, s.db.Close())
		}
		if s.lock != nil {
			s.closeErr = errors.Join(s.closeErr, s.lock.Close())
		}
	})
	return s.closeErr
}

// Postgres tells which database it is: false is SQLite.
func (s *Store) Postgres() bool { return s.postgres }

// Now is the store's clock, by which presence, leases and tokens are judged.
func (s *Store) Now() time.Time { return s.now().Time() }

// Stats gives the counters.
func (s *Store) Stats() Stats {
	return Stats{
		Statements:   s.counters.statements.Load(),
		Transactions: s.counters.transactions.Load(),
		Commits:      s.counters.commits.Load(),
	}
}

// OnCommit sets who is told of each committed transaction that touched or woke
// something. There is one listener; it is called by the goroutine that committed
// and must not block.
func (s *Store) OnCommit(listener func(Effects)) { s.listener.Store(&listener) }

func (s *Store) committed(e Effects) {
	if len(e.Hosts) == 0 && len(e.Changes) == 0 {
		return
	}
	if listener := s.listener.Load(); listener != nil {
		(*listener)(e)
	}
}

// sqlitePath finds the file that a database URL means.
func sqlitePath(databaseURL string) (string, error) {
	scheme, _, ok := strings.Cut(databaseURL, "://")
	if !ok {
		return filepath.Abs(databaseURL)
	}
	if scheme != "sqlite" {
		return "", fleet.Errorf(fleet.Invalid,
			"database URL: %q is no database that is known here; use sqlite:///path/to/file.db or postgres://user@host/database", scheme)
	}
	u, err := url.Parse(databaseURL)
	if err != nil || u.Host != "" || u.RawQuery != "" || u.Path == "" {
		return "", fleet.Errorf(fleet.Invalid,
			"database URL: write sqlite:// and an absolute path without options, such as sqlite:///var/lib/restic-manager/server.db")
	}
	path := filepath.FromSlash(u.Path)
	if len(path) > 2 && path[0] == '\\' && path[2] == ':' { // /C:/dir/file.db on Windows
		path = path[1:]
	}
	return path, nil
}

// describe names the database in logs, without user, password or options.
func describe(databaseURL string) string {
	u, err := url.Parse(databaseURL)
	if err != nil || u.Host == "" {
		return "sqlite"
	}
	return fmt.Sprintf("postgres at %s", u.Host)
}
