package runner

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"restic-manager/agent/upkeep"
)

func TestARepositoryIsNotKeptAsideWithoutEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nas")
	for _, part := range []string{"data", "index", "keys", "snapshots"} {
		if err := os.MkdirAll(filepath.Join(path, part), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(path, "config"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := upkeep.OpenFolder(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	for range mostAside {
		if _, err := folder.Keep("repair-index", "x", nil, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	task := &Task{runner: &Runner{now: time.Now}}
	if _, e := task.setAside(folder, "repair-index"); e == nil || e.Code != CodeTooManyUndo {
		t.Errorf("one more ended as %+v", e)
	}
}
