package restic_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restic-manager/restic"
)

// TestAHookOfWindowsRunsWithAnEnvironmentFromNothing is compiled for Windows alone.
func TestAHookOfWindowsRunsWithAnEnvironmentFromNothing(t *testing.T) {
	t.Setenv("RESTIC_REST_PASSWORD", "canary-of-the-agent")
	find := func(path string) restic.Script {
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
	dir, err := os.MkdirTemp("", "hook-") // not t.TempDir: Go cannot remove folders under this Wine
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "show.cmd")
	if err := os.WriteFile(path, []byte("@echo off\r\nset\r\necho to the right 1>&2\r\nexit /b 7\r\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	runner := restic.New(restic.Config{CacheDir: dir, TempDir: dir})
	var lines []string
	run := func(s restic.Script) restic.HookResult {
		lines = nil
		result, err := runner.RunHook(t.Context(), restic.Hook{
			Script: s, Env: []restic.Variable{{Name: "RM_JOB_ID", Value: "1"}, {Name: "RM_HOOK", Value: "before"}}, Timeout: time.Minute,
		}, restic.Handlers{Line: func(l restic.Line) { lines = append(lines, string(l.Stream)+": "+l.Text) }})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	script := find(path)
	result := run(script)
	text := strings.Join(lines, "\n")
	if result.End != restic.HookFailed || result.ExitCode != 7 {
		t.Errorf("it ended as %+v\n%s", result, text)
	}
	if !strings.Contains(text, "stdout: RM_HOOK=before") || !strings.Contains(text, "stderr: to the right") || strings.Contains(text, "canary") {
		t.Errorf("it said\n%s", text)
	}
	if err := os.WriteFile(path+".new", []byte("@echo swapped\r\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if result := run(script); result.ExitCode != 126 || strings.Contains(strings.Join(lines, "\n"), "stdout: swapped") {
		t.Errorf("what was put in its place: %+v\n%s", result, strings.Join(lines, "\n"))
	}
}
