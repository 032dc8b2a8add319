package spool

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/agent/control"
)

func TestJobGoesThroughItsPhasesAndIsForgottenOnceReported(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	if acked := mustJournal(t, s, runCommand(1, 1)); acked != 1 {
		t.Fatalf("acked %d, want 1", acked)
	}
	pending := s.Pending()
	if len(pending) != 1 || pending[0].Phase != Acked || pending[0].ScheduleID != id(77) {
		t.Fatalf("pending is %+v", pending)
	}
	must(t, s.Wait(t.Context(), id(1), "another job"))
	if j := mustStart(t, s, id(1)); j.Attempt != 1 || j.Phase != Running {
		t.Fatalf("started as %+v", j)
	}
	must(t, s.Attach(t.Context(), id(1), json.RawMessage(`{"pid":7}`)))
	s.Log(id(1), Line{Stream: Stdout, Text: "first <line>"})
	s.Log(id(1), Line{Stream: Agent, Text: "second"})
	must(t, s.Note(t.Context(), id(1), "half-way", nil))
	must(t, s.Stop(t.Context(), id(1), "asked to"))
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Cancelled}, nil))
	if err := s.Finish(t.Context(), id(1), Outcome{Result: Failed}, nil); !errors.Is(err, ErrFinished) {
		t.Errorf("a second result gave %v, want ErrFinished", err)
	}

	items := mustBatch(t, s)
	const want = "1:acked 2:waiting 3:running 4:note 5:stopping 6:finished"
	if got := kinds(items, id(1)); got != want {
		t.Errorf("events are %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"o first <line>", "a second"}, logOf(t, items, id(1))); diff != "" {
		t.Errorf("log differs (-want +got):\n%s", diff)
	}
	if items[0].Opened == nil || items[0].Opened.ScheduleId != id(77) {
		t.Errorf("the first report says opened %+v", items[0].Opened)
	}
	if again := mustBatch(t, s); cmp.Diff(items, again) != "" {
		t.Errorf("before it was applied the batch differs:\n%s", cmp.Diff(items, again))
	}
	must(t, s.Applied(t.Context(), allTaken(items)))
	if _, err := s.Job(id(1)); !errors.Is(err, ErrUnknownJob) {
		t.Errorf("a reported job is still there: %v", err)
	}
	if sum := s.Summary(); sum != (control.SpoolSummary{}) {
		t.Errorf("summary is %+v, want nothing", sum)
	}
	s = reopen(t, s)
	mustJournal(t, s, control.Command{Seq: 2, Id: id(9), Kind: "run", JobId: id(1), Epoch: 1})
	if len(s.Pending()) != 0 {
		t.Error("a forgotten job was taken again")
	}
}

func TestRestartTellsWhatWasInterrupted(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	for n := 1; n <= 4; n++ {
		_, created, err := s.OpenJob(t.Context(), NewJob{ID: id(n), Operation: "backup", Trigger: "schedule"})
		if err != nil || !created {
			t.Fatalf("job %d: created %t, %v", n, created, err)
		}
	}
	mustStart(t, s, id(2))
	must(t, s.Attach(t.Context(), id(2), json.RawMessage(`{"pid":7}`)))
	mustStart(t, s, id(3))
	must(t, s.Stop(t.Context(), id(3), "asked to"))
	mustStart(t, s, id(4))
	must(t, s.Wait(t.Context(), id(4), "the next attempt"))
	if len(s.Interrupted()) != 0 {
		t.Error("jobs of this process count as interrupted")
	}
	s = reopen(t, s)
	interrupted, pending := s.Interrupted(), s.Pending()
	if len(interrupted) != 2 || interrupted[0].ID != id(2) || string(interrupted[0].Process) != `{"pid":7}` || interrupted[1].ID != id(3) {
		t.Errorf("interrupted is %+v", interrupted)
	}
	if len(pending) != 2 || pending[0].ID != id(1) || pending[1].ID != id(4) {
		t.Errorf("pending is %+v", pending)
	}
	must(t, s.Finish(t.Context(), id(2), Outcome{Result: Succeeded}, &Snapshot{Id: strings.Repeat("a", 64)}))
	must(t, s.Finish(t.Context(), id(3), Outcome{Result: Interrupted}, nil))
	if len(s.Interrupted()) != 0 {
		t.Errorf("still interrupted: %+v", s.Interrupted())
	}
	items := mustBatch(t, s)
	if got, want := kinds(items, id(2)), "1:acked 2:running 3:finished"; got != want {
		t.Errorf("the interrupted job has events %q, want %q", got, want)
	}
}

func TestOpenJobRunsASlotOnce(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	slot := NewJob{ID: id(1), Operation: "backup", Trigger: "schedule", ScheduleID: id(2), ScheduleVersion: 3}
	if _, created, err := s.OpenJob(t.Context(), slot); err != nil || !created {
		t.Fatalf("created %t, %v", created, err)
	}
	if j, created, err := s.OpenJob(t.Context(), slot); err != nil || created || j.ID != id(1) {
		t.Fatalf("again: %+v, created %t, %v", j, created, err)
	}
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Skipped}, nil))
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	s = reopen(t, s)
	if _, created, err := s.OpenJob(t.Context(), slot); err != nil || created {
		t.Errorf("after it was forgotten: created %t, %v", created, err)
	}
	if _, _, err := s.OpenJob(t.Context(), NewJob{ID: id(5), Params: json.RawMessage(`{`)}); err == nil {
		t.Error("params that are not JSON were taken")
	}
}

func TestTheVersionChangesWithAllThatABatchMayShow(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	all := func(string) bool { return true }
	for _, step := range []struct {
		what    string
		do      func() error
		changes bool
	}{
		{"a command", func() error {
			_, err := s.Journal(ctx, []control.Command{runCommand(1, 1)}, s.now())
			return err
		}, true},
		{"a start", func() error { _, err := s.Start(ctx, id(1)); return err }, true},
		{"a line", func() error { s.Log(id(1), Line{Stream: Stdout, Text: "line"}); return nil }, true},
		{"a sample", func() error { s.Progress(id(1), Progress{}); return nil }, true},
		{"what is on disk now", func() error { return s.Flush(ctx) }, false},
		{"a value", func() error { return s.SetValue(ctx, "key", []byte("1")) }, false},
		{"a batch", func() error { _, err := s.Batch(ctx, DefaultBatchLimits(), all); return err }, false},
		{"a verdict", func() error { return report(ctx, s) }, true},
		{"an end", func() error { return s.Finish(ctx, id(1), Outcome{Result: Succeeded}, nil) }, true},
	} {
		before := s.Version()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if changed := s.Version() != before; changed != step.changes {
			t.Errorf("%s: the version changed: %v, want %v", step.what, changed, step.changes)
		}
	}
}
