package job_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
)

func TestABackupTravelsTheWholeRoad(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		asked := w.run(s)
		answer := a.sync()
		if len(answer.Commands) != 1 || answer.Commands[0].Seq != 1 || answer.Commands[0].JobID != asked.ID {
			w.Fatalf("got commands %+v, want the run of %s with number 1", answer.Commands, asked.ID)
		}
		if got := w.job(asked.ID).State; got != fleet.Pending {
			w.Errorf("an offered job is %s, want pending until it is acknowledged", got)
		}
		a.sync()
		if got := w.job(asked.ID).State; got != fleet.Acked {
			w.Errorf("an acknowledged job is %s, want acked", got)
		}
		wk := a.jobs[asked.ID]
		a.event(wk, job.Event{Kind: job.EventRunning})
		a.say(wk, "open repository", "using parent snapshot")
		if v := a.report(wk); v.Outcome != job.TakenOK || v.NextEventSeq != 3 || v.NextLogSeq != 2 {
			w.Errorf("got verdict %+v, want ok with 3 and 2 next", v)
		}
		it := wk.item()
		it.Progress = &job.Progress{At: w.clock.now(), Percent: 42}
		_, err := a.send(it)
		w.must(err)
		var p job.Progress
		w.must(w.job(asked.ID).Progress.Read(&p))
		if p.Percent != 42 {
			w.Errorf("got progress %v, want 42", p.Percent)
		}
		w.clock.advance(time.Minute)
		id := a.backup(wk)
		w.checkFinished(a, s, asked.ID, id)
	})
}

func (w *world) checkFinished(a *agent, s *fleet.Schedule, id fleet.JobID, snapshot string) {
	w.Helper()
	j := w.job(id)
	if j.State != fleet.Finished || j.Result != fleet.Succeeded || j.Late || j.Unconfirmed || j.SnapshotID != snapshot || j.Progress != "" {
		w.Errorf("the job ended as %+v", j)
	}
	h := w.hostRow(a)
	if h.ActiveJobs != 0 || h.LastBackup != id || h.LastGoodBackup != j.FinishedAt || h.Snapshots != 1 {
		w.Errorf("the host's rollups are %d active, last %s, good %d, %d snapshots", h.ActiveJobs, h.LastBackup, h.LastGoodBackup, h.Snapshots)
	}
	sch, err := w.store.Schedule(w.Context(), s.HostID, s.ID)
	w.must(err)
	if sch.LastJob != id || sch.LastGood != j.FinishedAt {
		w.Errorf("the schedule's last job is %s and last good %d", sch.LastJob, sch.LastGood)
	}
	r, err := w.store.Repository(w.Context(), s.RepositoryID)
	w.must(err)
	if r.Snapshots != 1 || r.LastSnapshot.IsZero() {
		w.Errorf("the repository has %d snapshots, the last of %d", r.Snapshots, r.LastSnapshot)
	}
	seen, err := w.store.Snapshot(w.Context(), s.RepositoryID, snapshot)
	w.must(err)
	if seen.JobID != id || seen.HostID != s.HostID || seen.ScheduleID != s.ID {
		w.Errorf("the snapshot belongs to %s of %s on %s", seen.JobID, seen.ScheduleID, seen.HostID)
	}
	page, err := w.jobs.Log(w.Context(), id, job.LogQuery{})
	w.must(err)
	var texts []string
	for _, l := range page.Lines {
		texts = append(texts, fmt.Sprintf("%d %s %s", l.N, l.Stream, l.Text))
	}
	if diff := cmp.Diff([]string{"1 stdout open repository", "2 stdout using parent snapshot"}, texts); diff != "" {
		w.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestRunNowOnAFreshHostInitialisesTheRepositoryFirst(t *testing.T) {
	each(t, func(w *world) {
		a := w.host("web-1")
		r := w.repository("main", fleet.RepositoryNew)
		s := w.schedule(a, r, "Initial schedule")
		j, created, err := w.jobs.RunNow(w.Context(), someone, a.id.Host, 0)
		w.must(err)
		if !created || j.ScheduleID != s.ID {
			w.Fatalf("got job %+v, created %v", j, created)
		}
		a.open()
		answer := a.sync()
		if len(answer.Commands) != 2 || answer.Commands[0].Operation != "init" || answer.Commands[1].Operation != "backup" {
			w.Fatalf("got commands %+v, want init and then backup", answer.Commands)
		}
		if answer.Config == nil || len(answer.Config.Repositories) != 1 || answer.Config.Repositories[0].Append == nil {
			w.Fatalf("got configuration %+v, want the repository with its credential", answer.Config)
		}
		init := a.jobs[answer.Commands[0].JobID]
		identity := &job.Identity{ResticID: snapshotID("aa"), KeyID: snapshotID("bb")}
		a.event(init, job.Event{Kind: job.EventRunning})
		a.finish(init, job.Outcome{Result: "succeeded", Repository: identity}, nil)
		got, err := w.store.Repository(w.Context(), r.ID)
		w.must(err)
		if got.State != fleet.RepositoryReady || got.ResticID != identity.ResticID || got.KeyID != identity.KeyID {
			w.Errorf("got repository %+v, want ready with its ids", got)
		}
		if next := a.sync(); next.Config == nil || next.Config.Repositories[0].ResticID != identity.ResticID {
			w.Errorf("got configuration %+v, want one that pins the repository", next.Config)
		}
		a.backup(a.jobs[j.ID])
		if got := w.job(j.ID); got.Result != fleet.Succeeded {
			w.Errorf("the backup ended as %s", got.Result)
		}
	})
}

func TestAJobBornAtTheAgentIsOpenedByItsReport(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		wk := a.bear(fleet.NewID[fleet.JobID](), nil)
		if v := a.report(wk); v.Outcome != job.TakenUnknown {
			w.Fatalf("got %s, want unknown_job", v.Outcome)
		}
		wk.sentE = 0
		wk.opened = &job.Opened{Operation: "backup", Trigger: fleet.BySchedule, Schedule: s.ID, At: w.clock.now().Add(-time.Hour), Slot: w.clock.now().Add(-time.Hour)}
		a.backup(wk)
		j := w.job(wk.job)
		if j.Result != fleet.Succeeded || j.RepositoryID != s.RepositoryID || j.Trigger != fleet.BySchedule || j.Slot.IsZero() {
			w.Errorf("got %+v", j)
		}
		if h := w.hostRow(a); h.ActiveJobs != 0 || h.LastBackup != j.ID {
			w.Errorf("got host %+v", h)
		}
	})
}

func TestAnIdleRepollWritesNothing(t *testing.T) {
	each(t, func(w *world) {
		a, _ := w.ready()
		a.sync()
		before := w.store.Stats()
		for range 10 {
			w.clock.advance(20 * time.Second)
			w.must(w.store.FlushContacts(w.Context()))
			before.Transactions++ // the contacts of all hosts, once
			a.sync()
		}
		after := w.store.Stats()
		if after.Transactions > before.Transactions {
			w.Errorf("ten idle polls wrote %d transactions beside their contacts", after.Transactions-before.Transactions)
		}
	})
	w := lite(t)
	a, _ := w.ready()
	a.sync()
	w.must(w.store.FlushContacts(t.Context())) // the host is known to be online
	before := w.store.Stats().Statements
	a.sync()
	if n := w.store.Stats().Statements - before; n > 2 {
		t.Errorf("an idle poll takes %d statements, want 2", n)
	}
}

func TestAWatchedJobReportsEachSecond(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		j := w.run(s)
		a.sync()
		a.sync()
		a.running = []job.RunningJob{{ID: j.ID, Epoch: 1, Phase: "running"}}
		if got := a.sync().Directives; len(got) != 0 {
			w.Errorf("an unwatched job got directives %+v", got)
		}
		w.must(w.jobs.Watch(w.Context(), w.job(j.ID)))
		want := []job.Directive{{Job: j.ID, Desired: "run", Interval: time.Second, Detail: "full"}}
		if diff := cmp.Diff(want, a.sync().Directives); diff != "" {
			w.Errorf("directives (-want +got):\n%s", diff)
		}
		if got := a.sync().Directives; len(got) != 0 {
			w.Errorf("directives in force were given again: %+v", got)
		}
		before := w.store.Stats().Transactions
		w.must(w.jobs.Watch(w.Context(), w.job(j.ID)))
		if n := w.store.Stats().Transactions - before; n != 0 {
			w.Errorf("looking again at once wrote %d transactions", n)
		}
		w.clock.advance(2 * time.Minute)
		if got := a.sync().Directives; len(got) != 1 || got[0].Interval <= time.Second {
			w.Errorf("nobody watches any more, got directives %+v", got)
		}
	})
}
