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

// ended has an agent carry an operation out, and gives what it can report more of it.
func (w *world) ended(a *agent, r *fleet.Repository, operation string, params map[string]any, o job.Outcome) *work {
	w.Helper()
	wk := a.begins(w.asks(a, r, operation, params).ID)
	a.running = nil
	a.finish(wk, o, nil)
	return wk
}

func TestAJobThatIsFinishedAgainSaysNothingMoreOfItsRepository(t *testing.T) {
	each(t, func(w *world) {
		r, nas, _ := w.maintained(1)
		measured := w.ended(nas, r, "stats", map[string]any{"mode": "raw-data"}, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"mode":"raw-data","total_size":100}`)})
		inspected := w.ended(nas, r, "inspect", nil, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"foreign_objects":3}`)})
		all := map[string]any{"read_data": true}
		before := w.ended(nas, r, "check", all, job.Outcome{Result: "succeeded"})
		w.ended(nas, r, "check", all, job.Outcome{Result: "failed", Code: "repo_damaged", Facts: json.RawMessage(`{"errors":1}`)})
		pruned := w.ended(nas, r, "prune", nil, job.Outcome{Result: "failed", Code: "prune_blocked_unverified"})
		health, codes := w.health(r), w.codes(store.ObjectRepository, string(r.ID))
		if health.StoredBytes != 100 || !strings.Contains(codes, "check_failed") || !strings.Contains(codes, "foreign_objects") {
			t.Fatalf("got %+v and %q", health, codes)
		}
		for wk, o := range map[*work]job.Outcome{
			measured:  {Result: "succeeded", CanDelete: "no", Facts: json.RawMessage(`{"mode":"raw-data","total_size":7}`)},
			inspected: {Result: "succeeded", Facts: json.RawMessage(`{"foreign_objects":0}`)},
			before:    {Result: "succeeded"},
			pruned:    {Result: "succeeded"},
		} {
			nas.finish(wk, o, nil)
		}
		again := w.health(r)
		if got, want := again.StoredBytes, health.StoredBytes; got != want || again.LastCheck != health.LastCheck || again.AppendProven != 0 {
			w.Errorf("health became %+v", again)
		}
		if got := w.codes(store.ObjectRepository, string(r.ID)); got != codes {
			w.Errorf("conditions became %q, from %q", got, codes)
		}
		listings, _, err := w.store.Jobs(w.Context(), store.JobFilter{Operation: "snapshots"}, store.Page{})
		w.must(err)
		if len(listings) != 1 {
			w.Errorf("%d listings after one prune", len(listings))
		}
	})
}

func TestALostJobThatEndsAfterAllSaysWhatItFound(t *testing.T) {
	w := lite(t)
	r, nas, _ := w.maintained(1)
	wk := nas.begins(w.order(nas, r, "check").ID)
	nas.running = nil
	for range 2 {
		w.clock.advance(25 * time.Hour)
		w.must(w.jobs.Sweep(t.Context()))
	}
	if j := w.job(wk.job); j.Result != fleet.Lost {
		t.Fatalf("the job is %s, %s", j.State, j.Result)
	}
	nas.open()
	nas.finish(wk, job.Outcome{Result: "failed", Code: "repo_damaged", Facts: json.RawMessage(`{"errors":1}`)}, nil)
	if got := w.codes(store.ObjectRepository, string(r.ID)); !strings.Contains(got, "check_failed") {
		t.Errorf("conditions %q", got)
	}
}

func TestDamageThatTheMaintenanceHostFoundIsClearedByItAlone(t *testing.T) {
	each(t, func(w *world) {
		r, nas, hosts := w.maintained(2)
		web, other := hosts[0], hosts[1]
		codes := func() string { return w.codes(store.ObjectRepository, string(r.ID)) }
		all := map[string]any{"read_data": true}
		damage := job.Outcome{Result: "failed", Code: "repo_damaged", Facts: json.RawMessage(`{"errors":1}`)}
		w.does(nas, r, "check", all, damage)
		w.does(nas, r, "prune", nil, job.Outcome{Result: "failed", Code: "repo_damaged"})
		w.does(web, r, "check", all, job.Outcome{Result: "succeeded"})
		web.backup(web.begins(w.runOf(web).ID))
		if got := codes(); got != "check_failed repo_damaged" {
			w.Errorf("after a good check and backup at another host: %q", got)
		}
		w.does(nas, r, "stats", map[string]any{"mode": "raw-data"}, job.Outcome{Result: "succeeded"})
		if got := codes(); !strings.Contains(got, "repo_damaged") {
			w.Errorf("after a measurement: %q", got)
		}
		w.does(nas, r, "check", all, job.Outcome{Result: "succeeded"})
		if got := codes(); got != "" {
			w.Errorf("after a good check at the maintenance host: %q", got)
		}

		// What a host found itself, it may take back.
		w.does(web, r, "check", all, damage)
		w.does(other, r, "check", all, job.Outcome{Result: "succeeded"})
		if got := codes(); got != "check_failed" {
			w.Errorf("after a good check elsewhere: %q", got)
		}
		w.does(web, r, "check", all, job.Outcome{Result: "succeeded"})
		if got := codes(); got != "" {
			w.Errorf("after its own good check: %q", got)
		}

		// Where nobody maintains it, damage does not outlast who found it.
		w.does(nas, r, "check", all, damage)
		w.write(func(tx *store.Tx) error { return tx.SetMaintenance(w.Context(), r.ID, "", "") })
		w.does(web, r, "check", all, job.Outcome{Result: "succeeded"})
		if got := codes(); got != "" {
			w.Errorf("where nobody maintains it: %q", got)
		}
	})
}

func TestOnlyWhoMaintainsARepositoryTellsOfItsStorage(t *testing.T) {
	w := lite(t)
	r, nas, hosts := w.maintained(1)
	began := nas.begins(w.order(nas, r, "inspect").ID)
	w.write(func(tx *store.Tx) error { return tx.SetMaintenance(w.Context(), r.ID, hosts[0].id.Host, "/srv/main") })
	nas.running = nil
	nas.finish(began, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"foreign_objects":3,"total_bytes":9}`)}, nil)
	if h := w.health(r); h.ForeignObjects != 0 || h.Inspect != "" || h.TotalBytes != 0 {
		t.Errorf("a host that maintains it no more: %+v", h)
	}
	w.write(func(tx *store.Tx) error { return tx.SetMaintenance(w.Context(), r.ID, nas.id.Host, "/srv/main") })
	w.does(hosts[0], r, "stats", map[string]any{"mode": "raw-data"}, job.Outcome{
		Result: "succeeded", Storage: &job.StorageSpace{FreeBytes: 1, TotalBytes: 2}, Facts: json.RawMessage(`{"mode":"raw-data","total_size":100}`),
	})
	if h := w.health(r); h.TotalBytes != 0 || h.StoredBytes != 100 {
		t.Errorf("another host's disk counts: %+v", h)
	}
}

// late has an agent report an operation that it ended an hour ago.
func (w *world) late(a *agent, r *fleet.Repository, operation string, params map[string]any, o job.Outcome) *fleet.Job {
	w.Helper()
	j := w.asks(a, r, operation, params)
	wk := a.begins(j.ID)
	a.running = nil
	a.event(wk, job.Event{Kind: job.EventFinished, Outcome: &o})
	wk.events[len(wk.events)-1].At = w.clock.now().Add(-time.Hour)
	a.report(wk)
	a.sync()
	return w.job(j.ID)
}

func TestAReportThatComesLateChangesNothingThatIsNewer(t *testing.T) {
	each(t, func(w *world) {
		r, nas, _ := w.maintained(1)
		all := map[string]any{"read_data": true}
		codes := func() string { return w.codes(store.ObjectRepository, string(r.ID)) }
		w.does(nas, r, "inspect", nil, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"foreign_objects":3,"keys":2,"total_bytes":9}`)})
		w.does(nas, r, "prune", nil, job.Outcome{Result: "failed", Code: "prune_blocked_unverified"})
		w.does(nas, r, "retention", nil, job.Outcome{Result: "succeeded"})
		w.does(nas, r, "check", all, job.Outcome{Result: "failed", Code: "repo_damaged", Facts: json.RawMessage(`{"errors":1}`)})
		health, held := w.health(r), codes()
		w.late(nas, r, "inspect", nil, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"foreign_objects":0,"keys":1,"total_bytes":5}`)})
		w.late(nas, r, "prune", nil, job.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"undo_until":"2026-03-15T12:00:00Z"}`)})
		w.late(nas, r, "retention", nil, job.Outcome{Result: "succeeded"})
		w.late(nas, r, "check", all, job.Outcome{Result: "succeeded"})
		got := w.health(r)
		if got.Inspect != health.Inspect || got.ForeignObjects != 3 || got.Keys != 2 || got.TotalBytes != 9 || got.LastPrune != health.LastPrune ||
			got.UndoUntil != 0 || got.LastRetention != health.LastRetention || got.LastCheck != health.LastCheck {
			w.Errorf("health became %+v, from %+v", got, health)
		}
		if got := codes(); got != held || !strings.Contains(got, "check_failed") || !strings.Contains(got, "prune_blocked") {
			w.Errorf("conditions became %q, from %q", got, held)
		}
	})
}
