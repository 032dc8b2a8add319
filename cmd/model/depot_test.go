package model_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// depot is the storage with the repositories of a history. It is as reliable as the
// rest is not.
type depot struct {
	ledger *ledger

	mu           sync.Mutex
	repositories map[string]*repository // by our id
	working      sync.WaitGroup
}

// repository is a restic repository.
type repository struct {
	id        string // restic's
	made      bool
	snapshots []spool.Snapshot
}

func newDepot(l *ledger, ready string) *depot {
	return &depot{ledger: l, repositories: map[string]*repository{ready: {id: hexID(ready), made: true}}}
}

// hexID is an id as restic makes them.
func hexID(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:])
}

// identity gives the id of a repository; false where there is none.
func (d *depot) identity(repository string) (id string, there bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.repositories[repository]
	if r == nil || !r.made {
		return "", false
	}
	return r.id, true
}

// initialise makes a repository; false where there is one.
func (d *depot) initialise(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.repositories[id]; r != nil && r.made {
		return false
	}
	d.repositories[id] = &repository{id: hexID(id), made: true}
	return true
}

// add puts the snapshot of a job into a repository.
func (d *depot) add(repository string, job spool.Job, host string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.repositories[repository]
	id := hexID(fmt.Sprint(job.ID, len(r.snapshots)))
	r.snapshots = append(r.snapshots, spool.Snapshot{
		Id: id, Time: time.Now().UTC(), Hostname: host, Paths: []string{"/etc"},
		Tags: restic.OwnTags(job.ScheduleID, job.ID), Files: 12, Bytes: 3456, BytesAdded: 78,
	})
	d.ledger.snapshot(job.ID, id)
}

// of gives the newest snapshot of a job, nil when there is none.
func (d *depot) of(repository, job string) *spool.Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.repositories[repository]
	if r == nil {
		return nil
	}
	for _, s := range slices.Backward(r.snapshots) {
		if slices.Contains(s.Tags, restic.OwnTags("", job)[0]) {
			return &s
		}
	}
	return nil
}

// list gives all snapshots.
func (d *depot) list(repository string) []spool.Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.repositories[repository]; r != nil {
		return slices.Clone(r.snapshots)
	}
	return nil
}

// task is what a restic of the model is to do: how long, how loud, and what comes of it.
type task struct {
	repository string
	job        spool.Job
	host       string
	steps      int
	pace       time.Duration // of a step
	lines      int           // of a step
	noise      int           // random bytes in a line
	exit       exit
	finishes   bool // has no ear for an interrupt
	orphan     bool // lives on when nobody reads what it says
}

// exit is how a restic ends.
type exit int

const (
	exitGood    exit = iota
	exitWarning      // a snapshot without everything
	exitFailed       // no snapshot
	exitCrashed      // dies behind its snapshot
	exitInterrupted
)

// process is a restic that works on a job. It does not end with the agent that
// started it.
type process struct {
	task
	let         chan struct{} // closed when it may begin
	lines       chan string
	exited      chan exit
	interrupted *pulse
	killed      *pulse
	reader      *pulse // who reads what it says
}

// start makes a process that waits to be let go.
func (d *depot) start(t task, reader *pulse) *process {
	p := &process{
		task: t, let: make(chan struct{}), lines: make(chan string), exited: make(chan exit, 1),
		interrupted: newPulse(), killed: newPulse(), reader: reader,
	}
	d.working.Go(func() { d.work(p) })
	return p
}

// work is the life of a process. It leaves its exit behind unless it is killed.
func (d *depot) work(p *process) {
	select {
	case <-p.let:
	case <-p.killed.dead:
		return
	case <-p.reader.dead: // its password never comes
		return
	}
	if p.steps > 0 {
		if stop, dead := p.toil(); dead {
			return
		} else if stop {
			p.exited <- exitInterrupted
			return
		}
	}
	switch p.job.Operation {
	case "backup":
		if p.task.exit != exitFailed {
			d.add(p.repository, p.job, p.host)
		}
	case "init":
		if p.task.exit != exitFailed {
			d.initialise(p.repository)
		}
	}
	p.exited <- p.task.exit
}

// toil works through the steps. dead says that it was killed, or fell over a pipe
// that nobody reads.
func (p *process) toil() (stop, dead bool) {
	ear := p.interrupted.dead
	if p.finishes {
		ear = nil
	}
	line := 0
	for range p.steps {
		timer := time.NewTimer(p.pace)
		select {
		case <-timer.C:
		case <-ear:
			timer.Stop()
			return true, false
		case <-p.killed.dead:
			timer.Stop()
			return false, true
		}
		for range p.task.lines {
			line++
			select {
			case p.lines <- p.line(line):
			case <-p.killed.dead:
				return false, true
			case <-p.reader.dead:
				if !p.orphan {
					return false, true
				}
			}
		}
	}
	return false, false
}

// line is a line of the log that tells its own number.
func (p *process) line(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "line %d ", n)
	for b.Len() < p.noise {
		fmt.Fprintf(&b, "%016x", rand.Uint64())
	}
	return b.String()
}
