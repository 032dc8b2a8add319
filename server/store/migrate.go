package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"restic-manager/server/fleet"
)

//go:embed migrations/*.sql
var embedded embed.FS

// migration says how to migrate a database.
type migration struct {
	log      *slog.Logger
	files    fs.FS // both databases' migrations
	postgres bool
	locker   lock.SessionLocker                             // nil: nobody else migrates
	copy     func(ctx context.Context, version int64) error // nil: not copied before
}

// migrations gives the files of this program.
func migrations() fs.FS {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil { // the name is valid
		panic(err)
	}
	return files
}

// migrate brings the schema up to this program's. It changes nothing where the
// schema is newer.
func migrate(ctx context.Context, db *sql.DB, m migration) error {
	p, have, want, err := versions(ctx, db, m)
	if err != nil || have == want {
		return err
	}
	if m.copy != nil && have > 0 {
		if err := m.copy(ctx, have); err != nil {
			return err
		}
	}
	done, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate the schema from %d to %d: %w", have, want, err)
	}
	for _, r := range done {
		m.log.InfoContext(ctx, "schema migrated", "version", r.Source.Version, "dur", r.Duration)
	}
	return nil
}

// migrated fails where the schema is not this program's, and changes nothing.
func migrated(ctx context.Context, db *sql.DB, m migration) error {
	_, have, want, err := versions(ctx, db, m)
	if err == nil && have < want {
		return fleet.Errorf(fleet.NotFound, "The database has schema %d and this program needs %d: start this version's server first, "+
			"which migrates it, or use the version that runs.", have, want)
	}
	return err
}

// versions reads which schema there is and which one this program knows. SchemaNewer
// where it does not know that one.
func versions(ctx context.Context, db *sql.DB, m migration) (p *goose.Provider, have, want int64, err error) {
	if p, err = newProvider(db, m); err != nil {
		return nil, 0, 0, err
	}
	if have, want, err = p.GetVersions(ctx); err != nil {
		return nil, 0, 0, coded(fmt.Errorf("read the schema's version: %w", err))
	}
	if have > want {
		return nil, 0, 0, fleet.Errorf(fleet.SchemaNewer,
			"The database has schema %d and this program knows schemas up to %d: a newer version has migrated it. "+
				"Start that version, or restore the copy that it made before migrating.", have, want)
	}
	return p, have, want, nil
}

func newProvider(db *sql.DB, m migration) (*goose.Provider, error) {
	dialect, others := goose.DialectSQLite3, ".postgres.sql"
	if m.postgres {
		dialect, others = goose.DialectPostgres, ".sqlite.sql"
	}
	o := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if m.locker != nil {
		o = append(o, goose.WithSessionLocker(m.locker))
	}
	p, err := goose.NewProvider(dialect, db, without{m.files, others}, o...)
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return p, nil
}

// without is a folder without the files of the other database: NNNN_name.sql is
// for both, a pair NNNN_name.sqlite.sql and NNNN_name.postgres.sql for one each.
type without struct {
	fs.FS
	suffix string
}

// ReadDir lists the folder without those files.
func (w without) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(w.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), w.suffix) }), err
}
