package job_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/slot"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

// timed is ready with a schedule that fires by itself.
func (w *world) timed(cron string) (*agent, *fleet.Schedule) {
	w.Helper()
	a := w.host("web-1")
	s := &fleet.Schedule{
		ID: fleet.NewID[fleet.ScheduleID](), HostID: a.id.Host, RepositoryID: w.repository("main", fleet.RepositoryReady).ID, Name: "nightly",
		Paths: fleet.NewList([]string{"/etc"}), Cron: cron, Zone: "UTC", Enabled: true,
	}
	w.write(func(tx *store.Tx) error { return tx.CreateSchedule(w.Context(), s) })
	a.open()
	a.sync()
	a.claim(s)
	a.sync()
	return a, s
}

// claim says that the agent has looked after a schedule up to now.
func (a *agent) claim(s *fleet.Schedule) {
	for i := range a.told.Claims {
		if c := &a.told.Claims[i]; c.Schedule == s.ID {
			c.Until = a.clock.now()
			return
		}
	}
	a.told.Claims = append(a.told.Claims, job.Claim{Schedule: s.ID, Version: s.Version, From: a.clock.now(), Until: a.clock.now()})
}

func (w *world) slotJob(s *fleet.Schedule, at time.Time) fleet.JobID {
	return fleet.JobID(slot.JobID(uuid.MustParse(string(s.ID)), at).String())
}

// fire bears the job of a slot, as the agent's own cron does.
func (a *agent) fire(s *fleet.Schedule, at time.Time, trigger fleet.Trigger) *work {
	return a.bear(a.slotJob(s, at), &job.Opened{
		Operation: job.OperationBackup, Trigger: trigger, Schedule: s.ID, Repository: s.RepositoryID, Slot: at, At: a.clock.now(),
	})
}

func (w *world) scheduleRow(s *fleet.Schedule) *fleet.Schedule {
	w.Helper()
	row, err := w.store.Schedule(w.Context(), s.HostID, s.ID)
	w.must(err)
	return row
}

// missed gives the missed jobs of a schedule, newest first, and their codes.
func (w *world) missed(s *fleet.Schedule) (jobs []fleet.Job, codes map[string]int) {
	w.Helper()
	codes = map[string]int{}
	for page := (store.Page{Size: store.MaxPageSize}); ; {
		list, next, err := w.store.Jobs(w.Context(), store.JobFilter{Schedule: s.ID, Result: fleet.Missed}, page)
		w.must(err)
		jobs = append(jobs, list...)
		if page.Token = next; next == "" {
			break
		}
	}
	for i := range jobs {
		var o job.Outcome
		w.must(jobs[i].Outcome.Read(&o))
		codes[o.Code] += 1 + int(jobs[i].MoreSlots)
	}
	return jobs, codes
}

func (w *world) wantMissed(s *fleet.Schedule, want map[string]int) {
	w.Helper()
	if _, got := w.missed(s); fmt.Sprint(got) != fmt.Sprint(want) {
		w.Errorf("missed by reason: got %v, want %v", got, want)
	}
}

func (w *world) wantState(a *agent, want fleet.ProtectionState) {
	w.Helper()
	if h := w.hostRow(a); h.Protection != want {
		w.Errorf("the host is %s (%s), want %s", h.Protection, h.ProtectionReason, want)
	}
}

// offForTwoDays switches a host off at half past twelve and on again two days later:
// the hourly slots from 13:00 on are 48.
func offForTwoDays(w *world, a *agent, s *fleet.Schedule, sweeping bool) {
	w.Helper()
	w.clock.advance(30 * time.Minute)
	a.claim(s)
	a.sync()
	off := w.clock.now()
	for range 48 * 4 {
		w.clock.advance(15 * time.Minute)
		if sweeping {
			w.sweep()
		}
	}
	a.told.Absences = []job.Absence{{From: off, To: w.clock.now(), Reason: "off"}}
	a.boot = "another boot"
	a.open()
	latest := w.clock.now().Truncate(time.Hour)
	a.backup(a.fire(s, latest, fleet.ByCatchUp))
	a.claim(s)
	a.sync()
	w.sweep()
}

func TestAHostThatWasOffForTwoDaysCatchesUpOnceAndMissedTheOthers(t *testing.T) {
	for name, sweeping := range map[string]bool{"with the server watching": true, "with the server looking afterwards": false} {
		t.Run(name, func(t *testing.T) {
			each(t, func(w *world) {
				a, s := w.timed("0 * * * *")
				offForTwoDays(w, a, s, sweeping)
				w.wantMissed(s, map[string]int{job.CodeHostOff: 47})
				latest := w.job(w.slotJob(s, w.clock.now().Truncate(time.Hour)))
				if latest.Trigger == "" || latest.Result != fleet.Succeeded {
					w.Errorf("the catch-up is %+v", latest)
				}
				row := w.scheduleRow(s)
				if row.Missed != 0 || row.SilentFrom != 0 {
					w.Errorf("after the catch-up %d slots count as missed, silent from %d", row.Missed, row.SilentFrom)
				}
				w.wantState(a, fleet.Protected)
				to := fleet.DayOf(fleet.At(w.clock.now()))
				days, err := w.store.Days(w.Context(), []fleet.HostID{a.id.Host}, to-3, to)
				w.must(err)
				var missed []int64
				for _, d := range days[a.id.Host] {
					missed = append(missed, d.Missed)
				}
				if !slices.Equal(missed, []int64{11, 24, 12}) {
					w.Errorf("missed a day: %v", missed)
				}
			})
		})
	}
}

func TestALateReportReplacesASlotThatWasGivenUp(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("0 * * * *")
		w.clock.advance(3 * time.Hour)
		at := w.clock.now().Add(-2 * time.Hour)
		w.sweep()
		w.wantMissed(s, map[string]int{job.CodeHostSilent: 2})
		if row := w.scheduleRow(s); row.Missed != 2 || w.hostRow(a).Protection != fleet.Unprotected {
			w.Errorf("%d slots are missed, the host is %s", row.Missed, w.hostRow(a).Protection)
		}
		a.open()
		a.backup(a.fire(s, at, fleet.BySchedule))
		j := w.job(w.slotJob(s, at))
		if j.Result != fleet.Succeeded || !j.Late {
			w.Errorf("the job is %s, late %t", j.Result, j.Late)
		}
		w.wantMissed(s, map[string]int{job.CodeHostSilent: 1})
		if row := w.scheduleRow(s); row.Missed != 0 {
			w.Errorf("%d slots count as missed since the good backup of now", row.Missed)
		}
	})
}

// TestASlotThatAClockJumpedOverHasThatReason is about an agent whose clock was put a day
// ahead: it tells an absence and a claim that reach into our future.
func TestASlotThatAClockJumpedOverHasThatReason(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("0 * * * *")
		ahead := w.clock.now().Add(26 * time.Hour)
		a.told.Absences = []job.Absence{{From: w.clock.now().Add(-time.Minute), To: ahead, Reason: "asleep"}}
		a.told.Claims[0].Until = ahead
		a.sync()
		w.clock.advance(time.Hour + time.Minute)
		a.sync()
		w.sweep()
		w.wantMissed(s, map[string]int{job.CodeClockJumped: 1})
		// Put back, it says so; what it does not run from then on has no reason.
		a.told.Absences = []job.Absence{{From: a.told.Absences[0].From, To: w.clock.now(), Reason: "clock"}}
		w.clock.advance(time.Hour)
		a.claim(s)
		a.sync()
		w.sweep()
		w.wantMissed(s, map[string]int{job.CodeClockJumped: 1, job.CodeNotFired: 1})
		// Nor does the future explain anything of an agent that has fallen silent.
		a.told.Absences = []job.Absence{{From: w.clock.now().Add(-time.Minute), To: ahead, Reason: "off"}}
		a.sync()
		w.clock.advance(3 * time.Hour)
		w.sweep()
		w.wantMissed(s, map[string]int{job.CodeClockJumped: 1, job.CodeNotFired: 1, job.CodeHostSilent: 2})
	})
}

func TestASlotThatNobodyExplainsWhileClocksDifferSaysSo(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("0 * * * *")
		w.clock.advance(time.Hour + time.Minute)
		a.claim(s)
		r := a.syncRequest()
		r.AgentTime = r.AgentTime.Add(-9 * time.Minute)
		answer, err := w.jobs.Sync(w.Context(), a.id, r, 20*time.Second)
		w.must(err)
		a.take(answer)
		w.sweep()
		w.wantMissed(s, map[string]int{job.CodeClocksDiffer: 1})
	})
}

func TestNothingIsMissedBecauseTheServerWasAway(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		a, s := w.timed("0 * * * *")
		a.backup(a.fire(s, w.clock.now(), fleet.BySchedule))
		w.sweep()
		w.wantState(a, fleet.Protected)
		first := w.clock.now()
		w.must(w.store.Close())
		var works []*work
		for range 7 * 24 {
			w.clock.advance(time.Hour)
			wk := a.fire(s, w.clock.now(), fleet.BySchedule)
			a.event(wk, job.Event{Kind: job.EventRunning})
			id := snapshotID(string(wk.job))
			a.event(wk, job.Event{Kind: job.EventFinished, Outcome: &job.Outcome{Result: "succeeded", SnapshotID: id, Confirmed: true}, Snapshot: a.snapshot(id)})
			works = append(works, wk)
		}
		w.store = storetest.Open(w, url, store.Options{Now: w.clock.now})
		w.jobs.Store = w.store
		w.verifyAtEnd()
		w.sweep()
		w.wantState(a, fleet.Protected) // what would tell more is on its way
		w.clock.advance(2 * time.Minute)
		a.spooled = len(works)
		a.open()
		for i, wk := range works {
			a.report(wk)
			if i%40 == 0 {
				w.clock.advance(2 * time.Minute)
				a.sync()
				w.sweep()
			}
		}
		a.spooled = 0
		a.claim(s)
		a.sync()
		w.sweep()
		w.wantMissed(s, map[string]int{})
		w.wantState(a, fleet.Protected)
		list, _, err := w.store.Jobs(t.Context(), store.JobFilter{Schedule: s.ID, From: fleet.At(first.Add(time.Minute))}, store.Page{Size: 200})
		w.must(err)
		for i := range list {
			if want := works[len(works)-1-i].job; list[i].ID != want || list[i].Late || list[i].Result != fleet.Succeeded {
				t.Fatalf("history %d is %s (%s, late %t), want %s", i, list[i].ID, list[i].Result, list[i].Late, want)
			}
		}
		if len(list) != len(works) {
			t.Errorf("%d jobs in the history, want %d", len(list), len(works))
		}
	})
}

// Seen from here, a database that was set back is an outage after which agents claim to
// have reported everything, and do not report it again.
func TestNothingIsMissedBecauseTheDatabaseWasSetBack(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		a, s := w.timed("0 * * * *")
		w.restart(url, 9*time.Hour+30*time.Minute)
		w.clock.advance(10 * time.Minute) // the host comes back last
		w.sweep()
		w.wantMissed(s, map[string]int{})
		a.open()
		a.claim(s)
		a.sync()
		w.sweep()
		w.wantMissed(s, map[string]int{})
		if row := w.scheduleRow(s); row.Unchecked != row.NextSlot || row.SilentFrom != 0 {
			t.Errorf("slots before now are not decided about: %+v", row)
		}
		// What an absence explains was missed all the same.
		b := w.host("web-2")
		other := &fleet.Schedule{
			ID: fleet.NewID[fleet.ScheduleID](), HostID: b.id.Host, RepositoryID: s.RepositoryID, Name: "hourly",
			Paths: s.Paths, Cron: "0 * * * *", Zone: "UTC", Enabled: true,
		}
		w.write(func(tx *store.Tx) error { return tx.CreateSchedule(t.Context(), other) })
		b.open()
		b.sync()
		b.claim(other)
		b.sync()
		off := w.clock.now()
		w.restart(url, 3*time.Hour)
		b.told.Absences = []job.Absence{{From: off, To: w.clock.now(), Reason: "asleep"}}
		b.open()
		b.claim(other)
		b.sync()
		w.sweep()
		w.wantMissed(other, map[string]int{job.CodeHostAsleep: 3})
	})
}

func TestADatabaseThatIsAnOlderCopyMakesNothingMissed(t *testing.T) {
	url := storetest.SQLite(t)
	w := newWorld(t, url)
	a, s := w.timed("0 * * * *")
	hour := func() {
		w.Helper()
		w.clock.advance(time.Hour)
		a.backup(a.fire(s, w.clock.now(), fleet.BySchedule))
		a.claim(s)
		a.sync()
		w.sweep()
	}
	hour()
	w.must(w.store.Close())
	copied, err := os.ReadFile(url)
	w.must(err)
	w.reopen(url)
	a.open()
	for range 5 {
		hour()
	}
	w.must(w.store.Close())
	for _, beside := range []string{"-wal", "-shm"} {
		_ = os.Remove(url + beside)
	}
	w.must(os.WriteFile(url, copied, 0o600))
	w.clock.advance(20 * time.Minute)
	w.reopen(url)
	a.jobs = map[fleet.JobID]*work{} // all of them were reported
	a.open()
	a.claim(s)
	a.sync()
	w.sweep()
	w.clock.advance(10 * time.Minute)
	a.sync()
	w.sweep()
	w.wantMissed(s, map[string]int{})
	w.clock.advance(20 * time.Minute)
	hour()
	w.wantState(a, fleet.Protected)
}

func TestASlotIsMissedOnceWhenTheClockChanges(t *testing.T) {
	each(t, func(w *world) {
		for name, at := range map[string]time.Time{
			"spring": time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC), "autumn": time.Date(2026, 10, 23, 12, 0, 0, 0, time.UTC),
		} {
			w.clock.micros.Store(max(w.clock.micros.Load(), at.UnixMicro()))
			a := w.host(name)
			s := &fleet.Schedule{
				ID: fleet.NewID[fleet.ScheduleID](), HostID: a.id.Host, RepositoryID: w.repository(name, fleet.RepositoryReady).ID, Name: "nightly",
				Paths: fleet.NewList([]string{"/etc"}), Cron: "30 2 * * *", Zone: "Europe/Berlin", Enabled: true,
			}
			w.write(func(tx *store.Tx) error { return tx.CreateSchedule(w.Context(), s) })
			for range 4 * 24 * 2 {
				w.clock.advance(30 * time.Minute)
				w.sweep()
			}
			jobs, _ := w.missed(s)
			if len(jobs) != 4 {
				w.Errorf("%s: %d slots in four nights, want 4", name, len(jobs))
			}
		}
	})
}

func TestTwoReplicasMissASlotOnce(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		a, s := w.timed("* * * * *")
		off := w.clock.now()
		second := storetest.Open(t, url, store.Options{Now: w.clock.now})
		w.clock.advance(48 * time.Hour)
		services := []*job.Service{w.jobs, {Store: second, Sealer: plainSeals{}, Logger: w.jobs.Logger}}
		sweep := func() {
			var group sync.WaitGroup
			for i := range 6 {
				group.Go(func() {
					if err := services[i%2].CheckSlots(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			w.sweep()
		}
		sweep()
		_, codes := w.missed(s)
		if codes[job.CodeHostSilent] != 48*60-30+1 && codes[job.CodeHostSilent] != 48*60-30 {
			t.Errorf("missed: %v", codes)
		}
		a.told.Absences = []job.Absence{{From: off, To: w.clock.now(), Reason: "stopped"}}
		a.open()
		a.claim(s)
		a.sync()
		sweep()
		_, codes = w.missed(s)
		if total := codes[job.CodeAgentStopped] + codes[job.CodeHostSilent]; total != 48*60 {
			t.Errorf("%d slots are missed, want %d: %v", total, 48*60, codes)
		}
	})
}

func TestOlderMissedSlotsAreSummedUpByTheDay(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("* * * * *")
		off := w.clock.now()
		w.clock.advance(3 * 24 * time.Hour)
		w.sweep()
		jobs, codes := w.missed(s)
		silent := codes[job.CodeHostSilent]
		if len(jobs) != 1000+3 || silent < 3*24*60-31 {
			w.Fatalf("%d jobs stand for %d slots", len(jobs), silent)
		}
		// One of them ran after all.
		at := off.Add(5 * time.Minute)
		a.open()
		a.backup(a.fire(s, at, fleet.BySchedule))
		if j := w.job(w.slotJob(s, at)); !j.Late || j.Result != fleet.Succeeded {
			w.Errorf("the job is %s, late %t", j.Result, j.Late)
		}
		w.wantMissed(s, map[string]int{job.CodeHostSilent: silent - 1})
		// What explains them does not count them twice.
		a.told.Absences = []job.Absence{{From: off, To: w.clock.now(), Reason: "off"}}
		a.claim(s)
		a.sync()
		w.sweep()
		_, codes = w.missed(s)
		if total := codes[job.CodeHostSilent] + codes[job.CodeHostOff]; total != 3*24*60-1 {
			w.Errorf("%d slots are missed, want %d: %v", total, 3*24*60-1, codes)
		}
	})
}

func TestNoSlotIsMissedOfTimesThatWereNotInForce(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("0 * * * *")
		change := func(edit func(*fleet.Schedule)) {
			w.Helper()
			s = w.scheduleRow(s)
			edit(s)
			w.write(func(tx *store.Tx) error { return tx.ReplaceSchedule(w.Context(), s) })
		}
		w.clock.advance(10 * time.Minute)
		change(func(s *fleet.Schedule) { s.Enabled = false })
		w.clock.advance(10 * time.Hour)
		w.sweep()
		change(func(s *fleet.Schedule) { s.Enabled = true })
		w.sweep()
		w.wantMissed(s, map[string]int{})
		w.wantState(a, fleet.NeverBacked)

		change(func(s *fleet.Schedule) { s.Cron = "*/10 * * * *" })
		w.clock.advance(25 * time.Minute) // the new times are not overdue yet
		w.sweep()
		w.wantMissed(s, map[string]int{})
		change(func(s *fleet.Schedule) { s.Cron = "0 * * * *" })

		disable := func(yes bool) {
			w.Helper()
			w.write(func(tx *store.Tx) error {
				h, err := tx.LockHost(w.Context(), a.id.Host)
				if err != nil {
					return err
				}
				h.Disabled = yes
				return tx.UpdateHost(w.Context(), h)
			})
		}
		disable(true)
		w.clock.advance(10 * time.Hour)
		w.sweep()
		w.wantState(a, fleet.NotScheduled)
		disable(false)
		w.sweep()
		w.wantMissed(s, map[string]int{})

		// An agent that speaks of the times before says nothing of those of now.
		w.clock.advance(2 * time.Hour)
		a.told.Claims[0].Until = w.clock.now()
		a.open()
		w.sweep()
		if row := w.scheduleRow(s); row.ClaimUntil != 0 {
			w.Errorf("a claim about older times was taken: %+v", row)
		}
	})
}

func TestAnAgentThatTookTimesOverLateMissedThem(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("0 * * * *")
		s = w.scheduleRow(s)
		s.Cron = "30 * * * *"
		w.write(func(tx *store.Tx) error { return tx.ReplaceSchedule(w.Context(), s) })
		w.clock.advance(2 * time.Hour)
		a.told.Claims = nil
		a.claim(s) // from now on
		w.clock.advance(time.Hour)
		a.claim(s)
		a.open()
		w.sweep()
		w.wantMissed(s, map[string]int{job.CodeScheduleNotReceived: 2, job.CodeNotFired: 1})
	})
}

func TestAnAgentThatIsThereAndSaysNothingIsNotBelievedForEver(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("0 * * * *")
		a.spooled = 3
		for range 4 * 3 { // three hours, and jobs to report all the while
			w.clock.advance(15 * time.Minute)
			a.sync()
			w.sweep()
		}
		w.wantMissed(s, map[string]int{})
		a.spooled = 0
		for range 2 {
			w.clock.advance(6 * time.Minute)
			a.sync()
			w.sweep()
		}
		w.wantMissed(s, map[string]int{job.CodeNoWord: 2})
	})
}

func TestAnAgentThatLiesHarmsNobodyElse(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("0 * * * *")
		b := w.host("victim")
		theirs := &fleet.Schedule{
			ID: fleet.NewID[fleet.ScheduleID](), HostID: b.id.Host, RepositoryID: s.RepositoryID, Name: "hourly",
			Paths: s.Paths, Cron: "0 * * * *", Zone: "UTC", Enabled: true,
		}
		w.write(func(tx *store.Tx) error { return tx.CreateSchedule(w.Context(), theirs) })
		b.open()
		b.sync()
		now := w.clock.now()
		never := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		a.told = job.Status{
			Claims: []job.Claim{
				{Schedule: theirs.ID, Version: 1, From: now.Add(-time.Hour), Until: never},
				{Schedule: s.ID, Version: 77, From: now.Add(-time.Hour), Until: never},
				{Schedule: s.ID, Version: s.Version, From: now.Add(-99999 * time.Hour), Until: never},
			},
			Absences: []job.Absence{
				{From: now, To: never, Reason: "off"}, {From: never, To: now, Reason: "off"}, {From: now.Add(-time.Hour), To: now, Reason: "a\x00b"},
			},
			Offers: &job.Offers{Hooks: []job.Offer{{Name: "../x"}, {Name: "a\x1bb", Problem: "p"}, {Name: strings.Repeat("x", 65), Problem: "p"}, {Name: "a b", Problem: "misnamed"}, {Name: "good.sh", Problem: "it\x00"}}},
		}
		a.open()
		w.sweep()
		row := w.scheduleRow(s)
		if row.ClaimUntil != fleet.At(now) {
			w.Errorf("a claim reaches to %s", row.ClaimUntil.Time())
		}
		if row := w.scheduleRow(theirs); row.ClaimUntil != 0 {
			w.Errorf("another host's schedule has the claim %+v", row)
		}
		host := w.hostRow(a)
		if got, want := string(host.Offers), `{"hooks":[{"name":"a b","problem":"misnamed"},{"name":"good.sh"}],"sources":[]}`; got != want {
			w.Errorf("offers %s, want %s", got, want)
		}
		if got, want := string(host.Absences), `[{"from":"2026-03-01T11:00:00Z","to":"2026-03-01T12:00:00Z","reason":""}]`; got != want {
			w.Errorf("absences %s, want %s", got, want)
		}
		w.clock.advance(2 * time.Hour)
		a.told.Absences = []job.Absence{}
		a.open()
		w.sweep()
		w.wantMissed(s, map[string]int{job.CodeNotFired: 2})
		w.wantMissed(theirs, map[string]int{job.CodeHostSilent: 1}) // the younger slot may still come
		// The id of a job is not that of the slot it names.
		wk := a.bear(fleet.NewID[fleet.JobID](), &job.Opened{
			Operation: job.OperationBackup, Trigger: fleet.BySchedule, Schedule: s.ID, Slot: w.clock.now().Add(time.Hour), At: w.clock.now(),
		})
		a.backup(wk)
		w.clock.advance(time.Hour)
		a.open()
		w.sweep()
		w.wantMissed(s, map[string]int{job.CodeNotFired: 3})
	})
}

func TestClaimsThatSayNothingNewAreNotWritten(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("0 * * * *")
		a.told.Absences = []job.Absence{{From: w.clock.now().Add(-time.Hour), To: w.clock.now(), Reason: "off"}}
		a.told.Offers = &job.Offers{Hooks: []job.Offer{{Name: "dump.sh"}}}
		a.sync()
		w.must(w.store.FlushContacts(w.Context()))
		before := w.store.Stats()
		for range 10 {
			w.clock.advance(20 * time.Second)
			w.must(w.store.FlushContacts(w.Context()))
			before.Transactions++ // the contacts of all hosts, once
			a.claim(s)
			a.sync()
		}
		if after := w.store.Stats(); after.Transactions > before.Transactions {
			w.Errorf("ten idle polls wrote %d transactions beside their contacts", after.Transactions-before.Transactions)
		}
		if len(a.told.Absences) != 1 || w.hostRow(a).Absences == "" {
			w.Error("the absence was not kept")
		}
	})
}
