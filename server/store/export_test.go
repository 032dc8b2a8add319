package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io/fs"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
)

// What tests of this package reach behind the methods of Store.

// Migrations gives the migration files.
func Migrations() fs.FS { return migrations() }

// Steps opens a database as a Store does and gives its migrations to be run one by
// one.
func Steps(ctx context.Context, url string, files fs.FS) (*sqlx.DB, *goose.Provider, error) {
	s := &Store{url: url}
	m := migration{files: files}
	var db *sqlx.DB
	if path, err := sqlitePath(url); err == nil {
		if db, err = openFile(path, "_txlock=immediate"); err != nil {
			return nil, nil, err
		}
		db.SetMaxOpenConns(1)
	} else {
		m.postgres = true
		if err := s.connect(ctx); err != nil {
			return nil, nil, err
		}
		db = s.db
	}
	p, err := newProvider(db.DB, m)
	return db, p, err
}

// Exec runs a statement as any method of Tx does.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return tx.exec(ctx, query, args...)
}

// Scalar reads one value.
func (q Queries) Scalar(ctx context.Context, into any, query string, args ...any) error {
	return q.get(ctx, into, query, args...)
}

// Waiting tells how many writers wait for their turn.
func (s *Store) Waiting() int64 { return s.writer.waiting.Load() }

// Plans tells how SQLite carries out the reads that a function makes.
func (s *Store) Plans(read func(Queries) error) ([]string, error) {
	e := &explainer{ext: s.Queries.x}
	q := s.Queries
	q.x = e
	err := read(q)
	return e.plans, errors.Join(err, e.err)
}

type explainer struct {
	ext
	plans []string
	err   error
}

func (e *explainer) QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	e.explain(ctx, query, args)
	return e.ext.QueryxContext(ctx, query, args...)
}

func (e *explainer) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	e.explain(ctx, query, args)
	return e.ext.QueryRowxContext(ctx, query, args...)
}

func (e *explainer) explain(ctx context.Context, query string, args []any) {
	var steps []struct {
		ID, Parent, NotUsed int
		Detail              string
	}
	if err := sqlx.SelectContext(ctx, e.ext, &steps, "EXPLAIN QUERY PLAN "+query, args...); err != nil {
		e.err = errors.Join(e.err, err)
	}
	for _, step := range steps {
		e.plans = append(e.plans, step.Detail)
	}
}

// SQLiteConn is what a connection must be to have its statements kept.
type SQLiteConn = sqliteConn

// MaxPrepared is how many statements a connection keeps.
const MaxPrepared = maxPrepared

// Preparing is what SQLite's connections are opened through.
func Preparing(c driver.Connector) driver.Connector { return preparing{c} }

// Where is the text that narrows the audit log to the filter.
func (f AuditFilter) Where() string { w := f.where(); return w.String() }
