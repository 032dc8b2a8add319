package runner

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/restic/restictest"
)

// TestAStopAfterAnInitDoesNotWaitForTheStorage has a storage that hangs once the
// repository is made.
func TestAStopAfterAnInitDoesNotWaitForTheStorage(t *testing.T) {
	t.Parallel()
	fake := restictest.NewFake(t, fakeScript(
		says("init", `{"message_type":"initialized","id":"`+fakeID+`","repository":"r"}`, 0),
		restictest.Reply{Command: "cat config", Steps: []restictest.Step{{Forever: true}}}))
	p := newPlace(t, fake.Path())
	p.runner.afterInit = 100 * time.Millisecond
	job := p.command("init", repositoryParams())
	p.runUntil(job, func() bool { return len(fake.Calls()) == 2 }, ErrStopping)
	got := p.recorded(job.ID).want(spool.Interrupted, CodeAgentStopped)
	if !strings.Contains(got.NextStep, "identify the repository: it was made") {
		t.Errorf("next step: %s", got.NextStep)
	}
}

func TestWhatLingersEndsAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		longer, done := lingering(ctx, initPatience)
		defer done()
		time.Sleep(time.Hour) // virtual
		if longer.Err() != nil {
			t.Fatal("it ended although nobody told it to")
		}
		cancel(ErrCancelled)
		began := time.Now()
		<-longer.Done()
		if took := time.Since(began); took != initPatience || context.Cause(longer) != ErrCancelled {
			t.Errorf("it ended after %s with %v", took, context.Cause(longer))
		}
		again, done := lingering(ctx, time.Hour)
		done()
		synctest.Wait()
		if again.Err() == nil {
			t.Error("it does not end with its work")
		}
	})
}
