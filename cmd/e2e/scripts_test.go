//go:build !windows

package e2e_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"restic-manager/server/store/storetest"
)

// script puts a script into one of the host's folders, as its root would.
func (h *host) script(folder, name, text string) string {
	h.w.t.Helper()
	path := filepath.Join(h.dir, folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		h.w.t.Fatal(err)
	}
	return path
}

// plan replaces the host's schedule by a manual one.
func (h *host) plan(settings obj) {
	h.w.t.Helper()
	spec := obj{"name": "scripts", "repository_id": h.repository, "manual": true}
	for name, value := range settings {
		spec[name] = value
	}
	h.w.api.must("PUT", "/api/v1/hosts/"+h.id+"/schedules/"+h.schedule, spec, nil)
}

// TestAPostgreSQLDumpAsANamedSourceCanBeLoadedAgain makes rows that a dump stumbles over,
// backs them up by a script, takes the dump out with plain restic, loads it into another
// database and compares row by row.
func TestAPostgreSQLDumpAsANamedSourceCanBeLoadedAgain(t *testing.T) {
	t.Parallel()
	from, to := storetest.EmptyPostgreSQL(t), storetest.EmptyPostgreSQL(t)
	original := openDatabase(t, from)
	for _, statement := range []string{
		`CREATE TABLE items (id BIGINT PRIMARY KEY, name TEXT, amount NUMERIC(20, 6), raw BYTEA, at TIMESTAMPTZ, extra JSONB)`,
		`INSERT INTO items SELECT i, 'row ' || i || E'\n\t\\ "quoted" ''single'' \\N ü 漢 ' || repeat(chr(1 + i % 31), 3), i / 7.0,
			decode(md5(i::text), 'hex'), TIMESTAMPTZ '2026-02-28 23:59:59.999999+00' + i * INTERVAL '1 hour', jsonb_build_object('i', i, 's', E'a\nb')
			FROM generate_series(1, 20000) AS i`,
		`INSERT INTO items (id, name) VALUES (0, ''), (-1, NULL), (9223372036854775807, '\.')`,
		`CREATE VIEW dear AS SELECT id FROM items WHERE amount > 100`,
	} {
		if _, err := original.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}

	w := newWorld(t)
	repository := w.addRepository("database", repositorySpec{})
	h := w.addHost("db", repository, []string{files(t, 1)})
	h.script("sources.d", "shop.sql", pgEnvironment(t, h.dir, from)+"echo dumping the shop >&2\nexec pg_dump --format=plain\n")
	h.plan(obj{"source": "shop.sql"})
	j := h.backUp("succeeded")
	if !j.Outcome.Confirmed || j.Outcome.Stats.Files != 1 {
		t.Errorf("the backup: %+v", j.Outcome)
	}
	if text := w.log(j.ID); !strings.Contains(text, "dumping the shop") {
		t.Errorf("what the script said is not in the log:\n%s", text)
	}

	dump := filepath.Join(t.TempDir(), "dump.sql")
	if err := os.WriteFile(dump, []byte(w.restic(repository, "dump", "--quiet", "latest", "/shop.sql")), 0o600); err != nil {
		t.Fatal(err)
	}
	load := exec.Command("/bin/sh", "-c", pgEnvironment(t, t.TempDir(), to)+"exec psql -X -q -v ON_ERROR_STOP=1 -f "+dump)
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("load the dump: %v\n%s", err, out)
	}
	restored := openDatabase(t, to)
	want, got := everyRow(t, original), everyRow(t, restored)
	if len(want) != 20003 || !slices.Equal(want, got) {
		t.Errorf("%d rows were backed up and %d came back, or they differ", len(want), len(got))
	}

	// The database goes away while the schedule stays.
	h.script("sources.d", "shop.sql", strings.Replace(pgEnvironment(t, h.dir, from), "PGDATABASE=", "PGDATABASE=no_", 1)+"exec pg_dump\n")
	if failed := h.backUp("failed"); failed.Outcome.Code != "source_failed" || !strings.Contains(failed.Outcome.Message, "does not exist") {
		t.Errorf("a dump that failed: %+v", failed.Outcome)
	}
	if n := w.tagged(repository); len(n) != 1 {
		t.Errorf("there are snapshots of %d jobs, want one", len(n))
	}
}

func openDatabase(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// pgEnvironment is how a script tells PostgreSQL's programs where to go, the password in
// a file of its owner alone.
func pgEnvironment(t *testing.T, dir, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	file := filepath.Join(dir, "pgpass")
	if err := os.WriteFile(file, []byte("*:*:*:*:"+password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("export PGHOST=%s PGPORT=%s PGUSER=%s PGDATABASE=%s PGPASSFILE=%s\n",
		u.Hostname(), u.Port(), u.User.Username(), strings.TrimPrefix(u.Path, "/"), file)
}

func everyRow(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT items::text FROM items ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			t.Fatal(err)
		}
		list = append(list, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestAnAgentThatIsKilledInAScriptLeavesNothingRunning kills agents with -9 while a hook
// or a named source works, and looks at what is there after the next start.
func TestAnAgentThatIsKilledInAScriptLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repository := w.addRepository("killed", repositorySpec{fresh: true}) // what is merely identified may be so while a hook works already
	// One holds on; the other dies of the pipe of its dead agent and leaves what it started.
	for name, text := range map[string]string{
		"patient":   "echo $$ > %s; sleep 1000 & echo $! >> %[1]s; echo ready >> %[1]s; wait\n",
		"talkative": "echo $$ > %s; sleep 1000 & echo $! >> %[1]s; echo ready >> %[1]s; while :; do echo still here >&2; sleep 0.1; done\n",
	} {
		for _, kind := range []string{"hooks.d", "sources.d"} {
			t.Run(name+" in "+kind, func(t *testing.T) {
				in := *w
				in.t, in.api = t, &client{t: t, base: w.api.base, http: w.api.http}
				paths := []string{files(t, 1)}
				h := in.addHost(name+"-"+kind[:4], repository, paths)
				pids := filepath.Join(h.dir, "pids")
				h.script(kind, "works", fmt.Sprintf(text, pids))
				if kind == "hooks.d" {
					h.plan(obj{"paths": paths, "options": obj{"hooks": obj{"before": "works"}}})
				} else {
					h.plan(obj{"source": "works"})
				}
				j := h.runNow()
				var fields []string
				eventually(t, "the script works", time.Minute, func() bool {
					raw, _ := os.ReadFile(pids)
					fields = strings.Fields(string(raw))
					return len(fields) == 3
				})
				h.agent.kill()
				h.agent.again()
				if got := in.finished(j.ID, 2*time.Minute); got.Outcome.Result != "interrupted" {
					t.Errorf("the job: %+v", got.Outcome)
				}
				for _, field := range fields[:2] {
					pid, err := strconv.Atoi(field)
					if err != nil {
						t.Fatal(err)
					}
					eventually(t, "process "+field+" is gone", time.Minute, func() bool { return gone(pid) })
				}
			})
		}
	}
	if left := w.resticProcesses(); len(left) > 0 {
		t.Errorf("restic still runs: %v", left)
	}
}

// gone reports whether a process has ended; one that nobody has reaped counts.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// TestTheServerLearnsWhatTheHostPublishes reads it where a person would.
func TestTheServerLearnsWhatTheHostPublishes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repository := w.addRepository("offers", repositorySpec{})
	h := w.addHost("offers", repository, []string{files(t, 1)})
	h.script("hooks.d", "stop-database", "true\n")
	open := h.script("hooks.d", "open", "true\n")
	if err := os.Chmod(open, 0o775); err != nil {
		t.Fatal(err)
	}
	h.script("sources.d", "database", "true\n")
	var seen struct {
		Offers struct {
			Hooks, Sources []struct{ Name, Problem string }
		}
	}
	eventually(t, "the server knows", 2*time.Minute, func() bool {
		w.api.must("GET", "/api/v1/hosts/"+h.id, nil, &seen)
		return len(seen.Offers.Hooks) == 2 && len(seen.Offers.Sources) == 1
	})
	if hooks := seen.Offers.Hooks; hooks[0].Name != "open" || !strings.Contains(hooks[0].Problem, "writable by its group; run: chmod go-w") || hooks[1].Problem != "" {
		t.Errorf("hooks: %+v", hooks)
	}
}
