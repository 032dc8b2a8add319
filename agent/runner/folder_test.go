//go:build linux

package runner

import (
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
