package restic

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// passwordFD is not used: a child of windows inherits no numbered files.
const passwordFD = ""

// pipesPassword reports that every password goes in the environment here.
func pipesPassword(string) bool { return false }

// secretFD is not used either.
func secretFD(int) string { return "" }

// child is a started restic in its own process group and job object. It is
// created suspended; proceed lets it run. Closing the job, by us or because we
// died, ends everything in it.
type child struct {
	ref     ProcessRef
	cmd     *exec.Cmd
	job     windows.Handle
	process windows.Handle
}

func startChild(spec childSpec) (*child, error) {
	cmd := &exec.Cmd{
		Path: spec.path, Args: append([]string{spec.path}, spec.args...), Env: spec.env, Dir: spec.dir,
		Stdout: spec.stdout, Stderr: spec.stderr,
		SysProcAttr: &syscall.SysProcAttr{
			HideWindow:    true,
			CreationFlags: windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP,
		},
	}
	attachConsole()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd}
	if err := c.contain(); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		c.close()
		return nil, fmt.Errorf("put process into a job object: %w", err)
	}
	return c, nil
}

// attachConsole gives a service the console that it needs to send Ctrl-Break. It
// fails where there is one already.
func attachConsole() {
	_, _, _ = windows.NewLazySystemDLL("kernel32.dll").NewProc("AllocConsole").Call()
}

// contain makes the job object, puts the process into it and identifies it.
func (c *child) contain() error {
	var err error
	if c.job, err = windows.CreateJobObject(nil, nil); err != nil {
		return err
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{}
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	if _, err := windows.SetInformationJobObject(c.job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits))); err != nil {
		return err
	}
	pid := uint32(c.cmd.Process.Pid)
	access := uint32(windows.PROCESS_SET_QUOTA | windows.PROCESS_TERMINATE | windows.PROCESS_QUERY_LIMITED_INFORMATION)
	if c.process, err = windows.OpenProcess(access, false, pid); err != nil {
		return err
	}
	if err := windows.AssignProcessToJobObject(c.job, c.process); err != nil {
		return err
	}
	start, err := creationTime(c.process)
	c.ref = ProcessRef{PID: int(pid), Start: start}
	return err
}

// proceed resumes the process's threads: one, since it has not run yet.
func (c *child) proceed() error {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(snapshot)
	entry := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	resumed := false
	for err = windows.Thread32First(snapshot, &entry); err == nil; err = windows.Thread32Next(snapshot, &entry) {
		if entry.OwnerProcessID != uint32(c.ref.PID) {
			continue
		}
		thread, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, entry.ThreadID)
		if err != nil {
			return err
		}
		_, err = windows.ResumeThread(thread)
		windows.CloseHandle(thread)
		if err != nil {
			return err
		}
		resumed = true
	}
	if !resumed {
		return errors.New("the suspended process has no thread to resume")
	}
	return nil
}

// interrupt sends Ctrl-Break, which restic takes like an interrupt.
func (c *child) interrupt() {
	_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(c.ref.PID))
}

// kill ends everything in the job.
func (c *child) kill() { _ = windows.TerminateJobObject(c.job, killedExit) }

// killedExit is the exit code of a process that kill ended; restic has no such.
const killedExit = 0x6b696c6c

// wait returns when the child has ended, and ends what it left in its job.
func (c *child) wait() exitStatus {
	_ = c.cmd.Wait() // ProcessState says it all
	c.kill()
	c.close()
	status := exitStatus{code: c.cmd.ProcessState.ExitCode()}
	if status.code == killedExit {
		status = exitStatus{code: -1, signal: "killed"}
	}
	return status
}

func (c *child) close() {
	for _, handle := range []*windows.Handle{&c.job, &c.process} {
		if *handle != 0 {
			windows.CloseHandle(*handle)
			*handle = 0
		}
	}
}

func creationTime(process windows.Handle) (uint64, error) {
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(process, &created, &exited, &kernel, &user); err != nil {
		return 0, err
	}
	return uint64(created.HighDateTime)<<32 | uint64(created.LowDateTime), nil
}

// open returns a handle on the recorded process, or 0 when it has ended.
func (ref ProcessRef) open(access uint32) (windows.Handle, error) {
	process, err := windows.OpenProcess(access|windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(ref.PID))
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) {
		return 0, nil // no such process
	}
	if err != nil {
		return 0, err
	}
	var code uint32
	start, err := creationTime(process)
	if err == nil {
		err = windows.GetExitCodeProcess(process, &code)
	}
	if err != nil || start != ref.Start || code != stillActive {
		windows.CloseHandle(process)
		return 0, err
	}
	return process, nil
}

const stillActive = 259

// alive reports whether the process that ref was taken of still runs.
func (ref ProcessRef) alive() (bool, error) {
	process, err := ref.open(0)
	if err != nil || process == 0 {
		return false, err
	}
	return true, windows.CloseHandle(process)
}

// killMarked finds nothing: whatever a run started died with the agent's job object.
func killMarked(ProcessRef) (bool, error) { return false, nil }

// killRecorded ends the process alone: its job object died with the agent that
// made it, and took the others along.
func killRecorded(ref ProcessRef) error {
	process, err := ref.open(windows.PROCESS_TERMINATE)
	if err != nil || process == 0 {
		return err
	}
	defer windows.CloseHandle(process)
	return windows.TerminateProcess(process, killedExit)
}
