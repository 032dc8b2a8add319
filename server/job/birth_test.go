package job_test

import (
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// mostBirths is how many jobs of no slot a host may begin in a day.
const mostBirths = 12_000

// begun sends the beginnings of jobs, as many at a time as a report holds, and gives the
// verdicts.
func (a *agent) begun(items []job.Item) []job.Verdict {
	a.Helper()
	var all []job.Verdict
	for len(items) > 0 {
		n := min(len(items), job.MaxReportItems)
		verdicts, err := a.send(items[:n]...)
		a.must(err)
		all, items = append(all, verdicts...), items[n:]
	}
	return all
}

func (a *agent) birth(id fleet.JobID, s fleet.ScheduleID, at time.Time) job.Item {
	return job.Item{
		Job: id, Epoch: 1, Writer: a.journal, Phase: job.EventAcked,
		Opened: &job.Opened{Operation: "backup", Trigger: fleet.BySchedule, Schedule: s, Slot: at, At: a.clock.now()},
		Events: []job.Event{{Seq: 1, At: a.clock.now(), Attempt: 1, Kind: job.EventAcked}},
	}
}

// full uses up what a host may begin, but for some.
func (w *world) full(a *agent, left int) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		for range mostBirths - left {
			if _, err := tx.CountFailure(w.Context(), "births:"+string(a.id.Host), 24*time.Hour); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestAWeekOfSlotsEachMinuteArrives, also of an agent that has used up what it may begin
// beside its slots.
func TestAWeekOfSlotsEachMinuteArrives(t *testing.T) {
	if testing.Short() {
		t.Skip("begins ten thousand jobs")
	}
	w := lite(t)
	a, s := w.timed("* * * * *")
	w.full(a, 0)
	const week = 7 * 24 * 60
	var items []job.Item
	for minute := range week {
		at := w.clock.now().Add(time.Duration(minute-week) * time.Minute).Truncate(time.Minute)
		id, err := fleet.SlotJob(s.ID, fleet.At(at))
		w.must(err)
		items = append(items, a.birth(id, s.ID, at))
	}
	for i, v := range a.begun(items) {
		if v.Outcome != job.TakenOK {
			t.Fatalf("slot %d of %d: %+v", i+1, week, v)
		}
	}
	if n := w.hostRow(a).ActiveJobs; n != week {
		t.Errorf("%d jobs of the week are there, want %d", n, week)
	}
}

// TestJobsOfNoSlotAreTakenUpToANumberADay and what is refused keeps nothing else of the
// agent from arriving.
func TestJobsOfNoSlotAreTakenUpToANumberADay(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("* * * * *")
		running := w.run(s)
		a.sync()
		w.full(a, 1)
		minute := w.clock.now().Truncate(time.Minute)
		slot := func(at time.Time) fleet.JobID {
			id, err := fleet.SlotJob(s.ID, fleet.At(at))
			w.must(err)
			return id
		}
		deleted := fleet.NewID[fleet.ScheduleID]()
		gone, err := fleet.SlotJob(deleted, fleet.At(minute))
		w.must(err)
		verdicts := a.begun([]job.Item{a.birth(fleet.NewID[fleet.JobID](), s.ID, minute)})
		if verdicts[0].Outcome != job.TakenOK {
			w.Fatalf("the last that may be: %+v", verdicts[0])
		}
		refused := map[string]job.Item{
			"an id of its own":               a.birth(fleet.NewID[fleet.JobID](), s.ID, minute),
			"no schedule":                    a.birth(fleet.NewID[fleet.JobID](), "", time.Time{}),
			"a slot of a schedule not there": a.birth(gone, deleted, minute),
			"a slot between the minutes":     a.birth(slot(minute.Add(-time.Microsecond)), s.ID, minute.Add(-time.Microsecond)),
			"a slot of long ago":             a.birth(slot(minute.AddDate(-2, 0, 0)), s.ID, minute.AddDate(-2, 0, 0)),
			"a slot to come":                 a.birth(slot(minute.Add(time.Hour)), s.ID, minute.Add(time.Hour)),
		}
		for name, item := range refused {
			verdicts := a.begun([]job.Item{item, a.jobs[running.ID].item()})
			if v := verdicts[0]; v.Outcome != job.TakenClosed || !strings.Contains(v.Message, "12000") {
				w.Errorf("%s: %+v", name, v)
			}
			if _, err := w.store.Job(w.Context(), item.Job); !fleet.Is(err, fleet.NotFound) {
				w.Errorf("%s is there: %v", name, err)
			}
			if verdicts[1].Outcome != job.TakenOK {
				w.Errorf("beside %s: a job that was ordered got %+v", name, verdicts[1])
			}
		}
		if verdicts := a.begun([]job.Item{a.birth(slot(minute), s.ID, minute)}); verdicts[0].Outcome != job.TakenOK {
			w.Errorf("a slot: %+v", verdicts[0])
		}
		if got := w.codes(store.ObjectHost, string(a.id.Host)); got != job.CodeTooManyJobs {
			w.Errorf("the host has %q", got)
		}

		other := w.host("web-2")
		other.open()
		if verdicts := other.begun([]job.Item{other.birth(fleet.NewID[fleet.JobID](), "", time.Time{})}); verdicts[0].Outcome != job.TakenOK {
			w.Errorf("another host: %+v", verdicts[0])
		}
		w.clock.advance(25 * time.Hour)
		a.open()
		if verdicts := a.begun([]job.Item{a.birth(fleet.NewID[fleet.JobID](), "", time.Time{})}); verdicts[0].Outcome != job.TakenOK {
			w.Errorf("a day later: %+v", verdicts[0])
		}
		if got := w.codes(store.ObjectHost, string(a.id.Host)); strings.Contains(got, job.CodeTooManyJobs) {
			w.Errorf("a day later the host has %q", got)
		}
	})
}

// TestWhatAHostHandsOverAtATimeIsLimited over all its jobs.
func TestWhatAHostHandsOverAtATimeIsLimited(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		s := w.job(wk.job)
		part := make([]byte, job.MaxPart)
		lay := func(j fleet.JobID, bytes int) {
			w.write(func(tx *store.Tx) error {
				for at := 0; at < bytes; at += 8 << 20 {
					err := tx.AddArtifactPart(w.Context(), store.ArtifactPart{JobID: j, Name: "snapshots", Offset: int64(at), Data: make([]byte, 8<<20), At: tx.Now})
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		lay(wk.job, 64<<20)
		second := fleet.NewID[fleet.JobID]()
		third := fleet.NewID[fleet.JobID]()
		for _, id := range []fleet.JobID{second, third} {
			item := a.birth(id, s.ScheduleID, time.Time{})
			item.Opened.Repository = s.RepositoryID
			a.begun([]job.Item{item})
		}
		if _, _, err := a.put(second, 0, false, part); err != nil {
			w.Errorf("a second listing beside a whole one: %v", err)
		}
		w.write(func(tx *store.Tx) error { return tx.DropArtifact(w.Context(), second, "snapshots") })
		lay(second, 64<<20)
		_, _, err := a.put(third, 0, false, part)
		w.wantCode(err, fleet.TooManyRequests)
		w.write(func(tx *store.Tx) error { return tx.DropArtifact(w.Context(), second, "snapshots") })
		if _, _, err := a.put(third, 0, false, part); err != nil {
			w.Errorf("after the second has gone: %v", err)
		}
	})
}
