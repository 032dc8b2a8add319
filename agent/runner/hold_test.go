package runner

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
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
