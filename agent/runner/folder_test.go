//go:build linux

package runner

import (
	"encoding/json"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"restic-manager/agent/secret"
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

// TestARepositoryThatVanishesFromItsFolderIsToldAsThat: this host has looked into it before, so
// nobody has named a wrong folder; and hosts reach it another way, so nobody need have lost it.
func TestARepositoryThatVanishesFromItsFolderIsToldAsThat(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "")
	n.good(1)
	n.looked()
	tells := func(when string, words ...string) {
		t.Helper()
		got, _, _ := n.must(spool.Failed, CodeMaintenanceFolderGone, "prune", nil)
		for _, w := range append(words, n.folder, "mount the disk") {
			if !strings.Contains(got.Message+"; "+got.NextStep, w) {
				t.Errorf("%s: no %q in: %s; %s", when, w, got.Message, got.NextStep)
			}
		}
	}
	n.vanishes()
	tells("in an empty folder", "gone from", "do not initialise it again")
	if err := os.Remove(n.folder); err != nil {
		t.Fatal(err)
	}
	tells("without the folder", "gone from", "do not initialise it again")
	if me, err := user.Current(); err != nil {
		t.Fatal(err)
	} else if os.Geteuid() == 0 {
		n.writePolicy("version: 1\nprofile: guarded\nmaintenance:\n- path: " + n.folder + "\n  run_as: " + me.Username + "\n")
		tells("without the folder, as whom the policy names", "gone from", "do not initialise it again")
	}
	restictest.CheapRepository(t, n.bins.Restic, n.folder, password)
	tells("with another one in it", "not the one that this host is to maintain there", "find out who replaced it")
}

// TestARepositoryThatVanishesFromTheFolderOfAllIsAnAlarm: hosts have lost it, too.
func TestARepositoryThatVanishesFromTheFolderOfAllIsAnAlarm(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "")
	n.good(1)
	n.looked()
	n.repository(func(r *Repository) { r.Location, r.Credential = r.Maintenance.Location, secret.Ref{} })
	n.vanishes()
	got, _, _ := n.must(spool.Failed, CodeRepoMissing, "prune", nil)
	if !strings.Contains(got.Message, "gone from its location") || !strings.Contains(got.NextStep, "do not initialise it again") {
		t.Errorf("it says: %s; %s", got.Message, got.NextStep)
	}
	restictest.CheapRepository(t, n.bins.Restic, n.folder, password)
	n.must(spool.Failed, CodeRepositoryChanged, "prune", nil)
}

// looked has this host know the repository that is in its folder.
func (n *nas) looked() {
	n.t.Helper()
	var config struct{ ID string }
	if err := json.Unmarshal([]byte(n.restic("cat", "config", "--quiet")), &config); err != nil {
		n.t.Fatal(err)
	}
	n.repository(func(r *Repository) { r.ResticID = config.ID })
	n.must(spool.Succeeded, "", "inspect", nil)
}

// vanishes leaves the folder empty, as where a disk is not mounted.
func (n *nas) vanishes() {
	n.t.Helper()
	if err := errors.Join(os.Rename(n.folder, n.folder+".away"), os.Mkdir(n.folder, 0o700)); err != nil {
		n.t.Fatal(err)
	}
}
