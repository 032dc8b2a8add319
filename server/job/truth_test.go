package job_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

// ends carries a fired job to an end with so many files of a kilobyte each.
func (a *agent) ends(wk *work, result string, files int64) {
	a.Helper()
	a.event(wk, job.Event{Kind: job.EventRunning})
	o := job.Outcome{Result: result, Message: "in restic's words", Stats: &job.BackupStats{FilesProcessed: files, BytesProcessed: files << 10, DataAddedPacked: 100}}
	var snapshot *job.Snapshot
	if fleet.Result(result).Good() {
		id := snapshotID(string(wk.job))
		o.SnapshotID, o.Confirmed, snapshot = id, true, a.snapshot(id)
	}
	a.finish(wk, o, snapshot)
}

func (w *world) facts(s *fleet.Schedule) fleet.ScheduleFacts {
	w.Helper()
	var f fleet.ScheduleFacts
	w.must(w.scheduleRow(s).Facts.Read(&f))
	return f
}

func TestWhatIsUsualOfAScheduleFollowsFromItsLastBackups(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("0 * * * *")
		for i, files := range []int64{100, 110, 90, 105, 0, 95, 100, 120, 7} {
			w.clock.advance(time.Hour)
			a.ends(a.fire(s, w.clock.now(), fleet.BySchedule), "succeeded", files)
			f := w.facts(s)
			if f.Files != files || f.Bytes != files<<10 {
				w.Errorf("backup %d: facts %+v", i, f)
			}
			if i < 3 && f.UsualFiles != 0 {
				w.Errorf("backup %d: usual are %d files, after too few backups", i, f.UsualFiles)
			}
		}
		f := w.facts(s)
		if f.UsualFiles != 100 || f.UsualBytes != 100<<10 || len(f.RecentFiles) != 7 {
			w.Errorf("facts %+v", f)
		}
		w.clock.advance(time.Hour)
		a.ends(a.fire(s, w.clock.now(), fleet.BySchedule), "failed", 3)
		after := w.facts(s)
		if after.Result != fleet.Failed || after.Files != 7 || after.UsualFiles != f.UsualFiles {
			w.Errorf("after a failure: %+v", after)
		}
		days, err := w.store.Days(w.Context(), []fleet.HostID{a.id.Host}, 0, 1<<30)
		w.must(err)
		var sum fleet.Day
		for _, d := range days[a.id.Host] {
			sum.Succeeded, sum.Failed, sum.BytesAdded = sum.Succeeded+d.Succeeded, sum.Failed+d.Failed, sum.BytesAdded+d.BytesAdded
		}
		if sum != (fleet.Day{Succeeded: 9, Failed: 1, BytesAdded: 1000}) {
			w.Errorf("the days come to %+v", sum)
		}
	})
}

func TestTheStandingOfAHostFollowsWhatHappens(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("0 */4 * * *") // an objective of 5 hours
		stay := func(d time.Duration) {
			w.Helper()
			for end := w.clock.now().Add(d); w.clock.now().Before(end); {
				w.clock.advance(20 * time.Second)
				a.sync()
				w.sweep()
			}
		}
		w.sweep()
		w.wantState(a, fleet.NeverBacked)
		fire := func(result string) {
			w.Helper()
			at := w.clock.now().Truncate(time.Hour)
			a.ends(a.fire(s, at, fleet.BySchedule), result, 10)
			a.claim(s)
			a.sync()
			w.sweep()
		}
		w.clock.micros.Store(time.Date(2026, 3, 1, 16, 0, 0, 0, time.UTC).UnixMicro())
		fire("succeeded")
		w.wantState(a, fleet.Protected)
		since := w.hostRow(a).ProtectionSince
		stay(time.Minute)
		if got := w.hostRow(a).ProtectionSince; got != since {
			w.Error("the host's standing began anew though it is the same")
		}

		w.clock.micros.Store(time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC).UnixMicro())
		fire("failed")
		w.wantState(a, fleet.AtRisk)
		if reason := w.hostRow(a).ProtectionReason; !strings.Contains(reason, `"nightly"`) || !strings.Contains(reason, "in restic's words") {
			w.Errorf("the reason is %q", reason)
		}
		w.clock.micros.Store(time.Date(2026, 3, 1, 21, 0, 0, 0, time.UTC).UnixMicro())
		stay(time.Minute)
		w.wantState(a, fleet.Unprotected)
		o, err := w.store.Overview(w.Context())
		w.must(err)
		if o.Unprotected != 1 || o.Score() != 0 {
			w.Errorf("overview %+v", o)
		}
		w.clock.micros.Store(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixMicro())
		a.sync()
		fire("warning")
		w.wantState(a, fleet.Protected)

		// It falls silent.
		w.clock.advance(3 * time.Minute)
		w.sweep()
		w.wantState(a, fleet.AtRisk)
		if o, err = w.store.Overview(w.Context()); err != nil || o.Score() != 0 {
			w.Errorf("an absent host does not lower the score: %+v, %v", o, err)
		}
		w.write(func(tx *store.Tx) error {
			h, err := tx.LockHost(w.Context(), a.id.Host)
			if err != nil {
				return err
			}
			h.Availability = fleet.ComeAndGo
			return tx.UpdateHost(w.Context(), h)
		})
		w.wantState(a, fleet.Asleep)
		if o, err = w.store.Overview(w.Context()); err != nil || o.Asleep != 1 || o.Score() != 0 {
			w.Errorf("a host asleep does not lower the score: %+v, %v", o, err)
		}
		if breach := w.hostRow(a).BreachAt.Time(); breach.Before(w.clock.now().Add(7 * 24 * time.Hour)) {
			w.Errorf("a host that comes and goes is unprotected from %s on", breach)
		}
		stay(time.Minute)
		w.wantState(a, fleet.Protected)
		w.clock.advance(8 * 24 * time.Hour)
		w.sweep()
		w.wantState(a, fleet.Unprotected)
	})
}

func TestAfterAnOutageOfOursNobodyIsJudgedAtOnce(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		a, s := w.timed("0 * * * *")
		a.ends(a.fire(s, w.clock.now(), fleet.BySchedule), "succeeded", 1)
		w.sweep()
		w.wantState(a, fleet.Protected)
		w.restart(url, 24*time.Hour)
		w.sweep()
		w.wantState(a, fleet.Protected)
		// Nor by what else happens to the host meanwhile.
		w.write(func(tx *store.Tx) error { return tx.JudgeHost(w.Context(), a.id.Host) })
		w.wantState(a, fleet.Protected)
		w.clock.advance(6 * time.Minute)
		w.sweep()
		w.wantState(a, fleet.Unprotected)
	})
}

func TestAnUnconfirmedBackupPutsItsHostAtRiskUntilItIsSeen(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.timed("0 * * * *")
		wk := a.fire(s, w.clock.now(), fleet.BySchedule)
		a.finish(wk, job.Outcome{Result: "succeeded", SnapshotID: snapshotID(string(wk.job))}, nil)
		w.wantState(a, fleet.AtRisk)
		if f := w.facts(s); !f.Unconfirmed {
			w.Errorf("facts %+v", f)
		}
		_, _, err := a.put(wk.job, 0, true, w.listing(a.snapshot(snapshotID(string(wk.job)))))
		w.must(err)
		w.wantState(a, fleet.Protected)
	})
}

func TestFactsOfBeforeTheRollupsAreTakenIn(t *testing.T) {
	url := storetest.SQLite(t)
	w := newWorld(t, url)
	a, s := w.timed("0 * * * *")
	a.ends(a.fire(s, w.clock.now(), fleet.BySchedule), "succeeded", 5)
	w.clock.advance(time.Hour)
	a.ends(a.fire(s, w.clock.now(), fleet.BySchedule), "failed", 0)
	w.must(w.store.Close())
	db, err := sqlx.Open("sqlite", url)
	w.must(err)
	for _, statement := range []string{
		`UPDATE schedules SET timing_since = 0, timing_version = 0, checked_until = 0, unchecked = 0, overdue_at = 0, next_slot = 0, breach_at = 0, facts = ''`,
		`UPDATE hosts SET protection = 'not_scheduled', protection_since = 0, breach_at = 0, next_slot = 0, unchecked = 0`,
	} {
		_, err := db.Exec(statement)
		w.must(err)
	}
	w.must(db.Close())
	w.reopen(url)
	w.sweep()
	w.wantState(a, fleet.AtRisk)
	if f := w.facts(s); f.Result != fleet.Failed || f.Message == "" {
		t.Errorf("facts %+v", f)
	}
	if row := w.scheduleRow(s); row.NextSlot.IsZero() || row.CheckedUntil != fleet.At(w.clock.now()) {
		t.Errorf("got %+v", row)
	}
}
