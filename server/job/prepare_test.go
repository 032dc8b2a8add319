package job_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func (w *world) repo(id fleet.RepositoryID) *fleet.Repository {
	w.Helper()
	r, err := w.store.Repository(w.Context(), id)
	w.must(err)
	return r
}

// inits counts the jobs that were to make repositories usable.
func (w *world) inits() int {
	w.Helper()
	n := 0
	for _, op := range []string{"init", "identify"} {
		list, _, err := w.store.Jobs(w.Context(), store.JobFilter{Operation: op}, store.Page{})
		w.must(err)
		n += len(list)
	}
	return n
}

func TestARepositoryIsInitialisedOnceHoweverManyHostsComeAtOnce(t *testing.T) {
	each(t, func(w *world) {
		r := w.repository("shared", fleet.RepositoryNew)
		var agents []*agent
		for i := range 8 {
			a := w.host(fmt.Sprint("web-", i))
			w.schedule(a, r, "daily")
			agents = append(agents, a)
		}
		var group sync.WaitGroup
		for _, a := range agents {
			group.Go(func() {
				if _, err := w.jobs.OpenSession(w.Context(), a.id, a.sessionRequest()); err != nil {
					w.Error(err)
				}
			})
			group.Go(func() {
				_, _, err := w.jobs.RunNow(w.Context(), someone, a.id.Host, 0)
				if err != nil && !fleet.Is(err, fleet.RepositoryNotReady) {
					w.Error(err)
				}
			})
		}
		group.Wait()
		if n := w.inits(); n != 1 || w.repo(r.ID).State != fleet.RepositoryInitialising {
			w.Errorf("eight hosts gave %d inits, the repository is %s", n, w.repo(r.ID).State)
		}
	})
}

// TestAClaimThatWasDecidedTooEarlyIsGivenUp lets another host claim the repository
// between the look at it and the claim: at the moment when the clock is read.
func TestAClaimThatWasDecidedTooEarlyIsGivenUp(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		r := w.repository("shared", fleet.RepositoryNew)
		a, b := w.host("web-1"), w.host("web-2")
		w.schedule(a, r, "daily")
		a.open()
		a.sync()
		w.must(w.store.FlushContacts(t.Context())) // the host is known to be online
		w.write(func(tx *store.Tx) error {         // as it was before the session
			_, err := tx.FinishInit(t.Context(), r.ID, w.repo(r.ID).InitJob, fleet.RepositoryNew, "", "")
			return err
		})
		before := w.inits()
		s := w.schedule(b, r, "daily")
		var asked atomic.Bool
		w.clock.read = func() {
			if asked.CompareAndSwap(false, true) {
				_, _, err := w.jobs.RunSchedule(t.Context(), someone, b.id.Host, s.ID, 0)
				w.must(err)
			}
		}
		w.must(w.jobs.Prepare(t.Context(), r.ID))
		if n := w.inits() - before; n != 1 {
			t.Errorf("two claims at once gave %d jobs that make the repository usable", n)
		}
	})
}

func TestAnotherHostIsToldWhoInitialises(t *testing.T) {
	w := lite(t)
	r := w.repository("shared", fleet.RepositoryNew)
	a, b := w.host("web-1"), w.host("web-2")
	w.schedule(a, r, "daily")
	w.schedule(b, r, "daily")
	a.open()
	_, _, err := w.jobs.RunNow(t.Context(), someone, b.id.Host, 0)
	w.wantCode(err, fleet.RepositoryNotReady)
	if err == nil || !strings.Contains(err.Error(), "web-1") {
		t.Errorf("got %v, want the name of the host that initialises", err)
	}
}

func TestAnInitThatNoAgentSawIsGivenToAnotherHost(t *testing.T) {
	each(t, func(w *world) {
		r := w.repository("shared", fleet.RepositoryNew)
		a, b := w.host("web-1"), w.host("web-2")
		w.schedule(a, r, "daily")
		w.schedule(b, r, "daily")
		a.open() // and is never heard of again
		w.clock.advance(16 * time.Minute)
		w.must(w.jobs.Expire(w.Context()))
		if got := w.repo(r.ID).State; got != fleet.RepositoryNew {
			w.Fatalf("the repository is %s, want new", got)
		}
		b.open()
		answer := b.sync()
		if len(answer.Commands) != 1 || answer.Commands[0].Operation != "init" {
			w.Errorf("got %+v, want an init", answer.Commands)
		}
	})
}

func TestAnInitThatAnAgentMayHaveSeenIsNotGivenToAnother(t *testing.T) {
	each(t, func(w *world) {
		r := w.repository("shared", fleet.RepositoryNew)
		a, b := w.host("web-1"), w.host("web-2")
		w.schedule(a, r, "daily")
		w.schedule(b, r, "daily")
		a.open()
		a.sync() // journaled; its acknowledgement never comes
		w.clock.advance(16 * time.Minute)
		w.must(w.jobs.Expire(w.Context()))
		b.open()
		if n := w.inits(); n != 1 || w.repo(r.ID).State != fleet.RepositoryFailed {
			w.Errorf("there are %d inits and the repository is %s; want one, and failed", n, w.repo(r.ID).State)
		}
		if got := w.codes(store.ObjectRepository, string(r.ID)); got != job.CodeInitFailed {
			w.Errorf("got conditions %q", got)
		}
		for _, wk := range a.jobs { // it had done it
			a.finish(wk, job.Outcome{Result: "succeeded", Repository: &job.Identity{ResticID: snapshotID("aa"), KeyID: snapshotID("bb")}}, nil)
		}
		if got := w.repo(r.ID); got.State != fleet.RepositoryReady || got.ResticID != snapshotID("aa") {
			w.Errorf("after its late word the repository is %s", got.State)
		}
		if got := w.codes(store.ObjectRepository, string(r.ID)); got != "" {
			w.Errorf("%q is left", got)
		}
	})
}

// TestWhatKeptARepositoryFromBeingMadeIsSaidOnce: the trouble that it names is a condition
// of its own.
func TestWhatKeptARepositoryFromBeingMadeIsSaidOnce(t *testing.T) {
	for code, critical := range map[string]string{
		string(restic.CodeRepoUnreachable): string(restic.CodeRepoUnreachable), "location_not_allowed": job.CodeInitFailed,
	} {
		w := lite(t)
		r := w.repository("shared", fleet.RepositoryNew)
		a := w.host("web-1")
		w.schedule(a, r, "daily")
		a.open()
		a.sync()
		for _, wk := range a.jobs {
			a.finish(wk, job.Outcome{Result: "failed", Code: code, Message: "m (restic: dial tcp)", NextStep: "n"}, nil)
		}
		held, err := w.store.Conditions(t.Context(), store.ObjectRepository, string(r.ID))
		w.must(err)
		var worst []string
		for _, c := range held {
			if c.Severity == fleet.Critical {
				worst = append(worst, c.Code)
			}
			if told := strings.Contains(c.Message, "dial tcp"); told != (c.Code == critical) {
				t.Errorf("%s says %q", c.Code, c.Message)
			}
		}
		if !slices.Equal(worst, []string{critical}) {
			t.Errorf("after %s critical are %v", code, worst)
		}
	}
}

// It changes nothing, so nobody has to look at what it has left.
func TestAnIdentifyThatItsAgentDiedUnderIsTriedAgainByItself(t *testing.T) {
	for _, result := range []string{"interrupted", "failed"} {
		each(t, func(w *world) {
			r := &fleet.Repository{ID: fleet.NewID[fleet.RepositoryID](), Name: "old", Location: "/srv/old", Existing: true, State: fleet.RepositoryNew}
			w.write(func(tx *store.Tx) error { return tx.CreateRepository(w.Context(), r) })
			a := w.host("web-1")
			w.schedule(a, r, "daily")
			a.open()
			first := a.jobs[a.sync().Commands[0].JobID]
			a.finish(first, job.Outcome{Result: result, Code: "agent_died", Message: "the agent died"}, nil)
			a.open()
			want := map[string]int{"interrupted": 2, "failed": 1}[result]
			if n := w.inits(); n != want {
				w.Errorf("%s: it was asked who it is %d times, want %d; the repository is %s", result, n, want, w.repo(r.ID).State)
			}
		})
	}
}

func TestAFailedInitIsAPersonsToTryAgain(t *testing.T) {
	each(t, func(w *world) {
		a := w.host("web-1")
		r := w.repository("main", fleet.RepositoryNew)
		w.schedule(a, r, "daily")
		a.open()
		answer := a.sync()
		first := a.jobs[answer.Commands[0].JobID]
		a.finish(first, job.Outcome{Result: "failed", Code: "repo_unreachable", Message: "no route"}, nil)
		if got := w.repo(r.ID).State; got != fleet.RepositoryFailed {
			w.Fatalf("the repository is %s, want failed", got)
		}
		a.open()
		if n := w.inits(); n != 1 {
			w.Errorf("a failed init was tried again by itself: %d inits", n)
		}
		_, _, err := w.jobs.RunNow(w.Context(), someone, a.id.Host, 0)
		w.wantCode(err, fleet.RepositoryNotReady)
		again, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{Host: a.id.Host, Operation: "init", Repository: r.ID})
		w.must(err)
		_, _, err = w.jobs.Enqueue(w.Context(), someone, job.Request{Host: a.id.Host, Operation: "init", Repository: r.ID})
		w.wantCode(err, fleet.RepositoryNotReady)
		a.sync()
		a.sync()
		a.finish(a.jobs[again.ID], job.Outcome{Result: "succeeded", Repository: &job.Identity{ResticID: snapshotID("aa")}}, nil)
		if got := w.repo(r.ID).State; got != fleet.RepositoryReady {
			w.Errorf("the repository is %s, want ready", got)
		}
		if got := w.codes(store.ObjectRepository, string(r.ID)); got != "" {
			w.Errorf("%q is left", got)
		}
	})
}

func TestARepositoryThatExistsIsIdentifiedListedAndNeverInitialised(t *testing.T) {
	each(t, func(w *world) {
		a := w.host("web-1")
		r := &fleet.Repository{ID: fleet.NewID[fleet.RepositoryID](), Name: "old", Location: "/srv/old", Existing: true}
		w.write(func(tx *store.Tx) error { return tx.CreateRepository(w.Context(), r) })
		w.schedule(a, r, "daily")
		a.open()
		answer := a.sync()
		if len(answer.Commands) != 1 || answer.Commands[0].Operation != "identify" {
			w.Fatalf("got %+v, want identify", answer.Commands)
		}
		_, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{Host: a.id.Host, Operation: "init", Repository: r.ID})
		w.wantCode(err, fleet.RepositoryNotReady)
		a.finish(a.jobs[answer.Commands[0].JobID], job.Outcome{Result: "succeeded", Repository: &job.Identity{ResticID: snapshotID("aa")}}, nil)
		if answer = a.sync(); len(answer.Commands) != 1 || answer.Commands[0].Operation != "snapshots" {
			w.Errorf("got %+v, want a listing of what was there before", answer.Commands)
		}
	})
}

// Its keys are found out by no other operation.
func TestAReadyRepositoryIsAskedAgainWhoItIsAndNeverInitialisedAgain(t *testing.T) {
	each(t, func(w *world) {
		a := w.host("web-1")
		r := w.repository("main", fleet.RepositoryReady)
		w.schedule(a, r, "daily")
		a.open()
		for _, result := range []string{"succeeded", "failed"} {
			asked, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{Host: a.id.Host, Operation: "identify", Repository: r.ID})
			w.must(err)
			a.sync()
			a.sync()
			o := job.Outcome{Result: result, Code: "repo_unreachable", Message: "no route"}
			if result == "succeeded" {
				o = job.Outcome{Result: result, Repository: &job.Identity{ResticID: w.repo(r.ID).ResticID}}
			}
			a.finish(a.jobs[asked.ID], o, nil)
			if got := w.repo(r.ID); got.State != fleet.RepositoryReady || got.InitJob == asked.ID {
				w.Errorf("%s: the repository is %s, made usable by %s", result, got.State, got.InitJob)
			}
		}
		_, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{Host: a.id.Host, Operation: "init", Repository: r.ID})
		w.wantCode(err, fleet.InvalidField)
	})
}

func TestWhatAProbeOfTheCredentialSawIsKept(t *testing.T) {
	w := lite(t)
	a := w.host("web-1")
	r := w.repository("main", fleet.RepositoryNew)
	w.schedule(a, r, "daily")
	a.open()
	answer := a.sync()
	identity := &job.Identity{ResticID: snapshotID("aa"), KeyID: snapshotID("bb")}
	a.finish(a.jobs[answer.Commands[0].JobID], job.Outcome{Result: "succeeded", Repository: identity, CanDelete: "no"}, nil)
	if got := w.repo(r.ID).CanDelete; got != "no" {
		t.Errorf("the credential is said to be able to delete: %s, want no", got)
	}
}
