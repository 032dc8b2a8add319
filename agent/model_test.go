package agent

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/agent/runner"
	"restic-manager/agent/spool"
)

// seeds is how many histories TestModel looks at.
func seeds() int {
	switch {
	case testing.Short():
		return 60
	case os.Getenv("RM_PROOF") != "":
		return 10_000
	case os.Getenv("CI") == "true":
		return 1_000
	}
	return 60
}

// TestModel invents histories in virtual time: commands and cancels at any moment, a
// network that loses, repeats, delays and mangles, a server that forgets its
// sessions, and an agent that is killed before or after any write. Afterwards it
// looks whether
//
//   - no job was carried out twice,
//   - every job has one true result at the server, and none was lost,
//   - every command was acknowledged, and every stream is dense,
//   - nobody asked without end.
//
// A seed that fails is run alone by -run 'TestModel/seed_17$'.
func TestModel(t *testing.T) {
	for seed := range seeds() {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			newModel(t, uint64(seed)).run()
		})
	}
}

// model is one history.
type model struct {
	*machine
	orders  []string          // the jobs that were ordered
	truth   map[string]string // what the work of each job came to
	crashes int
	calm    bool // no more faults and crashes
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{machine: newMachine(t, seed), truth: map[string]string{}}
	m.work = m.labour
	return m
}

func (m *model) run() {
	m.inBubble(func(t *testing.T) {
		began := time.Now()
		m.server.fault = m.trouble
		m.step = m.crash
		l := m.live(t, nil)
		for range 4 + m.random.below(10) {
			l = m.pass(t, l, time.Duration(m.random.below(120))*time.Second)
			m.act()
		}
		m.mu.Lock()
		m.calm = true
		m.mu.Unlock()
		l = m.pass(t, l, time.Minute)
		eventually(t, "an end of everything", 4*time.Hour, func() bool {
			return l.spool.Summary().Jobs == 0 && m.allHeard()
		})
		m.judge(t, time.Since(began))
		l.end(t)
		if t.Failed() {
			t.Logf("agent's log:\n%s", m.log)
		}
	})
}

// allHeard reports whether the server has a result for every job.
func (m *model) allHeard() bool {
	return !slices.ContainsFunc(m.orders, func(job string) bool { return len(m.server.finished(job)) == 0 })
}

// act does what people and servers do.
func (m *model) act() {
	switch n := m.random.below(10); {
	case n < 5:
		m.orders = append(m.orders, m.server.order("run", "backup", "", backupOf(1)))
	case n < 6:
		m.orders = append(m.orders, m.server.order("run", "identify", "", lookAtRepository))
	case n < 7:
		m.orders = append(m.orders, m.server.order("run", "locks", "", lookAtRepository))
	case n < 8 && len(m.orders) > 0:
		m.server.order("cancel", "", m.orders[m.random.below(len(m.orders))], nil)
	case n < 9:
		m.server.change(func() { m.server.sessions = nil })
	default:
		m.orders = append(m.orders, m.server.order("run", "backup", "", backupOf(9)))
	}
}

// pass lets time pass, and begins another life whenever one was cut off.
func (m *model) pass(t *testing.T, l *life, d time.Duration) *life {
	for end := time.After(d); ; {
		select {
		case <-l.dead:
			l = m.live(t, l)
		case <-end:
			return l
		}
	}
}

// live ends what is left of the life before, and begins the next.
func (m *model) live(t *testing.T, before *life) *life {
	if before != nil {
		before.end(t)
	}
	for {
		time.Sleep(time.Duration(1+m.random.below(30)) * time.Second)
		if l := m.begin(t.Context()); l != nil {
			return l
		}
	}
}

// crash cuts the process off at one write of sixty, a few times in a history.
func (m *model) crash(string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calm || m.crashes >= 5 || m.random.below(60) != 0 {
		return nil
	}
	m.crashes++
	return errDead
}

// trouble is what the network does to one request of four.
func (m *model) trouble(string) fault {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calm || m.random.below(4) != 0 {
		return fault{}
	}
	statuses := []int{200, 204, 401, 403, 404, 407, 413, 502, 504}
	switch m.random.below(7) {
	case 0:
		return fault{delay: time.Duration(m.random.below(40)) * time.Second}
	case 1:
		return fault{loseAsk: true}
	case 2, 3:
		return fault{loseReply: true}
	case 4:
		return fault{twice: true}
	case 5:
		return fault{status: statuses[m.random.below(len(statuses))]}
	}
	return fault{hang: true}
}

// labour is the work of a job: it takes a while, says something, and comes to
// something.
func (m *model) labour(ctx context.Context, t *runner.Task) *runner.Ending {
	for i := range 1 + m.random.below(20) {
		t.Progress(spool.Progress{At: time.Now(), Percent: float64(i)})
		t.Say(fmt.Sprintf("line %d %s", i, strings.Repeat("x", m.random.below(200))))
		select {
		case <-time.After(time.Duration(1+m.random.below(10)) * time.Second):
		case <-ctx.Done():
			return stoppedEnding(ctx)
		}
	}
	result := []spool.Result{spool.Succeeded, spool.Warning, spool.Failed}[m.random.below(3)]
	if result != spool.Failed && t.Job.Operation == "backup" {
		m.worked(t.Job.ID)
	}
	m.mu.Lock()
	m.truth[t.Job.ID] = string(result)
	m.mu.Unlock()
	return &runner.Ending{Outcome: spool.Outcome{Result: result}}
}

// judge looks at what came of it all.
func (m *model) judge(t *testing.T, took time.Duration) {
	for _, job := range m.orders {
		m.judgeJob(t, job)
	}
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if m.server.acked != int64(len(m.server.commands)) {
		t.Errorf("%d of %d commands were acknowledged", m.server.acked, len(m.server.commands))
	}
	requests := 0
	for _, n := range m.server.requests {
		requests += n
	}
	if most := 200 + int(took/time.Second); requests > most {
		t.Errorf("%d requests in %s", requests, took)
	}
}

func (m *model) judgeJob(t *testing.T, job string) {
	if n := m.ran(job); n > 1 {
		t.Errorf("job %s was carried out %d times", job, n)
	}
	heard := m.server.finished(job)
	if len(heard) != 1 {
		t.Errorf("job %s has %d results: %+v", job, len(heard), heard)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	got, truth := heard[0], m.truth[job]
	switch {
	case m.runs[job] == 0 && slices.Contains([]spool.Result{spool.Cancelled, spool.Rejected, spool.Expired, spool.Failed}, got.Result):
	case string(got.Result) == truth && got.Code == "":
	case m.crashes > 0 && m.snapshots[job] && got.Result == spool.Warning && got.Code == runner.CodeEndNotSeen:
	case m.crashes > 0 && !m.snapshots[job] && got.Result == spool.Interrupted:
	case truth == "" && got.Result == spool.Cancelled:
	default:
		t.Errorf("job %s ended as %s %q at the server; it came to %q, %d crashes, carried out %d times, snapshot %v",
			job, got.Result, got.Code, truth, m.crashes, m.runs[job], m.snapshots[job])
	}
	m.judgeStreams(t, job)
}

// judgeStreams looks for holes that no record stands for.
func (m *model) judgeStreams(t *testing.T, job string) {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	j := m.server.jobs[job]
	for i, e := range j.events {
		if e.Seq != int64(i+1) {
			t.Errorf("event %d of job %s is numbered %d", i+1, job, e.Seq)
		}
	}
	line := int64(1)
	for i, c := range j.chunks {
		if c.Seq != int64(i+1) || c.FirstLine != line {
			t.Errorf("chunk %d of job %s is numbered %d and begins at line %d, want %d", i+1, job, c.Seq, c.FirstLine, line)
		}
		line += int64(c.Lines)
	}
}
