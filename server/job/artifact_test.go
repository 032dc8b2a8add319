package job_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// listing is gzip of one snapshot a line.
func (w *world) listing(snapshots ...*job.Snapshot) []byte {
	w.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, s := range snapshots {
		w.must(json.NewEncoder(z).Encode(s))
	}
	w.must(z.Close())
	return b.Bytes()
}

func (a *agent) put(id fleet.JobID, offset int64, last bool, data []byte) (int64, bool, error) {
	return a.world.jobs.PutPart(a.Context(), a.id, job.Part{Job: id, Name: "snapshots", Offset: offset, Last: last, Data: data})
}

func (w *world) known(r fleet.RepositoryID) map[string]fleet.Snapshot {
	w.Helper()
	list, _, err := w.store.Snapshots(w.Context(), store.SnapshotFilter{Repository: r}, store.Page{Size: 200})
	w.must(err)
	known := map[string]fleet.Snapshot{}
	for _, s := range list {
		known[s.ID] = s
	}
	return known
}

func TestAListingReplacesWhatWasKnownOfARepository(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		gone := w.run(s)
		a.sync()
		goneID := a.backup(a.jobs[gone.ID])
		ours := a.snapshot(snapshotID("0a"))
		told := w.run(s)
		a.sync()
		a.finish(a.jobs[told.ID], job.Outcome{Result: "succeeded", SnapshotID: ours.ID}, nil)
		w.clock.advance(10 * time.Second) // whoever tries what removing does looks at once
		list, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{Host: a.id.Host, Operation: "snapshots", Repository: s.RepositoryID})
		w.must(err)
		a.sync()
		a.event(a.jobs[list.ID], job.Event{Kind: job.EventRunning})
		a.report(a.jobs[list.ID])

		// Another backup ends while the listing travels, and is not in it.
		w.clock.advance(time.Minute)
		beside := w.run(s)
		a.sync()
		besideID := a.backup(a.jobs[beside.ID])

		ours.Tags = []string{"rm:schedule:" + string(s.ID), "rm:job:" + string(told.ID), "nightly"}
		foreign := a.snapshot(snapshotID("0b"))
		foreign.Tags = []string{"rm:schedule:" + string(fleet.NewID[fleet.ScheduleID]()), "rm:job:" + string(fleet.NewID[fleet.JobID]())}
		data := w.listing(ours, foreign)
		half := int64(len(data) / 2)
		if next, complete, err := a.put(list.ID, 0, false, data[:half]); err != nil || complete || next != half {
			w.Fatalf("the first part got %d, %v, %v", next, complete, err)
		}
		if next, _, err := a.put(list.ID, 0, false, data[:half]); err != nil || next != half {
			w.Errorf("the first part again got %d, %v", next, err)
		}
		_, _, err = a.put(list.ID, half+1, true, data[half+1:])
		w.wantCode(err, fleet.ArtifactOffset)
		for range 2 { // the answer is lost once
			next, complete, err := a.put(list.ID, half, true, data[half:])
			if err != nil || !complete || next != int64(len(data)) {
				w.Errorf("the last part got %d, %v, %v", next, complete, err)
			}
		}
		known := w.known(s.RepositoryID)
		if len(known) != 3 {
			w.Errorf("got %d snapshots, want 3", len(known))
		}
		if _, there := known[goneID]; there {
			w.Error("a snapshot that is not in the listing is still known")
		}
		if _, there := known[besideID]; !there {
			w.Error("a snapshot that was made while the listing travelled was removed")
		}
		if got := known[ours.ID]; got.HostID != a.id.Host || got.ScheduleID != s.ID {
			w.Errorf("a snapshot with our tag belongs to %q of %q", got.ScheduleID, got.HostID)
		}
		if got := known[foreign.ID]; got.HostID != "" || got.ScheduleID != "" || got.JobID != "" {
			w.Errorf("a snapshot with made-up tags belongs to %q of %q", got.ScheduleID, got.HostID)
		}
		if r := w.repo(s.RepositoryID); r.Snapshots != 3 || w.hostRow(a).Snapshots != 2 {
			w.Errorf("counted %d in the repository and %d of the host, want 3 and 2", r.Snapshots, w.hostRow(a).Snapshots)
		}
	})
}

func TestAListingConfirmsABackup(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		id := snapshotID("cc")
		a.finish(wk, job.Outcome{Result: "succeeded", SnapshotID: id}, nil)
		if !w.job(wk.job).Unconfirmed {
			w.Fatal("a backup that nobody has seen is not marked")
		}
		if got := w.codes(store.ObjectHost, string(a.id.Host)); got != job.CodeUnconfirmed {
			w.Fatalf("the host has %q", got)
		}
		data := w.listing(a.snapshot(id))
		_, _, err := a.put(wk.job, 0, true, data)
		w.must(err)
		if w.job(wk.job).Unconfirmed {
			w.Error("the listing has the snapshot, and the job is still unconfirmed")
		}
		if got := w.codes(store.ObjectHost, string(a.id.Host)); got != "" {
			w.Errorf("the listing has the snapshot, and the host still has %q", got)
		}
	})
}

func TestADamagedListingChangesNothing(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		repository := w.job(wk.job).RepositoryID
		id := a.backup(wk)
		w.clock.advance(time.Hour)
		good := w.listing(a.snapshot(snapshotID("aa")))
		huge := func() []byte {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, err := z.Write(bytes.Repeat([]byte{' '}, 3<<20))
			w.must(err)
			w.must(z.Close())
			return b.Bytes()
		}()
		for name, data := range map[string][]byte{
			"not gzip": []byte("{}"), "cut short": good[:len(good)-9], "no snapshot": w.listing(&job.Snapshot{ID: "short", Time: w.clock.now()}),
			"a line without end": huge,
		} {
			_, _, err := a.put(wk.job, 0, true, data)
			if !fleet.Is(err, fleet.InvalidField) {
				w.Errorf("%s: got %v, want %s", name, err, fleet.InvalidField)
			}
			if known := w.known(repository); known[id].ID == "" {
				w.Errorf("%s: a snapshot was forgotten", name)
			}
		}
		if next, complete, err := a.put(wk.job, 0, true, good); err != nil || !complete {
			w.Errorf("the whole one got %d, %v, %v", next, complete, err)
		}
	})
}

// TestOnlyWhoMaintainsARepositoryTellsWhatIsGone has another host of the repository leave
// out what is there, as one could that wants to hide the others' backups.
func TestOnlyWhoMaintainsARepositoryTellsWhatIsGone(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		w.write(func(tx *store.Tx) error {
			return tx.SetMaintenance(w.Context(), s.RepositoryID, a.id.Host, "/srv/restic")
		})
		id := w.snapshotOf(a, s)
		b := w.host("web-2")
		repository := &fleet.Repository{ID: s.RepositoryID}
		w.schedule(b, repository, "daily")
		b.open()
		b.sync()
		w.clock.advance(time.Hour)
		theirs := w.order(b, repository, "snapshots")
		b.begins(theirs.ID)
		_, _, err := b.put(theirs.ID, 0, true, w.listing(b.snapshot(snapshotID("0b"))))
		w.must(err)
		if known := w.known(s.RepositoryID); known[id].ID == "" || known[snapshotID("0b")].ID == "" {
			w.Errorf("known are %d snapshots, one of them hidden", len(known))
		}
		ours := w.order(a, repository, "snapshots")
		a.begins(ours.ID)
		w.clock.advance(time.Hour)
		_, _, err = a.put(ours.ID, 0, true, w.listing())
		w.must(err)
		if known := w.known(s.RepositoryID); known[id].ID != "" {
			w.Error("what the maintenance host does not list is still known")
		}
	})
}

// TestOddSnapshotsDoNotKeepOthersFromBeingListed has those that anybody makes who may add
// to a repository: restic itself takes any time and any number of tags.
func TestOddSnapshotsDoNotKeepOthersFromBeingListed(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		large, old, late, named := a.snapshot(snapshotID("01")), a.snapshot(snapshotID("02")), a.snapshot(snapshotID("03")), a.snapshot(snapshotID("04"))
		a.finish(wk, job.Outcome{Result: "succeeded", SnapshotID: large.ID}, nil)
		large.Tags = append(slices.Repeat([]string{strings.Repeat("a", 1000)}, 900), "rm:job:"+string(wk.job))
		large.Paths = []string{"/" + strings.Repeat("ä", 40_000)}
		old.Time = time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)
		late.Time = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		named.Hostname, named.Username, named.ProgramVersion = "a\x00b", strings.Repeat("ä", 300), strings.Repeat("x", 101)
		_, _, err := a.put(wk.job, 0, true, w.listing(large, old, late, named, a.snapshot(snapshotID("05"))))
		w.must(err)
		known := w.known(w.job(wk.job).RepositoryID)
		for _, id := range []string{"01", "02", "03", "04", "05"} {
			s, there := known[snapshotID(id)]
			if size := len(s.Paths) + len(s.Tags); !there || size > 128<<10 {
				w.Errorf("snapshot %s: known %v, with %d bytes of texts", id, there, size)
			}
		}
		if got := known[snapshotID("01")]; got.JobID != wk.job {
			w.Errorf("the large one is of job %q", got.JobID)
		}
		if got := known[snapshotID("02")].Time.Time(); got.Year() != 1970 {
			w.Errorf("the old one is of %s", got)
		}
	})
}

func TestPartsOfAnotherHostsJobAreRefused(t *testing.T) {
	w := lite(t)
	_, wk := w.running()
	b := w.host("web-2")
	_, _, err := b.put(wk.job, 0, true, []byte("x"))
	w.wantCode(err, fleet.AgentMismatch)
	_, _, err = b.put(fleet.NewID[fleet.JobID](), 0, true, []byte("x"))
	w.wantCode(err, fleet.NotFound)
}

// neighbours are two hosts that back up to one repository, and the schedule of the first.
func (w *world) neighbours() (a, b *agent, s *fleet.Schedule) {
	w.Helper()
	a, s = w.ready()
	b = w.host("web-2")
	w.schedule(b, &fleet.Repository{ID: s.RepositoryID}, "daily")
	b.open()
	b.sync()
	return a, b, s
}

func TestASnapshotIsOfTheHostWhoseBackupMadeIt(t *testing.T) {
	each(t, func(w *world) {
		a, b, s := w.neighbours()
		made := w.run(s)
		a.sync()
		a.finish(a.jobs[made.ID], job.Outcome{Result: "succeeded", SnapshotID: snapshotID("01")}, nil)
		list := w.order(b, &fleet.Repository{ID: s.RepositoryID}, "snapshots")
		b.begins(list.ID)
		odd := &fleet.Job{
			ID: fleet.NewID[fleet.JobID](), HostID: b.id.Host, RepositoryID: s.RepositoryID, ScheduleID: s.ID, Operation: "backup", Trigger: fleet.ByRunNow,
			State: fleet.Finished, SnapshotID: snapshotID("04"), Epoch: 1, Attempt: 1, Version: 1, NextEventSeq: 1, NextLogSeq: 1, CreatedAt: fleet.At(w.clock.now()),
		}
		w.write(func(tx *store.Tx) error {
			_, err := tx.CreateJob(w.Context(), odd)
			return err
		})
		tagged := func(n string, tags ...string) *job.Snapshot {
			snapshot := a.snapshot(snapshotID(n))
			snapshot.Tags = tags
			return snapshot
		}
		schedule, job := "rm:schedule:"+string(s.ID), func(id fleet.JobID) string { return "rm:job:" + string(id) }
		_, _, err := b.put(list.ID, 0, true, w.listing(
			tagged("01", schedule, job(made.ID)), tagged("02", schedule), tagged("03", schedule, job(list.ID)), tagged("04", schedule, job(odd.ID)),
		))
		w.must(err)
		known := w.known(s.RepositoryID)
		if got := known[snapshotID("01")]; got.HostID != a.id.Host || got.ScheduleID != s.ID || got.JobID != made.ID {
			w.Errorf("the snapshot of a backup is of job %q of %q", got.JobID, got.HostID)
		}
		for _, id := range []string{"02", "03", "04"} {
			if got := known[snapshotID(id)]; got.ID == "" || got.HostID != "" || got.ScheduleID != "" || got.JobID != "" {
				w.Errorf("snapshot %s, that anybody can have made, is of job %q, schedule %q and host %q", id, got.JobID, got.ScheduleID, got.HostID)
			}
		}
	})
}

// TestASnapshotThatWasListedBeforeItsJobWasToldOfIsCountedWithItsHost; the numbers are
// verified when the world ends.
func TestASnapshotThatWasListedBeforeItsJobWasToldOfIsCountedWithItsHost(t *testing.T) {
	each(t, func(w *world) {
		a, b, s := w.neighbours()
		made := w.run(s)
		a.sync()
		list := w.order(b, &fleet.Repository{ID: s.RepositoryID}, "snapshots")
		b.begins(list.ID)
		_, _, err := b.put(list.ID, 0, true, w.listing(a.snapshot(snapshotID(string(made.ID)))))
		w.must(err)
		if id := a.backup(a.jobs[made.ID]); w.known(s.RepositoryID)[id].HostID != a.id.Host {
			w.Error("the snapshot is nobody's")
		}
		if n := w.hostRow(a).Snapshots; n != 1 {
			w.Errorf("the host has %d snapshots", n)
		}
	})
}
