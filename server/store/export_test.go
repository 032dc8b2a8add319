package store

import (
	"context"
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
