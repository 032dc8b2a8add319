package job_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

// maintained is a repository with a host that maintains it, in a session, and hosts
// that back up there.
func (w *world) maintained(hosts int) (*fleet.Repository, *agent, []*agent) {
	w.Helper()
	r := w.repository("main", fleet.RepositoryReady)
	nas := w.host("nas")
	w.write(func(tx *store.Tx) error { return tx.SetMaintenance(w.Context(), r.ID, nas.id.Host, "/srv/main") })
	nas.open()
	nas.sync()
	var backing []*agent
	for i := range hosts {
		a := w.host(fmt.Sprintf("web-%d", i+1))
		w.schedule(a, r, "daily")
		a.open()
		a.sync()
		backing = append(backing, a)
	}
	w.must(w.store.FlushContacts(w.Context()))
	return r, nas, backing
}

func (w *world) order(a *agent, r *fleet.Repository, operation string) *fleet.Job {
	w.Helper()
	j, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{Host: a.id.Host, Operation: operation, Repository: r.ID, Confirm: r.Name})
	w.must(err)
	return j
}

// begins has an agent run what it was told of a job.
func (a *agent) begins(id fleet.JobID) *work {
	a.Helper()
	a.sync()
	wk := a.jobs[id]
	if wk == nil {
		a.Fatalf("the agent was not told of job %s", id)
	}
	a.event(wk, job.Event{Kind: job.EventRunning})
	a.report(wk)
	a.running = append(a.running, job.RunningJob{ID: id, Epoch: 1, Phase: "running"})
	return wk
}

func (a *agent) done(wk *work) {
	a.Helper()
	a.running = nil
	a.finish(wk, job.Outcome{Result: "succeeded"}, nil)
}

// later lets time pass with everybody in touch.
func (w *world) later(by time.Duration, agents ...*agent) {
	w.Helper()
	for ; by > 0; by -= time.Minute {
		w.clock.advance(min(by, time.Minute))
		for _, a := range agents {
			a.sync()
		}
		w.must(w.store.FlushContacts(w.Context()))
		w.must(w.jobs.TakeTurns(w.Context()))
	}
}

func TestAnExclusiveJobWaitsForABackupAndNamesIt(t *testing.T) {
	each(t, func(w *world) {
		r, nas, hosts := w.maintained(1)
		web := hosts[0]
		backup := web.begins(w.runOf(web).ID)
		prune := w.order(nas, r, "prune")
		if prune.State != fleet.Waiting || !prune.Held || !strings.HasPrefix(prune.WaitingOn, "Back up at web-1 since 2026-03-01 12:00 UTC") {
			w.Fatalf("the job is %s and waits on %q", prune.State, prune.WaitingOn)
		}
		if nas.sync(); nas.jobs[prune.ID] != nil {
			w.Error("the agent was told of a job whose turn it is not")
		}
		web.done(backup)
		if j := w.job(prune.ID); j.State != fleet.Pending || j.Held || j.WaitingOn != "" {
			w.Errorf("after the backup the job is %s, waits on %q", j.State, j.WaitingOn)
		}
		running := nas.begins(prune.ID)
		holds := web.sync().Holds
		if len(holds) != 1 || holds[0].Job != prune.ID || holds[0].Operation != "prune" || holds[0].Host != "nas" {
			w.Errorf("the host is held back by %+v", holds)
		}
		web.holds = []fleet.JobID{prune.ID}
		if answer := web.sync(); !answer.Empty() || len(answer.Holds) != 1 {
			w.Errorf("a host that knows is told %+v", answer)
		}
		nas.done(running)
		if answer := web.sync(); answer.Empty() || answer.Holds == nil || len(answer.Holds) != 0 {
			w.Errorf("after the job the host is told %+v", answer)
		}
	})
}

func TestBackupsAreHeldBackForAJobThatWaitsForLong(t *testing.T) {
	each(t, func(w *world) {
		r, nas, hosts := w.maintained(2)
		first, second := hosts[0], hosts[1]
		first.begins(w.runOf(first).ID)
		prune := w.order(nas, r, "prune")
		held := func() int { return len(second.sync().Holds) }
		w.later(9*time.Minute, nas, first, second)
		if held() != 0 {
			w.Error("backups are held back before the job waited for ten minutes")
		}
		w.later(2*time.Minute, nas, first, second)
		if held() != 1 {
			w.Error("backups are not held back for a job that waits for more than ten minutes")
		}
		w.later(time.Hour, nas, first, second)
		if held() != 0 {
			w.Error("backups are held back for more than an hour at once")
		}
		if _, err := w.jobs.Cancel(w.Context(), someone, prune.ID); err != nil {
			w.Fatal(err)
		}
		if j := w.job(prune.ID); j.State != fleet.Finished || j.Result != fleet.Cancelled || j.Held {
			w.Errorf("a job that waited for its turn and was cancelled is %s, %s", j.State, j.Result)
		}
		if row, _ := w.store.Repository(w.Context(), r.ID); row.HoldJob != "" || row.HoldUntil != 0 {
			w.Errorf("still held for %q until %d", row.HoldJob, row.HoldUntil)
		}
	})
}

func TestAJobThatNeverEndsIsToldAndBackupsGoOn(t *testing.T) {
	each(t, func(w *world) {
		w.jobs.LongestHold = 2 * time.Hour
		r, nas, hosts := w.maintained(1)
		web := hosts[0]
		running := nas.begins(w.order(nas, r, "prune").ID)
		w.later(time.Hour, nas, web)
		if len(web.sync().Holds) != 1 {
			w.Error("after an hour backups are not held back")
		}
		web.holds = []fleet.JobID{running.job}
		w.later(time.Hour, nas, web)
		if answer := web.sync(); answer.Holds == nil || len(answer.Holds) != 0 {
			w.Errorf("after two hours the host is told %+v", answer.Holds)
		}
		if got := w.codes(store.ObjectRepository, string(r.ID)); got != job.CodeExclusiveTooLong {
			w.Errorf("conditions %q", got)
		}
		if j := w.order(nas, r, "check"); !j.Held {
			w.Error("another exclusive job does not wait for it")
		}
		watch := w.watch()
		watch.look(nas, web)
		watch.want("while it runs", "exclusive_too_long(warning):1")
		nas.done(running)
		if got := w.codes(store.ObjectRepository, string(r.ID)); got != "" {
			w.Errorf("after its end: %q", got)
		}
	})
}

func TestExclusiveJobsComeOneAfterTheOther(t *testing.T) {
	each(t, func(w *world) {
		r, nas, _ := w.maintained(1)
		check, prune := w.order(nas, r, "check"), w.order(nas, r, "prune")
		if !prune.Held || !strings.HasPrefix(prune.WaitingOn, "Check at nas since") {
			w.Fatalf("the second one waits on %q", prune.WaitingOn)
		}
		running := nas.begins(check.ID)
		w.clock.advance(time.Minute)
		nas.done(running)
		if w.job(prune.ID).Held {
			w.Error("the second one still waits")
		}
	})
}

func TestAHeldJobOfAHostThatIsAwayExpires(t *testing.T) {
	each(t, func(w *world) {
		r, nas, hosts := w.maintained(1)
		w.clock.advance(time.Hour) // everybody is away
		hosts[0].sync()
		w.must(w.store.FlushContacts(w.Context()))
		prune := w.order(nas, r, "prune")
		if prune.WaitingOn != "nas, which is offline" {
			w.Errorf("it waits on %q", prune.WaitingOn)
		}
		w.must(w.jobs.Sweep(w.Context())) // its lease is none
		if got := w.job(prune.ID).State; got != fleet.Waiting {
			w.Errorf("it is %s", got)
		}
		w.clock.advance(16 * time.Minute)
		w.must(w.jobs.Expire(w.Context()))
		if j := w.job(prune.ID); j.Result != fleet.Expired {
			w.Errorf("it is %s, %s", j.State, j.Result)
		}
	})
}

func TestWhatDeletesRunsAtTheMaintenanceHostAlone(t *testing.T) {
	w := lite(t)
	r, nas, hosts := w.maintained(1)
	ask := func(a *agent, operation, typed string) error {
		_, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{Host: a.id.Host, Operation: operation, Repository: r.ID, Confirm: typed})
		return err
	}
	err := ask(hosts[0], "prune", r.Name)
	w.wantCode(err, fleet.OperationElsewhere)
	if err != nil && !strings.Contains(err.Error(), "nas") {
		t.Errorf("it does not say where: %v", err)
	}
	w.wantCode(ask(nas, "prune", ""), fleet.ConfirmationNeeded)
	w.wantCode(ask(nas, "prune", "Main"), fleet.ConfirmationNeeded)
	if err := ask(hosts[0], "check", ""); err != nil {
		t.Errorf("a check at a host: %v", err)
	}
	w.write(func(tx *store.Tx) error { return tx.SetMaintenance(w.Context(), r.ID, "", "") })
	w.wantCode(ask(hosts[0], "prune", r.Name), fleet.NoMaintenanceHost)
	entries, _, err := w.store.AuditEntries(w.Context(), store.AuditFilter{Action: "job.create"}, store.Page{})
	w.must(err)
	if len(entries) != 1 {
		t.Errorf("%d entries of jobs", len(entries))
	}
}

// TestTenHostsAndAPruneShareARepository has hosts that back up one after the other
// without a pause at two replicas, and prunes that come; the model of an agent obeys
// holds as the real one does. No backup runs beside a prune, and both get their turns.
func TestTenHostsAndAPruneShareARepository(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		replicas := []*job.Service{w.jobs, w.jobs}
		if strings.HasPrefix(url, "postgres") {
			other := storetest.Open(t, url, store.Options{Now: w.clock.now})
			replicas[1] = &job.Service{Store: other, Sealer: plainSeals{}, Logger: w.jobs.Logger}
		}
		r, nas, hosts := w.maintained(10)
		random := rand.New(rand.NewPCG(7, 7))
		type run struct {
			wk   *work
			ends time.Time
		}
		backups := map[*agent]*run{}
		var prune *run
		var ordered *fleet.Job
		done, pruned := 0, 0
		hours := 4
		if testing.Short() {
			hours = 1
		}
		for step := range 60 * hours {
			w.clock.advance(time.Minute)
			now := w.clock.now()
			w.must(replicas[step%2].TakeTurns(w.Context()))
			if ordered == nil && step%60 == 20 {
				ordered = w.order(nas, r, "prune")
			}
			nas.sync()
			if ordered != nil && prune == nil && nas.jobs[ordered.ID] != nil {
				prune = &run{nas.begins(ordered.ID), now.Add(9 * time.Minute)}
			}
			for _, a := range hosts {
				answer := a.sync()
				held := len(answer.Holds) > 0
				a.holds = nil
				for _, h := range answer.Holds {
					a.holds = append(a.holds, h.Job)
				}
				switch b := backups[a]; {
				case b != nil && !now.Before(b.ends):
					a.running = nil
					a.backup(b.wk)
					delete(backups, a)
					done++
				case b == nil && !held:
					backups[a] = &run{a.begins(w.runOf(a).ID), now.Add(time.Duration(1+random.IntN(20)) * time.Minute)}
				}
			}
			if prune != nil && len(backups) > 0 && prune.ends.Sub(now) < 8*time.Minute {
				t.Fatalf("after %d minutes %d backups run beside a prune", step, len(backups))
			}
			if prune != nil && !now.Before(prune.ends) {
				nas.done(prune.wk)
				prune, ordered = nil, nil
				pruned++
			}
			w.must(w.store.FlushContacts(w.Context()))
		}
		if pruned < hours-1 || done < 20*hours {
			t.Errorf("%d prunes and %d backups within %d hours", pruned, done, hours)
		}
	})
}

func TestADryRunWaitsForNobodyAndIsInNobodysWay(t *testing.T) {
	each(t, func(w *world) {
		r, nas, hosts := w.maintained(1)
		web := hosts[0]
		dry := func() *fleet.Job {
			j, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{
				Host: nas.id.Host, Operation: "retention", Repository: r.ID, Params: []byte(`{"dry_run":true}`), StartWithin: time.Hour,
			})
			w.must(err)
			return j
		}
		backup := web.begins(w.runOf(web).ID)
		first := dry()
		if first.Held || first.State != fleet.Pending {
			w.Fatalf("beside a backup a dry run is %s, held %v", first.State, first.Held)
		}
		nas.begins(first.ID)
		w.later(20*time.Minute, nas, web)
		if holds := web.sync().Holds; len(holds) != 0 {
			w.Errorf("a dry run holds backups back: %+v", holds)
		}
		web.done(backup)
		prune := w.order(nas, r, "prune")
		if prune.Held {
			w.Errorf("beside a dry run a prune waits on %q", prune.WaitingOn)
		}
		nas.begins(prune.ID)
		if second := dry(); second.Held {
			w.Errorf("beside a prune a dry run waits on %q", second.WaitingOn)
		}
		if real := w.order(nas, r, "retention"); !real.Held {
			w.Error("beside a prune a retention that removes does not wait")
		}
	})
}
