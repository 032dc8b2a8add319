package control

import (
	"encoding/json"
	"sync"
	"time"
)

// quick is how long an exchange may take to tell the time: what the server says
// belongs to some moment of it, and the middle is the best guess.
const quick = 2 * time.Second

// clock compares the server's time with the agent's.
type clock struct {
	mu     sync.Mutex
	known  bool
	offset time.Duration
}

func (c *clock) observe(began, ended time.Time, answer []byte) {
	if ended.Sub(began) > quick {
		return
	}
	var a AgentAnswer
	if json.Unmarshal(answer, &a) != nil || a.ServerTime.IsZero() {
		return
	}
	// Without the monotonic readings, which know nothing of the server's clock.
	middle := began.Round(0).Add(ended.Sub(began) / 2)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.offset = true, a.ServerTime.Sub(middle)
}

func (c *clock) read() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset, c.known
}
