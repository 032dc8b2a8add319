package job_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// lists has an agent hand over what it sees in a repository.
func (w *world) lists(a *agent, r fleet.RepositoryID, snapshots ...*job.Snapshot) {
	w.Helper()
	w.clock.advance(time.Hour)
	a.sync()
	w.must(w.store.FlushContacts(w.Context()))
	list := w.order(a, &fleet.Repository{ID: r, Name: "main"}, "snapshots")
	a.begins(list.ID)
	_, _, err := a.put(list.ID, 0, true, w.listing(snapshots...))
	w.must(err)
	a.done(a.jobs[list.ID])
}

// tagged is a snapshot with the tags of a schedule's job.
func (a *agent) tagged(id string, s *fleet.Schedule, j fleet.JobID) *job.Snapshot {
	snapshot := a.snapshot(id)
	snapshot.Tags = []string{"rm:schedule:" + string(s.ID), "rm:job:" + string(j)}
	return snapshot
}

// doubt is what is said of a snapshot that no host has told of, "" for one that is a host's.
func (w *world) doubt(r fleet.RepositoryID, id string) job.Doubt {
	w.Helper()
	s, err := w.store.Snapshot(w.Context(), r, id)
	w.must(err)
	found, err := job.Doubts(w.Context(), w.store.Queries, []fleet.Snapshot{*s})
	w.must(err)
	return found[0]
}

// TestAForgedSnapshotIsNobodys has a host store what looks like the backup of another, of a
// moment after it: before that one's job has ended, and afterwards.
func TestAForgedSnapshotIsNobodys(t *testing.T) {
	each(t, func(w *world) {
		a, b, s := w.neighbours()
		made := w.run(s)
		a.sync()
		early, late, unknown, none := snapshotID("0b"), snapshotID("0c"), snapshotID("0d"), snapshotID("0e")
		w.lists(b, s.RepositoryID, b.tagged(early, s, made.ID))
		if got := w.doubt(s.RepositoryID, early); got.Code != job.DoubtNotEnded || got.Host != a.id.Host {
			w.Errorf("before the job has ended it is %+v", got)
		}
		id := a.backup(a.jobs[made.ID])
		failed := w.run(s)
		a.sync()
		a.finish(a.jobs[failed.ID], job.Outcome{Result: "failed", Code: "x"}, nil)
		w.lists(b, s.RepositoryID, b.tagged(id, s, made.ID), b.tagged(early, s, made.ID), b.tagged(late, s, made.ID),
			b.tagged(unknown, s, fleet.NewID[fleet.JobID]()), b.tagged(none, s, failed.ID), b.snapshot(snapshotID("0f")))
		for forged, want := range map[string]job.Doubt{
			early: {Code: job.DoubtAnother, Job: made.ID, Host: a.id.Host}, late: {Code: job.DoubtAnother, Job: made.ID, Host: a.id.Host},
			unknown: {Code: job.DoubtNoJob}, none: {Code: job.DoubtNone, Job: failed.ID, Host: a.id.Host}, id: {}, snapshotID("0f"): {},
		} {
			got := w.doubt(s.RepositoryID, forged)
			if want.Message = got.Message; got != want || (got.Code == "") != (got.Message == "") {
				w.Errorf("%.2s is %+v, want %+v", forged, got, want)
			}
		}
		own, _, err := w.store.Snapshots(w.Context(), store.SnapshotFilter{Host: a.id.Host}, store.Page{})
		w.must(err)
		if len(own) != 1 || own[0].ID != id || w.hostRow(a).Snapshots != 1 {
			w.Errorf("the host has %d snapshots, the newest %.8s; it counts %d", len(own), own[0].ID, w.hostRow(a).Snapshots)
		}
	})
}

// TestAReportTakesNoSnapshotOfAnotherHost has a host report another's snapshot as the one
// that its own backup made, before that one's report has come.
func TestAReportTakesNoSnapshotOfAnotherHost(t *testing.T) {
	each(t, func(w *world) {
		a, b, s := w.neighbours()
		made := w.run(s)
		a.sync()
		id := snapshotID(string(made.ID))
		w.lists(b, s.RepositoryID, b.tagged(id, s, made.ID))
		theirs := w.runOf(b)
		b.sync()
		b.finish(b.jobs[theirs.ID], job.Outcome{Result: "succeeded", SnapshotID: id, Confirmed: true}, b.snapshot(id))
		if got := w.known(s.RepositoryID)[id].HostID; got != "" {
			w.Errorf("it is of %s, which has only said so", got)
		}
		a.backup(a.jobs[made.ID])
		if got := w.known(s.RepositoryID)[id]; got.HostID != a.id.Host || got.JobID != made.ID {
			w.Errorf("it is of job %s of %s", got.JobID, got.HostID)
		}
	})
}

// TestWhatTookThePlaceOfASnapshotIsItsHosts has the maintenance host change the tags of a
// backup, and others who store what looks like the result.
func TestWhatTookThePlaceOfASnapshotIsItsHosts(t *testing.T) {
	for name, c := range map[string]struct {
		planted string // before the change: "" for nothing
		beside  bool   // another one that looks like it
		idle    bool   // nothing was replaced: the old one went by a retention
		change  func(*job.Snapshot)
		want    bool
	}{
		"the new one is":                         {want: true},
		"one that was there before is not":       {planted: "0b"},
		"two that look like it are not":          {beside: true},
		"one that appears when the old one goes": {idle: true},
		"one of another time is not":             {change: func(s *job.Snapshot) { s.Time = s.Time.Add(time.Second) }},
		"one of another machine is not":          {change: func(s *job.Snapshot) { s.Hostname = "web-9" }},
		"one of another job is not":              {change: func(s *job.Snapshot) { s.Tags = []string{"rm:job:" + string(fleet.NewID[fleet.JobID]())} }},
		"one that was made of nothing is not":    {change: func(s *job.Snapshot) { s.Original = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			w := lite(t)
			r, nas, backing := w.maintained(2)
			a, b := backing[0], backing[1]
			schedules, err := w.store.Schedules(w.Context(), a.id.Host)
			w.must(err)
			s := &schedules[0]
			made := w.run(s)
			a.sync()
			old := a.tagged(a.backup(a.jobs[made.ID]), s, made.ID)
			heir := *old
			heir.ID, heir.Original = snapshotID("0b"), old.ID
			if c.change != nil {
				c.change(&heir)
			}
			there := []*job.Snapshot{&heir}
			w.lists(nas, r.ID, old)
			if c.planted != "" {
				w.lists(b, r.ID, old, &heir)
				w.lists(nas, r.ID, old, &heir)
			}
			if !c.idle {
				w.does(nas, r, "tag", map[string]any{"snapshot_ids": []string{old.ID}, "add": []string{"keep"}}, job.Outcome{Result: "succeeded"})
			}
			if c.beside {
				twin := heir
				twin.ID = snapshotID("0c")
				there = append(there, &twin)
			}
			w.lists(nas, r.ID, there...)
			known := w.known(r.ID)
			if _, still := known[old.ID]; still {
				t.Fatal("the old one is still known")
			}
			if got := known[heir.ID]; (got.HostID == a.id.Host && got.JobID == made.ID && got.ScheduleID == s.ID) != c.want || !c.want && got.HostID != "" {
				t.Errorf("it is of job %q of %q", got.JobID, got.HostID)
			}
			if want := map[bool]int{true: 1}[c.want]; int(w.hostRow(a).Snapshots) != want {
				t.Errorf("the host counts %d", w.hostRow(a).Snapshots)
			}
		})
	}
}

// replaced makes backups of one host, has the maintenance host replace them, and tells what
// they were and how another is made of one of them.
func replaced(t *testing.T, backups int) (w *world, r *fleet.Repository, nas *agent, old []*job.Snapshot) {
	t.Helper()
	w = lite(t)
	r, nas, backing := w.maintained(1)
	a := backing[0]
	schedules, err := w.store.Schedules(w.Context(), a.id.Host)
	w.must(err)
	s := &schedules[0]
	var ids []string
	for range backups {
		made := w.run(s)
		a.sync()
		old = append(old, a.tagged(a.backup(a.jobs[made.ID]), s, made.ID))
		ids = append(ids, old[len(old)-1].ID)
	}
	w.lists(nas, r.ID, old...)
	w.does(nas, r, "tag", map[string]any{"snapshot_ids": ids, "add": []string{"keep"}}, job.Outcome{Result: "succeeded"})
	return w, r, nas, old
}

// madeOf is another snapshot that looks like what took the place of one.
func madeOf(of *job.Snapshot, id string) *job.Snapshot {
	made := *of
	made.ID, made.Original = snapshotID(id), of.ID
	return &made
}

func TestAllThatWereReplacedHaveTheirHeirs(t *testing.T) {
	const backups = 101 // more than two times what is looked for together
	w, r, nas, old := replaced(t, backups)
	var there []*job.Snapshot
	for i := range old {
		there = append(there, madeOf(old[i], fmt.Sprintf("0%03x", i)))
	}
	w.lists(nas, r.ID, there...)
	for _, s := range there {
		got, err := w.store.Snapshot(t.Context(), r.ID, s.ID)
		w.must(err)
		if got.HostID == "" || got.JobID == "" {
			t.Errorf("%.4s is of job %q of %q", s.ID, got.JobID, got.HostID)
		}
	}
}

// TestWithoutAWholeViewNoSnapshotHasAnHeir has so much stored that looks like what took the
// place of a snapshot that the second one that looks like the heir of another is not read.
func TestWithoutAWholeViewNoSnapshotHasAnHeir(t *testing.T) {
	const read = 500
	w, r, nas, old := replaced(t, 2)
	var there []*job.Snapshot
	for i := range read - 1 {
		there = append(there, madeOf(old[0], fmt.Sprintf("0%03x", i)))
	}
	w.lists(nas, r.ID, append(there, madeOf(old[1], "f0"), madeOf(old[1], "f1"))...)
	got, err := w.store.Snapshot(t.Context(), r.ID, snapshotID("f0"))
	w.must(err)
	if got.HostID != "" {
		t.Errorf("one of two that look like it is of %q", got.HostID)
	}
}

// TestARetentionIsToldOfWhatNobodyConfirms and of nothing else, whoever orders it.
func TestARetentionIsToldOfWhatNobodyConfirms(t *testing.T) {
	each(t, func(w *world) {
		r, nas, backing := w.maintained(1)
		a := backing[0]
		schedules, err := w.store.Schedules(w.Context(), a.id.Host)
		w.must(err)
		s := &schedules[0]
		made := w.run(s)
		a.sync()
		good := a.tagged(a.backup(a.jobs[made.ID]), s, made.ID)
		if params := w.order(nas, r, "retention").Params; strings.Contains(string(params), "doubted") {
			w.Errorf("a repository in order has %s", params)
		}
		elsewhere := &fleet.Schedule{ID: fleet.NewID[fleet.ScheduleID]()}
		w.lists(nas, r.ID, good, a.tagged(snapshotID("0b"), s, made.ID), a.tagged(snapshotID("0c"), s, fleet.NewID[fleet.JobID]()),
			a.tagged(snapshotID("0d"), elsewhere, made.ID), a.snapshot(snapshotID("0e")))
		var params struct{ Doubted []string }
		w.must(json.Unmarshal([]byte(w.order(nas, r, "retention").Params), &params))
		slices.Sort(params.Doubted)
		if want := []string{snapshotID("0b"), snapshotID("0c")}; !slices.Equal(params.Doubted, want) {
			w.Errorf("doubted are %.2s", params.Doubted)
		}
		_, _, err = w.jobs.Enqueue(w.Context(), someone, job.Request{
			Host: nas.id.Host, Operation: "retention", Repository: r.ID, Params: []byte(`{"doubted":["` + good.ID + `"]}`),
		})
		w.wantCode(err, fleet.InvalidField)
	})
}
