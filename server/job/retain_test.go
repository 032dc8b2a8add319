package job_test

import (
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
)

func TestLogsGoBeforeTheirJobsAndReadersAreTold(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		a.say(wk, "one")
		a.backup(wk)
		w.jobs.Keep = job.Keep{Jobs: 60 * 24 * time.Hour, Logs: 10 * 24 * time.Hour}
		read := func() job.LogPage {
			page, err := w.jobs.Log(w.Context(), wk.job, job.LogQuery{})
			w.must(err)
			return page
		}
		w.clock.advance(9 * 24 * time.Hour)
		w.must(w.jobs.Retain(w.Context()))
		if page := read(); len(page.Lines) != 1 || page.Lines[0].Text != "one" || !page.End {
			w.Errorf("after 9 days: %+v", page)
		}
		w.clock.advance(2 * 24 * time.Hour)
		w.must(w.jobs.Retain(w.Context()))
		if page := read(); len(page.Lines) != 1 || page.Lines[0].Stream != "agent" || !page.End {
			w.Errorf("after 11 days: %+v, want one line that says why", page)
		}
	})
}

func TestAReportOfAJobThatWasRemovedIsClosed(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		backup := func() *work {
			j := w.run(s)
			a.sync()
			a.sync()
			a.backup(a.jobs[j.ID])
			w.clock.advance(time.Hour)
			return a.jobs[j.ID]
		}
		first, later := backup(), backup() // the last one of its schedule stays
		w.jobs.Keep = job.Keep{Jobs: 60 * 24 * time.Hour}
		w.clock.advance(62 * 24 * time.Hour)
		w.must(w.jobs.Retain(w.Context()))
		if _, err := w.store.Job(w.Context(), first.job); !fleet.Is(err, fleet.NotFound) {
			w.Errorf("the old job is still there: %v", err)
		}
		if _, err := w.store.Job(w.Context(), later.job); err != nil {
			w.Errorf("the last job of the schedule: %v", err)
		}

		a.open()
		it := first.item()
		it.Events = nil
		it.Opened = &job.Opened{Operation: "backup", Trigger: fleet.BySchedule, Schedule: s.ID, At: w.clock.now().Add(-62*24*time.Hour - 2*time.Hour)}
		v, err := a.send(it)
		w.must(err)
		if v[0].Outcome != job.TakenClosed {
			w.Errorf("a late report is answered %s, want %s", v[0].Outcome, job.TakenClosed)
		}
		if _, err := w.store.Job(w.Context(), first.job); !fleet.Is(err, fleet.NotFound) {
			w.Errorf("the late report brought the job back: %v", err)
		}
	})
}
