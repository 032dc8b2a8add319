//go:build !windows

package restic_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

func TestCancellingInterruptsOnceAndWaits(t *testing.T) {
	steps := []restictest.Step{
		out(`{"message_type":"status","files_done":1}` + "\n"),
		{Await: true},
		errs("\x1b[2Ksignal interrupt received, cleaning up\n"),
	}
	for _, exit := range []int{1, 130} {
		s := newStage(t, restic.Config{Grace: time.Minute}, backupReply(exit, steps...))
		ctx, cancel := context.WithCancel(t.Context())
		h := s.handlers()
		h.Progress = func(restic.Progress) { cancel() }
		result, err := restic.Run(ctx, s.runner, restic.Backup{Sources: []string{s.source()}, Host: "h"}, s.access, h)
		if err != nil {
			t.Fatal(err)
		}
		if result.Outcome != restic.Cancelled || result.Killed || result.ExitCode != exit {
			t.Errorf("got %+v", result)
		}
		if diff := cmp.Diff([]string{"stderr: signal interrupt received, cleaning up"}, s.lines); diff != "" {
			t.Error(diff)
		}
	}
}

func TestWorkThatWasFinishedCountsDespiteTheCancel(t *testing.T) {
	s := newStage(t, restic.Config{}, backupReply(0,
		out(`{"message_type":"status","files_done":1}`+"\n"), restictest.Step{Await: true}, out(summary)))
	ctx, cancel := context.WithCancel(t.Context())
	h := s.handlers()
	h.Progress = func(restic.Progress) { cancel() }
	result, err := restic.Run(ctx, s.runner, restic.Backup{Sources: []string{s.source()}, Host: "h"}, s.access, h)
	if err != nil || result.Outcome != restic.Succeeded {
		t.Errorf("got %s %v %v", result.Outcome, result.Failure, err)
	}
}

func TestAResticThatDoesNotStopIsKilledWithItsChildren(t *testing.T) {
	s := newStage(t, restic.Config{Grace: 50 * time.Millisecond}, backupReply(0,
		restictest.Step{Ignore: true, Spawn: true},
		out(`{"message_type":"status","files_done":1}`+"\n"), restictest.Step{Forever: true}))
	ctx, cancel := context.WithCancel(t.Context())
	h := s.handlers()
	h.Progress = func(restic.Progress) { cancel() }
	result, err := restic.Run(ctx, s.runner, restic.Backup{Sources: []string{s.source()}, Host: "h"}, s.access, h)
	if err != nil {
		t.Fatal(err)
	}
	if result.Outcome != restic.Cancelled || !result.Killed || result.ExitCode != -1 {
		t.Errorf("got %+v", result)
	}
	call := s.fake.Calls()[0]
	if call.Group != call.PID {
		t.Errorf("process %d is in group %d, not its own", call.PID, call.Group)
	}
	waitGone(t, call.Spawned)
}

func TestAChildLeftBehindDoesNotOutliveAGoodRun(t *testing.T) {
	s := newStage(t, restic.Config{}, backupReply(0, restictest.Step{Spawn: true}, out(summary)))
	if result := s.backup(t.Context()); result.Outcome != restic.Succeeded {
		t.Errorf("got %s %v", result.Outcome, result.Failure)
	}
	waitGone(t, s.fake.Calls()[0].Spawned)
}

func TestAProbeHasADeadline(t *testing.T) {
	silent := restictest.Step{Forever: true}
	retries := errs("Stat(<config/>) returned error, retrying after 1.2s: dial tcp 127.0.0.1:1: connect: connection refused\n")
	for _, test := range []struct {
		deadline time.Duration
		steps    []restictest.Step
		want     restic.Code
	}{
		{100 * time.Millisecond, []restictest.Step{silent}, restic.CodeResticTimeout},
		{2 * time.Second, []restictest.Step{retries, silent}, restic.CodeRepoUnreachable},
	} {
		s := newStage(t, restic.Config{ProbeDeadline: test.deadline, Grace: time.Minute},
			restictest.Reply{Command: "cat config", Steps: test.steps})
		result, err := restic.Run(t.Context(), s.runner, restic.CatConfig{}, s.access, s.handlers())
		if err != nil {
			t.Fatal(err)
		}
		if result.Outcome != restic.Failed || code(result) != test.want {
			t.Errorf("got %s %v, want %s", result.Outcome, result.Failure, test.want)
		}
	}
}

func TestABackupWithoutProgressIsStopped(t *testing.T) {
	var steps []restictest.Step
	for range 20 { // the clock moves, the counters do not
		steps = append(steps, restictest.Step{Out: `{"message_type":"status","files_done":1,"seconds_elapsed":1}` + "\n", Pause: 20 * time.Millisecond})
	}
	s := newStage(t, restic.Config{StuckAfter: 150 * time.Millisecond, Grace: time.Minute}, backupReply(0, append(steps, restictest.Step{Forever: true})...))
	result := s.backup(t.Context())
	if result.Outcome != restic.Failed || code(result) != restic.CodeResticStuck {
		t.Errorf("got %s %v", result.Outcome, result.Failure)
	}

	steps = nil
	for n := range 20 {
		steps = append(steps, restictest.Step{Out: fmt.Sprintf(`{"message_type":"status","bytes_done":%d}`+"\n", n+1), Pause: 150 * time.Millisecond})
	}
	s = newStage(t, restic.Config{StuckAfter: 2 * time.Second}, backupReply(0, append(steps, out(summary))...))
	if result := s.backup(t.Context()); result.Outcome != restic.Succeeded {
		t.Errorf("a backup that moves was stopped: %s %v", result.Outcome, result.Failure)
	}
}

// TestABackupMayBeSilentAtFirst has the first download of a large index, which takes
// longer than a backup may stand still.
func TestABackupMayBeSilentAtFirst(t *testing.T) {
	warns := errs("Load(<index/0123456789>, 0, 0) returned error, retrying after 1s: connection reset by peer\n")
	steps := []restictest.Step{warns, {Pause: time.Second}, {Out: `{"message_type":"status","bytes_done":1}` + "\n"}, out(summary)}
	s := newStage(t, restic.Config{StuckAfter: 200 * time.Millisecond}, backupReply(0, steps...))
	if result := s.backup(t.Context()); result.Outcome != restic.Succeeded {
		t.Errorf("it was stopped: %s %v", result.Outcome, result.Failure)
	}
	s = newStage(t, restic.Config{StuckAfter: 20 * time.Millisecond, Grace: time.Minute}, backupReply(0, restictest.Step{Forever: true}))
	if result := s.backup(t.Context()); result.Outcome != restic.Failed || code(result) != restic.CodeResticStuck {
		t.Errorf("one that is silent for good: %s %v", result.Outcome, result.Failure)
	}
}

func TestTryingInVainIsStopped(t *testing.T) {
	full := "Save(<lock/200022da70>) returned error, retrying after 827ms: unexpected HTTP response (507): 507 Insufficient Storage\n"
	away := "Save(<lock/200022da70>) returned error, retrying after 827ms: dial tcp 127.0.0.1:1: connect: connection refused\n"
	config := restic.Config{HopelessAfter: time.Second, Grace: time.Minute}

	s := newStage(t, config, backupReply(0, errs(full), restictest.Step{Forever: true}))
	if result := s.backup(t.Context()); result.Outcome != restic.Failed || code(result) != restic.CodeRepositoryFull {
		t.Errorf("a full storage: got %s %v", result.Outcome, result.Failure)
	}
	pause := restictest.Step{Pause: 1500 * time.Millisecond}
	s = newStage(t, config, backupReply(0, errs(full), errs(away), pause, out(summary)))
	if result := s.backup(t.Context()); result.Outcome != restic.Succeeded {
		t.Errorf("a storage that was away: got %s %v", result.Outcome, result.Failure)
	}
	s = newStage(t, config, backupReply(0, errs(full), errs("Save(<lock/200022da70>) operation successful after 1 retries\n"), pause, out(summary)))
	if result := s.backup(t.Context()); result.Outcome != restic.Succeeded {
		t.Errorf("a storage that had room again: got %s %v", result.Outcome, result.Failure)
	}
}

// TestASampleSaysThatTheStorageIsTriedAgain until something comes forward, or restic says
// that it did.
func TestASampleSaysThatTheStorageIsTriedAgain(t *testing.T) {
	t.Parallel()
	const pause = 500 * time.Millisecond // the two streams have no order
	status := func(done int) restictest.Step {
		return restictest.Step{Out: fmt.Sprintf(`{"message_type":"status","percent_done":1,"bytes_done":%d}`+"\n", done), Pause: pause}
	}
	tries := restictest.Step{Err: "Save(<data/0123456789>) returned error, retrying after 4.2s: connection refused\n", Pause: pause}
	came := restictest.Step{Err: "Save(<data/0123456789>) operation successful after 1 retries\n", Pause: pause}
	for name, test := range map[string]struct {
		steps []restictest.Step
		want  bool
	}{
		"nothing was tried again": {[]restictest.Step{status(1), status(1)}, false},
		"it is tried again":       {[]restictest.Step{status(1), tries, status(1)}, true},
		"it succeeded":            {[]restictest.Step{status(1), tries, came, status(1)}, false},
		"something came forward":  {[]restictest.Step{status(1), tries, status(2)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, restic.Config{}, backupReply(0, append(test.steps, out(summary))...))
			s.backup(t.Context())
			if last := s.progress[len(s.progress)-1]; last.Retrying != test.want {
				t.Errorf("retrying is %t", last.Retrying)
			}
		})
	}
}
