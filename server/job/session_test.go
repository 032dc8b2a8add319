package job_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

func TestASessionSaysWhatToDoWithEachJob(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		unknown := a.bear(fleet.NewID[fleet.JobID](), nil)
		s := w.job(wk.job)
		done := w.run(&fleet.Schedule{ID: s.ScheduleID, HostID: s.HostID})
		a.sync()
		a.sync()
		a.backup(a.jobs[done.ID])
		_, err := w.jobs.Cancel(w.Context(), someone, wk.job)
		w.must(err)
		got := map[fleet.JobID]string{}
		for _, v := range a.open().Jobs {
			got[v.Job] = v.Verdict
		}
		want := map[fleet.JobID]string{wk.job: job.VerdictStop, unknown.job: job.VerdictSend, done.ID: job.VerdictForget}
		for id, verdict := range want {
			if got[id] != verdict {
				w.Errorf("got %q for %s, want %q", got[id], id, verdict)
			}
		}
	})
}

func TestAnAgentThatLostItsJournalLosesItsJobsAndRunsNothingTwice(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		s := w.job(wk.job)
		waiting := w.run(&fleet.Schedule{ID: s.ScheduleID, HostID: s.HostID})
		a.journal, a.acked, a.jobs = fleet.NewID[string](), 0, map[fleet.JobID]*work{}
		a.open()
		if got := w.job(wk.job); got.Result != fleet.Lost {
			w.Errorf("the job that was running is %s %s, want lost", got.State, got.Result)
		}
		answer := a.sync()
		if len(answer.Commands) != 1 || answer.Commands[0].JobID != waiting.ID {
			w.Errorf("got commands %+v, want the one that was never acknowledged", answer.Commands)
		}
		if got := w.codes(store.ObjectHost, string(a.id.Host)); !strings.Contains(got, job.CodeJournalLost) {
			w.Errorf("got conditions %q", got)
		}
		a.sync()
		a.backup(a.jobs[waiting.ID])
		if got := w.codes(store.ObjectHost, string(a.id.Host)); got != "" {
			w.Errorf("after a backup %q is left", got)
		}
	})
}

func TestAnotherJournalNeedsAnotherSession(t *testing.T) {
	w := lite(t)
	a, _ := w.ready()
	a.journal = fleet.NewID[string]()
	_, err := a.ask()
	w.wantCode(err, fleet.SessionUnknown)
}

func TestTwoMachinesThatTakeTurnsGetNoCommands(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		w.run(s)
		for range 3 {
			a.boot = "the clone"
			a.open()
			w.clock.advance(time.Minute)
			a.boot = "boot of web-1"
			a.open()
			w.clock.advance(time.Minute)
		}
		if got := a.sync(); len(got.Commands) != 0 {
			w.Errorf("a clone got commands %+v", got.Commands)
		}
		if got := w.codes(store.ObjectHost, string(a.id.Host)); got != job.CodeAgentCloned {
			w.Errorf("got conditions %q", got)
		}
		w.clock.advance(2 * time.Hour) // the other one is gone
		a.open()
		if got := w.codes(store.ObjectHost, string(a.id.Host)); got != "" {
			w.Errorf("an hour later %q is left", got)
		}
	})
}

func TestASessionEndsWhenAnotherBeginsOrItIsClosed(t *testing.T) {
	w := lite(t)
	a, _ := w.ready()
	old := a.session
	a.open()
	r := a.syncRequest()
	r.Session = old
	_, err := w.jobs.Offer(t.Context(), a.id, r)
	w.wantCode(err, fleet.SessionSuperseded)
	for range 2 { // idempotent
		w.must(w.jobs.CloseSession(t.Context(), a.id, a.session))
	}
	_, err = a.ask()
	w.wantCode(err, fleet.SessionUnknown)
	b := w.host("web-2")
	b.session = a.session
	_, err = b.ask()
	w.wantCode(err, fleet.AgentMismatch)
	w.wantCode(w.jobs.CloseSession(t.Context(), b.id, a.session), fleet.AgentMismatch)
}

func TestAnAgentNewerThanTheServerIsTold(t *testing.T) {
	w := lite(t)
	a := w.host("web-1")
	r := a.sessionRequest()
	r.MinProtocol, r.MaxProtocol = 7, 9
	_, err := w.jobs.OpenSession(t.Context(), a.id, r)
	w.wantCode(err, fleet.ProtocolUnsupported)
}

func TestWhatAnAgentTellsOfItselfBecomesConditionsWhileItHolds(t *testing.T) {
	each(t, func(w *world) {
		a, _ := w.ready()
		tell := func(change func(*job.SyncRequest)) string {
			r := a.syncRequest()
			change(r)
			w.must(w.jobs.Attend(w.Context(), a.id, r, 0))
			return w.codes(store.ObjectHost, string(a.id.Host))
		}
		locked := &job.PolicyReport{State: "locked", Code: "policy_file_insecure", Message: "others can write it", NextStep: "chmod 0600"}
		if got := tell(func(r *job.SyncRequest) { r.Policy = locked }); got != "policy_file_insecure" {
			w.Errorf("got %q, want policy_file_insecure", got)
		}
		if got := tell(func(*job.SyncRequest) {}); got != "policy_file_insecure" {
			w.Errorf("a policy that is not told again is forgotten: got %q", got)
		}
		full := []job.HealthProblem{{Code: "journal_failed", Message: "no space"}, {Code: "agent_cloned", Message: "says who"}}
		got := tell(func(r *job.SyncRequest) { r.Policy, r.Health = &job.PolicyReport{State: "ok"}, full })
		if got != "journal_failed reported_agent_cloned" {
			w.Errorf("got %q, want the agent's words under names that are not ours", got)
		}
		if got := tell(func(r *job.SyncRequest) { r.ConfigError = &job.ConfigError{Revision: 3, Message: "what is this"} }); got != job.CodeConfigRefused {
			w.Errorf("got %q, want %s", got, job.CodeConfigRefused)
		}
		if got := tell(func(r *job.SyncRequest) { r.AgentTime = w.clock.now().Add(3 * time.Hour) }); got != job.CodeClockWrong {
			w.Errorf("got %q, want %s", got, job.CodeClockWrong)
		}
		if got := tell(func(*job.SyncRequest) {}); got != "" {
			w.Errorf("got %q, want nothing", got)
		}
	})
}

func TestARefusedConfigurationIsNotSentAgain(t *testing.T) {
	w := lite(t)
	a, s := w.ready()
	w.write(func(tx *store.Tx) error { return tx.BumpConfig(t.Context(), s.HostID) })
	answer, err := a.ask()
	w.must(err)
	if answer.Config == nil {
		t.Fatal("a new revision was not sent")
	}
	r := a.syncRequest()
	r.ConfigError = &job.ConfigError{Revision: answer.Config.Revision, Message: "no"}
	answer, err = w.jobs.Offer(t.Context(), a.id, r)
	w.must(err)
	if !answer.Empty() {
		t.Errorf("got %+v, want nothing", answer)
	}
}

func TestADisabledHostIsTurnedAway(t *testing.T) {
	w := lite(t)
	a, s := w.ready()
	h := w.hostRow(a)
	h.Disabled = true
	w.write(func(tx *store.Tx) error { return tx.UpdateHost(t.Context(), h) })
	_, err := a.ask()
	w.wantCode(err, fleet.AgentDisabled)
	_, _, err = w.jobs.RunSchedule(t.Context(), someone, a.id.Host, s.ID, 0)
	w.wantCode(err, fleet.HostDisabled)
}

func TestAnAgentGetsOnlyItsOwnSecrets(t *testing.T) {
	each(t, func(w *world) {
		a, _ := w.ready()
		b := w.host("web-2")
		w.schedule(b, w.repository("of web-2", fleet.RepositoryReady), "daily")
		b.open()
		theirs := b.sync().Config.Repositories[0].Password
		mine := a.config.Repositories[0]
		got, err := w.jobs.FetchSecrets(w.Context(), a.id, a.session, []job.SecretRef{mine.Password, *mine.Append})
		w.must(err)
		if got[0].Value.Reveal() != "password of main" || got[1].Value.Reveal() != "append of main" || got[1].Username != "user" {
			w.Errorf("got other secrets")
		}
		_, err = w.jobs.FetchSecrets(w.Context(), a.id, a.session, []job.SecretRef{mine.Password, theirs})
		w.wantCode(err, fleet.SecretNotYours)
		mine.Password.Version++
		_, err = w.jobs.FetchSecrets(w.Context(), a.id, a.session, []job.SecretRef{mine.Password})
		w.wantCode(err, fleet.SecretNotYours)
		_, err = w.jobs.FetchSecrets(w.Context(), b.id, a.session, []job.SecretRef{mine.Password})
		w.wantCode(err, fleet.AgentMismatch)
	})
}

// The agent has ended the job and forgotten it: the database is a copy from before.
func TestAnAgentInTouchThatSaysNothingOfAJobIsAskedForEverything(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		delete(a.jobs, wk.job)
		asked := 0
		for range 40 { // twenty minutes
			w.clock.advance(30 * time.Second)
			if _, err := a.ask(); err != nil {
				w.wantCode(err, fleet.SessionUnknown)
				asked++
				a.open()
			}
			w.must(w.store.FlushContacts(w.Context()))
			w.must(w.jobs.Sweep(w.Context()))
		}
		if got := w.job(wk.job); got.Result != fleet.Lost || asked != 1 {
			w.Errorf("the job is %s %s after its agent was asked %d times, want lost after once", got.State, got.Result, asked)
		}
	})
}

// A job that has ended at its agent may take long to be reported.
func TestAnAgentInTouchKeepsAJobThatItStillHas(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	for range 40 {
		w.clock.advance(30 * time.Second)
		if _, err := a.ask(); err != nil {
			w.wantCode(err, fleet.SessionUnknown)
			a.open()
		}
		w.must(w.store.FlushContacts(t.Context()))
		w.must(w.jobs.Sweep(t.Context()))
	}
	if got := w.job(wk.job); got.State == fleet.Finished {
		t.Errorf("the job is %s", got.Result)
	}
}

func TestNobodyIsCalledSilentAfterAnOutageOfOurOwn(t *testing.T) {
	w := lite(t)
	_, wk := w.running()
	w.must(w.store.Beat(t.Context()))
	w.clock.advance(time.Hour) // by another clock than the machine's own
	w.must(w.store.Beat(t.Context()))
	w.must(w.jobs.Sweep(t.Context()))
	if got := w.job(wk.job).State; got != fleet.Running {
		t.Errorf("right after the outage the job is %s", got)
	}
	w.clock.advance(6 * time.Minute)
	w.must(w.jobs.Sweep(t.Context()))
	if got := w.job(wk.job).State; got != fleet.Unresponsive {
		t.Errorf("its agent had the time to come back, and the job is %s", got)
	}
}

func TestRunTidiesUpAndEndsWithItsContext(t *testing.T) {
	w := lite(t)
	_, wk := w.running()
	w.must(w.jobs.Watch(t.Context(), w.job(wk.job)))
	w.clock.advance(40 * 24 * time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.jobs.Run(ctx) }()
	deadline := time.After(10 * time.Second)
	for {
		until, err := w.store.Interest(t.Context(), wk.job)
		w.must(err)
		if until == 0 {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("interest of long ago is kept until %d", until)
		case <-time.After(5 * time.Millisecond):
		}
	}
	stop()
	w.must(<-ended)
	if got := w.job(wk.job).Result; got != fleet.Lost {
		t.Errorf("a job that was silent for 40 days is %q", got)
	}
}
