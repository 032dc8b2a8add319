package runner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// A want is something that a job needs for itself, or together with others, while
// it runs.
type want struct {
	thing string // for people, with the word before it: "on repository web-1"
	key   string // the same thing by its id
	alone bool   // nobody else may have it meanwhile
	most  int    // so many may have it at a time; 0 for any number

	repository string // its id, where the thing is one that is used by a job that locks it
}

// holds hands out things to jobs, in the order in which they asked: a job that
// needs something alone is not overtaken for ever by those that share it. A job
// gets all that it wants at once or waits for all, so that two jobs never wait for
// each other. The zero value is ready for use.
type holds struct {
	mu     sync.Mutex
	claims []*claim // those who have and those who wait, oldest first
	back   map[string]HoldBack
	lapse  *time.Timer // when the next of back is over
}

// HoldBack is the server's word that a repository is another job's next: what would lock it
// does not begin meanwhile. It is over at Until by the monotonic clock, whatever becomes of
// the server.
type HoldBack struct {
	RepositoryID string
	JobID        string // whose turn it is; this job itself may begin
	Until        time.Time
	Reason       string // for people: "prune at nas"
}

// holdBack puts these in the place of those that were in force.
func (h *holds) holdBack(list []HoldBack) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.back = map[string]HoldBack{}
	for _, b := range list {
		h.back[b.RepositoryID] = b
	}
	h.expire()
	for _, c := range h.claims {
		if on := h.heldBack(c); on != "" && !c.has {
			c.tell(on)
		}
	}
}

// inForce lists the jobs that something is held back for.
func (h *holds) inForce() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire()
	var jobs []string
	for _, id := range slices.Sorted(maps.Keys(h.back)) {
		jobs = append(jobs, h.back[id].JobID)
	}
	return jobs
}

// expire forgets what is over, lets begin who may, and looks again when the next is over.
func (h *holds) expire() {
	now := time.Now()
	next := time.Duration(0)
	for id, b := range h.back {
		left := b.Until.Sub(now)
		if left <= 0 { //guard:hold-lapse
			delete(h.back, id)
		} else if next == 0 || left < next {
			next = left
		}
	}
	if h.lapse != nil {
		h.lapse.Stop()
		h.lapse = nil
	}
	if next > 0 {
		h.lapse = time.AfterFunc(next, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.expire()
		})
	}
	h.grant()
}

// heldBack says for what a claim is held back, "" for nothing.
func (h *holds) heldBack(c *claim) string {
	for _, w := range c.wants {
		if b, ok := h.back[w.repository]; ok && w.repository != "" && b.JobID != c.job { //guard:held-back
			return "waits " + w.thing + ": it is the turn of " + b.Reason
		}
	}
	return ""
}

// claim is one job's share: granted is closed when it has everything.
type claim struct {
	job     string
	wants   []want
	granted chan struct{}
	has     bool
	news    chan string // what it waits for now, where that has changed
}

// tell keeps the newest word for who waits.
func (c *claim) tell(on string) {
	select {
	case <-c.news:
	default:
	}
	c.news <- on
}

// take returns when the job has everything, or with ctx's cause. It calls waiting
// before it blocks, and again when the server holds it back, with a sentence on what the
// job waits for. The caller must
// call release exactly once if err is nil.
func (h *holds) take(ctx context.Context, job string, wants []want, waiting func(on string)) (release func(), err error) {
	c := &claim{job: job, wants: wants, granted: make(chan struct{}), news: make(chan string, 1)}
	on := h.enter(c)
	if on != "" {
		waiting(on)
	}
	for {
		select {
		case <-c.granted:
			return func() { h.leave(c) }, nil
		case on := <-c.news:
			waiting(on)
		case <-ctx.Done():
			h.leave(c)
			return nil, context.Cause(ctx)
		}
	}
}

// enter adds a claim and says what it has to wait for, "" for nothing.
func (h *holds) enter(c *claim) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.claims = append(h.claims, c)
	on := h.obstacle(c)
	h.grant()
	return on
}

func (h *holds) leave(c *claim) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.claims = slices.DeleteFunc(h.claims, func(other *claim) bool { return other == c })
	h.grant()
}

// grant gives to everybody who has nobody in the way.
func (h *holds) grant() {
	for _, c := range h.claims {
		if !c.has && h.obstacle(c) == "" {
			c.has = true
			close(c.granted)
		}
	}
}

// obstacle names the first thing that c cannot have now.
func (h *holds) obstacle(c *claim) string {
	if on := h.heldBack(c); on != "" {
		return on
	}
	if taken := h.taken(c); taken != "" {
		return taken
	}
	return h.full(c)
}

// taken names the first thing that another claim keeps from c: one that has it, or an older
// one that waits for it and is not held back.
func (h *holds) taken(c *claim) string {
	younger := false
	for _, other := range h.claims {
		if other == c {
			younger = true
			continue
		}
		if !other.has && (younger || h.heldBack(other) != "") {
			continue
		}
		for _, theirs := range other.wants {
			for _, ours := range c.wants {
				if ours.key == theirs.key && (ours.alone || theirs.alone) {
					return "waits for job " + other.job + " " + ours.thing
				}
			}
		}
	}
	return ""
}

// full names the first thing that c wants and as many have as may. Only those who
// have it count: one that waits for something else keeps nobody from it.
func (h *holds) full(c *claim) string {
	for _, ours := range c.wants {
		if ours.most == 0 {
			continue
		}
		has := 0
		for _, other := range h.claims {
			if other.has && slices.ContainsFunc(other.wants, func(w want) bool { return w.key == ours.key }) {
				has++
			}
		}
		if has >= ours.most { //guard:jobs-at-once
			return fmt.Sprintf("waits %s, where %d jobs are running", ours.thing, has)
		}
	}
	return ""
}
