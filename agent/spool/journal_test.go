package spool

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/agent/control"
)

func TestJournalTakesEachCommandOnce(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	journal := s.JournalID()
	mustJournal(t, s, runCommand(3, 1), runCommand(1, 2), runCommand(3, 1)) // number 2 was withdrawn
	s = reopen(t, s)
	if s.JournalID() != journal || s.AckedSeq() != 3 {
		t.Fatalf("after a restart journal %s is at %d", s.JournalID(), s.AckedSeq())
	}
	if acked := mustJournal(t, s, runCommand(2, 3), runCommand(3, 4)); acked != 3 {
		t.Errorf("old numbers acked %d, want 3", acked)
	}
	same := runCommand(4, 5)
	same.Id = id(1001) // the id of command 1
	mustJournal(t, s, same)
	sameJob := runCommand(5, 1)
	mustJournal(t, s, sameJob)
	var got []string
	for _, j := range s.Pending() {
		got = append(got, j.ID)
	}
	if diff := cmp.Diff([]string{id(2), id(1)}, got); diff != "" && cmp.Diff([]string{id(1), id(2)}, got) != "" {
		t.Errorf("pending jobs differ:\n%s", diff)
	}
	if s.AckedSeq() != 5 {
		t.Errorf("acked %d, want 5", s.AckedSeq())
	}
}

func TestJournalCancelsWhicheverComesFirst(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, cancelCommand(1, 1))
	s = reopen(t, s)
	mustJournal(t, s, runCommand(2, 1), runCommand(3, 2), cancelCommand(4, 2), runCommand(5, 3))
	s = reopen(t, s)
	for n, want := range map[int]bool{1: true, 2: true, 3: false} {
		if j, err := s.Job(id(n)); err != nil || j.CancelRequested != want {
			t.Errorf("job %d: cancel requested %t (%v), want %t", n, j.CancelRequested, err, want)
		}
	}
	later := runCommand(6, 1)
	later.Epoch = 2
	mustJournal(t, s, later)
	if j, _ := s.Job(id(1)); j.Epoch != 2 {
		t.Errorf("a living job has epoch %d after a higher one came, want 2", j.Epoch)
	}
}

func TestJournalPermitsAForgottenJobUnderAHigherEpoch(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Failed}, nil))
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	again := runCommand(2, 1)
	again.Epoch = 2
	mustJournal(t, s, again)
	if pending := s.Pending(); len(pending) != 1 || pending[0].Epoch != 2 {
		t.Errorf("pending is %+v, want the job under epoch 2", pending)
	}
}

func TestJournalRejectsUnknownKindsWithoutTouchingLivingJobs(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	strange := runCommand(2, 2)
	strange.Kind = "levitate"
	nudge := runCommand(3, 1)
	nudge.Kind = "levitate"
	mustJournal(t, s, runCommand(1, 1), strange, nudge)
	items := mustBatch(t, s)
	if got, want := kinds(items, id(1)), "1:acked 2:note"; got != want {
		t.Errorf("the living job has events %q, want %q", got, want)
	}
	if got, want := kinds(items, id(2)), "1:acked 2:finished"; got != want {
		t.Errorf("the unknown command has events %q, want %q", got, want)
	}
	for _, item := range items {
		if o := item.Events[1].Outcome; item.JobId == id(2) && (o.Result != Rejected || o.Code != "unsupported") {
			t.Errorf("outcome is %+v", o)
		}
	}
	if len(s.Pending()) != 1 {
		t.Errorf("pending is %+v, want the living job alone", s.Pending())
	}
}

func TestJobKnowsWhenItIsTooLateToStart(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	received := s.now()
	c := runCommand(1, 1)
	c.StartWithinS = 900
	_, err := s.Journal(t.Context(), []control.Command{c}, received)
	must(t, err)
	s = reopen(t, s)
	j := s.Pending()[0]
	if j.Overdue(received.Add(15 * time.Minute)) {
		t.Error("overdue at the limit")
	}
	if !j.Overdue(received.Add(15*time.Minute + time.Second)) {
		t.Error("not overdue after the limit")
	}
}
