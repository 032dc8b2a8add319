package store_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestANewerSchemaIsRefusedAndLeftAsItIs(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		s, err := store.Open(t.Context(), url, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		write(t, s, func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)`)
			return err
		})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = store.Open(t.Context(), url, store.Options{})
		wantCode(t, err, fleet.SchemaNewer)
		if err != nil && !strings.Contains(err.Error(), "9999") {
			t.Errorf("the error %q does not name the schema", err)
		}
	})
}

func TestADamagedFileIsRefusedAndLeftAsItIs(t *testing.T) {
	path := storetest.EmptySQLite(t)
	s, err := store.Open(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		addHost(t, s, fmt.Sprintf("host-%03d", i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	healthy, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		damage func([]byte)
	}{
		{"pages in the middle are overwritten", func(b []byte) {
			copy(b[len(b)/2:], bytes.Repeat([]byte{0xff}, 8192))
		}},
		{"the header is overwritten", func(b []byte) { copy(b, bytes.Repeat([]byte{'x'}, 100)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			damaged := bytes.Clone(healthy)
			c.damage(damaged)
			path := storetest.EmptySQLite(t)
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := store.Open(t.Context(), path, store.Options{})
			wantCode(t, err, fleet.DatabaseCorrupt)
			after, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(after, damaged) {
				t.Error("the damaged file was changed")
			}
		})
	}
}

func TestADatabaseIsCopiedBeforeItIsMigrated(t *testing.T) {
	path := storetest.EmptySQLite(t)
	db, steps, err := store.Steps(t.Context(), path, store.Migrations())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := steps.UpByOne(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO meta (key, value) VALUES ('kept', 'yes')`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := storetest.Open(t, path, store.Options{DataDir: dir})
	if value, err := s.Meta(t.Context(), "kept"); err != nil || value != "yes" {
		t.Fatalf("after migrating: %q, %v", value, err)
	}
	copies, err := filepath.Glob(filepath.Join(dir, "*.before-migration-from-0001-*.db"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies: %q, %v; want one", copies, err)
	}
	checkMode(t, copies[0])
	old, err := sql.Open("sqlite", copies[0])
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	var version int
	var value string
	err = old.QueryRowContext(t.Context(), `SELECT (SELECT MAX(version_id) FROM goose_db_version), value FROM meta WHERE key = 'kept'`).Scan(&version, &value)
	if err != nil || version != 1 || value != "yes" {
		t.Errorf("the copy has schema %d and %q, %v; want 1 and yes", version, value, err)
	}
}

func TestAnUpToDateDatabaseIsNotCopied(t *testing.T) {
	path, dir := storetest.EmptySQLite(t), t.TempDir()
	for range 2 {
		s, err := store.Open(t.Context(), path, store.Options{DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%d files beside the database, %v; want none", len(entries), err)
	}
}

func TestTheDatabaseFileIsForItsOwnerAlone(t *testing.T) {
	path := storetest.EmptySQLite(t)
	s := storetest.Open(t, path, store.Options{})
	addHost(t, s, "web-1")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		checkMode(t, path+suffix)
	}
}

func checkMode(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%s has mode %o, want 600", path, mode)
	}
}

func TestTheEpochOutlivesTheProcess(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		first, err := storetest.Open(t, url, store.Options{}).Epoch(t.Context())
		if err != nil || first == "" {
			t.Fatalf("epoch %q, %v", first, err)
		}
		if again, err := storetest.Open(t, url, store.Options{}).Epoch(t.Context()); err != nil || again != first {
			t.Errorf("epoch %q, %v after opening again; want %q", again, err, first)
		}
	})
}

func TestADatabaseURLSaysWhatIsWrongAndNoPassword(t *testing.T) {
	for _, u := range []string{
		"mysql://u:secret@db.test/x",
		"sqlite://relative/path.db",
		"sqlite:///srv/x.db?_pragma=journal_mode(OFF)",
		"postgres://u:secret@127.0.0.1:nonsense/x",
		"postgres://u:secret@127.0.0.1:1/x?connect_timeout=2",
	} {
		_, err := store.Open(t.Context(), u, store.Options{})
		if err == nil {
			t.Fatalf("%s was opened", u)
		}
		if code := fleet.CodeOf(err); code != fleet.Invalid && code != fleet.Unavailable {
			t.Errorf("%s: code %s", u, code)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error %q holds the password", u, err)
		}
	}
}

func TestAPathMayHoldAnyCharacter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#d%20&e.db")
	if runtime.GOOS == "windows" {
		path = filepath.Join(t.TempDir(), "a b#d%20&e.db")
	}
	addHost(t, storetest.Open(t, path, store.Options{}), "web-1")
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	u := url.URL{Scheme: "sqlite", Path: filepath.ToSlash(path)}
	if hosts, _, err := storetest.Open(t, u.String(), store.Options{}).Hosts(t.Context(), store.HostFilter{}, store.Page{}); err != nil || len(hosts) != 1 {
		t.Errorf("by URL: %d hosts, %v; want one", len(hosts), err)
	}
}

func TestReplicasThatStartTogetherMigrateOnce(t *testing.T) {
	at := storetest.EmptyPostgreSQL(t)
	errs := make(chan error)
	for range 4 {
		go func() {
			s, err := store.Open(t.Context(), at, store.Options{})
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestACopyIsAWholeDatabase(t *testing.T) {
	s := storetest.New(t)
	h := addHost(t, s, "web-1")
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := s.Copy(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if got := readHost(t, storetest.Open(t, to, store.Options{}), h.ID); got.Name != "web-1" {
		t.Errorf("the copy has host %q", got.Name)
	}
	if err := s.Copy(t.Context(), to); err == nil {
		t.Error("a copy replaced an existing file")
	}
}
