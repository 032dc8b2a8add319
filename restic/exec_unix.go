//go:build !windows

package restic

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// passwordFD is where a child finds the pipe with the password.
const passwordFD = "/dev/fd/3"

// firstSecret is the number of the first pipe of another secret, after the password's and
// two folders.
const firstSecret = 6

// secretFD is where a child finds the pipe with the nth of its other secrets.
func secretFD(n int) string { return "/dev/fd/" + strconv.Itoa(firstSecret+n) }

// pipesPassword reports whether the password can go through the pipe.
func pipesPassword(password string) bool { return readUnchanged(password) }

// child is a started restic in its own process group. Until proceed it waits for its
// password and what else it is handed, unless that is in its environment.
type child struct {
	ref   ProcessRef
	cmd   *exec.Cmd
	pipes []handover
}

// handover is a secret, and the end of the pipe that we write it to.
type handover struct {
	pipe   *os.File
	secret string
}

func startChild(spec childSpec) (*child, error) {
	c := &child{cmd: &exec.Cmd{
		Path:        spec.path,
		Args:        append([]string{spec.path}, spec.args...),
		Env:         spec.env, //guard:restic-environment
		Dir:         spec.dir,
		Stdout:      spec.stdout,
		Stderr:      spec.stderr,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}}
	if spec.as != nil {
		c.cmd.SysProcAttr.Credential = spec.as.credential() //guard:run-as-user
	}
	given, err := c.hand(spec)
	defer closeAll(given)
	if err != nil {
		c.closePipes()
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		c.closePipes()
		return nil, err
	}
	pid := c.cmd.Process.Pid
	c.ref = ProcessRef{PID: pid, Group: pid, Mark: spec.mark}
	if c.ref.Boot, err = bootID(); err == nil {
		var stat processStat
		stat, err = readStat(pid)
		c.ref.Start = stat.start
	}
	if err != nil {
		c.kill()
		c.wait()
		return nil, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return c, nil
}

// hand makes the child's files: the pipe of its password at 3, its folders, then the pipes
// of its other secrets. It returns the ends that are the child's.
func (c *child) hand(spec childSpec) (given []*os.File, err error) {
	files := append([]*os.File{nil}, spec.folders...)
	give := func(number int, secret string) error {
		read, write, err := os.Pipe()
		if err != nil {
			return err
		}
		c.pipes, given = append(c.pipes, handover{write, secret}), append(given, read)
		for len(files) <= number-3 {
			files = append(files, nil)
		}
		files[number-3] = read
		if spec.as != nil { // it opens the pipe by its name, as its own user
			return read.Chown(int(spec.as.UID), int(spec.as.GID))
		}
		return nil
	}
	if spec.password != "" {
		err = give(3, spec.password)
	}
	for n, secret := range spec.secrets {
		if err == nil {
			err = give(firstSecret+n, secret)
		}
	}
	if len(files) > 1 || files[0] != nil {
		c.cmd.ExtraFiles = files
	}
	return given, err
}

func (c *child) closePipes() {
	for _, h := range c.pipes {
		h.pipe.Close()
	}
	c.pipes = nil
}

// proceed gives the child its secrets. A child that has ended already does not
// read them; how it ended says why.
func (c *child) proceed() error {
	defer c.closePipes()
	for _, h := range c.pipes {
		if _, err := h.pipe.WriteString(h.secret); err != nil && !errors.Is(err, syscall.EPIPE) {
			return err
		}
	}
	return nil
}

// interrupt asks the group to stop and clean up.
func (c *child) interrupt() { _ = unix.Kill(-c.ref.Group, unix.SIGINT) }

// kill ends the group at once.
func (c *child) kill() { _ = unix.Kill(-c.ref.Group, unix.SIGKILL) }

// wait returns when the child has ended, and kills what it left in its group: as
// long as the child is not reaped, the group's number cannot be another's.
func (c *child) wait() exitStatus {
	for {
		err := unix.Waitid(unix.P_PID, c.ref.PID, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	c.kill()
	_ = c.cmd.Wait() // ProcessState says it all
	c.closePipes()
	status := exitStatus{code: c.cmd.ProcessState.ExitCode()}
	if ws, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		status.signal = ws.Signal().String()
	}
	return status
}

// processStat is what /proc says of a process.
type processStat struct {
	zombie bool
	group  int
	start  uint64 // clock ticks since boot
}

// readStat parses /proc/PID/stat. The second field, the program's name, may
// contain anything, so counting begins after its last parenthesis.
func readStat(pid int) (processStat, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return processStat{}, err
	}
	end := bytes.LastIndexByte(raw, ')')
	fields := strings.Fields(string(raw[end+1:]))
	if end < 0 || len(fields) < 20 {
		return processStat{}, fmt.Errorf("/proc/%d/stat has an unknown form", pid)
	}
	stat := processStat{zombie: fields[0] == "Z" || fields[0] == "X"}
	if stat.group, err = strconv.Atoi(fields[2]); err != nil {
		return processStat{}, err
	}
	stat.start, err = strconv.ParseUint(fields[19], 10, 64)
	return stat, err
}

func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}

// alive reports whether the process that ref was taken of still runs.
func (ref ProcessRef) alive() (bool, error) {
	boot, err := bootID()
	if err != nil {
		return false, err
	}
	if boot != ref.Boot {
		return false, nil
	}
	stat, err := readStat(ref.PID)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return !stat.zombie && stat.start == ref.Start && stat.group == ref.Group, nil
}

// killMarked kills what is left of a group whose leader is gone. A process that made a
// group of its own, as a daemon does, is left alone.
func killMarked(ref ProcessRef) (killed bool, err error) {
	boot, err := bootID()
	if err != nil || ref.Mark == "" || boot != ref.Boot {
		return false, err
	}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return false, err
	}
	for _, entry := range processes {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := readStat(pid)
		if err != nil || stat.zombie || stat.group != ref.Group || stat.start < ref.Start {
			continue
		}
		environ, err := os.ReadFile("/proc/" + entry.Name() + "/environ")
		if err != nil || !slices.Contains(strings.Split(string(environ), "\x00"), ref.Mark) { //guard:orphan-mark
			continue
		}
		if unix.Kill(pid, unix.SIGKILL) == nil {
			killed = true
		}
	}
	return killed, nil
}

func killRecorded(ref ProcessRef) error {
	if ref.Group <= 1 || ref.Group == unix.Getpgrp() {
		return errNotAnOrphan
	}
	if err := unix.Kill(-ref.Group, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}
