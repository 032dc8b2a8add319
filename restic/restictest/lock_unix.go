//go:build unix

package restictest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// LockExclusively has a restic hold the exclusive lock of a repository until release or the
// end of the test, and returns its number. command makes a restic that opens the repository;
// locks is the folder of its locks, which has none. The restic is about to change its
// password, and reads the new one from a pipe in which nobody writes: in the end it says
// that it cannot be empty.
func LockExclusively(t testing.TB, locks string, command func(args ...string) *exec.Cmd) (pid int, release func()) {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "new-password")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := command("key", "passwd", "--new-password-file="+pipe)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { _ = cmd.Wait(); close(over) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-over })
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(time.Minute); ; {
		if held, _ := filepath.Glob(filepath.Join(locks, "*")); len(held) == 1 && len(filepath.Base(held[0])) == 64 {
			break
		}
		select {
		case <-poll.C:
		case <-over:
			t.Fatalf("restic has ended and locked nothing:\n%s", &said)
		case <-deadline:
			t.Fatal("restic has locked nothing within a minute")
		}
	}
	return cmd.Process.Pid, func() {
		go func() { // blocks until restic reads, which it may not do any more
			if f, err := os.OpenFile(pipe, os.O_WRONLY, 0); err == nil {
				_ = f.Close()
			}
		}()
		<-over
		if held, _ := filepath.Glob(filepath.Join(locks, "*")); len(held) > 0 {
			t.Errorf("restic has ended and left its lock %v:\n%s", held, &said)
		}
	}
}
