//go:build linux

package runner

import (
	"testing"

	"restic-manager/agent/spool"
)

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
