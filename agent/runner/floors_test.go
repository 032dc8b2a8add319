//go:build linux

package runner

import (
	"strings"
	"testing"
	"time"

	"restic-manager/agent/retention"
	"restic-manager/agent/spool"
	"restic-manager/agent/upkeep"
	"restic-manager/restic"
)

// TestTheFloorsOutlastAServerThatNamesNoSchedules has its orders go as far as they can: the
// last snapshots stay whoever knows of their schedule, and a day's part is not exceeded by
// many small orders, nor by another kind of order.
func TestTheFloorsOutlastAServerThatNamesNoSchedules(t *testing.T) {
	t.Parallel()
	n := newNas(t, "trixie", "  keep_days: 1\n  keep_last: 3\n  max_delete_fraction: 0.3\n")
	var ids []string
	for days := 26; days > 19; days-- {
		ids = append(ids, n.good(days))
	}
	schedules := func(list ...Kept) {
		n.repository(func(r *Repository) {
			m := *r.Maintenance
			m.Schedules = list
			r.Maintenance = &m
		})
	}
	forget := func(id string) map[string]any { return map[string]any{"snapshot_ids": []string{id}} }
	schedules()
	for _, id := range ids[4:] {
		outcome, _, _ := n.must(spool.Rejected, CodeRetentionFloor, "forget", forget(id))
		if !strings.Contains(outcome.Message, "policy keeps") {
			t.Errorf("refused as %q", outcome.Message)
		}
	}
	n.must(spool.Succeeded, "", "forget", forget(ids[0]))
	n.must(spool.Succeeded, "", "forget", forget(ids[1]))
	outcome, _, _ := n.must(spool.Rejected, CodeRetentionFloor, "forget", forget(ids[2]))
	if !strings.Contains(outcome.Message, "2 went within the last day") {
		t.Errorf("refused as %q", outcome.Message)
	}
	schedules(Kept{ScheduleID: scheduleID, SnapshotHost: "web-1", Rules: retention.Rules{Last: 1}})
	_, facts, _ := n.must(spool.Succeeded, "", "retention", nil)
	if facts["removed"] != 0.0 || facts["left_for_next_run"] != 2.0 {
		t.Errorf("the same day: %v", facts)
	}
	n.now = n.now.Add(25 * time.Hour)
	_, facts, _ = n.must(spool.Succeeded, "", "retention", nil)
	if facts["removed"] != 1.0 || facts["left_for_next_run"] != 1.0 || len(n.snapshots()) != 4 {
		t.Errorf("the next day: %v", facts)
	}
}

// TestAJobWaitsWhileACommandWorksInTheFolder has root's own command at work.
func TestAJobWaitsWhileACommandWorksInTheFolder(t *testing.T) {
	folder := t.TempDir()
	open, err := upkeep.OpenFolder(folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	_, e := (&Task{}).openFolder(folder)
	if e == nil || e.Code != string(restic.CodeRepoLocked) || !strings.Contains(e.NextStep, "storage") {
		t.Fatalf("got %+v", e)
	}
	if _, more := New(Options{}).lockedOut(&Task{}, e); !more {
		t.Error("the job does not wait")
	}
}

// TestOneFolderIsHeldOnceWhateverItsRepositoriesAreCalled has two repositories of the server
// that are one.
func TestOneFolderIsHeldOnceWhateverItsRepositoriesAreCalled(t *testing.T) {
	t.Parallel()
	location, err := restic.ParseLocation("/srv/restic/web")
	if err != nil {
		t.Fatal(err)
	}
	task := func(id string, lock restic.Lock, inFolder bool) *claim {
		return &claim{job: id, wants: (&Task{
			Repository: Repository{ID: id, Name: id}, Operation: restic.Operation{Lock: lock},
			reach: reach{location: location, maintained: true}, recipe: Recipe{InFolder: inFolder},
		}).wants()}
	}
	for name, test := range map[string]struct {
		first, second *claim
		waits         bool
	}{
		"two that lock it for themselves":  {task("a", restic.LockExclusive, false), task("b", restic.LockShared, false), true},
		"two that look into the folder":    {task("a", restic.LockNone, true), task("b", restic.LockNone, true), true},
		"one that looks and one that read": {task("a", restic.LockNone, true), task("b", restic.LockShared, false), false},
	} {
		h := holds{claims: []*claim{test.first, test.second}}
		test.first.has = true
		if on := h.taken(test.second); (on != "") != test.waits {
			t.Errorf("%s: waits on %q", name, on)
		}
	}
}
