package job_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

// plan gives a repository a plan, from now on.
func (w *world) plan(r *fleet.Repository, p fleet.MaintenancePlan) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		row, err := tx.LockRepository(w.Context(), r.ID)
		if err != nil {
			return err
		}
		if err := row.SetPlan(p, tx.Now); err != nil {
			return err
		}
		return tx.SetPlan(w.Context(), row)
	})
}

// ordered gives the operations of the jobs that a plan made, newest first.
func (w *world) ordered(r *fleet.Repository) string {
	w.Helper()
	jobs, _, err := w.store.Jobs(w.Context(), store.JobFilter{Repository: r.ID, Trigger: fleet.ByMaintenance}, store.Page{})
	w.must(err)
	var names []string
	for _, j := range jobs {
		names = append(names, j.Operation)
	}
	return strings.Join(names, " ")
}

func (w *world) health(r *fleet.Repository) fleet.RepositoryHealth {
	w.Helper()
	row, err := w.store.Repository(w.Context(), r.ID)
	w.must(err)
	var h fleet.RepositoryHealth
	w.must(row.Health.Read(&h))
	return h
}

// carriesOut has an agent run a job to a result.
func (a *agent) carriesOut(j *fleet.Job, o job.Outcome) {
	a.Helper()
	wk := a.begins(j.ID)
	a.running = nil
	a.finish(wk, o, nil)
	a.sync()
}

// TestAPlanOrdersEachDutyOnce has two replicas look at the same plan, and a server that
// was away for days.
func TestAPlanOrdersEachDutyOnce(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		other := w.jobs
		if strings.HasPrefix(url, "postgres") {
			other = &job.Service{Store: storetest.Open(t, url, store.Options{Now: w.clock.now}), Sealer: plainSeals{}, Logger: w.jobs.Logger}
		}
		r, nas, _ := w.maintained(1)
		w.plan(r, fleet.MaintenancePlan{Prune: "0 13 * * *", Check: "30 13 * * *", CheckParts: 3})
		for range 2 {
			w.must(w.jobs.Maintain(w.Context()))
		}
		if got := w.ordered(r); got != "" {
			t.Fatalf("before it is due: %s", got)
		}
		w.later(61*time.Minute, nas)
		done := make(chan error, 2)
		for _, s := range []*job.Service{w.jobs, other} {
			go func() { done <- s.Maintain(t.Context()) }()
		}
		for range 2 {
			w.must(<-done)
		}
		w.must(w.jobs.Maintain(w.Context()))
		if got := w.ordered(r); got != "prune" {
			t.Fatalf("at 13:01: %q", got)
		}
		entries, _, err := w.store.AuditEntries(t.Context(), store.AuditFilter{Actor: "plan"}, store.Page{})
		w.must(err)
		if len(entries) != 1 || entries[0].Action != "job.create" || entries[0].ObjectName != "prune" || entries[0].Detail != "on host nas; by the plan of main" {
			t.Errorf("the audit log has %+v", entries)
		}
		if _, err := w.store.VerifyAudit(t.Context()); err != nil {
			t.Error(err)
		}
		w.clock.advance(3 * 24 * time.Hour) // nobody was there
		nas.sync()
		w.must(w.store.FlushContacts(w.Context()))
		w.must(w.jobs.Maintain(w.Context()))
		w.must(w.jobs.Maintain(w.Context()))
		if got := w.ordered(r); got != "check prune" {
			t.Errorf("after three days: %q; the prune still waits, so there is no second", got)
		}
		row, err := w.store.Repository(w.Context(), r.ID)
		w.must(err)
		if want := time.Date(2026, 3, 5, 13, 0, 0, 0, time.UTC); !row.NextPrune.Time().Equal(want) {
			t.Errorf("the next prune is due at %s, want %s", row.NextPrune.Time(), want)
		}
	})
}

func TestNothingThatDeletesIsOrderedWithoutAMaintenanceHost(t *testing.T) {
	w := lite(t)
	r, _, hosts := w.maintained(1)
	w.write(func(tx *store.Tx) error { return tx.SetMaintenance(w.Context(), r.ID, "", "") })
	w.plan(r, fleet.MaintenancePlan{Retention: "0 13 * * *", Prune: "0 13 * * *", Measure: "0 13 * * *"})
	w.later(61*time.Minute, hosts[0])
	w.clock.advance(5 * time.Minute) // everybody is away
	w.must(w.jobs.Maintain(w.Context()))
	if got := w.ordered(r); got != "" {
		t.Errorf("with nobody there: %q", got)
	}
	hosts[0].sync()
	w.must(w.store.FlushContacts(w.Context()))
	w.must(w.jobs.Maintain(w.Context()))
	got := w.ordered(r)
	if !strings.Contains(got, "snapshots") || !strings.Contains(got, "locks") || strings.Contains(got, "prune") || strings.Contains(got, "retention") {
		t.Errorf("ordered %q", got)
	}
}

func TestAPlanOrdersNothingThatItsHostRefuses(t *testing.T) {
	w := lite(t)
	r, nas, _ := w.maintained(1)
	w.plan(r, fleet.MaintenancePlan{Prune: "0 * * * *"})
	allow := func(location string) {
		nas.told.Policy = &job.PolicyReport{State: job.PolicyOK, Maintenance: []fleet.MaintenanceRule{{Location: location}}}
		w.later(time.Hour, nas)
		w.must(w.jobs.Maintain(w.Context()))
	}
	allow("/srv/other")
	if got := w.ordered(r); got != "" {
		t.Errorf("refused by its policy file, and ordered: %q", got)
	}
	if got := w.codes(store.ObjectRepository, string(r.ID)); got != job.CodeMaintenanceNotAllowed {
		t.Errorf("conditions %q", got)
	}
	allow("/srv")
	if got := w.ordered(r); got != "prune" {
		t.Errorf("allowed by its policy file, and ordered: %q", got)
	}
	if got := w.codes(store.ObjectRepository, string(r.ID)); got != "" {
		t.Errorf("conditions %q", got)
	}
}

func TestAPlanReadsAllPartsInTurn(t *testing.T) {
	w := lite(t)
	r, nas, _ := w.maintained(1)
	w.plan(r, fleet.MaintenancePlan{Check: "0 * * * *", CheckParts: 3})
	for hour := range 6 {
		w.later(time.Hour, nas)
		w.must(w.jobs.Maintain(w.Context()))
		jobs, _, err := w.store.Jobs(w.Context(), store.JobFilter{Operation: "check", Active: true}, store.Page{})
		w.must(err)
		if len(jobs) != 1 {
			t.Fatalf("hour %d: %d checks", hour, len(jobs))
		}
		if want := fmt.Sprintf(`"part":%d,"parts":3`, hour%3+1); !strings.Contains(string(jobs[0].Params), want) {
			t.Errorf("hour %d: %s, want %s", hour, jobs[0].Params, want)
		}
		nas.carriesOut(&jobs[0], job.Outcome{Result: "succeeded"})
		if got, want := w.health(r).ReadShare, min(1, float64(hour+1)/3); got != want {
			t.Errorf("hour %d: %f was read, want %f", hour, got, want)
		}
	}
}

func TestAPlanOutlastsAClockThatIsSetBack(t *testing.T) {
	each(t, func(w *world) {
		r, nas, _ := w.maintained(1)
		w.plan(r, fleet.MaintenancePlan{Prune: "0 13 * * *", Check: "0 14 * * sun", Measure: "0 15 1 1 *"})
		next := func() string {
			row, err := w.store.Repository(w.Context(), r.ID)
			w.must(err)
			var text []string
			for _, at := range []fleet.Time{row.NextRetention, row.NextPrune, row.NextCheck, row.NextMeasure} {
				if at.IsZero() {
					text = append(text, "never")
					continue
				}
				text = append(text, at.Time().Format("2006-01-02 15:04"))
			}
			return strings.Join(text, ", ")
		}
		want := func(when, want string) {
			w.Helper()
			w.must(w.jobs.ReviewPlans(w.Context()))
			if got := next(); got != want {
				w.Errorf("%s: %s, want %s", when, got, want)
			}
		}
		want("before", "never, 2026-03-01 13:00, 2026-03-01 14:00, 2027-01-01 15:00")
		w.clock.advance(370*24*time.Hour + 61*time.Minute) // the clock runs ahead
		nas.sync()
		w.must(w.store.FlushContacts(w.Context()))
		w.must(w.jobs.Maintain(w.Context()))
		want("a year ahead", "never, 2027-03-07 13:00, 2027-03-07 14:00, 2028-01-01 15:00")
		w.clock.advance(-2 * time.Minute) // replicas' clocks differ
		want("two minutes back", "never, 2027-03-07 13:00, 2027-03-07 14:00, 2028-01-01 15:00")
		w.clock.advance(-370 * 24 * time.Hour)
		want("set back", "never, 2026-03-01 13:00, 2026-03-01 14:00, 2027-01-01 15:00")
	})
}
