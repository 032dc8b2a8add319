package control

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

const (
	defaultHold = 25 * time.Second
	mostHold    = 300 * time.Second // whatever the server grants
	leastHold   = 5 * time.Second   // whatever was learned
	trialEvery  = 24 * time.Hour
)

// Memory keeps small values over restarts.
type Memory interface {
	Value(key string) ([]byte, bool)
	SetValue(ctx context.Context, key string, value []byte) error
}

// hold knows how long a parked request may wait on the way to one server.
type hold struct {
	memory Memory // nil forgets
	key    string

	mu      sync.Mutex
	granted time.Duration
	learned lesson
	lastCut time.Duration // after which the request before was cut, zero if it was not
	cuts    int           // how many in a row were similar to lastCut
}

// lesson is what was learned of the boxes in between. Nothing is learned while Hold is 0.
type lesson struct {
	Hold  time.Duration `json:"hold_ns"`
	Tried time.Time     `json:"tried"` // when the granted hold was last asked for
}

func newHold(memory Memory, server string) *hold {
	h := &hold{memory: memory, key: "hold:" + server, granted: defaultHold}
	if memory == nil {
		return h
	}
	if text, ok := memory.Value(h.key); ok {
		var l lesson
		if json.Unmarshal(text, &l) == nil && l.Hold >= leastHold {
			h.learned = l
		}
	}
	return h
}

func (h *hold) grant(longest time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.granted = min(max(longest, time.Second), mostHold)
}

// wait returns how long the next parked request is to wait, in whole seconds.
func (h *hold) wait(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.learned.Hold == 0 || h.learned.Hold >= h.granted || now.Sub(h.learned.Tried) >= trialEvery {
		return h.granted.Truncate(time.Second)
	}
	return h.learned.Hold.Truncate(time.Second)
}

// observe learns from how a request ended that was to wait for asked. The error is
// the memory's.
func (h *hold) observe(ctx context.Context, now time.Time, asked time.Duration, err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	trial := h.learned.Hold != 0 && asked > h.learned.Hold
	cut := boxCut(err)
	switch {
	case err == nil:
		h.lastCut, h.cuts = 0, 0
		if trial {
			return h.learn(ctx, lesson{})
		}
		return nil
	case cut == nil:
		return nil // the server was down, or something else that says nothing of the way
	case trial:
		h.lastCut, h.cuts = 0, 0
		return h.learn(ctx, lesson{Hold: h.learned.Hold, Tried: now})
	}
	// A request that nobody answered was cut at some time before its end.
	after := min(cut.Elapsed, asked)
	if !similar(h.lastCut, after) {
		h.lastCut, h.cuts = after, 0
	}
	h.cuts++
	enough := 2
	if after < cut.Hold/2 {
		enough = 3 // so early it might be a server that restarts again and again
	}
	if h.cuts < enough {
		return nil
	}
	h.lastCut, h.cuts = 0, 0
	return h.learn(ctx, lesson{Hold: max(leastHold, after*8/10), Tried: now})
}

// leastCut is the shortest life of a request that a box can have ended for being
// silent; what ends sooner never reached a server that parks it.
const leastCut = 3 * time.Second

// boxCut gives the error when it is what a box does to a request that was silent
// for too long, and nil otherwise.
func boxCut(err error) *TransportError {
	var e *TransportError
	if !errors.As(err, &e) || e.Elapsed < leastCut {
		return nil
	}
	if e.Ordinary() || e.Hold > 0 && (e.Kind == Cut || e.Kind == NotOurs) {
		return e
	}
	return nil
}

func similar(a, b time.Duration) bool {
	return a > 0 && (a-b).Abs() <= max(a, b)/5
}

func (h *hold) learn(ctx context.Context, l lesson) error {
	h.learned = l
	if h.memory == nil {
		return nil
	}
	if l.Hold == 0 {
		return h.memory.SetValue(ctx, h.key, nil)
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return h.memory.SetValue(ctx, h.key, text)
}
