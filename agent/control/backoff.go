package control

import (
	"context"
	"time"
)

// Backoff paces a loop that talks to the server. The zero value is ready. It is
// for one goroutine.
type Backoff struct {
	// Rand returns numbers in [0,1); nil for math/rand.
	Rand func() float64
}

// Next returns how long to wait after err before the next request, zero for nil
// err, which also resets it. An ordinary cut of a parked request costs at most 2 s
// the first time; a Refusal's RetryAfter is obeyed up to 5 min.
func (b *Backoff) Next(err error) time.Duration { panic("todo") }

// Pace is a token bucket for empty answers: five at once, then one each 2 s.
type Pace struct{}

// NewPace returns a full bucket.
func NewPace() *Pace { panic("todo") }

// Wait takes a token, or waits for one until ctx ends.
func (p *Pace) Wait(ctx context.Context) error { panic("todo") }

// Sleep waits for d or until ctx ends, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error { panic("todo") }
