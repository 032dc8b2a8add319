package storetest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"restic-manager/server/store"
)

// sqliteTemplate is a SQLite file as the migrations leave it, made once a process: to
// copy it costs a hundredth of migrating.
var sqliteTemplate = sync.OnceValues(func() (data []byte, err error) {
	dir, err := os.MkdirTemp("", "storetest-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "template.db")
	if err := migrate(context.Background(), path, "sqlite", path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// migrate has the store make its tables in an empty database, and takes back what it
// wrote about itself meanwhile: nobody has opened the copies.
func migrate(ctx context.Context, url, driver, dsn string) error {
	s, err := store.Open(ctx, url, store.Options{})
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return err
	}
	for _, table := range []string{"meta", "replicas"} {
		if _, err := db.ExecContext(ctx, "DELETE FROM "+table); err != nil {
			return errors.Join(err, db.Close())
		}
	}
	return db.Close()
}

// SQLite gives the URL of a database as the migrations leave it, which nobody has
// opened.
func SQLite(t testing.TB) string {
	t.Helper()
	data, err := sqliteTemplate()
	if err != nil {
		t.Fatalf("make a database to copy: %v", err)
	}
	path := EmptySQLite(t)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// PostgreSQL is SQLite for a database of PostgreSQL, which is dropped with the test.
func PostgreSQL(t testing.TB) string {
	t.Helper()
	c, name := sharedCluster(t)
	if err := c.makeTemplate(); err != nil {
		t.Fatalf("make a database to copy: %v", err)
	}
	return c.database(t, name, template)
}

// template is the database that is copied for each test.
const template = "migrated"

// EmptySQLite gives the URL of a database that does not exist yet.
func EmptySQLite(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "server.db")
}

// EmptyPostgreSQL gives the URL of a database without tables, which is dropped with
// the test.
func EmptyPostgreSQL(t testing.TB) string {
	t.Helper()
	c, name := sharedCluster(t)
	return c.database(t, name, "template1")
}

// database makes a database like another one.
func (c *cluster) database(t testing.TB, name, like string) string {
	t.Helper()
	if err := c.create(t.Context(), name, like); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := c.drop(name); err != nil {
			t.Errorf("drop a database: %v", err)
		}
	})
	return c.url(name)
}

// makeTemplate makes the database that is copied, for the first test that asks.
func (c *cluster) makeTemplate() error {
	shared.template.Do(func() {
		ctx := context.Background()
		if shared.templateErr = c.create(ctx, template, "template1"); shared.templateErr == nil {
			shared.templateErr = migrate(ctx, c.url(template), "pgx", c.url(template))
		}
	})
	return shared.templateErr
}
