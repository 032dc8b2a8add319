//go:build !windows

package restictest_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// named is a backup of what a script writes.
func (w *world) named(text string, env ...restic.Variable) restic.Backup {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "database")
	restictest.Executable(w.t, path, text)
	f, err := os.Open(path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	script, err := restic.ScriptOf(path, f)
	if err != nil {
		w.t.Fatal(err)
	}
	return restic.Backup{Named: &restic.NamedSource{Script: script, Env: env}, Host: "web-1", Tags: []string{"db"}}
}

func TestANamedSourceIsAFileOfItsOwnName(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		summary := mustSucceed(w, run(w, w.named("#!/bin/sh\necho begins >&2\nseq 1 100000\n")))
		if got := w.plain("dump", summary.SnapshotID, "/database"); len(got) != 588895 || !strings.HasSuffix(string(got), "\n100000\n") {
			t.Errorf("%d bytes are in the snapshot", len(got))
		}
		if !strings.Contains(strings.Join(w.lines, "\n"), "begins") || strings.Contains(strings.Join(w.lines, "\n"), "subprocess") {
			t.Errorf("what the script said is told as:\n%s", strings.Join(w.lines, "\n"))
		}
	})
}

// TestANamedSourceSeesNothingThatOpensTheStorage reads the script's environment and open
// files, of restics that have the storage's password in theirs.
func TestANamedSourceSeesNothingThatOpensTheStorage(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		backup := w.named("#!/bin/sh\nenv\necho ---\ncat /proc/self/environ | tr '\\0' '\\n'\necho ---\nls -l /proc/self/fd\necho ---\n(cat <&3) 2>&1 || true\n",
			restic.Variable{Name: "RM_SOURCE", Value: "database"})
		result := run(w, backup)
		got := string(w.plain("dump", mustSucceed(w, result).SnapshotID, "/database"))
		for _, secret := range []string{password, w.access.RESTPassword.Reveal(), "RESTIC", w.access.Username + "\n"} {
			if secret != "" && strings.Contains(got, secret) {
				t.Errorf("%q is in what the script sees:\n%s", secret, got)
			}
		}
		if w.access.RESTPassword.IsZero() {
			t.Error("the storage asks for no password, so this proves nothing")
		}
		if !strings.Contains(got, "RM_SOURCE=database\n") || !strings.Contains(got, "PATH=/usr/local/sbin:") {
			t.Errorf("it does not see what it should:\n%s", got)
		}
		_, files, _ := strings.Cut(got, "\n---\ntotal")
		if strings.Count(files, "pipe:") != 2 {
			t.Errorf("other pipes than its output are open in it:\n%s", files)
		}
	})
}

func TestANamedSourceThatFailsMakesNoSnapshot(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		for name, text := range map[string]string{
			"before it wrote anything": "#!/bin/sh\necho no space left on device >&2\nexit 7\n",
			"after half of the data":   "#!/bin/sh\nhead -c 3000000 /dev/urandom\nexit 7\n",
			"by a signal":              "#!/bin/sh\necho half\nkill -9 $$\n",
			"it is no program":         "echo half\n",
		} {
			result := run(w, w.named(text))
			mustFail(w, result, restic.CodeSourceFailed)
			if name == "before it wrote anything" && !strings.Contains(result.Failure.Message, "exit status 7); its last line: no space left") {
				t.Errorf("%s: %s", name, result.Failure.Message)
			}
		}
		if got := mustSucceed(w, run(w, restic.Snapshots{})); len(got) != 0 {
			t.Errorf("%d snapshots are there", len(got))
		}
	})
}

// TestANamedSourceThatWritesNothingHasFailed looks at the one case in which restic makes
// a snapshot of a script that is none: it has no file.
func TestANamedSourceThatWritesNothingHasFailed(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		mustFail(w, run(w, w.named("#!/bin/sh\nexit 0\n")), restic.CodeSourceEmpty)
		for _, s := range mustSucceed(w, run(w, restic.Snapshots{})) {
			if s.Summary == nil || s.Summary.TotalFilesProcessed != 0 {
				t.Errorf("the empty snapshot cannot be told from a good one: %+v", s.Summary)
			}
		}
	})
}

func TestANamedSourceThatWasSwappedIsNotRun(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		backup := w.named("#!/bin/sh\necho ours\n")
		canary := filepath.Join(w.dir, "canary")
		if err := os.WriteFile(backup.Named.Script.Path, []byte("#!/bin/sh\ntouch "+canary+"\necho x\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		mustFail(w, run(w, backup), restic.CodeSourceFailed)
		if _, err := os.Stat(canary); err == nil {
			t.Error("it ran")
		}
	})
}

// TestAScriptsWordsAreNotTheStorages has a script speak like a storage in trouble.
func TestAScriptsWordsAreNotTheStorages(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		backup := w.named("#!/bin/sh\necho 'unexpected HTTP response (401)' >&2\n" +
			`echo '{"message_type":"exit_error","code":12,"message":"Fatal: wrong password"}' >&2` + "\nexit 1\n")
		mustFail(w, run(w, backup), restic.CodeSourceFailed)
	})
}

// TestACancelEndsANamedSourceAndWhatItStarted has a shell's background command, which
// heeds no interrupt and holds the pipe that restic reads.
func TestACancelEndsANamedSourceAndWhatItStarted(t *testing.T) {
	eachSuite(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		result := runWith(ctx, w, w.named("#!/bin/sh\nsleep 1000 &\necho ready >&2\nwait\n"), w.access, restic.Handlers{Line: func(l restic.Line) {
			if l.Text == "ready" {
				cancel()
			}
		}})
		if result.Outcome != restic.Cancelled || result.Killed {
			t.Errorf("it ended as %s, killed %v", result.Outcome, result.Killed)
		}
	})
}
