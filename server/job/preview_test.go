package job_test

import (
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
)

func TestAPreviewIsNoRunOfItsSchedule(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		asked := w.run(s)
		a.sync()
		a.backup(a.jobs[asked.ID])
		good := w.job(asked.ID).FinishedAt
		w.clock.advance(time.Hour)

		preview, _, err := w.jobs.Enqueue(w.Context(), job.Actor{Name: "ada"}, job.Request{Host: s.HostID, Operation: "preview", Schedule: s.ID})
		w.must(err)
		a.sync()
		wk := a.jobs[preview.ID]
		a.event(wk, job.Event{Kind: job.EventRunning})
		a.finish(wk, job.Outcome{Result: "succeeded"}, nil)
		j := w.job(preview.ID)
		if j.State != fleet.Finished || j.Unconfirmed || j.SnapshotID != "" {
			w.Errorf("the preview ended as %+v", j)
		}
		h := w.hostRow(a)
		sch, err := w.store.Schedule(w.Context(), s.HostID, s.ID)
		w.must(err)
		if h.LastBackup != asked.ID || h.LastGoodBackup != good || sch.LastJob != asked.ID || sch.LastGood != good {
			w.Errorf("a preview counted: host %s %d, schedule %s %d", h.LastBackup, h.LastGoodBackup, sch.LastJob, sch.LastGood)
		}
	})
}

// TestABackupOfWhatHasNotChangedIsGood: the snapshot before it stands for it, and stays the
// one of the job that made it.
func TestABackupOfWhatHasNotChangedIsGood(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		first := w.run(s)
		a.sync()
		id := a.backup(a.jobs[first.ID])
		w.clock.advance(time.Hour)
		second := w.run(s)
		a.sync()
		wk := a.jobs[second.ID]
		a.event(wk, job.Event{Kind: job.EventRunning})
		a.finish(wk, job.Outcome{Result: "succeeded", Code: "unchanged", SnapshotID: id, Confirmed: true}, nil)
		j := w.job(second.ID)
		if j.Result != fleet.Succeeded || j.Unconfirmed || j.SnapshotID != id {
			w.Errorf("the job ended as %+v", j)
		}
		h := w.hostRow(a)
		sch, err := w.store.Schedule(w.Context(), s.HostID, s.ID)
		w.must(err)
		if h.LastGoodBackup != j.FinishedAt || sch.LastGood != j.FinishedAt || h.Snapshots != 1 {
			w.Errorf("it is no good backup: host %d with %d snapshots, schedule %d", h.LastGoodBackup, h.Snapshots, sch.LastGood)
		}
		seen, err := w.store.Snapshot(w.Context(), s.RepositoryID, id)
		w.must(err)
		if seen.JobID != first.ID {
			w.Errorf("the snapshot became that of job %s", seen.JobID)
		}
	})
}
