//go:build unix

package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/policy"
	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// withHooks is a place with a real restic, its repository on an append-only server.
func withHooks(t *testing.T) *place {
	t.Helper()
	bins := restictest.Find(t, restictest.Suites()[0])
	p := newPlace(t, bins.Restic)
	server := restictest.StartRestServer(t, bins)
	p.onStorage(server)
	p.initialise()
	return p
}

// script puts a script into one of the host's folders and returns its path.
func (p *place) script(folder, name, text string) string {
	p.t.Helper()
	path := filepath.Join(filepath.Dir(p.policy), folder, name)
	restictest.Executable(p.t, path, "#!/bin/sh\n"+text)
	return path
}

func (p *place) hooks(h Hooks) { p.schedule(func(s *Schedule) { s.Hooks = h }) }

func TestHooksRunAroundTheBackupAndAreOneAttemptWithIt(t *testing.T) {
	t.Parallel()
	p := withHooks(t)
	out := filepath.Join(t.TempDir(), "out")
	for _, when := range []string{"before", "success", "failure"} {
		p.script("hooks.d", when, "echo "+when+" speaks; echo "+when+" grumbles >&2; (echo; env; cat /proc/self/environ | tr '\\0' '\\n') >> "+out+"."+when+"\n")
	}
	p.hooks(Hooks{Before: "before", AfterSuccess: "success", AfterFailure: "failure"})
	job := p.do("backup", backupParams())
	got := job.want(spool.Succeeded, "")
	if !got.Confirmed {
		t.Error("the snapshot was not confirmed")
	}
	order := []string{"hook before (before)", "before speaks", "restic backup", "saved:", "hook success (after_success)", "success speaks"}
	rest := job.lines()
	for _, part := range order {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("%q is missing, or in another order, in:\n%s", part, job.lines())
		}
		rest = after
	}
	if !strings.Contains(job.lines(), `"s":"e","m":"before grumbles"`) {
		t.Errorf("its stderr is not marked as such:\n%s", job.lines())
	}
	for when, wants := range map[string][]string{
		"before":  {"RM_HOOK=before", "RM_JOB_ID=", "RM_SCHEDULE_NAME=etc", "RM_SCHEDULE_ID=" + scheduleID, "RM_ATTEMPT=1", "RM_TRIGGER=run-now"},
		"success": {"RM_HOOK=after_success", "RM_RESULT=succeeded", "RM_SNAPSHOT_ID=" + got.SnapshotId},
	} {
		text := readFile(t, out+"."+when)
		for _, want := range wants {
			if !strings.Contains(text, "\n"+want) {
				t.Errorf("%s: %s is not in its environment:\n%s", when, want, text)
			}
		}
		for _, secret := range []string{password, p.secrets[credentialRef.ID].Reveal(), "RESTIC"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %q is in its environment:\n%s", when, secret, text)
			}
		}
	}
	if _, err := os.Stat(out + ".failure"); err == nil {
		t.Error("the hook for failures ran after a success")
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestABackupWhoseFirstHookFailsIsNotBegun(t *testing.T) {
	t.Parallel()
	p := withHooks(t)
	said := filepath.Join(t.TempDir(), "said")
	p.script("hooks.d", "mount", "echo no such disk >&2; exit 32\n")
	p.script("hooks.d", "tell", "echo $RM_RESULT $RM_CODE > "+said+"\n")
	p.hooks(Hooks{Before: "mount", AfterFailure: "tell"})
	job := p.do("backup", backupParams())
	got := job.want(spool.Failed, CodeHookFailed)
	if want := "the hook mount (before) ended with exit code 32; its last line: no such disk; the backup was not begun"; got.Message != want {
		t.Errorf("got  %s\nwant %s", got.Message, want)
	}
	if strings.Contains(job.lines(), "restic cat") || strings.Contains(job.lines(), "restic backup") || got.SnapshotId != "" {
		t.Errorf("restic was started:\n%s", job.lines())
	}
	if text := readFile(t, said); text != "failed hook_failed\n" {
		t.Errorf("the hook for failures learned %q", text)
	}

	p.hooks(Hooks{Before: "mount", GoOn: true})
	got = p.do("backup", backupParams()).want(spool.Warning, CodeHookFailed)
	if !got.Confirmed || !strings.Contains(got.Message, "no such disk") {
		t.Errorf("a hook that may fail: %+v", got)
	}
}

func TestAHookAfterwardsNeverHidesWhatTheBackupCameTo(t *testing.T) {
	t.Parallel()
	p := withHooks(t)
	p.script("hooks.d", "breaks", "exit 1\n")
	open := p.script("hooks.d", "open", "touch "+filepath.Join(t.TempDir(), "canary")+"\n")
	if err := os.Chmod(open, 0o775); err != nil {
		t.Fatal(err)
	}
	p.hooks(Hooks{AfterSuccess: "breaks", AfterFailure: "breaks"})
	if got := p.do("backup", backupParams()).want(spool.Warning, CodeHookFailed); !got.Confirmed || got.SnapshotId == "" {
		t.Errorf("a good backup: %+v", got)
	}
	p.hooks(Hooks{AfterSuccess: "open"})
	if got := p.do("backup", backupParams()).want(spool.Warning, policy.CodeHookInsecure); !got.Confirmed || !strings.Contains(got.NextStep, "chmod go-w") {
		t.Errorf("a hook that the host refuses: %+v", got)
	}
	missing := filepath.Join(t.TempDir(), "gone")
	p.schedule(func(s *Schedule) {
		s.Hooks = Hooks{AfterSuccess: "breaks", AfterFailure: "breaks"}
		s.Paths = []string{p.source, missing}
	})
	if got := p.do("backup", backupParams()).want(spool.Warning, "source_missing"); !strings.Contains(got.Message, "; the hook breaks (after_success) ended with exit code 1") {
		t.Errorf("a warning: %+v", got)
	}
	p.secrets[passwordRef.ID] = restic.NewSecret("not it")
	if got := p.do("backup", backupParams()).want(spool.Failed, "wrong_password"); !strings.Contains(got.Message, "; the hook breaks (after_failure) ended") {
		t.Errorf("a failure: %+v", got)
	}
}

func TestScriptsThatTheHostDoesNotAllowRejectTheJob(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.NewFake(t, restictest.Script{}).Path())
	canary := filepath.Join(t.TempDir(), "canary")
	for _, folder := range []string{"hooks.d", "sources.d"} {
		open := p.script(folder, "open", "touch "+canary+"\n")
		if err := os.Chmod(open, 0o775); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(filepath.Dir(open), "link")
		if err := os.Symlink(p.script("elsewhere", "real", "touch "+canary+"\n"), link); err != nil {
			t.Fatal(err)
		}
	}
	for name, hook := range map[string]string{
		"open": policy.CodeHookInsecure, "link": policy.CodeHookInsecure, "unknown": policy.CodeHookNotAllowed,
		"../elsewhere/real": policy.CodeHookNotAllowed, "/bin/sh": policy.CodeHookNotAllowed, "sh -c id": policy.CodeHookNotAllowed,
	} {
		p.hooks(Hooks{Before: name})
		p.do("backup", backupParams()).want(spool.Rejected, hook)
		p.schedule(func(s *Schedule) { s.Hooks, s.Source, s.Paths = Hooks{}, name, nil })
		source := strings.Replace(hook, "hook", "source", 1)
		p.do("backup", backupParams()).want(spool.Rejected, source)
		p.schedule(func(s *Schedule) { s.Source, s.Paths = "", []string{p.source} })
	}
	p.script("hooks.d", "fine", "touch "+canary+"\n")
	p.writePolicy("version: 1\nprofile: trusting\nhooks: {allow: []}\n")
	p.hooks(Hooks{Before: "fine"})
	p.do("backup", backupParams()).want(spool.Rejected, policy.CodeHookNotAllowed)
	if _, err := os.Stat(canary); err == nil {
		t.Error("one of them ran")
	}
}

// TestAHookThatIsTakenAwayMeanwhileIsNotRun lets the backup's own first hook spoil the
// second, as root might while a backup runs.
func TestAHookThatIsTakenAwayMeanwhileIsNotRun(t *testing.T) {
	t.Parallel()
	p := withHooks(t)
	canary := filepath.Join(t.TempDir(), "canary")
	after := p.script("hooks.d", "after", "touch "+canary+"\n")
	p.script("hooks.d", "before", "chmod 0777 "+after+"\n")
	p.hooks(Hooks{Before: "before", AfterSuccess: "after"})
	p.do("backup", backupParams()).want(spool.Warning, policy.CodeHookInsecure)
	if _, err := os.Stat(canary); err == nil {
		t.Error("it ran")
	}
}

func TestACancelEndsAHookAndWhatMustBeUndoneIsUndone(t *testing.T) {
	t.Parallel()
	p := withHooks(t)
	dir := t.TempDir()
	p.script("hooks.d", "stop-database", "echo $$ > "+dir+"/pid; sleep 1000 & echo $! >> "+dir+"/pid; mkfifo "+dir+"/ready; : > "+dir+"/ready; wait\n")
	p.script("hooks.d", "start-database", "echo $RM_RESULT > "+dir+"/started\n")
	p.hooks(Hooks{Before: "stop-database", AfterFailure: "start-database"})
	ctx, cancel := context.WithCancelCause(t.Context())
	job := p.command("backup", backupParams())
	ended := make(chan struct{})
	go func() { p.runner.Run(ctx, job); close(ended) }()
	waitForPipe(t, filepath.Join(dir, "ready"))
	cancel(ErrCancelled)
	<-ended
	p.recorded(job.ID).want(spool.Cancelled, "cancelled")
	if text := readFile(t, filepath.Join(dir, "started")); text != "cancelled\n" {
		t.Errorf("what it stopped was started again after %q", text)
	}
	for _, field := range strings.Fields(readFile(t, filepath.Join(dir, "pid"))) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) && !zombie(pid) {
			t.Errorf("process %d is there still: %v", pid, err)
		}
	}
	left, err := p.spool.Job(job.ID)
	if err != nil || len(left.Process) > 0 && string(left.Process) != "null" {
		t.Errorf("a process is recorded still: %s, %v", left.Process, err)
	}
}

func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// waitForPipe returns when somebody has opened the pipe for writing.
func waitForPipe(t *testing.T, path string) {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(30 * time.Second); ; {
		if f, err := os.Open(path); err == nil {
			_ = f.Close()
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("nobody came")
		}
	}
}

func TestAHookThatHangsIsStoppedByItsTimeout(t *testing.T) {
	t.Parallel()
	p := withHooks(t)
	p.script("hooks.d", "hangs", "sleep 1000\n")
	p.hooks(Hooks{Before: "hangs", Timeout: time.Second})
	if got := p.do("backup", backupParams()).want(spool.Failed, CodeHookFailed); !strings.Contains(got.Message, "did not end within 1s and was stopped") {
		t.Error(got.Message)
	}
}

func TestAHookThatFloodsLeavesRoomForTheRest(t *testing.T) {
	t.Parallel()
	p := withHooks(t)
	p.script("hooks.d", "floods", "seq 1 400000\n")
	p.hooks(Hooks{Before: "floods", AfterSuccess: "floods"})
	job := p.do("backup", backupParams())
	job.want(spool.Succeeded, "")
	text := job.lines()
	if n := strings.Count(text, "\n"); n > 41_000 {
		t.Errorf("%d lines were kept", n)
	}
	for _, part := range []string{"lines of floods are left out here", `"m":"400000"`, "restic backup", "saved:"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in the log", part)
		}
	}
	var dropped int64
	for _, e := range job.events {
		if e.Gap != nil && e.Gap.Stream == control.Log {
			dropped += e.Gap.Lines
		}
	}
	if dropped > 0 {
		t.Errorf("the spool had to drop %d lines", dropped)
	}
}

func TestANamedSourceIsBackedUpAndItsFailureIsOne(t *testing.T) {
	t.Parallel()
	p := withHooks(t)
	p.script("sources.d", "database", "echo dumping >&2\nseq 1 1000\n")
	p.schedule(func(s *Schedule) { s.Source, s.Paths, s.Excludes = "database", nil, []string{"*"} })
	job := p.do("backup", backupParams())
	got := job.want(spool.Succeeded, "")
	if got.Stats.FilesProcessed != 1 || !got.Confirmed || !strings.Contains(job.lines(), `"s":"e","m":"dumping"`) {
		t.Errorf("%+v\n%s", got, job.lines())
	}
	if paths := job.finished[0].Snapshot.Paths; len(paths) != 1 || paths[0] != "/database" {
		t.Errorf("the snapshot is of %q", paths)
	}
	p.script("sources.d", "database", "seq 1 1000; exit 3\n")
	if got := p.do("backup", backupParams()).want(spool.Failed, "source_failed"); got.SnapshotId != "" {
		t.Errorf("a dump that broke off: %+v", got)
	}
	p.script("sources.d", "database", "true\n")
	if got := p.do("backup", backupParams()).want(spool.Failed, "source_empty"); got.SnapshotId != "" {
		t.Errorf("an empty dump: %+v", got)
	}
	interrupted := p.command("backup", backupParams())
	if _, err := p.spool.Start(t.Context(), interrupted.ID); err != nil {
		t.Fatal(err)
	}
	task := &Task{Job: interrupted, runner: p.runner, Schedule: p.config.Schedules[scheduleID], Repository: p.config.Repositories[repositoryID]}
	task.SnapshotHost = "web-1"
	task.reach = reach{location: task.Repository.Location, credential: task.Repository.Credential, usual: true}
	if e := task.unseal(t.Context()); e != nil {
		t.Fatal(e)
	}
	script, err := mustPolicy(t, p).Source("database")
	if err != nil {
		t.Fatal(err)
	}
	task.source = script
	if _, err := restic.Run(t.Context(), p.options.Restic, task.backup(), task.access, restic.Handlers{}); err != nil {
		t.Fatal(err)
	}
	found, err := task.made(t.Context())
	if err != nil || found == nil || found.Result != spool.Failed || found.Code != "source_empty" {
		t.Errorf("an empty dump that nobody saw the end of: %+v, %v", found, err)
	}
}

func mustPolicy(t *testing.T, p *place) *policy.Policy {
	t.Helper()
	rules, err := p.options.Policy()
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// TestAScriptThatFailedIsTriedAgainWithTheNextAttempt has a disk that is there the second
// time: hooks and backup together are one attempt.
func TestAScriptThatFailedIsTriedAgainWithTheNextAttempt(t *testing.T) {
	t.Parallel()
	p := withHooks(t)
	tries := filepath.Join(t.TempDir(), "tries")
	p.script("hooks.d", "mount", "echo $RM_ATTEMPT >> "+tries+"; [ $RM_ATTEMPT = 2 ]\n")
	p.script("hooks.d", "unmount", "echo $RM_HOOK $RM_ATTEMPT $RM_RESULT >> "+tries+"\n")
	p.schedule(func(s *Schedule) {
		s.Hooks = Hooks{Before: "mount", AfterSuccess: "unmount", AfterFailure: "unmount"}
		s.Retries, s.RetryAfter = 1, time.Millisecond
	})
	p.do("backup", backupParams()).want(spool.Succeeded, "")
	if got := readFile(t, tries); got != "1\nafter_failure 1 failed\n2\nafter_success 2 succeeded\n" {
		t.Errorf("they ran as\n%s", got)
	}
}
