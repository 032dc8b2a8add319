package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/agent/custody"
	"restic-manager/agent/policy"
	"restic-manager/agent/runner"
	"restic-manager/agent/secret"
	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// machine is a host in memory, apart from its state folder: what outlasts the lives
// of its agent.
type machine struct {
	t      *testing.T
	server *double
	dir    string
	store  *secret.Store
	random *lockedRand
	log    *lockedBuffer

	mu        sync.Mutex
	step      func(string) error // what the disk does at each step
	runs      map[string]int     // how often each job was carried out
	snapshots map[string]bool    // jobs whose snapshot is in the repository
	work      func(ctx context.Context, t *runner.Task) *runner.Ending
	rules     func() (*policy.Policy, error) // the policy file
	boot      string                         // names the running of the machine
	moved     time.Duration                  // how far its clock was moved
	locked    bool                           // by its policy file

	network *pipeListener
}

const (
	modelRepository = "11111111-1111-4111-8111-111111111111"
	modelSchedule   = "22222222-2222-4222-8222-222222222222"
)

// newMachine makes a host that is enrolled and has a schedule, and its server. It is
// made outside of a bubble: its key and seal are real files.
func newMachine(t *testing.T, seed uint64) *machine {
	t.Helper()
	m := &machine{
		t: t, server: newDouble(t), dir: filepath.Join(t.TempDir(), "state"), log: &lockedBuffer{},
		boot: "boot", random: &lockedRand{rand: rand.New(rand.NewPCG(seed, 1))}, runs: map[string]int{}, snapshots: map[string]bool{},
		rules: func() (*policy.Policy, error) { return policy.Default(policy.Trusting), nil },
	}
	err := custody.MakeFolder(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.store, err = secret.Open(m.dir, func(string) string { return "" }); err != nil {
		t.Fatal(err)
	}
	identity := Identity{HostID: modelHost, InstallID: uuid.NewString(), Secret: newAgentSecret(), Server: "http://127.0.0.1"}
	if err := identity.save(m.store); err != nil {
		t.Fatal(err)
	}
	m.server.hashes[hashOf(identity.Secret.Reveal())] = true
	password := control.SecretRef{Id: uuid.NewString(), Version: 1}
	m.server.secrets[password.Id] = control.SecretValue{Id: password.Id, Version: 1, Value: "repository-password"}
	m.server.config = control.AgentConfig{
		Revision: 1, HostId: modelHost, SnapshotHost: "web-1",
		Repositories: []control.AgentRepository{{Id: modelRepository, Name: "nas", Location: "/srv/restic", Password: password}},
		Schedules: []control.AgentSchedule{{
			Id: modelSchedule, Version: 1, Name: "etc", RepositoryId: modelRepository, Paths: []string{"/etc"},
			Excludes: []string{}, Tags: []string{}, Manual: true, Enabled: true,
		}},
	}
	return m
}

// backupOf are the params of a backup by the machine's schedule.
func backupOf(version int) map[string]any {
	return map[string]any{"schedule_id": modelSchedule, "schedule_version": version}
}

var lookAtRepository = map[string]any{"repository_id": modelRepository}

// inBubble runs a test in virtual time, with the machine's server on a network of pipes.
func (m *machine) inBubble(test func(t *testing.T)) {
	m.t.Helper()
	synctest.Test(m.t, func(t *testing.T) {
		m.network = newPipeListener()
		server := &http.Server{Handler: m.server, ErrorLog: slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelDebug)}
		var served sync.WaitGroup
		served.Go(func() { _ = server.Serve(m.network) })
		m.server.changed = make(chan struct{}) // belongs to this bubble
		test(t)
		_ = server.Close()
		served.Wait()
	})
}

// life is one process life of the machine's agent.
type life struct {
	agent *Agent
	spool *spool.Spool
	stop  context.CancelFunc
	done  chan error
	dead  chan struct{} // closed when the life was cut off by a crash
	once  sync.Once
}

var errDead = errors.New("the process is dead")

// begin starts the agent. It is nil when the machine's disk did not let it.
func (m *machine) begin(ctx context.Context) *life {
	l := &life{done: make(chan error, 1), dead: make(chan struct{})}
	var err error
	l.spool, err = spool.Open(ctx, spool.Options{Dir: filepath.Join(m.dir, "host"), Now: m.now, Step: func(name string) error { return m.onStep(l, name) }})
	if err != nil {
		if errors.Is(err, errDead) {
			return nil
		}
		m.t.Fatal(err)
	}
	identity, err := loadIdentity(m.store)
	if err != nil {
		m.t.Fatal(err)
	}
	link, err := control.NewLink(control.Options{
		Server: "http://127.0.0.1", HostID: identity.HostID, Secret: identity.Secret, Proxy: restic.NewSecret("none"),
		Dial: l.dial(m.network), Rand: m.random.float,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	o := Options{
		Identity: identity, Link: link, Spool: l.spool, Secrets: m.store, Version: "test", BootID: m.boot,
		Policy: m.policy, Now: m.now, Suspended: func() (time.Duration, bool) { return 0, false },
		Recipes: m.recipes(l), Log: slog.New(slog.NewTextHandler(m.log, nil)), Rand: m.random.float,
	}
	if config, err := spool.LoadConfig(filepath.Join(m.dir, "host")); err == nil {
		o.Config = &config
	}
	if l.agent, err = New(o); err != nil {
		m.t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	l.stop = stop
	go func() { l.done <- l.agent.Run(running) }()
	return l
}

// now is the machine's clock on the wall.
func (m *machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.moved)
}

func (m *machine) policy() (*policy.Policy, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked {
		return nil, &policy.Locked{Code: policy.CodeInsecure, What: "others can change it", Next: "chmod"}
	}
	return m.rules()
}

// set changes something about the machine.
func (m *machine) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// onStep lets the test decide what the disk does; a dead process writes nothing.
func (m *machine) onStep(l *life, name string) error {
	select {
	case <-l.dead:
		return errDead
	default:
	}
	m.mu.Lock()
	step := m.step
	m.mu.Unlock()
	if step == nil {
		return nil
	}
	if err := step(name); err != nil {
		if errors.Is(err, errDead) {
			l.kill()
		}
		return err
	}
	return nil
}

// kill cuts the life off: from now on it neither writes nor sends.
func (l *life) kill() { l.once.Do(func() { close(l.dead) }) }

// end waits until nothing of the life is left. A life that was not killed stops in order.
func (l *life) end(t *testing.T) {
	t.Helper()
	l.stop()
	<-l.done
	_ = l.spool.Close()
}

func (l *life) dial(network *pipeListener) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		select {
		case <-l.dead:
			return nil, errDead
		default:
		}
		conn, err := network.dial(l.dead)
		if err != nil {
			return nil, err
		}
		go func() { // what a dead process held open, its system closes
			select {
			case <-l.dead:
				_ = conn.Close()
			case <-conn.closed:
			}
		}()
		return conn, nil
	}
}

// recipes carry out jobs without processes. The life's death ends them at once.
func (m *machine) recipes(l *life) []runner.Recipe {
	run := func(ctx context.Context, t *runner.Task) *runner.Ending {
		select {
		case <-l.dead: // the dead start nothing
			return &runner.Ending{Outcome: spool.Outcome{Result: spool.Interrupted}}
		default:
		}
		m.mu.Lock()
		m.runs[t.Job.ID]++
		work := m.work
		m.mu.Unlock()
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		go func() {
			select {
			case <-l.dead:
				cancel(errDead)
			case <-ctx.Done():
			}
		}()
		return work(ctx, t)
	}
	recover := func(_ context.Context, t *runner.Task) *runner.Ending {
		m.mu.Lock()
		defer m.mu.Unlock()
		result, code := spool.Interrupted, runner.CodeAgentDied
		if m.snapshots[t.Job.ID] {
			result, code = spool.Warning, runner.CodeEndNotSeen
		}
		return &runner.Ending{Outcome: spool.Outcome{Result: result, Code: code}}
	}
	return []runner.Recipe{
		{Operation: "backup", Run: run, Recover: recover}, {Operation: "locks", Run: run},
		{Operation: "identify", Run: run, Alone: true},
	}
}

// worked notes that the job's snapshot is in the repository.
func (m *machine) worked(job string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snapshots[job] = true
}

func (m *machine) ran(job string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.runs[job]
}

// eventually waits in virtual time until something holds.
func eventually(t *testing.T, what string, within time.Duration, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, within)
		}
	}
}

// lockedRand is a generator that several goroutines may ask.
type lockedRand struct {
	mu   sync.Mutex
	rand *rand.Rand
}

func (r *lockedRand) float() float64  { r.mu.Lock(); defer r.mu.Unlock(); return r.rand.Float64() }
func (r *lockedRand) below(n int) int { r.mu.Lock(); defer r.mu.Unlock(); return r.rand.IntN(n) }

// lockedBuffer is a buffer that several agents may write to.
type lockedBuffer struct {
	mu sync.Mutex
	to bytes.Buffer
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.to.String()
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.to.Write(p)
}

// pipeListener is a network of two: net.Pipe connections from dial to Accept.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipeListener) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// pipeConn says when it was closed. The dead write nothing, not even what they were
// about to.
type pipeConn struct {
	net.Conn
	dead   <-chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (c *pipeConn) Write(p []byte) (int, error) {
	select {
	case <-c.dead:
		return 0, errDead
	default:
		return c.Conn.Write(p)
	}
}

func (c *pipeConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (p *pipeListener) dial(dead <-chan struct{}) (*pipeConn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return &pipeConn{Conn: ours, dead: dead, closed: make(chan struct{})}, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
