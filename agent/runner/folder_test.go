//go:build linux

package runner

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// TestAnotherRepositoryInTheFolderIsNotCalledItsReplacement: of two folders the wrong one
// was named, which says nothing of the repository that backups go to.
func TestAnotherRepositoryInTheFolderIsNotCalledItsReplacement(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "")
	n.good(1)
	other := filepath.Join(filepath.Dir(n.folder), "other")
	restictest.CheapRepository(t, n.bins.Restic, other, password)
	wrong, err := restic.ParseLocation(other)
	if err != nil {
		t.Fatal(err)
	}
	n.writePolicy("version: 1\nprofile: guarded\nmaintenance:\n- path: " + filepath.Dir(n.folder) + "\n")
	n.repository(func(r *Repository) {
		r.ResticID = strings.Repeat("a1", 32)
		m := *r.Maintenance
		m.Location = wrong
		r.Maintenance = &m
	})
	got, _, _ := n.must(spool.Failed, CodeMaintenanceFolder, "prune", nil)
	if !strings.Contains(got.Message, other) || !strings.Contains(got.NextStep, "correct the repository's folder") {
		t.Errorf("it says: %s; %s", got.Message, got.NextStep)
	}
}

// TestARepositoryThatVanishesFromItsFolderIsAnAlarm: this host has looked into it before, so
// nobody has named a wrong folder.
func TestARepositoryThatVanishesFromItsFolderIsAnAlarm(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "")
	n.good(1)
	var config struct{ ID string }
	if err := json.Unmarshal([]byte(n.restic("cat", "config", "--quiet")), &config); err != nil {
		t.Fatal(err)
	}
	n.repository(func(r *Repository) { r.ResticID = config.ID })
	n.must(spool.Succeeded, "", "inspect", nil)
	if err := errors.Join(os.Rename(n.folder, n.folder+".away"), os.Mkdir(n.folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	got, _, _ := n.must(spool.Failed, CodeRepoMissing, "prune", nil)
	if !strings.Contains(got.Message, n.folder) {
		t.Errorf("it says: %s; %s", got.Message, got.NextStep)
	}
	restictest.CheapRepository(t, n.bins.Restic, n.folder, password)
	got, _, _ = n.must(spool.Failed, CodeRepositoryChanged, "prune", nil)
	if !strings.Contains(got.Message, n.folder) || !strings.Contains(got.NextStep, "find out who replaced it") {
		t.Errorf("of another one it says: %s; %s", got.Message, got.NextStep)
	}
}
