//go:build linux

package runner

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"restic-manager/agent/spool"
	"restic-manager/agent/upkeep"
	"restic-manager/restic/restictest"
)

// meddle has a script take the place of restic, which once, where the arguments match,
// does something more after restic's own work, or before it.
func (n *nas) meddle(match, before, after string) {
	n.t.Helper()
	dir := n.t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
PATH=/usr/bin:/bin
case " $* " in
*--dry-run*) ;;
*'%s'*)
	if [ ! -e '%[2]s/done' ]; then
		touch '%[2]s/done'
		%[3]s
		'%[4]s' "$@"
		code=$?
		%[5]s
		exit $code
	fi ;;
esac
exec '%[4]s' "$@"
`, match, dir, before, n.bins.Restic, after)
	path := filepath.Join(dir, "restic")
	restictest.Executable(n.t, path, script)
	n.options.Restic.Use(path)
}

// files lists the repository's files but locks.
func (n *nas) files() []string {
	n.t.Helper()
	var all []string
	err := filepath.WalkDir(n.folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && !strings.Contains(path, "/locks/") {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return all
}

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

// poisonAside makes poisoned copies, and the command that stores them.
func (n *nas) poisonAside() (pack, store string) {
	n.t.Helper()
	store = n.storedLater(func() { pack = n.poison() })
	return pack, store
}

// withoutFloors is a machine with snapshots of which all but three may go.
func withoutFloors(t *testing.T, suite string) *nas {
	t.Helper()
	n := newNas(t, suite, "  keep_days: 1\n  keep_last: 1\n  max_delete_fraction: 1\n")
	for days := 5; days > 0; days-- {
		n.good(days)
	}
	n.must(spool.Succeeded, "", "retention", nil)
	return n
}

// TestWhatComesDuringAPruneIsReadAfterIt stores poisoned copies while restic prunes: no
// check of the structure would find them.
func TestWhatComesDuringAPruneIsReadAfterIt(t *testing.T) {
	t.Parallel()
	onEachNas(t, func(t *testing.T, suite string) {
		n := withoutFloors(t, suite)
		pack, store := n.poisonAside()
		n.meddle(" prune ", "", store)
		outcome, facts, rows := n.must(spool.Failed, CodePruneDamaged, "prune", nil)
		if !strings.Contains(outcome.NextStep, "storage undo") || facts["new_packs"].(float64) < 1 ||
			!slices.ContainsFunc(rows, func(r map[string]any) bool { return r["pack_id"] == pack }) {
			t.Errorf("next %q, facts %v, rows %v", outcome.NextStep, facts, rows)
		}
		if n.restic("check", "--no-lock"); upkeep.ReadVerified(n.options.Upkeep, n.resticID()).Stock["data/"+pack[:2]+"/"+pack] != (upkeep.File{}) {
			t.Error("the poisoned pack counts as read")
		}
	})
}

// TestWhatIsStoredWhileAllIsReadIsReadToo stores them between reading and pruning.
func TestWhatIsStoredWhileAllIsReadIsReadToo(t *testing.T) {
	t.Parallel()
	n := withoutFloors(t, "trixie")
	pack, store := n.poisonAside()
	n.meddle(" --read-data ", "", store)
	outcome, _, _ := n.must(spool.Failed, CodePruneUnverified, "prune", nil)
	if !strings.Contains(outcome.Message, pack[:8]) {
		t.Errorf("message %q", outcome.Message)
	}
}

// TestDamageIsFoundAlsoWhereThereIsNothingToReclaim flips a bit.
func TestDamageIsFoundAlsoWhereThereIsNothingToReclaim(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "")
	n.good(1)
	_, facts, _ := n.must(spool.Succeeded, "", "prune", nil)
	if facts["verified"] != "all read now" {
		t.Errorf("facts %v", facts)
	}
	_, facts, _ = n.must(spool.Succeeded, "", "prune", nil)
	if !strings.Contains(facts["verified"].(string), "nothing was stored since") {
		t.Errorf("facts %v", facts)
	}
	n.flipIn(n.folder)
	n.must(spool.Failed, CodePruneUnverified, "prune", nil)
}

// TestAPackThatNoIndexNamesDoesNotCountAsRead: an index that names it could come later.
func TestAPackThatNoIndexNamesDoesNotCountAsRead(t *testing.T) {
	t.Parallel()
	onEachNas(t, func(t *testing.T, suite string) {
		n := withoutFloors(t, suite)
		n.upload("data", []byte("a pack of nobody's that lies about"))
		n.meddle(" prune ", "exit 1", "")
		n.order("prune", nil)
		if v := upkeep.ReadVerified(n.options.Upkeep, n.resticID()); len(v.Stock) != 0 {
			t.Errorf("%d files count as read", len(v.Stock))
		}
		n.meddle(" prune ", "", "")
		n.must(spool.Succeeded, "", "prune", nil)
		if v := upkeep.ReadVerified(n.options.Upkeep, n.resticID()); len(v.Stock) == 0 {
			t.Error("nothing counts as read")
		}
	})
}

// resticID is the id of the repository.
func (n *nas) resticID() string {
	n.t.Helper()
	_, id, _ := strings.Cut(n.restic("cat", "config", "--no-lock", "--quiet"), `"id": "`)
	return id[:64]
}
