package job_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// clone is the same agent a second time: its state directory was copied to another
// machine.
func (a *agent) clone() *agent {
	twin := *a
	twin.boot = "boot of the clone"
	twin.jobs = map[fleet.JobID]*work{}
	twin.told.Claims = slices.Clone(a.told.Claims)
	return &twin
}

// twin is one of two agents of one identity in a test of both.
type twin struct {
	*agent
	waiting []*work   // runs that it has not reported
	from    time.Time // since when it sleeps

	diverged int // runs that the other one had reported before
}

// turn has the agent open a session, tell what it knows and report what it has.
func (t *twin) turn(s *fleet.Schedule) {
	t.Helper()
	t.open()
	t.claim(s)
	t.sync()
	for _, wk := range t.waiting {
		if v := t.report(wk); v.Outcome == job.TakenDiverged { // the other one was first
			t.rewrite(wk)
			t.diverged++
		}
	}
	t.waiting = nil
	t.spooled = 0
	t.sync()
}

// rewrite numbers what is left of a job anew, behind what the server has, as an agent
// does that is told that its records differ.
func (t *twin) rewrite(wk *work) {
	t.Helper()
	wk.writer = fleet.NewID[string]()
	next := int(t.job(wk.job).NextEventSeq)
	all := wk.events
	wk.events = make([]job.Event, next-1, next-1+len(all))
	wk.sentE = next - 1
	for _, e := range all {
		e.Seq = int64(len(wk.events) + 1)
		wk.events = append(wk.events, e)
	}
	if v := t.report(wk); v.Outcome != job.TakenOK {
		t.Errorf("as another writer: %+v", v)
	}
}

// ran makes the records of a backup of a slot without reporting them.
func (t *twin) ran(s *fleet.Schedule, at time.Time) {
	t.Helper()
	wk := t.fire(s, at, fleet.BySchedule)
	t.event(wk, job.Event{Kind: job.EventRunning})
	id := snapshotID(string(wk.job))
	t.event(wk, job.Event{
		Kind: job.EventFinished, Outcome: &job.Outcome{Result: "succeeded", SnapshotID: id, Confirmed: true}, Snapshot: t.snapshot(id),
	})
	t.waiting = append(t.waiting, wk)
	t.spooled = len(t.waiting)
}

// TestTwoAgentsOfOneIdentityCountEachSlotOnce has a copied state directory run the same
// schedule on two machines for six hours. Each sleeps, runs, claims and reports as it
// comes. A slot that either ran is done, one that neither ran is missed, and none is both.
func TestTwoAgentsOfOneIdentityCountEachSlotOnce(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			each(t, func(w *world) { twoOfOne(w, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func twoOfOne(w *world, random *rand.Rand) {
	w.Helper()
	a, s := w.timed("*/10 * * * *")
	pair := []*twin{{agent: a}, {agent: a.clone()}}
	done := map[time.Time]bool{}
	var slots []time.Time
	cloned := false
	const every = 10 * time.Minute
	for range 36 {
		at := w.clock.now().Truncate(every).Add(every)
		w.clock.advance(at.Sub(w.clock.now()))
		slots = append(slots, at)
		for _, one := range pair {
			if asleep := !one.from.IsZero(); random.IntN(3) == 0 { // falls asleep, or wakes up
				if asleep {
					one.told.Absences = append(one.told.Absences, job.Absence{From: one.from, To: at.Add(-time.Second), Reason: "asleep"})
					one.from = time.Time{}
				} else {
					one.from = at.Add(-time.Second)
				}
			}
			if one.from.IsZero() && random.IntN(4) > 0 { // else its cron let the slot go
				one.ran(s, at)
				done[at] = true
			}
		}
		for range random.IntN(4) { // who is superseded opens a session again
			w.clock.advance(time.Minute)
			for _, i := range random.Perm(2) {
				if one := pair[i]; one.from.IsZero() {
					one.turn(s)
				}
			}
		}
		w.sweep()
		cloned = cloned || strings.Contains(w.codes(store.ObjectHost, string(a.id.Host)), job.CodeAgentCloned)
	}
	for _, one := range pair {
		if !one.from.IsZero() {
			one.told.Absences = append(one.told.Absences, job.Absence{From: one.from, To: w.clock.now().Add(-time.Second), Reason: "asleep"})
		}
		one.turn(s)
	}
	w.clock.advance(2*time.Hour - time.Minute)
	for _, one := range pair {
		one.turn(s)
		w.sweep()
	}
	if pair[0].diverged+pair[1].diverged == 0 {
		w.Fatal("no slot was run by both: the test shows nothing")
	}
	if !cloned {
		w.Error("nobody said that two machines take turns as one host")
	}
	var missed int64
	for _, at := range slots {
		j := w.job(w.slotJob(s, at))
		switch {
		case done[at] && (j.Result != fleet.Succeeded || j.State != fleet.Finished):
			w.Errorf("slot %s was run and is %s %s", at.Format("15:04"), j.State, j.Result)
		case !done[at] && j.Result != fleet.Missed:
			w.Errorf("slot %s was not run and is %s %s", at.Format("15:04"), j.State, j.Result)
		}
	}
	day := fleet.DayOf(fleet.At(w.clock.now()))
	days, err := w.store.Days(w.Context(), []fleet.HostID{a.id.Host}, day-1, day)
	w.must(err)
	var ran int64
	for _, d := range days[a.id.Host] {
		ran, missed = ran+d.Succeeded, missed+d.Missed
	}
	later := int64(2 * time.Hour / every) // slots of the last two hours, of which no run is told
	if ran != int64(len(done)) || missed < int64(len(slots)-len(done)) || missed > int64(len(slots)-len(done))+later {
		w.Errorf("counted %d done and %d missed, want %d and %d to %d", ran, missed, len(done), len(slots)-len(done), int64(len(slots)-len(done))+later)
	}
	if n := w.hostRow(a).ActiveJobs; n != 0 {
		w.Errorf("%d jobs are taken to be under way", n)
	}
}
