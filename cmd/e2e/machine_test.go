//go:build linux

package e2e_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

// machine is a Debian of its own: a fresh root with its own init as process 1, in
// namespaces of its own, on the network of this machine.
type machine struct {
	t     *testing.T
	root  string
	group string // its control group
	boots int
	init  []string

	outer *exec.Cmd // the process that holds the namespaces
	first string    // the number of its process 1, here
}

// newMachine makes a machine of a Debian suite and starts it. Machines need root, and
// debootstrap the first time; without them CI fails and a laptop skips.
func newMachine(t *testing.T, suite string, packages []string, init ...string) *machine {
	t.Helper()
	skip := func(format string, args ...any) {
		t.Helper()
		if os.Getenv("CI") == "true" {
			t.Fatalf(format, args...)
		}
		t.Skipf(format, args...)
	}
	if os.Geteuid() != 0 {
		skip("a machine in namespaces needs root")
	}
	archive, err := filepath.Abs(filepath.Join("..", "..", ".cache", "root", suite+".tar"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "../../.ci/fetch-root", append([]string{suite, archive}, packages...)...).CombinedOutput(); err != nil {
		skip("no root of Debian %s: %v\n%s", suite, err, out)
	}
	m := &machine{t: t, root: filepath.Join(t.TempDir(), "root"), group: "restic-manager-test-" + uuid.NewString(), init: init}
	if err := os.Mkdir(m.root, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(ctx, "tar", "-C", m.root, "-xpf", archive, "--exclude=./dev/*").CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v\n%s", archive, err, out)
	}
	t.Cleanup(m.powerOff)
	m.powerOn()
	return m
}

// powerOn starts the machine as if after a power cut: with another boot id.
func (m *machine) powerOn() {
	m.t.Helper()
	script, err := filepath.Abs("testdata/machine.sh")
	if err != nil {
		m.t.Fatal(err)
	}
	m.boots++
	group := fmt.Sprintf("%s-%d", m.group, m.boots)
	args := append([]string{"--kill-child", "--fork", "--mount", "--pid", "--uts", "--ipc", "sh", script, m.root, uuid.NewString(), group}, m.init...)
	m.outer = exec.Command("unshare", args...)
	m.outer.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log := &tail{}
	m.outer.Stdout, m.outer.Stderr = log, log
	if err := m.outer.Start(); err != nil {
		m.t.Fatalf("start a machine: %v", err)
	}
	pid := m.outer.Process.Pid
	name := filepath.Base(m.init[0])
	eventually(m.t, "the machine has its init", 30*time.Second, func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		m.first = strings.TrimSpace(string(children))
		comm, err := os.ReadFile("/proc/" + m.first + "/comm")
		return m.first != "" && err == nil && strings.TrimSpace(string(comm)) == name
	})
}

// powerOff ends every process of the machine at once.
func (m *machine) powerOff() {
	if m.outer == nil {
		return
	}
	_ = m.outer.Process.Kill() // its child dies with it, and all of the child's
	_ = m.outer.Wait()
	m.outer = nil
	m.removeGroup(fmt.Sprintf("%s-%d", m.group, m.boots))
}

// removeGroup removes what is left of a control group.
func (m *machine) removeGroup(name string) {
	at := filepath.Join(m.t.TempDir(), "cgroup")
	if err := os.Mkdir(at, 0o700); err != nil {
		m.t.Error(err)
		return
	}
	if out, err := exec.Command("mount", "-t", "cgroup2", "none", at).CombinedOutput(); err != nil {
		m.t.Errorf("mount: %v\n%s", err, out)
		return
	}
	defer exec.Command("umount", at).Run()
	var folders []string
	_ = filepath.WalkDir(filepath.Join(at, name), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			folders = append(folders, path)
		}
		return nil
	})
	slices.Reverse(folders) // those inside first
	for _, folder := range folders {
		for range 100 { // the dead are still being counted
			if syscall.Rmdir(folder) == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// try runs a shell line on the machine as root.
func (m *machine) try(line string) (string, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", m.first, "--mount", "--pid", "--uts", "--ipc", "--root", "--wd", "sh", "-c", line)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *machine) must(line string) string {
	m.t.Helper()
	out, err := m.try(line)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// agentPID is the number that the agent has on the machine; empty: none runs.
func (m *machine) agentPID() string {
	out, _ := m.try(`exec 2>/dev/null; for p in /proc/[0-9]*; do [ "$(tr '\0' ' ' <$p/cmdline 2>/dev/null)" != "/usr/local/bin/restic-manager-agent run " ] || echo ${p#/proc/}; done`)
	return strings.TrimSpace(out)
}

// volatile is what a machine changes while it runs, with or without an agent.
var volatile = regexp.MustCompile(`^/(proc|sys|dev|run|tmp|var/tmp|var/log|var/lib/systemd|var/cache/ldconfig)/|^/(etc|var)/\.updated$|^/etc/(machine-id|resolv\.conf|mtab|adjtime|motd|nologin)$|^/var/lib/(urandom|initscripts)/|^/root/\.|^/var/run`)

// disk lists every file of the machine with its mode, owner and content.
func (m *machine) disk() map[string]string {
	m.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, m.root)
		if err != nil || name == "" || volatile.MatchString(name) {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			what += fmt.Sprintf(" %d:%d", st.Uid, st.Gid)
		}
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what += fmt.Sprintf(" %x", sha256.Sum256(data))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			what += " → " + target
		}
		files[name] = what
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	if len(files) < 1000 {
		m.t.Fatalf("%d files are no Debian", len(files))
	}
	return files
}

// wantDisk demands that the disk is what it was.
func (m *machine) wantDisk(before map[string]string) {
	m.t.Helper()
	after := m.disk()
	for name, was := range before {
		if is := after[name]; is != was {
			m.t.Errorf("%s was %q and is %q", name, was, is)
		}
	}
	for name, is := range after {
		if _, was := before[name]; !was {
			m.t.Errorf("%s was left behind: %s", name, is)
		}
	}
}
