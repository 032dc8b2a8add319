//go:build !windows

package restic_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// waitGone waits until a process has ended; one that nobody has reaped counts.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	if pid == 0 {
		t.Fatal("no process to wait for")
	}
	deadline := time.After(10 * time.Second)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// orphan starts a restic that hangs, and returns its reference and how to wait
// for the run's end.
func orphan(t *testing.T) (restic.ProcessRef, func() restic.Result[restic.BackupSummary]) {
	t.Helper()
	s := newStage(t, restic.Config{}, backupReply(0,
		restictest.Step{Ignore: true}, out(`{"message_type":"status","files_done":1}`+"\n"), restictest.Step{Forever: true}))
	refs, working := make(chan restic.ProcessRef, 1), make(chan bool, 1)
	h := restic.Handlers{
		Started:  func(ref restic.ProcessRef) error { refs <- ref; return nil },
		Progress: func(restic.Progress) { working <- true },
	}
	ended := make(chan restic.Result[restic.BackupSummary], 1)
	op := restic.Backup{Sources: []string{s.source()}, Host: "h"}
	go func() {
		result, err := restic.Run(t.Context(), s.runner, op, s.access, h)
		if err != nil {
			t.Error(err)
		}
		ended <- result
	}()
	ref := <-refs
	<-working
	return ref, func() restic.Result[restic.BackupSummary] { return <-ended }
}

func TestAnOrphanIsKilledOnlyWhenItIsTheSameProcess(t *testing.T) {
	ref, wait := orphan(t)
	for name, other := range map[string]restic.ProcessRef{
		"after another boot":       {PID: ref.PID, Group: ref.Group, Start: ref.Start, Boot: "00000000-0000-0000-0000-000000000000"},
		"started at another time":  {PID: ref.PID, Group: ref.Group, Start: ref.Start + 1, Boot: ref.Boot},
		"in another process group": {PID: ref.PID, Group: 1 << 22, Start: ref.Start, Boot: ref.Boot},
		"not there at all":         {PID: 1 << 22, Group: 1 << 22, Start: ref.Start, Boot: ref.Boot},
	} {
		if killed, err := restic.KillOrphan(t.Context(), other); killed || err != nil {
			t.Errorf("%s: got %v %v", name, killed, err)
		}
	}
	if err := syscall.Kill(ref.PID, 0); err != nil {
		t.Fatalf("the process is gone: %v", err)
	}
	if killed, err := restic.KillOrphan(t.Context(), ref); !killed || err != nil {
		t.Errorf("got %v %v", killed, err)
	}
	if result := wait(); result.Outcome != restic.Failed || code(result) != restic.CodeResticKilled {
		t.Errorf("got %s %v", result.Outcome, result.Failure)
	}
	if killed, err := restic.KillOrphan(t.Context(), ref); killed || err != nil {
		t.Errorf("a second time: got %v %v", killed, err)
	}
}

func TestReferencesThatCannotBeOursAreRefused(t *testing.T) {
	for _, ref := range []restic.ProcessRef{
		{},
		{PID: 1, Group: 1, Start: 1},
		{PID: -1, Group: -1, Start: 1},
		{PID: os.Getpid(), Group: os.Getpid(), Start: 1},
		{PID: 12345, Group: 12345},
	} {
		if killed, err := restic.KillOrphan(t.Context(), ref); killed || err == nil {
			t.Errorf("%+v: got %v %v", ref, killed, err)
		}
	}
}

// TestWhatADeadScriptLeftIsKilledIfItIsOfTheSameRun has the recorded process die before
// what it started in its group, as a script does that writes to the pipe of a dead agent.
func TestWhatADeadScriptLeftIsKilledIfItIsOfTheSameRun(t *testing.T) {
	dir := t.TempDir()
	text := "echo $$ > pids; RM_JOB_ID=ours sleep 1000 & echo $! >> pids; RM_JOB_ID=theirs sleep 1000 & echo $! >> pids; read line"
	cmd := exec.Command("/bin/sh", "-c", text)
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []string
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for len(pids) < 3 {
		<-poll.C
		raw, _ := os.ReadFile(filepath.Join(dir, "pids"))
		pids = strings.Fields(string(raw))
	}
	ref, err := restic.RefOf(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ref.Mark = "RM_JOB_ID=ours"
	_ = stdin.Close()
	_ = cmd.Wait()
	killed, err := restic.KillOrphan(t.Context(), ref)
	if err != nil || !killed {
		t.Errorf("killed %v, %v", killed, err)
	}
	ours, _ := strconv.Atoi(pids[1])
	theirs, _ := strconv.Atoi(pids[2])
	waitGone(t, ours)
	for range 20 { // a signal takes its time
		<-poll.C
		if stat, err := os.ReadFile("/proc/" + pids[2] + "/stat"); err != nil || strings.Contains(string(stat), ") Z ") {
			t.Fatalf("another's process of the same group was killed: %s, %v", stat, err)
		}
	}
	_ = syscall.Kill(theirs, syscall.SIGKILL)
}

func TestAFullDiskIsNamedWhereResticCannotBeStarted(t *testing.T) {
	for err, want := range map[error]restic.Code{
		fmt.Errorf("write: %w", syscall.ENOSPC): restic.CodeDiskFull, fmt.Errorf("write: %w", syscall.EACCES): restic.CodeResticNotStarted,
	} {
		var said *restic.Error
		if !errors.As(restic.NotStarted("its lists cannot be written", err), &said) || said.Code != want {
			t.Errorf("%v: %v", err, said)
		}
	}
}
