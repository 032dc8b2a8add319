package runner

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"restic-manager/restic"
)

// taking starts a job that takes what it wants, and says what became of it.
type taking struct {
	mu      sync.Mutex
	h       holds
	granted []string
	waited  map[string]string
	release map[string]func()
}

func (k *taking) take(ctx context.Context, job string, wants ...want) {
	go func() {
		release, err := k.h.take(ctx, job, wants, func(on string) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.waited[job] = on
		})
		k.mu.Lock()
		defer k.mu.Unlock()
		if err == nil {
			k.granted = append(k.granted, job)
			k.release[job] = release
		}
	}()
	synctest.Wait()
}

func (k *taking) leave(job string) {
	k.release[job]()
	synctest.Wait()
}

func newTaking() *taking {
	return &taking{waited: map[string]string{}, release: map[string]func(){}}
}

func share(key string) want { return want{thing: "on repository " + key, key: key} }
func alone(key string) want { return want{thing: "on repository " + key, key: key, alone: true} }

func TestHoldsAreGivenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaking()
		k.take(t.Context(), "a", share("r"))
		k.take(t.Context(), "b", share("r"))
		k.take(t.Context(), "c", alone("r"))
		k.take(t.Context(), "d", share("r")) // must not overtake c for ever
		k.take(t.Context(), "e", alone("other"))
		if want := []string{"a", "b", "e"}; !slices.Equal(k.granted, want) {
			t.Fatalf("granted %v, want %v", k.granted, want)
		}
		if k.waited["c"] != "waits for job a on repository r" || k.waited["d"] != "waits for job c on repository r" {
			t.Errorf("what they wait for is told as %v", k.waited)
		}
		k.leave("a")
		k.leave("b")
		k.leave("c")
		if want := []string{"a", "b", "e", "c", "d"}; !slices.Equal(k.granted, want) {
			t.Errorf("granted %v, want %v", k.granted, want)
		}
	})
}

func TestAJobThatGivesUpWaitingIsInNobodysWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaking()
		k.take(t.Context(), "a", share("r"))
		ctx, cancel := context.WithCancelCause(t.Context())
		k.take(ctx, "b", alone("r"))
		k.take(t.Context(), "c", share("r"))
		cancel(errors.New("enough"))
		synctest.Wait()
		if want := []string{"a", "c"}; !slices.Equal(k.granted, want) {
			t.Errorf("granted %v, want %v", k.granted, want)
		}
	})
}

func TestOnlySoManyJobsRunAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaking()
		place := want{thing: "for a place", key: "machine", most: 2}
		k.take(t.Context(), "a", place, alone("r"))
		k.take(t.Context(), "b", place, alone("r")) // waits for the repository and takes no place
		k.take(t.Context(), "c", place, alone("s"))
		k.take(t.Context(), "d", place, alone("u"))
		if want := []string{"a", "c"}; !slices.Equal(k.granted, want) {
			t.Fatalf("granted %v, want %v", k.granted, want)
		}
		if k.waited["d"] != "waits for a place, where 2 jobs are running" {
			t.Errorf("what d waits for is told as %q", k.waited["d"])
		}
		k.leave("c")
		if want := []string{"a", "c", "d"}; !slices.Equal(k.granted, want) {
			t.Errorf("granted %v, want %v", k.granted, want)
		}
	})
}

// lockers is a share of a repository by a job that locks it.
func lockers(key string) want { w := share(key); w.repository = key; return w }

func TestTheServerHoldsBackWhatWouldLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaking()
		k.take(t.Context(), "runs", lockers("r"))
		hold := []HoldBack{{RepositoryID: "r", JobID: "prune", Until: time.Now().Add(time.Minute), Reason: "prune at nas"}}
		k.h.holdBack(hold)
		k.take(t.Context(), "backup", lockers("r"))
		k.take(t.Context(), "reads", share("r")) // takes no lock
		k.take(t.Context(), "elsewhere", lockers("other"))
		prune := alone("r")
		prune.repository = "r"
		k.take(t.Context(), "prune", prune)
		if want := []string{"runs", "reads", "elsewhere"}; !slices.Equal(k.granted, want) {
			t.Fatalf("granted %v, want %v", k.granted, want)
		}
		if k.waited["backup"] != "waits on repository r: it is the turn of prune at nas" {
			t.Errorf("it waits for %q", k.waited["backup"])
		}
		k.leave("runs")
		k.leave("reads")
		if k.granted[3] != "prune" { // although it came after a backup that is held back
			t.Fatalf("granted %v", k.granted)
		}
		k.h.holdBack(nil)
		synctest.Wait()
		if len(k.granted) != 4 {
			t.Fatalf("granted %v beside the job that has it alone", k.granted)
		}
		k.leave("prune")
		if k.granted[4] != "backup" {
			t.Errorf("granted %v", k.granted)
		}
	})
}

func TestAHoldLapsesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaking()
		until := time.Now().Add(time.Minute)
		k.h.holdBack([]HoldBack{{RepositoryID: "r", JobID: "prune", Until: until, Reason: "prune at nas"}})
		k.take(t.Context(), "backup", lockers("r"))
		if len(k.granted) != 0 || !slices.Equal(k.h.inForce(), []string{"prune"}) {
			t.Fatalf("granted %v, in force %v", k.granted, k.h.inForce())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(k.granted, []string{"backup"}) || len(k.h.inForce()) != 0 {
			t.Errorf("granted %v, in force %v", k.granted, k.h.inForce())
		}
	})
}

func TestAJobThatWaitsIsToldWhenTheServerHoldsItBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaking()
		k.take(t.Context(), "check", alone("r"))
		k.take(t.Context(), "backup", lockers("r"))
		k.h.holdBack([]HoldBack{{RepositoryID: "r", JobID: "prune", Until: time.Now().Add(time.Minute), Reason: "prune at nas"}})
		synctest.Wait()
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.waited["backup"] != "waits on repository r: it is the turn of prune at nas" {
			t.Errorf("it waits for %q", k.waited["backup"])
		}
	})
}

func TestOnlyWhatLocksIsHeldBack(t *testing.T) {
	for lock, held := range map[restic.Lock]bool{restic.LockNone: false, restic.LockShared: true, restic.LockExclusive: true} {
		task := &Task{Operation: restic.Operation{Lock: lock}, Repository: Repository{ID: "r"}}
		task.Job.ID = "job"
		h := holds{}
		h.holdBack([]HoldBack{{RepositoryID: "r", JobID: "prune", Until: time.Now().Add(time.Hour)}})
		on := h.heldBack(&claim{job: "job", wants: task.wants()})
		if (on != "") != held {
			t.Errorf("%s waits on %q", lock, on)
		}
		if own := h.heldBack(&claim{job: "prune", wants: task.wants()}); own != "" {
			t.Errorf("the job whose turn it is waits on %q", own)
		}
		h.holdBack(nil)
	}
}

func TestADryRunThatLocksNothingIsNotHeldBack(t *testing.T) {
	op, _ := restic.OperationNamed("retention")
	const id = "019aa2f0-0000-7000-8000-000000000001"
	for given, held := range map[string]bool{`{"repository_id":"` + id + `"}`: true, `{"repository_id":"` + id + `","dry_run":true}`: false} {
		params, err := restic.ValidateParams("retention", []byte(given))
		if err != nil {
			t.Fatal(err)
		}
		task := &Task{Operation: op, Params: params, Repository: Repository{ID: "r"}}
		h := holds{}
		h.holdBack([]HoldBack{{RepositoryID: "r", JobID: "prune", Until: time.Now().Add(time.Hour)}})
		if on := h.heldBack(&claim{job: "job", wants: task.wants()}); (on != "") != held {
			t.Errorf("%s waits on %q", given, on)
		}
	}
}
