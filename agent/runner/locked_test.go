package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/agent/control"
	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// lockedFor is a place whose repository is locked for the first tries.
func lockedFor(t *testing.T, tries int) *timed {
	p := newTimed(t)
	done := 0
	p.work = func(_ context.Context, attempt int) *Ending {
		if done++; done <= tries {
			return failing(restic.CodeRepoLocked)
		}
		return &Ending{Outcome: spool.Outcome{Result: spool.Succeeded}}
	}
	return p
}

func TestAJobWaitsForALockWithinOneAttempt(t *testing.T) {
	p := lockedFor(t, 8)
	synctest.Test(t, func(t *testing.T) {
		job := p.command("backup", backupParams(), func(c *control.Command) { c.StartWithinS = 60 })
		begun := time.Now()
		_, over := p.begin(job)
		<-over
		p.recorded(job.ID).want(spool.Succeeded, "")
		if len(p.ran) != 9 {
			t.Errorf("tried %d times", len(p.ran))
		}
		// 10, 20, 40, 80, 160, 300, 300, 300 seconds, each up to a fifth longer.
		if took := time.Since(begun); took < 1210*time.Second || took > 1452*time.Second {
			t.Errorf("the pauses make %s", took)
		}
		for _, e := range p.recorded(job.ID).events {
			if e.Attempt != 1 && e.Kind != "acked" {
				t.Errorf("%s is of attempt %d", e.Kind, e.Attempt)
			}
			if e.Kind == "waiting" && !strings.HasPrefix(e.Message, "waits for the lock of another restic; tries again at ") {
				t.Errorf("it says %q", e.Message)
			}
		}
	})
}

func TestAFailureAfterALockIsAnotherAttempt(t *testing.T) {
	p := lockedFor(t, 1)
	p.schedule(func(s *Schedule) { s.Retries, s.RetryAfter = 1, time.Minute })
	codes := []restic.Code{restic.CodeRepoLocked, restic.CodeRepoUnreachable, restic.CodeRepoLocked}
	p.work = func(context.Context, int) *Ending {
		if len(codes) == 0 {
			return &Ending{Outcome: spool.Outcome{Result: spool.Succeeded}}
		}
		e := failing(codes[0])
		codes = codes[1:]
		return e
	}
	synctest.Test(t, func(t *testing.T) {
		job := p.command("backup", backupParams())
		_, over := p.begin(job)
		<-over
		var got []string
		for _, e := range p.recorded(job.ID).events {
			got = append(got, fmt.Sprint(e.Attempt, " ", e.Kind))
		}
		want := []string{"0 acked", "1 running", "1 waiting", "1 running", "1 waiting", "2 running", "2 waiting", "2 running", "2 finished"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestALockIsWaitedForNoLongerThanAllowed(t *testing.T) {
	for most, want := range map[time.Duration]time.Duration{0: longestLocked, time.Hour: time.Hour} {
		p := lockedFor(t, 400)
		p.schedule(func(s *Schedule) { s.MaxRun = most })
		synctest.Test(t, func(t *testing.T) {
			job := p.command("backup", backupParams())
			begun := time.Now()
			_, over := p.begin(job)
			<-over
			p.recorded(job.ID).want(spool.Failed, "repo_locked")
			if took := time.Since(begun); took < want || took > want+2*time.Second {
				t.Errorf("with a longest run of %s it waited %s", most, took)
			}
		})
	}
}

func TestAWaitForALockCanBeCancelledAndOutlastsTheAgent(t *testing.T) {
	p := lockedFor(t, 6)
	synctest.Test(t, func(t *testing.T) {
		job := p.command("backup", backupParams())
		end, over := p.begin(job)
		time.Sleep(3 * time.Minute)
		end(ErrStopping)
		<-over
		pending := p.spool.Pending()
		if len(pending) != 1 || pending[0].LockTries != 5 || pending[0].Attempt != 1 {
			t.Fatalf("the journal has %+v", pending)
		}
		p.runner = New(p.options)
		end, over = p.begin(pending[0])
		time.Sleep(6 * time.Minute) // the sixth try was in vain
		end(ErrCancelled)
		<-over
		p.recorded(job.ID).want(spool.Cancelled, CodeCancelled)
		if len(p.ran) != 6 {
			t.Errorf("tried %d times", len(p.ran))
		}
	})
}

func TestWhoHasTheLockIsNamed(t *testing.T) {
	t.Parallel()
	message := `unable to create lock in backend: repository is already locked exclusively by PID 4711 on nas by root (UID 0, GID 0)\n` +
		`lock was created at 2026-11-21 17:40:00 (13.8s ago)\nstorage ID efd3917c\nthe unlock command can be used to remove stale locks`
	fake := restictest.NewFake(t, fakeScript(catConfig(), restictest.Reply{Command: "backup", Exit: 11, Steps: []restictest.Step{
		{Err: `{"message_type":"exit_error","code":11,"message":"` + message + `"}` + "\n"},
	}}))
	p := newPlace(t, fake.Path())
	job := p.command("backup", backupParams())
	p.runUntil(job, func() bool {
		now, err := p.spool.Job(job.ID)
		return err == nil && now.Phase == spool.Waiting
	}, ErrCancelled)
	kept := p.recorded(job.ID)
	if !slices.ContainsFunc(kept.events, func(e control.Event) bool { return e.Kind == string(spool.Waiting) && e.Code == "repo_locked" }) {
		t.Errorf("no event says by a name that it waits for a lock: %+v", kept.events)
	}
	said := strings.Join(kept.messages(), "\n")
	if !strings.Contains(said, "waits for the exclusive lock of process 4711 on nas by root, made at 2026-11-21 17:40:00 (13.8s ago); tries again at ") {
		t.Errorf("the events are\n%s", said)
	}
}

func TestHooksAreNotRunForARepositoryThatIsLocked(t *testing.T) {
	t.Parallel()
	lock := `{"time":"2026-11-21T17:40:00Z","exclusive":true,"hostname":"nas","username":"root","pid":4711}`
	fake := restictest.NewFake(t, fakeScript(says("list locks", fakeID, 0), says("cat lock", lock, 0), catConfig()))
	p := newPlace(t, fake.Path())
	dir := filepath.Join(filepath.Dir(p.policy), "hooks.d")
	restictest.Executable(t, filepath.Join(dir, "stop-wiki"), "#!/bin/sh\ntouch "+filepath.Join(dir, "was-run")+"\n")
	p.schedule(func(s *Schedule) { s.Hooks = Hooks{Before: "stop-wiki"} })
	job := p.command("backup", backupParams())
	p.runUntil(job, func() bool {
		now, err := p.spool.Job(job.ID)
		return err == nil && now.Phase == spool.Waiting
	}, ErrCancelled)
	if _, err := os.Stat(filepath.Join(dir, "was-run")); err == nil {
		t.Error("the hook was run")
	}
	if said := strings.Join(p.recorded(job.ID).messages(), "\n"); !strings.Contains(said, "exclusive lock of process 4711 on nas by root") {
		t.Errorf("the events are\n%s", said)
	}
}

func TestTheOwnerOfALockIsJudgedByProof(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	boot := now.Add(-10 * time.Hour)
	tests := []struct {
		name string
		age  time.Duration
		seen restic.SeenProcess
		want string
	}{
		{"a restic that runs", time.Minute, restic.SeenProcess{Restic: true, Boot: boot}, aliveYes},
		{"a restic that runs and has not refreshed it", time.Hour, restic.SeenProcess{Restic: true, Boot: boot}, aliveYes},
		{"nobody, of a young lock: another machine may have this name", 29 * time.Minute, restic.SeenProcess{Gone: true, Boot: boot}, aliveUnknown},
		{"nobody", 31 * time.Minute, restic.SeenProcess{Gone: true, Boot: boot}, aliveNo},
		{"another program", 31 * time.Minute, restic.SeenProcess{Boot: boot}, aliveNo},
		{"another program, of a young lock", time.Minute, restic.SeenProcess{Boot: boot}, aliveUnknown},
		{"a restic of a later start of the machine", 11 * time.Hour, restic.SeenProcess{Restic: true, Boot: boot}, aliveNo},
	}
	for _, test := range tests {
		lock := restic.RepositoryLock{Time: now.Add(-test.age), PID: 7}
		if got := judgeOwner(lock, test.seen, now); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestOurOwnProcessIsKnownByMoreThanItsNumber(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var own ownProcesses
	own.began(restic.ProcessRef{PID: 1 << 22, Start: 1, Boot: "an earlier one"}, now.Add(-time.Minute))
	own.ended(1<<22, now)
	for at, want := range map[time.Duration]string{-30 * time.Second: aliveNo, -2 * time.Minute: aliveUnknown, time.Minute: aliveUnknown} {
		lock := restic.RepositoryLock{Time: now.Add(at), PID: 1 << 22, Host: host}
		if got := own.alive(lock, now); got != want {
			t.Errorf("a lock of %s: %q, want %q", at, got, want)
		}
	}
	if got := own.alive(restic.RepositoryLock{Time: now.Add(-30 * time.Second), PID: 1 << 22, Host: host + "-2"}, now); got != "" {
		t.Errorf("the lock of another machine: %q", got)
	}
}
