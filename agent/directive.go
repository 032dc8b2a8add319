package agent

import (
	"maps"
	"slices"
	"sync"
	"time"

	"restic-manager/agent/control"
)

// What the server may want of a job's records, and what holds until it says so.
const (
	detailNone      = "none"
	desiredStop     = "stop"
	defaultInterval = 30 * time.Second
	minInterval     = time.Second
	maxInterval     = 5 * time.Minute
)

// directives are the server's wishes about the jobs, as last heard.
type directives struct {
	mu       sync.Mutex
	jobs     map[string]control.JobDirective
	interval time.Duration // for jobs without one of their own
	changed  chan struct{} // signalled when something is wanted sooner than before
	version  int           // raised when a wish about a job comes, changes or goes
}

func newDirectives() *directives {
	return &directives{jobs: map[string]control.JobDirective{}, interval: defaultInterval, changed: make(chan struct{}, 1)}
}

// take notes a wish; what it leaves out stays as it was.
func (d *directives) take(wish control.JobDirective) {
	d.mu.Lock()
	before := d.jobs[wish.JobId]
	after := before
	after.JobId = wish.JobId
	if wish.Desired != "" {
		after.Desired = wish.Desired
	}
	if wish.Detail != "" {
		after.Detail = wish.Detail
	}
	if wish.ReportIntervalMs > 0 {
		after.ReportIntervalMs = wish.ReportIntervalMs
	}
	d.jobs[wish.JobId] = after
	if after != before {
		d.version++
	}
	d.mu.Unlock()
	if after != before {
		select {
		case d.changed <- struct{}{}:
		default:
		}
	}
}

// suggest sets the interval for jobs without one of their own.
func (d *directives) suggest(ms int64) {
	if ms <= 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interval = bounded(ms)
}

func bounded(ms int64) time.Duration {
	return min(maxInterval, max(minInterval, time.Duration(min(ms, int64(maxInterval/time.Millisecond)))*time.Millisecond))
}

// keep forgets the wishes about all but these jobs.
func (d *directives) keep(ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := len(d.jobs)
	maps.DeleteFunc(d.jobs, func(id string, _ control.JobDirective) bool { return !slices.Contains(ids, id) })
	if len(d.jobs) != before {
		d.version++
	}
}

// reset forgets all wishes: a new session begins with none.
func (d *directives) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.jobs)
	d.interval = defaultInterval
	d.version++
}

// asOf is a number that changes with the wishes about jobs.
func (d *directives) asOf() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.version
}

// inForce lists the wishes, in order of the jobs' ids.
func (d *directives) inForce() []control.JobDirective {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]control.JobDirective, 0, len(d.jobs))
	for _, id := range slices.Sorted(maps.Keys(d.jobs)) {
		list = append(list, d.jobs[id])
	}
	return list[:min(len(list), 1000)]
}

// logTravels reports whether a job's log may leave the host now.
func (d *directives) logTravels(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.jobs[id].Detail != detailNone
}

// reportEvery is the shortest interval that any of these jobs is to be reported in.
func (d *directives) reportEvery(ids []string) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	shortest := d.interval
	for _, id := range ids {
		if ms := d.jobs[id].ReportIntervalMs; ms > 0 {
			shortest = min(shortest, bounded(ms))
		}
	}
	return shortest
}
