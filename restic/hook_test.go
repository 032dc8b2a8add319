//go:build !windows

package restic_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// script puts a script into a folder of its own and finds it fit.
func script(t *testing.T, name, text string) restic.Script {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	restictest.Executable(t, path, text)
	return fit(t, path)
}

func fit(t *testing.T, path string) restic.Script {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := restic.ScriptOf(path, f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hooked is a runner for hooks with what they said.
type hooked struct {
	t      *testing.T
	runner *restic.Runner
	lines  []string
	refs   []restic.ProcessRef
}

func newHooked(t *testing.T) *hooked {
	return &hooked{t: t, runner: restic.New(restic.Config{CacheDir: t.TempDir(), TempDir: t.TempDir(), Grace: time.Second})}
}

func (h *hooked) run(ctx context.Context, hook restic.Hook) restic.HookResult {
	h.t.Helper()
	h.lines = nil
	result, err := h.runner.RunHook(ctx, hook, restic.Handlers{
		Started: func(ref restic.ProcessRef) error { h.refs = append(h.refs, ref); return nil },
		Line:    func(l restic.Line) { h.lines = append(h.lines, string(l.Stream)+": "+l.Text) },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return result
}

func (h *hooked) text() string { return strings.Join(h.lines, "\n") }

func TestAHookFindsNothingInItsEnvironmentButWhatItWasTold(t *testing.T) {
	t.Setenv("RESTIC_REST_PASSWORD", "canary-of-the-agent")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary-of-the-agent")
	h := newHooked(t)
	hook := restic.Hook{
		Script:  script(t, "show", "#!/bin/sh\nenv\nls -l /proc/self/fd\npwd\ncat\n"),
		Env:     []restic.Variable{{Name: "RM_HOOK", Value: "before"}, {Name: "RM_SCHEDULE_NAME", Value: "nightly $(id) \n;x"}},
		Timeout: time.Minute,
		Access:  restic.Access{Password: restic.NewSecret("canary-of-the-agent")},
	}
	if got := h.run(t.Context(), hook); got.End != restic.HookDone {
		t.Fatalf("it ended as %+v:\n%s", got, h.text())
	}
	var names []string
	for _, line := range h.lines {
		if name, _, isVariable := strings.Cut(strings.TrimPrefix(line, "stdout: "), "="); isVariable {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if got := strings.Join(slices.DeleteFunc(names, func(n string) bool { return n == "PWD" || n == "OLDPWD" || n == "_" || n == "SHLVL" }), " "); got !=
		"HOME LANG LOGNAME PATH RM_HOOK RM_SCHEDULE_NAME USER" {
		t.Errorf("its environment has %s", got)
	}
	if !strings.Contains(h.text(), "stdout: RM_SCHEDULE_NAME=nightly $(id)  ;x") {
		t.Errorf("a variable did not arrive as it is, on one line:\n%s", h.text())
	}
	if strings.Contains(h.text(), "pipe:") && strings.Contains(h.text(), " 3 -> pipe") {
		t.Errorf("a pipe is open in it:\n%s", h.text())
	}
	if !slices.Contains(h.lines, "stdout: "+filepath.Dir(hook.Script.Path)) {
		t.Errorf("it does not work in its own folder:\n%s", h.text())
	}
	if len(h.refs) != 1 || h.refs[0].Group != h.refs[0].PID {
		t.Errorf("it was recorded as %+v", h.refs)
	}
}

func TestAHooksOutputHasNoSecrets(t *testing.T) {
	h := newHooked(t)
	h.run(t.Context(), restic.Hook{
		Script: script(t, "leak", "#!/bin/sh\necho the password is hunter2hunter2\n"),
		Access: restic.Access{Password: restic.NewSecret("hunter2hunter2")},
	})
	if strings.Contains(h.text(), "hunter2") {
		t.Error(h.text())
	}
}

func TestAHookThatFailsSaysHow(t *testing.T) {
	h := newHooked(t)
	got := h.run(t.Context(), restic.Hook{Script: script(t, "fails", "#!/bin/sh\necho the disk is missing >&2\nexit 7\n")})
	if got.End != restic.HookFailed || got.ExitCode != 7 || got.Words(0) != "ended with exit code 7; its last line: the disk is missing" {
		t.Errorf("%+v: %s", got, got.Words(0))
	}
	got = h.run(t.Context(), restic.Hook{Script: script(t, "dies", "#!/bin/sh\nkill -9 $$\n")})
	if got.End != restic.HookFailed || got.Signal != "killed" {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNoProgramIsNotRunByAShell(t *testing.T) {
	h := newHooked(t)
	canary := filepath.Join(t.TempDir(), "canary")
	for name, text := range map[string]string{
		"no first line": "touch " + canary + "\n", "no interpreter": "#!/nowhere/sh\ntouch " + canary + "\n",
	} {
		got := h.run(t.Context(), restic.Hook{Script: script(t, "odd", text)})
		if got.End != restic.HookFailed || got.ExitCode != 126 || !strings.Contains(h.text(), "script odd not started: ") {
			t.Errorf("%s: %+v\n%s", name, got, h.text())
		}
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("a shell ran it")
	}
}

// TestTheUsualInterpretersReadAScriptThatIsAnOpenFile tries those that this machine has.
func TestTheUsualInterpretersReadAScriptThatIsAnOpenFile(t *testing.T) {
	h := newHooked(t)
	for line, text := range map[string]string{
		"#!/bin/sh": "echo it $((6*7))", "#!/bin/bash -eu": "echo it $((6*7))", "#!/usr/bin/env bash": "echo it $((6*7))",
		"#!/usr/bin/env -S bash -eu": "echo it $((6*7))", "#!/usr/bin/perl -w": `print "it ", 6*7, "\n";`, "#!/usr/bin/python3": "print('it', 6*7)",
		"#!/usr/bin/awk -f": `BEGIN { print "it", 6*7 }`,
	} {
		if _, err := os.Stat(strings.Fields(line)[0][2:]); err != nil {
			continue // no part of the least system
		}
		if got := h.run(t.Context(), restic.Hook{Script: script(t, "speaks", line+"\n"+text+"\n")}); got.End != restic.HookDone || h.text() != "stdout: it 42" {
			t.Errorf("%s: %+v\n%s", line, got, h.text())
		}
	}
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if got := h.run(t.Context(), restic.Hook{Script: script(t, "program", string(program))}); got.End != restic.HookDone {
		t.Errorf("a program: %+v\n%s", got, h.text())
	}
}

// TestAScriptThatWasSwappedIsNotRun changes what lies at the path after it was found fit.
func TestAScriptThatWasSwappedIsNotRun(t *testing.T) {
	canary := filepath.Join(t.TempDir(), "canary")
	evil := []byte("#!/bin/sh\ntouch " + canary + "\n")
	for name, swap := range map[string]func(path string) error{
		"another file": func(path string) error {
			if err := os.WriteFile(path+".new", evil, 0o755); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
		"the same file rewritten": func(path string) error { return os.WriteFile(path, evil, 0o755) },
		"a link": func(path string) error {
			if err := os.WriteFile(path+".new", evil, 0o755); err != nil {
				return err
			}
			return errors.Join(os.Remove(path), os.Symlink(path+".new", path))
		},
		"another mode": func(path string) error { return os.Chmod(path, 0o777) },
	} {
		h := newHooked(t)
		s := script(t, "ours", "#!/bin/sh\necho ours\n")
		if err := swap(s.Path); err != nil {
			t.Fatal(err)
		}
		if f, err := restic.OpenScript(s); err == nil {
			t.Errorf("%s is opened", name)
			_ = f.Close()
		}
		got := h.run(t.Context(), restic.Hook{Script: s})
		if got.End != restic.HookFailed || got.ExitCode != 126 {
			t.Errorf("%s: %+v\n%s", name, got, h.text())
		}
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("what was put in its place ran")
	}
}

// TestAScriptThatIsNotRecordedDoesNotRun refuses the record, as a full disk would, and
// starts a starter whose agent says nothing more.
func TestAScriptThatIsNotRecordedDoesNotRun(t *testing.T) {
	canary := filepath.Join(t.TempDir(), "canary")
	s := script(t, "ours", "#!/bin/sh\ntouch "+canary+"\n")
	refused := errors.New("the disk is full")
	_, err := newHooked(t).runner.RunHook(t.Context(), restic.Hook{Script: s}, restic.Handlers{Started: func(restic.ProcessRef) error { return refused }})
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	starter, err := os.StartProcess(self, append([]string{self}, restic.StarterArguments(s)...), &os.ProcAttr{
		Files: []*os.File{nil, os.Stdout, os.Stderr, read},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = read.Close(), write.Close()
	if state, err := starter.Wait(); err != nil || state.Success() {
		t.Errorf("the starter ended as %v, %v", state, err)
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("it ran")
	}
}

const hangs = "#!/bin/sh\ntrap '' TERM\necho $$ > pids\nsleep 1000 &\necho $! >> pids\necho ready\nwait\nsleep 1000\n"

func TestAHookThatHangsIsEndedWithAllItStarted(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want restic.HookEnd
	}{
		"by its time-out":                 {"#!/bin/sh\necho $$ > pids\nsleep 1000 &\necho $! >> pids\nwait\n", restic.HookTimeout},
		"by a cancel":                     {"#!/bin/sh\necho $$ > pids\nsleep 1000 &\necho $! >> pids\necho ready\nwait\n", restic.HookCancelled},
		"by force where it does not heed": {hangs, restic.HookCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHooked(t)
			ctx, cancel := context.WithCancel(t.Context())
			hook := restic.Hook{Script: script(t, "hangs", test.text)}
			if test.want == restic.HookTimeout {
				hook.Timeout = 300 * time.Millisecond
			}
			result, err := h.runner.RunHook(ctx, hook, restic.Handlers{Line: func(l restic.Line) {
				if l.Text == "ready" {
					cancel()
				}
			}})
			cancel()
			if err != nil || result.End != test.want {
				t.Errorf("it ended as %+v, %v", result, err)
			}
			text, err := os.ReadFile(filepath.Join(filepath.Dir(hook.Script.Path), "pids"))
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range strings.Fields(string(text)) {
				pid, err := strconv.Atoi(field)
				if err != nil {
					t.Fatal(err)
				}
				waitGone(t, pid)
			}
		})
	}
}

func TestAHookThatFloodsIsCutInTheMiddle(t *testing.T) {
	h := newHooked(t)
	got := h.run(t.Context(), restic.Hook{Script: script(t, "floods", "#!/bin/sh\nseq 1 300000\n")})
	if got.End != restic.HookDone || got.Omitted < 270_000 {
		t.Errorf("%+v", got)
	}
	if len(h.lines) > 20_100 || h.lines[0] != "stdout: 1" || h.lines[len(h.lines)-1] != "stdout: 300000" {
		t.Errorf("%d lines, from %q to %q", len(h.lines), h.lines[0], h.lines[len(h.lines)-1])
	}
	if !strings.Contains(h.text(), "lines of floods are left out here") {
		t.Error("nothing says that lines are missing")
	}
	got = h.run(t.Context(), restic.Hook{Script: script(t, "wide", "#!/bin/sh\nhead -c 40000000 /dev/zero | tr '\\0' 'x'\nfor i in 1 2 3 4 5 6; do head -c 900000 /dev/zero | tr '\\0' 'y'; echo; done\n")})
	if size := len(h.text()); size > 5<<20 {
		t.Errorf("%d bytes came through: %+v", size, got)
	}
}
