//go:build linux

package bench_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restic-manager/restic/restictest"
)

// machine is a host with the real agent, and the plain restic beside it.
type machine struct {
	b     *testing.B
	plane *plane
	rest  *restictest.RestServer
	bins  restictest.Binaries
	agent *process
	id    string
	dir   string
	made  int // repositories
}

func newMachine(b *testing.B, source string) *machine {
	b.Helper()
	m := &machine{b: b, bins: restictest.Find(b, restictest.Suites()[0]), dir: b.TempDir()}
	m.rest = restictest.StartRestServer(b, m.bins)
	m.plane = startPlane(b, planeOptions{data: filepath.Join(b.TempDir(), "server")})
	var made struct {
		Host      struct{ ID string }
		Enrolment struct {
			Line string `json:"enroll_linux"`
		}
	}
	m.plane.must("POST", "/api/v1/hosts", object{
		"name": "bench", "profile": "guarded", "repository_id": m.repository(), "paths": []string{source},
		"repository_prefixes": []string{"rest:" + m.rest.URL + m.rest.User + "/"},
	}, &made)
	m.id = made.Host.ID
	env := []string{
		"RM_AGENT_CONFIG=" + filepath.Join(m.dir, "agent.yaml"), "RM_AGENT_STATE_DIR=" + filepath.Join(m.dir, "state"),
		"RM_AGENT_POLICY=" + filepath.Join(m.dir, "policy.yaml"), "RM_AGENT_CACHE_DIR=" + filepath.Join(m.dir, "cache"),
		"RM_AGENT_RESTIC=" + m.bins.Restic,
	}
	enrol := exec.Command("/bin/sh", "-c", made.Enrolment.Line)
	enrol.Env = append(append(os.Environ(), env...), "PATH="+programs+":"+os.Getenv("PATH"))
	if out, err := enrol.CombinedOutput(); err != nil {
		b.Fatalf("enrol: %v\n%s", err, out)
	}
	m.agent = start(b, "agent", env, filepath.Join(programs, "restic-manager-agent"), "run", "--first-contact", "0s")
	eventually(b, "the host is online", time.Minute, func() bool {
		var seen struct{ Presence string }
		return m.plane.call("GET", "/api/v1/hosts/"+m.id, nil, &seen) == nil && seen.Presence == "online"
	})
	return m
}

// repository adds one that is still to be made, and gives its id.
func (m *machine) repository() string {
	m.b.Helper()
	m.made++
	var made struct{ ID string }
	m.plane.must("POST", "/api/v1/repositories", object{
		"name": fmt.Sprint("repository ", m.made), "location": m.rest.Location(fmt.Sprint("ours", m.made)),
		"username": m.rest.User, "append_secret": m.rest.Password,
	}, &made)
	return made.ID
}

// schedule gives the host another schedule with a repository of its own, once that
// is ready.
func (m *machine) schedule(source string) (id string) {
	m.b.Helper()
	repository := m.repository()
	var made struct{ ID string }
	m.plane.must("POST", "/api/v1/hosts/"+m.id+"/schedules", object{
		"name": fmt.Sprint("schedule ", m.made), "repository_id": repository, "paths": []string{source}, "manual": true,
	}, &made)
	eventually(m.b, "the repository is ready", 2*time.Minute, func() bool {
		var r struct{ State string }
		m.plane.must("GET", "/api/v1/repositories/"+repository, nil, &r)
		return r.State == "ready"
	})
	return made.ID
}

// cost is what one backup took, in seconds.
type cost struct {
	wall     float64 // from asking to the result
	restic   float64 // wall time of restic's own backup, as it says
	agent    float64 // the agent's processor time, without its children
	children float64 // its children's: every restic that it started
}

// backUp runs a schedule through server and agent.
func (m *machine) backUp(schedule string) cost {
	m.b.Helper()
	own, children := m.agent.cpu()
	began := time.Now()
	var j struct {
		ID, State string
		Version   int64
		Outcome   struct {
			Result, Message string
			Stats           struct {
				Restic int64 `json:"restic_duration_ms"`
			}
		}
	}
	m.plane.must("POST", "/api/v1/hosts/"+m.id+"/schedules/"+schedule+"/run", object{}, &j)
	for j.State != "finished" {
		m.plane.must("GET", fmt.Sprintf("/api/v1/jobs/%s?wait=25&if_version=%d", j.ID, j.Version), nil, &j)
	}
	wall := time.Since(began).Seconds()
	if j.Outcome.Result != "succeeded" {
		m.b.Fatalf("the backup ended as %s: %s", j.Outcome.Result, j.Outcome.Message)
	}
	ownAfter, childrenAfter := m.agent.cpu()
	return cost{wall, float64(j.Outcome.Stats.Restic) / 1000, ownAfter - own, childrenAfter - children}
}

// plain is a repository of plain restic on the same rest-server.
type plain struct {
	m   *machine
	env []string
}

func (m *machine) plain(name string) *plain {
	m.b.Helper()
	p := &plain{m, []string{
		"HOME=" + m.dir, "PATH=/usr/bin:/bin", "RESTIC_CACHE_DIR=" + filepath.Join(m.dir, "plain-cache"),
		"RESTIC_REPOSITORY=" + m.rest.Location(name), "RESTIC_PASSWORD=" + password,
		"RESTIC_REST_USERNAME=" + m.rest.User, "RESTIC_REST_PASSWORD=" + m.rest.Password,
	}}
	p.run("init")
	return p
}

// backUp runs restic as one would in cron.
func (p *plain) backUp(source string) cost {
	p.m.b.Helper()
	began := time.Now()
	cpu := p.run("backup", "--json", source)
	return cost{wall: time.Since(began).Seconds(), children: cpu}
}

func (p *plain) run(args ...string) (cpu float64) {
	p.m.b.Helper()
	cmd := exec.Command(p.m.bins.Restic, args...)
	cmd.Env = p.env
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	if err := cmd.Run(); err != nil {
		p.m.b.Fatalf("restic %s: %v\n%s", args[0], err, &said)
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// forget removes everything that backups have left at rest-server, for the disk.
func (m *machine) forget(name string) {
	m.b.Helper()
	if err := os.RemoveAll(m.rest.RepositoryDir(name)); err != nil {
		m.b.Fatal(err)
	}
}

// tree writes files whose bytes nothing can compress, into folders of 200.
func tree(b *testing.B, files int, size int64) string {
	b.Helper()
	root := filepath.Join(b.TempDir(), "source")
	random := rand.NewChaCha8([32]byte{1})
	content := make([]byte, max(1, size/int64(files)))
	for i := range files {
		dir := filepath.Join(root, fmt.Sprintf("folder-%03d", i/200))
		if i%200 == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		_, _ = random.Read(content) // never fails
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%05d", i)), content, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return root
}
