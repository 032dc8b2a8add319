//go:build linux

package e2e_test

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"restic-manager/restic/restictest"
)

// newServerWithPrograms is a world whose server has a certificate of its own making,
// and hands out this build's agent and a restic that its admin has added.
func newServerWithPrograms(t *testing.T) *world {
	t.Helper()
	shelf := t.TempDir()
	agent, err := os.ReadFile(filepath.Join(programs, "restic-manager-agent"))
	if err != nil {
		t.Fatal(err)
	}
	name := "restic-manager-agent-v0-test-linux-" + runtime.GOARCH
	sums := fmt.Sprintf("%x  %s\n", sha256.Sum256(agent), name)
	for file, data := range map[string][]byte{name: agent, "SHA256SUMS": []byte(sums)} {
		if err := os.WriteFile(filepath.Join(shelf, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bins := restictest.Find(t, "trixie")
	add := exec.CommandContext(t.Context(), filepath.Join(programs, "restic-manager"), "admin", "add-program", "--programs-dir", shelf, bins.Restic)
	add.Env = append(os.Environ(), "RM_DATA_DIR="+t.TempDir())
	if out, err := add.CombinedOutput(); err != nil || !strings.Contains(string(out), "Added restic-0.18.") {
		t.Fatalf("add-program: %v\n%s", err, out)
	}
	addr := restictest.FreeAddr(t)
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	return newWorld(t, withAddr(addr), withPublicURL("https://"+addr, trusting), withServerArgs("--tls-self-made", "--programs-dir", shelf))
}

// line makes a host and gives the line that installs its agent.
func (w *world) line(name string, repository string, paths ...string) (*host, string) {
	w.t.Helper()
	var made struct {
		Host, Schedule struct{ ID string }
		Enrolment      struct {
			Line string `json:"line_linux"`
		}
	}
	w.api.must("POST", "/api/v1/hosts", obj{"name": name, "repository_id": repository, "paths": paths}, &made)
	return &host{w: w, id: made.Host.ID, schedule: made.Schedule.ID, repository: repository}, made.Enrolment.Line
}

// manager is how the services of a machine are asked.
type manager struct {
	packages []string
	init     []string
	booted   string // succeeds when the machine is up
	active   string // succeeds when the agent's service runs
	stop     string
	start    string
}

func TestThePastedLineInstallsAnAgentThatOutlivesItsDeathAndItsMachine(t *testing.T) {
	t.Parallel()
	for suite, m := range map[string]manager{
		"trixie": {
			packages: []string{"systemd", "systemd-sysv", "curl", "ca-certificates"},
			init:     []string{"/lib/systemd/systemd", "--log-target=null"},
			booted:   "systemctl is-active --quiet multi-user.target",
			active:   "systemctl is-active --quiet restic-manager-agent && systemctl is-enabled --quiet restic-manager-agent",
			stop:     "systemctl stop restic-manager-agent",
			start:    "systemctl start restic-manager-agent",
		},
		"bookworm": {
			packages: []string{"sysvinit-core", "wget", "ca-certificates"},
			init:     []string{"/sbin/init"},
			booted:   "runlevel | grep -q 2 && [ -e /run/initctl ]",
			active:   "service restic-manager-agent status && ls /etc/rc2.d/S*restic-manager-agent",
			stop:     "service restic-manager-agent stop",
			start:    "service restic-manager-agent start",
		},
	} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			work(t)
			live(t, newMachine(t, suite, m.packages, m.init...), m)
		})
	}
}

// live is what a machine goes through, from the pasted line to the removal of all.
func live(t *testing.T, box *machine, m manager) {
	up := func() {
		t.Helper()
		eventually(t, "the machine is up", time.Minute, func() bool { _, err := box.try(m.booted); return err == nil })
	}
	up()
	box.must("mkdir -p /etc/cron.d && echo '0 3 * * * root restic backup /etc' >/etc/cron.d/old-backup")
	before := box.disk()

	w := newServerWithPrograms(t)
	h, line := w.line("box", w.addRepository("box", repositorySpec{}), "/etc")
	said := box.must(line)
	for _, want := range []string{"put restic 0.18", "/usr/local/lib/restic-manager/restic", "wrote the policy file", "enrolled at", "started the service",
		"cron runs restic by line 1 of /etc/cron.d/old-backup"} {
		if !strings.Contains(said, want) {
			t.Errorf("the installer does not say %q:\n%s", want, said)
		}
	}
	h.waitOnline()
	box.must(m.active)
	h.backUp("succeeded")
	if doctor := box.must("restic-manager-agent doctor"); !regexp.MustCompile(`(?m)^ok +service`).MatchString(doctor) || strings.Contains(doctor, "\nproblem") {
		t.Errorf("the doctor finds something:\n%s", doctor)
	}

	first := box.agentPID()
	if again := box.must(line); !strings.Contains(again, "already enrolled") || !strings.Contains(again, "nothing has changed") || strings.Contains(again, "fetching") {
		t.Errorf("pasted again, it does something:\n%s", again)
	}
	if now := box.agentPID(); now != first || now == "" {
		t.Errorf("the agent was restarted: process %q, then %q", first, now)
	}

	box.must("kill -9 " + first)
	eventually(t, "another agent runs", time.Minute, func() bool { now := box.agentPID(); return now != "" && now != first })
	h.waitOnline()
	h.backUp("succeeded")

	box.must(m.stop)
	if pid := box.agentPID(); pid != "" {
		t.Errorf("stopped, process %s runs", pid)
	}
	box.must(m.start)
	eventually(t, "the agent runs", time.Minute, func() bool { return box.agentPID() != "" })

	running := h.runNow().ID
	box.powerOff() // without a word to anybody
	box.powerOn()
	up()
	eventually(t, "the agent runs after a power cut", time.Minute, func() bool { return box.agentPID() != "" })
	box.must(m.active)
	if j := w.finished(running, 2*time.Minute); j.Outcome.Result == "lost" || j.Outcome.Result == "" {
		t.Errorf("the job of before the power cut: %+v", j.Outcome)
	}
	h.backUp("succeeded")

	gone := box.must("restic-manager-agent uninstall --yes")
	if pid := box.agentPID(); pid != "" || !strings.Contains(gone, "removed the service") {
		t.Errorf("after the removal process %q runs:\n%s", pid, gone)
	}
	box.wantDisk(before)
	if left := box.must("ls /var/log /run | grep restic-manager || true"); left != "" {
		t.Errorf("left %s", left)
	}
}
