package runner

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// A want is something that a job needs for itself, or together with others, while
// it runs.
type want struct {
	thing string // for people, with the word before it: "on repository web-1"
	key   string // the same thing by its id
	alone bool   // nobody else may have it meanwhile
	most  int    // so many may have it at a time; 0 for any number
}

// holds hands out things to jobs, in the order in which they asked: a job that
// needs something alone is not overtaken for ever by those that share it. A job
// gets all that it wants at once or waits for all, so that two jobs never wait for
// each other. The zero value is ready for use.
type holds struct {
	mu     sync.Mutex
	claims []*claim // those who have and those who wait, oldest first
}

// claim is one job's share: granted is closed when it has everything.
type claim struct {
	job     string
	wants   []want
	granted chan struct{}
	has     bool
}

// take returns when the job has everything, or with ctx's cause. It calls waiting
// once, before it blocks, with a sentence on what the job waits for. The caller must
// call release exactly once if err is nil.
func (h *holds) take(ctx context.Context, job string, wants []want, waiting func(on string)) (release func(), err error) {
	c := &claim{job: job, wants: wants, granted: make(chan struct{})}
	on := h.enter(c)
	if on != "" {
		waiting(on)
	}
	select {
	case <-c.granted:
		return func() { h.leave(c) }, nil
	case <-ctx.Done():
		h.leave(c)
		return nil, context.Cause(ctx)
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
	if taken := h.taken(c); taken != "" {
		return taken
	}
	return h.full(c)
}

// taken names the first thing that an older claim keeps from c.
func (h *holds) taken(c *claim) string {
	for _, older := range h.claims {
		if older == c {
			return ""
		}
		for _, theirs := range older.wants {
			for _, ours := range c.wants {
				if ours.key == theirs.key && (ours.alone || theirs.alone) {
					return "waits for job " + older.job + " " + ours.thing
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
