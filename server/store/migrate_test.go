package store_test

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jmoiron/sqlx"

	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestNoMigrationEmptiesATable(t *testing.T) {
	storetest.EachEmpty(t, func(t *testing.T, url string) {
		losses, seeded, err := migrateOntoRows(t.Context(), url, store.Migrations())
		if err != nil {
			t.Fatal(err)
		}
		for _, loss := range losses {
			t.Error(loss)
		}
		if seeded < 20 {
			t.Errorf("only %d tables had rows: this test looks at the wrong database", seeded)
		}
	})
}

// The rebuild of a parent table is how the loss happens; the test above must see it.
func TestARebuiltParentTableIsSeenToEmptyItsChildren(t *testing.T) {
	rebuild := `-- +goose Up
CREATE TABLE hosts_new (id TEXT PRIMARY KEY);
INSERT INTO hosts_new SELECT id FROM hosts;
DROP TABLE hosts;
ALTER TABLE hosts_new RENAME TO hosts;
`
	files := fstest.MapFS{}
	err := fs.WalkDir(store.Migrations(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(store.Migrations(), path)
		files[path] = &fstest.MapFile{Data: text}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files["9998_rebuild.sql"] = &fstest.MapFile{Data: []byte(rebuild)}
	losses, _, err := migrateOntoRows(t.Context(), storetest.EmptySQLite(t), files)
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(losses, "\n"); !strings.Contains(text, "schedules") || !strings.Contains(text, "jobs") {
		t.Errorf("the loss was not seen; seen: %s", text)
	}
}

// renamed are tables that have another name since.
var renamed = map[string]string{"listings": "snapshot_indexes", "listing_blocks": "index_blocks"}

// migrateOntoRows runs the migrations one by one. Before each it puts a row into
// every table that has none, and after it looks whether one is gone. A column added
// later is no reason to mend it: rows are made from the schema as it is.
func migrateOntoRows(ctx context.Context, url string, files fs.FS) (losses []string, seeded int, err error) {
	db, steps, err := store.Steps(ctx, url, files)
	if err != nil {
		return nil, 0, err
	}
	defer db.Close()
	for _, source := range steps.ListSources() {
		before, err := count(ctx, db)
		if err != nil {
			return nil, 0, err
		}
		if _, err := steps.ApplyVersion(ctx, source.Version, true); err != nil {
			return nil, 0, fmt.Errorf("migration %d: %w", source.Version, err)
		}
		after, err := count(ctx, db)
		if err != nil {
			return nil, 0, err
		}
		for table, n := range before {
			if _, there := after[table]; !there && renamed[table] != "" {
				table = renamed[table]
			}
			if after[table] < n {
				losses = append(losses, fmt.Sprintf("migration %d left %d of %d rows in %s", source.Version, after[table], n, table))
			}
		}
		if err := seed(ctx, db, after); err != nil {
			return nil, 0, err
		}
		seeded = len(after)
	}
	return losses, seeded, nil
}

func columns(ctx context.Context, db *sqlx.DB) (map[string]map[string]string, error) {
	query := `SELECT m.name AS "table", p.name AS "column", p.type AS kind FROM sqlite_master m
		JOIN pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'`
	if db.DriverName() == "pgx" {
		query = `SELECT table_name AS "table", column_name AS "column", data_type AS kind
			FROM information_schema.columns WHERE table_schema = 'public'`
	}
	var rows []struct{ Table, Column, Kind string }
	if err := db.SelectContext(ctx, &rows, query); err != nil {
		return nil, err
	}
	tables := map[string]map[string]string{}
	for _, r := range rows {
		if r.Table == "goose_db_version" {
			continue
		}
		if tables[r.Table] == nil {
			tables[r.Table] = map[string]string{}
		}
		tables[r.Table][r.Column] = strings.ToLower(r.Kind)
	}
	return tables, nil
}

func count(ctx context.Context, db *sqlx.DB) (map[string]int, error) {
	tables, err := columns(ctx, db)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for table := range tables {
		var n int
		if err := db.GetContext(ctx, &n, `SELECT count(*) FROM `+table); err != nil {
			return nil, err
		}
		counts[table] = n
	}
	return counts, nil
}

// seed puts a row into every empty table, in which every text is x and every number
// 1, so that all of them point at each other. Parents come first, by trying again.
func seed(ctx context.Context, db *sqlx.DB, counts map[string]int) error {
	tables, err := columns(ctx, db)
	if err != nil {
		return err
	}
	for round := 0; len(tables) > 0; round++ {
		var last error
		for table, cols := range tables {
			if counts[table] > 0 {
				delete(tables, table)
			} else if last = insertRow(ctx, db, table, cols); last == nil {
				delete(tables, table)
			}
		}
		if round > 20 {
			return fmt.Errorf("no row for %v: %w", slices.Collect(maps.Keys(tables)), last)
		}
	}
	return nil
}

func insertRow(ctx context.Context, db *sqlx.DB, table string, cols map[string]string) error {
	var names, marks []string
	var values []any
	for name, kind := range cols {
		names, marks = append(names, name), append(marks, "?")
		switch kind {
		case "bigint", "integer":
			values = append(values, 1)
		case "boolean":
			values = append(values, true)
		case "blob", "bytea":
			values = append(values, []byte("x"))
		default:
			values = append(values, "x")
		}
	}
	_, err := db.ExecContext(ctx, db.Rebind(`INSERT INTO `+table+` (`+strings.Join(names, ", ")+`) VALUES (`+strings.Join(marks, ", ")+`)`), values...)
	return err
}

func TestEveryMigrationKeepsTheRulesOfItsFolder(t *testing.T) {
	err := fs.WalkDir(store.Migrations(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(store.Migrations(), path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			statement, _, _ := strings.Cut(strings.ToUpper(line), "--")
			for _, refused := range []string{"DROP TABLE", "AUTOINCREMENT", "SERIAL", "CHECK (", "DATETIME", "TIMESTAMP"} {
				if strings.Contains(statement, refused) {
					t.Errorf("%s: %s", path, strings.TrimSpace(line))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
