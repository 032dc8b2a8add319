package store_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"modernc.org/sqlite"

	"restic-manager/server/store"
)

// counting counts what the connections behind it prepare.
type counting struct {
	driver.Connector
	prepared map[string]int
}

func (c *counting) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return countingConn{conn.(store.SQLiteConn), c}, nil
}

type countingConn struct {
	store.SQLiteConn
	counting *counting
}

func (c countingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	c.counting.prepared[query]++
	return c.SQLiteConn.PrepareContext(ctx, query)
}

// oneConnection opens a database whose one connection keeps its statements.
func oneConnection(t *testing.T) (*sql.DB, *counting) {
	t.Helper()
	connector, err := sqlite.NewConnector("file:" + filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	c := &counting{connector, map[string]int{}}
	db := sql.OpenDB(store.Preparing(c))
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.Exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)"); err != nil {
		t.Fatal(err)
	}
	return db, c
}

func TestAStatementIsPreparedOnceAndTakesOtherArguments(t *testing.T) {
	db, c := oneConnection(t)
	const put, get = "INSERT INTO t (a, b) VALUES (?, ?)", "SELECT b FROM t WHERE a = ?"
	for i := range 10 {
		if _, err := db.Exec(put, i, fmt.Sprint("text ", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		var b string
		if err := db.QueryRow(get, i).Scan(&b); err != nil || b != fmt.Sprint("text ", i) {
			t.Errorf("got %q, %v for %d", b, err, i)
		}
	}
	if c.prepared[put] != 1 || c.prepared[get] != 1 {
		t.Errorf("prepared %d and %d times, want once each", c.prepared[put], c.prepared[get])
	}
}

func TestAStatementThatIsInUseIsPreparedApart(t *testing.T) {
	db, _ := oneConnection(t)
	if _, err := db.Exec("INSERT INTO t (a) VALUES (1), (2), (3)"); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	const all = "SELECT a FROM t ORDER BY a"
	read := func(inside func()) (got []int) {
		rows, err := tx.Query(all)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var a int
			if err := rows.Scan(&a); err != nil {
				t.Fatal(err)
			}
			got = append(got, a)
			inside()
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return got
	}
	outer := read(func() {
		if inner := read(func() {}); fmt.Sprint(inner) != "[1 2 3]" {
			t.Errorf("the inner reading gave %v", inner)
		}
	})
	if fmt.Sprint(outer) != "[1 2 3]" {
		t.Errorf("the outer reading gave %v", outer)
	}
}

func TestAStatementThatFailedWorksWhenItIsRunAgain(t *testing.T) {
	db, _ := oneConnection(t)
	const put = "INSERT INTO t (a) VALUES (?)"
	for _, step := range []struct {
		a    int
		fine bool
	}{{1, true}, {1, false}, {2, true}, {1, false}, {3, true}} {
		if _, err := db.Exec(put, step.a); (err == nil) != step.fine {
			t.Errorf("inserting %d: %v", step.a, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.ExecContext(ctx, put, 4); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context ended", err)
	}
	if _, err := db.Exec(put, 4); err != nil {
		t.Error(err)
	}
}

func TestAKeptStatementSeesAnotherSchema(t *testing.T) {
	db, _ := oneConnection(t)
	columns := func() int {
		rows, err := db.Query("SELECT * FROM t")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	before := columns()
	if _, err := db.Exec("ALTER TABLE t ADD COLUMN c TEXT"); err != nil {
		t.Fatal(err)
	}
	if after := columns(); after != before+1 {
		t.Errorf("%d columns after one was added to %d", after, before)
	}
}

func TestAConnectionKeepsAsManyStatementsAsItMay(t *testing.T) {
	db, c := oneConnection(t)
	run := func(query string) {
		t.Helper()
		var n int
		if err := db.QueryRow(query).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	const often = "SELECT 1"
	for i := range 3 * store.MaxPrepared {
		run(fmt.Sprint("SELECT ", i+1000))
		run(often)
	}
	if c.prepared[often] != 1 {
		t.Errorf("what is used all the time was prepared %d times", c.prepared[often])
	}
	run("SELECT 1000")
	if c.prepared["SELECT 1000"] != 2 {
		t.Error("what was not used for longest is still kept")
	}
	long := "SELECT 1 -- " + strings.Repeat("x", 5000)
	run(long)
	run(long)
	if c.prepared[long] != 0 {
		t.Error("a long text was kept")
	}
}

func TestTheNumberOfALimitIsNotLookedAtByThePlanner(t *testing.T) {
	db, c := oneConnection(t)
	if _, err := db.Exec("INSERT INTO t (a) VALUES (1), (2), (3)"); err != nil {
		t.Fatal(err)
	}
	for limit := range 4 {
		var n int
		if err := db.QueryRow("SELECT COUNT(*) FROM (SELECT a FROM t WHERE a > ? LIMIT ?)", -1, limit).Scan(&n); err != nil || n != limit {
			t.Errorf("%d rows, %v, want %d", n, err, limit)
		}
	}
	for query := range c.prepared {
		if strings.Contains(query, "LIMIT ?") {
			t.Errorf("%q is planned anew whenever it is run", query)
		}
	}
}
