package spool

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/agent/control"
)

func TestDirectoryIsHeldByOneProcess(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	if _, err := Open(t.Context(), Options{Dir: s.dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second Open gave %v, want ErrInUse", err)
	}
}

func TestTheStateIsNobodyElsesToRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := mustOpen(t, Options{Dir: dir})
	mustJournal(t, s, runCommand(1, 1))
	must(t, os.Chmod(filepath.Join(dir, databaseName), 0o644))
	s = reopen(t, s)
	mustJournal(t, s, runCommand(2, 2))
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, entry := range entries {
		info, err := entry.Info()
		must(t, err)
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %s", entry.Name(), info.Mode())
		}
	}
	if len(entries) < 2 {
		t.Errorf("the files are %v", entries)
	}
}

func TestNewerDatabaseIsRefusedAndKept(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	if _, err := s.db.Exec(`PRAGMA user_version = 99`); err != nil {
		t.Fatal(err)
	}
	must(t, s.Close())
	if _, err := Open(t.Context(), Options{Dir: s.dir}); !errors.Is(err, ErrNewer) {
		t.Errorf("Open gave %v, want ErrNewer", err)
	}
	if len(movedAside(s.dir)) != 0 {
		t.Error("the newer database was moved aside")
	}
}

func TestDamagedDatabaseIsMovedAsideAndTheConfigurationSurvives(t *testing.T) {
	damages := map[string]func(t *testing.T, path string){
		"is not a database": func(t *testing.T, path string) { must(t, os.WriteFile(path, bytes.Repeat([]byte("x"), 8192), 0o600)) },
		"is cut short":      func(t *testing.T, path string) { must(t, os.Truncate(path, 5000)) },
		"has pages of noise": func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			must(t, err)
			for i := 4096; i < len(data); i++ {
				data[i] ^= 0xa5
			}
			must(t, os.WriteFile(path, data, 0o600))
		},
	}
	for name, damage := range damages {
		t.Run("it "+name, func(t *testing.T) {
			s := mustOpen(t, Options{Dir: t.TempDir()})
			must(t, s.SaveConfig(t.Context(), control.AgentConfig{Revision: 7}))
			mustJournal(t, s, runCommand(1, 1))
			journal := s.JournalID()
			must(t, s.Close())
			damage(t, filepath.Join(s.dir, databaseName))

			s = mustOpen(t, Options{Dir: s.dir})
			if s.JournalID() == journal || s.AckedSeq() != 0 || len(s.Pending()) != 0 {
				t.Errorf("the new journal is %s at %d with %d jobs", s.JournalID(), s.AckedSeq(), len(s.Pending()))
			}
			if health := s.Health(); len(health) != 1 || health[0].Code != "spool_damaged" {
				t.Errorf("health is %+v, want spool_damaged", health)
			}
			if c, err := LoadConfig(s.dir); err != nil || c.Revision != 7 {
				t.Errorf("configuration is %+v, %v", c, err)
			}
		})
	}
}

func TestConfigurationAndValuesOutlastARestart(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	if _, err := LoadConfig(s.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a configuration the error is %v, want ErrNotExist", err)
	}
	want := control.AgentConfig{
		Revision: 3, HostId: id(1), SnapshotHost: "web-1", Repositories: []control.AgentRepository{},
		Schedules: []control.AgentSchedule{{Id: id(2), Paths: []string{"/etc"}, Excludes: []string{}, Tags: []string{}}},
	}
	must(t, s.SaveConfig(t.Context(), control.AgentConfig{Revision: 2}))
	must(t, s.SaveConfig(t.Context(), want))
	must(t, s.SetValue(t.Context(), "hold:x", []byte("20")))
	must(t, s.SetValue(t.Context(), "gone", []byte("1")))
	must(t, s.SetValue(t.Context(), "gone", nil))
	s = reopen(t, s)
	got, err := LoadConfig(s.dir)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration differs (-want +got):\n%s", diff)
	}
	if v, ok := s.Value("hold:x"); !ok || string(v) != "20" {
		t.Errorf("value is %q, %t", v, ok)
	}
	if _, ok := s.Value("gone"); ok {
		t.Error("a deleted value is there")
	}
	must(t, os.WriteFile(filepath.Join(s.dir, configName), []byte("{"), 0o600))
	if _, err := LoadConfig(s.dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a broken configuration gave %v", err)
	}
}

func TestEachCommitReachesTheDisk(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "locking_mode": "exclusive"} {
		var got string
		must(t, s.db.QueryRow(`PRAGMA `+pragma).Scan(&got))
		if got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}
}
