package spool

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/agent/control"
)

func slotJob(n int, slot time.Time) NewJob {
	return NewJob{ID: id(n), Operation: "backup", Trigger: "schedule", ScheduleID: id(77), Slot: slot}
}

func mustOpenJob(t *testing.T, s *Spool, n NewJob) Job {
	t.Helper()
	j, created, err := s.OpenJob(t.Context(), n)
	must(t, err)
	if !created {
		t.Fatalf("job %s is known", n.ID)
	}
	return j
}

func TestAJobThatEndsAtOnceIsOneWriteWithItsValues(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	n := slotJob(1, s.now())
	n.Ended = &Outcome{Result: Skipped, Code: "previous_under_way"}
	n.Values = map[string][]byte{"slots:a": []byte("1"), "slots:b": []byte("2"), "other": []byte("3")}
	mustOpenJob(t, s, n)
	s = reopen(t, s)
	if got := kinds(mustBatch(t, s), id(1)); got != "1:acked 2:finished" {
		t.Errorf("events: %s", got)
	}
	if len(s.Pending()) != 0 {
		t.Error("it waits to be run")
	}
	values, err := s.Values("slots:")
	must(t, err)
	if diff := cmp.Diff(map[string][]byte{"slots:a": []byte("1"), "slots:b": []byte("2")}, values); diff != "" {
		t.Error(diff)
	}
	must(t, s.SetValues(t.Context(), map[string][]byte{"slots:a": nil, "slots:b": []byte("4")}))
	values, err = s.Values("slots:")
	must(t, err)
	if diff := cmp.Diff(map[string][]byte{"slots:b": []byte("4")}, values); diff != "" {
		t.Error(diff)
	}
}

func TestAJobWaitsForItsNextAttemptAcrossARestart(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustOpenJob(t, s, slotJob(1, s.now()))
	mustStart(t, s, id(1))
	at := s.now().Add(5 * time.Minute)
	must(t, s.WaitUntil(t.Context(), id(1), "attempt 2", at))
	s = reopen(t, s)
	pending := s.Pending()
	if len(pending) != 1 || !pending[0].RetryAt.Equal(at) || pending[0].Attempt != 1 {
		t.Fatalf("pending: %+v", pending)
	}
	if j := mustStart(t, s, id(1)); j.Attempt != 2 || !j.RetryAt.IsZero() {
		t.Errorf("the second attempt is %+v", j)
	}
}

// TestASlotBeforeAllMemoryGetsNoJob puts the clock back behind what is remembered.
func TestASlotBeforeAllMemoryGetsNoJob(t *testing.T) {
	clock := newClock()
	s := mustOpen(t, Options{Dir: t.TempDir(), Now: clock.now})
	old := clock.at
	mustOpenJob(t, s, slotJob(1, old))
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Succeeded}, nil))
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	clock.at = clock.at.Add(seenFor + 24*time.Hour)
	mustOpenJob(t, s, slotJob(2, clock.at)) // forgets the first
	clock.at = old
	s = reopen(t, s)
	if _, created, err := s.OpenJob(t.Context(), slotJob(1, old)); err != nil || created {
		t.Errorf("created %v, %v: the slot ran twice", created, err)
	}
	mustOpenJob(t, s, slotJob(3, old.Add(time.Hour)))
}

func TestWhatTheServerHasNotHeardOfIsKnownBySchedule(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	first := s.now().Add(time.Hour).UTC()
	for i := range 3 {
		mustOpenJob(t, s, slotJob(1+i, first.Add(time.Duration(i)*time.Hour)))
	}
	want := map[string]time.Time{id(77): first}
	if diff := cmp.Diff(want, s.Unheard()); diff != "" {
		t.Error(diff)
	}
	batch, err := s.Batch(t.Context(), BatchLimits{Items: 1, Records: 10, Bytes: 1 << 20, Plain: 1 << 20}, func(string) bool { return true })
	must(t, err)
	must(t, s.Applied(t.Context(), allTaken(batch)))
	want[id(77)] = first.Add(time.Hour)
	if diff := cmp.Diff(want, s.Unheard()); diff != "" {
		t.Errorf("after the first was heard of:\n%s", diff)
	}
	must(t, s.Applied(t.Context(), []control.ReportVerdict{{JobId: id(1), Outcome: "unknown_job"}}))
	want[id(77)] = first
	if diff := cmp.Diff(want, s.Unheard()); diff != "" {
		t.Errorf("after the server lost it:\n%s", diff)
	}
}

func TestAJobIsUnderWayUntilItEndsOrItsProcessDied(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	look := func(want bool) {
		t.Helper()
		if j, got := s.UnderWay(id(77)); got != want || got && j.ID != id(1) {
			t.Errorf("under way: %v %s", got, j.ID)
		}
	}
	look(false)
	mustOpenJob(t, s, slotJob(1, s.now()))
	look(true)
	s = reopen(t, s)
	look(true) // it waits
	mustStart(t, s, id(1))
	look(true)
	if _, other := s.UnderWay(id(78)); other {
		t.Error("another schedule's is under way")
	}
	s = reopen(t, s)
	look(false)
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Interrupted}, nil))
	look(false)
}
