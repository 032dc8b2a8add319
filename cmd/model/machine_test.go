package model_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"restic-manager/agent"
	"restic-manager/agent/control"
	"restic-manager/agent/policy"
	"restic-manager/agent/secret"
	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// machine is a host: its state folder and its restics, which outlast the processes of
// its agent, and the process that runs, if one does.
type machine struct {
	name     string
	identity agent.Identity
	dir      string
	line     *line
	depot    *depot
	ledger   *ledger
	log      *slog.Logger
	dice     *dice
	cover    *coverage
	budget   spool.Budget
	poison   float64 // share of backups whose result has a record that no server takes

	trouble context.Context // while it lasts the agent is killed and stays away

	mu         sync.Mutex
	life       *life
	rolls      bool           // its disk may be set back
	deaths     map[string]int // by step: at which occurrence the agent is killed
	processes  map[string]*process
	setBack    bool // its disk was set back at least once
	everKilled bool
	moved      time.Duration // how far its clock on the wall was moved
	clockMoved bool          // at least once
	slept      time.Duration
	boots      int

	asked chan machineOrder
}

// machineOrder is what a scenario does to a machine's agent.
type machineOrder struct {
	kill bool          // like kill -9; otherwise it is stopped in order
	away time.Duration // until it is started again
}

// life is one process of a machine's agent.
type life struct {
	*pulse
	m     *machine
	agent *agent.Agent
	spool *spool.Spool
	conns conns
	stop  context.CancelFunc
	done  chan error
}

// run starts the agent again and again until ctx ends.
func (m *machine) run(ctx context.Context) error {
	for ctx.Err() == nil {
		l, err := m.begin(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		order := machineOrder{kill: true, away: m.dice.between(time.Second, 40*time.Second)}
		select {
		case <-l.dead:
		case order = <-m.asked:
			if order.kill {
				m.cover.hit(coveredAgent, killedIdle)
				l.kill()
			}
		case <-ctx.Done():
		}
		m.mu.Lock()
		m.life = nil
		m.everKilled = m.everKilled || l.killed()
		m.mu.Unlock()
		if err := l.end(); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if err := m.setDiskBack(); err != nil {
			return err
		}
		sleep(m.trouble, order.away)
		sleep(ctx, time.Second)
	}
	return nil
}

// begin starts a process: what an earlier one left running is ended first. One that
// is killed while it opens its state is started again.
func (m *machine) begin(ctx context.Context) (*life, error) {
	for {
		l := &life{pulse: newPulse(), m: m, done: make(chan error, 1)}
		l.conns.owner = l.pulse
		var err error
		l.spool, err = spool.Open(ctx, spool.Options{
			Dir: filepath.Join(m.dir, "host"), Budget: m.budget, Step: l.onStep, Now: m.now,
			FreeSpace: func(string) (free, total uint64, err error) { return 1 << 40, 1 << 41, nil },
		})
		if err == nil {
			return l, l.start(ctx)
		}
		if !l.killed() {
			return nil, err
		}
		sleep(ctx, time.Second)
	}
}

func (l *life) start(ctx context.Context) error {
	m := l.m
	m.endOrphans(l.spool.Interrupted())
	store, err := secret.Open(m.dir, func(string) string { return "" })
	if err != nil {
		return err
	}
	link, err := control.NewLink(control.Options{
		Server: "http://" + loopback.String(), HostID: m.identity.HostID, Secret: m.identity.Secret, Proxy: restic.NewSecret("none"),
		Memory: l.spool, Dial: m.line.dialer(&l.conns), Rand: m.dice.float,
	})
	if err != nil {
		return err
	}
	o := agent.Options{
		Identity: m.identity, Link: link, Spool: l.spool, Secrets: store, Version: "model", BootID: m.boot(), Now: m.now, Suspended: m.suspended,
		Policy:  func() (*policy.Policy, error) { return policy.Default(policy.Trusting), nil },
		Recipes: l.recipes(), Log: m.log, Rand: m.dice.float, FirstContact: 5 * time.Second,
	}
	if config, err := spool.LoadConfig(filepath.Join(m.dir, "host")); err == nil {
		o.Config = &config
	}
	if l.agent, err = agent.New(o); err != nil {
		return err
	}
	m.mu.Lock()
	m.life = l
	m.mu.Unlock()
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go func() { l.done <- l.agent.Run(running) }()
	return nil
}

// now is the machine's clock on the wall.
func (m *machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.moved)
}

func (m *machine) suspended() (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.slept, true
}

// boot names the running of the machine: now and then it was off between two processes.
func (m *machine) boot() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dice.chance(0.3) {
		m.boots++
	}
	return fmt.Sprint("boot-", m.boots)
}

// end waits until nothing of the process is left. One that was not killed stops in
// order.
func (l *life) end() error {
	if l.killed() {
		l.conns.closeAll()
	}
	l.stop()
	err := <-l.done
	l.conns.closeAll()
	err = errors.Join(err, l.spool.Close())
	if l.killed() {
		return nil // it did not get to anything
	}
	return err
}

// onStep kills the agent where its fate says so. A killed process writes nothing.
func (l *life) onStep(name string) error {
	if l.killed() {
		return errKilled
	}
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cover.hit(coveredWrites, name)
	if m.deaths[name] == 0 || m.trouble.Err() != nil {
		return nil
	}
	if m.deaths[name]--; m.deaths[name] > 0 {
		return nil
	}
	m.cover.hit(coveredAgent, name)
	l.kill()
	return errKilled
}

// current gives the process that runs, nil when none does.
func (m *machine) current() *life {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.life
}

// spawn starts a restic for a job.
func (l *life) spawn(t task) *process {
	p := l.m.depot.start(t, l.pulse)
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.processes[t.job.ID] = p
	return p
}

// endOrphans kills the restics that a dead agent has recorded, as the agent does at
// its start.
func (m *machine) endOrphans(left []spool.Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, job := range left {
		if p := m.processes[job.ID]; p != nil && len(job.Process) > 0 && string(job.Process) != "null" {
			p.killed.kill()
		}
	}
}

// endAll kills all restics when a history is over.
func (m *machine) endAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.processes {
		p.killed.kill()
	}
}

// setDiskBack keeps the state as it is, or returns to what was kept, now and then.
func (m *machine) setDiskBack() error {
	kept := m.dir + ".kept"
	switch {
	case !m.rolls || m.trouble.Err() != nil:
		return nil
	case m.dice.chance(0.4):
		if err := os.RemoveAll(kept); err != nil {
			return err
		}
		return copyTree(kept, m.dir)
	}
	if _, err := os.Stat(kept); err != nil {
		return nil
	}
	m.mu.Lock()
	m.setBack = true
	m.mu.Unlock()
	m.cover.hit(coveredActs, "disk set back")
	return errors.Join(os.RemoveAll(m.dir), copyTree(m.dir, kept))
}

// fates draws at which steps the agent is killed.
func fates(d *dice) map[string]int {
	fates := map[string]int{}
	for range pick(d, []int{0, 1, 2, 3, 4}) {
		fates[pick(d, spool.Steps())] = 1 + d.below(3)
	}
	return fates
}

// settled reports whether the agent has nothing left to do and nothing to tell.
func (m *machine) settled() bool {
	l := m.current()
	return l != nil && l.spool.Summary().Jobs == 0 && len(l.spool.AgentJobs()) == 0
}

// waits lists what is left, for a history that does not come to its end.
func (m *machine) waits() string {
	l := m.current()
	if l == nil {
		return m.name + " is not running"
	}
	return fmt.Sprintf("%s: %+v %+v, processes %v", m.name, l.spool.Summary(), l.spool.AgentJobs(), slices.Collect(maps.Keys(m.processes)))
}
