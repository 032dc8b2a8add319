package job_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// asks orders an operation of a repository at an agent, its name typed.
func (w *world) asks(a *agent, r *fleet.Repository, operation string, params map[string]any) *fleet.Job {
	w.Helper()
	raw, err := json.Marshal(params)
	w.must(err)
	j, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{
		Host: a.id.Host, Operation: operation, Repository: r.ID, Confirm: r.Name, Params: raw,
	})
	w.must(err)
	return j
}

// does has an agent carry an operation out by hand, with what it found.
func (w *world) does(a *agent, r *fleet.Repository, operation string, params map[string]any, o job.Outcome) *fleet.Job {
	w.Helper()
	j := w.asks(a, r, operation, params)
	a.carriesOut(j, o)
	return w.job(j.ID)
}

func TestMeasurementsFillHealthAndDays(t *testing.T) {
	each(t, func(w *world) {
		r, nas, _ := w.maintained(1)
		for day := range 5 {
			w.does(nas, r, "stats", map[string]any{"mode": "restore-size"}, job.Outcome{Result: "succeeded", Facts: json.RawMessage(
				`{"mode":"restore-size","total_size":20000,"snapshots_count":7}`)})
			if h := w.health(r); day == 0 && (h.MeasuredAt != 0 || h.SourceBytes != 20000) {
				w.Errorf("what is stored was measured at %s by what would be restored, %d bytes", h.MeasuredAt.Time(), h.SourceBytes)
			}
			w.does(nas, r, "stats", map[string]any{"mode": "raw-data"}, job.Outcome{Result: "succeeded", Facts: json.RawMessage(
				`{"mode":"raw-data","total_size":` + string(rune('1'+day)) + `000,"total_uncompressed_size":9000,"snapshots_count":7,"total_blob_count":12}`)})
			w.clock.advance(24 * time.Hour)
			nas.sync()
		}
		w.does(nas, r, "inspect", nil, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"free_bytes":10000,"total_bytes":50000,"keys":1,"foreign_keys":0,"suspects":2,"foreign_objects":3}`)})
		h := w.health(r)
		if h.StoredBytes != 5000 || h.SourceBytes != 20000 || h.Blobs != 12 || h.GrowthPerDay != 1000 || h.FreeBytes != 10000 || h.Keys != 1 || h.Suspects != 2 {
			w.Errorf("got %+v", h)
		}
		if got, want := h.FullAt().Time().Sub(h.MeasuredAt.Time()), 10*24*time.Hour; got != want {
			w.Errorf("full in %s, want %s", got, want)
		}
		days, err := w.store.RepositoryDays(w.Context(), r.ID, 0)
		w.must(err)
		if len(days) != 5 || days[4].Snapshots != 7 {
			w.Errorf("got days %+v", days)
		}
		if got := w.codes(store.ObjectRepository, string(r.ID)); got != "foreign_objects suspect_snapshots" {
			w.Errorf("conditions %q", got)
		}
		w.does(nas, r, "inspect", nil, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"keys":2,"foreign_keys":1,"suspects":0,"foreign_objects":0}`)})
		if got := w.codes(store.ObjectRepository, string(r.ID)); got != "keys_changed" {
			w.Errorf("conditions %q", got)
		}
		w.does(nas, r, "inspect", nil, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"suspects":5,"keys":"many"}`)})
		if got := w.codes(store.ObjectRepository, string(r.ID)); got != "keys_changed" {
			w.Errorf("facts of another shape changed what is known: %q", got)
		}
		w.does(nas, r, "inspect", nil, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"keys":1,"foreign_keys":0}`)})
		if got := w.codes(store.ObjectRepository, string(r.ID)); got != "" {
			w.Errorf("conditions %q", got)
		}
	})
}

func TestDamageIsHeldAgainstARepositoryUntilTheSameDataIsSound(t *testing.T) {
	each(t, func(w *world) {
		r, nas, _ := w.maintained(1)
		part := func(n int) map[string]any { return map[string]any{"part": n, "parts": 3} }
		codes := func() string { return w.codes(store.ObjectRepository, string(r.ID)) }
		w.does(nas, r, "check", part(1), job.Outcome{Result: "failed", Code: "repo_unreachable"})
		if got := codes(); strings.Contains(got, "check_failed") {
			w.Errorf("a check that could not look: %q", got)
		}
		w.does(nas, r, "check", part(2), job.Outcome{Result: "failed", Code: "repo_damaged", Message: "pack 1234 is damaged", Facts: json.RawMessage(`{"errors":1}`)})
		if got := codes(); !strings.Contains(got, "check_failed") {
			w.Errorf("after damage: %q", got)
		}
		w.does(nas, r, "check", part(3), job.Outcome{Result: "succeeded"})
		if got := codes(); !strings.Contains(got, "check_failed") {
			w.Error("another part is sound, and the damage is forgotten")
		}
		w.does(nas, r, "check", part(2), job.Outcome{Result: "succeeded"})
		if got := codes(); strings.Contains(got, "check_failed") {
			w.Error("the part is sound, and still called damaged")
		}
		w.does(nas, r, "prune", nil, job.Outcome{Result: "failed", Code: "prune_blocked_unverified", Message: "two packs hold wrong content"})
		if got := codes(); !strings.Contains(got, "prune_blocked") {
			w.Errorf("after a prune that refused: %q", got)
		}
		last := w.does(nas, r, "prune", nil, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"undo_until":"2026-03-15T12:00:00Z"}`)})
		if h := w.health(r); strings.Contains(codes(), "prune_blocked") || h.LastPrune != last.ID || h.UndoUntil.Time().Day() != 15 {
			w.Errorf("after a prune: %q, %+v", codes(), h)
		}
	})
}

// TestLocksAreMatchedAndSweptByTheirHosts has locks of a host of ours, of one that
// nobody knows, and of a name that two hosts have.
func TestLocksAreMatchedAndSweptByTheirHosts(t *testing.T) {
	each(t, func(w *world) {
		r, nas, hosts := w.maintained(2)
		web := hosts[0]
		now := w.clock.now()
		lock := func(id, host string, age time.Duration, alive string) job.Lock {
			return job.Lock{ID: snapshotID(id), Hostname: host, PID: 7, CreatedAt: now.Add(-age), Alive: alive}
		}
		list := func(locks ...job.Lock) { w.does(nas, r, "locks", nil, job.Outcome{Result: "succeeded", Locks: locks}) }
		list(lock("a", "web-1", time.Minute, "no"), lock("b", "stranger", time.Hour, ""), lock("c", "nas", time.Minute, "yes"))
		seen, err := w.jobs.Locks(w.Context(), r.ID)
		w.must(err)
		by := map[string]job.LockSeen{}
		for _, l := range seen.Locks {
			by[l.Hostname] = l
		}
		if l := by["web-1"]; l.HostName != "web-1" || l.Alive != "unknown" {
			w.Errorf("another machine's word on a lock counts: %+v", l)
		}
		if by["stranger"].HostID != "" || by["nas"].Alive != "yes" {
			w.Errorf("got %+v", by)
		}
		unlocks := func() int {
			jobs, _, err := w.store.Jobs(w.Context(), store.JobFilter{Operation: "unlock"}, store.Page{})
			w.must(err)
			return len(jobs)
		}
		w.must(w.jobs.SweepLocks(w.Context()))
		if unlocks() != 0 {
			w.Error("a fresh lock for which nobody waits is swept")
		}
		waiting := web.begins(w.runOf(web).ID)
		web.event(waiting, job.Event{Kind: job.EventWaiting, Code: "repo_locked", Message: "somebody else is at it"})
		web.report(waiting)
		for range 3 {
			w.must(w.jobs.SweepLocks(w.Context()))
		}
		if unlocks() != 1 {
			w.Errorf("a job waits for a lock: %d unlocks", unlocks())
		}
		jobs, _, err := w.store.Jobs(w.Context(), store.JobFilter{Operation: "unlock"}, store.Page{})
		w.must(err)
		if len(jobs) > 0 && (jobs[0].HostID != web.id.Host || jobs[0].Trigger != fleet.ByMaintenance) {
			w.Errorf("it was ordered at another host: %+v", jobs[0])
		}
	})
}

func TestLocksOfImpossibleTimesAreKeptAtPossibleOnes(t *testing.T) {
	each(t, func(w *world) {
		r, nas, _ := w.maintained(1)
		at := func(id string, year int) job.Lock {
			return job.Lock{ID: snapshotID(id), Hostname: "nas", CreatedAt: time.Date(year, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600))}
		}
		w.does(nas, r, "locks", nil, job.Outcome{Result: "succeeded", Locks: []job.Lock{at("a", 9999), at("b", 1), at("c", 2025)}})
		seen, err := w.jobs.Locks(w.Context(), r.ID)
		w.must(err)
		for _, l := range seen.Locks {
			want := map[string]time.Time{
				snapshotID("a"): w.clock.now(), snapshotID("b"): time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), snapshotID("c"): time.Date(2026, 1, 1, 0, 59, 59, 0, time.UTC),
			}[l.ID]
			if !l.CreatedAt.Time().Equal(want) {
				w.Errorf("lock %.1s is of %s, want %s", l.ID, l.CreatedAt.Time(), want)
			}
		}
		if len(seen.Locks) != 3 {
			w.Errorf("%d locks", len(seen.Locks))
		}
	})
}

func TestFactsBeyondReasonAreNotKept(t *testing.T) {
	each(t, func(w *world) {
		r, nas, _ := w.maintained(1)
		w.does(nas, r, "stats", map[string]any{"mode": "raw-data"}, job.Outcome{Result: "succeeded", Facts: json.RawMessage(
			`{"mode":"raw-data","total_size":9223372036854775807,"total_blob_count":-4}`)})
		w.does(nas, r, "inspect", nil, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"foreign_objects":7,"undo_until":"9999-12-31T23:59:59-01:00"}`)})
		if h := w.health(r); h.StoredBytes != 0 || h.Blobs != 0 || !h.UndoUntil.IsZero() || h.ForeignObjects != 7 {
			w.Errorf("got %+v", h)
		}
	})
}

func TestWhatNobodyOrderedSaysNothingOfARepository(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		for _, operation := range []string{"inspect", "check", "prune", "locks", "stats"} {
			wk := a.bear(fleet.NewID[fleet.JobID](), &job.Opened{Operation: operation, Repository: s.RepositoryID, Trigger: fleet.ByMaintenance, At: w.clock.now()})
			a.event(wk, job.Event{Kind: job.EventRunning})
			a.finish(wk, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"mode":"raw-data","total_size":5,"keys":9,"foreign_objects":9,"foreign_keys":1}`)}, nil)
			if got := w.job(wk.job); got.RepositoryID != "" {
				w.Errorf("a %s that the agent began by itself is of repository %s", operation, got.RepositoryID)
			}
		}
		r, err := w.store.Repository(w.Context(), s.RepositoryID)
		w.must(err)
		if h := w.health(r); h.Keys != 0 || h.StoredBytes != 0 || !h.LastGoodCheck.IsZero() || h.LastPrune != "" {
			w.Errorf("got %+v", h)
		}
	})
}
