//go:build linux

package runner

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"restic-manager/agent/spool"
)

// storedLater takes what is added to the repository out of it again, and gives the command
// that stores it.
func (n *nas) storedLater(add func()) (store string) {
	n.t.Helper()
	before, stash := n.files(), n.t.TempDir()
	add()
	for _, file := range n.files() {
		if slices.Contains(before, file) {
			continue
		}
		below, err := filepath.Rel(n.folder, file)
		if err != nil {
			n.t.Fatal(err)
		}
		to := filepath.Join(stash, below)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			n.t.Fatal(err)
		}
		if err := os.Rename(file, to); err != nil {
			n.t.Fatal(err)
		}
	}
	return "cp -r '" + stash + "/.' '" + n.folder + "/'"
}

// TestAPruneThatReadsTwiceKeepsTheRepositoryAsideOnce has a backup come while it reads.
func TestAPruneThatReadsTwiceKeepsTheRepositoryAsideOnce(t *testing.T) {
	t.Parallel()
	n := withoutFloors(t, "trixie")
	n.meddle(" --read-data ", "", n.storedLater(func() { n.good(1) }))
	_, facts, _ := n.must(spool.Succeeded, "", "prune", nil)
	whole := wholeCopies(n.copies())
	if len(whole) != 1 || facts["undo"] != whole[0].Path {
		t.Errorf("it lies in %v, and is kept aside as %+v", facts["undo"], whole)
	}
	if facts["verified"] != "all read now" {
		t.Errorf("facts %v", facts)
	}
}
