package control

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"
)

const (
	backoffBase   = time.Second
	backoffCap    = time.Minute
	retryAfterCap = 5 * time.Minute
	afterCut      = 2 * time.Second // at most, before the first retry of a parked request
)

// Backoff paces a loop that talks to the server, by decorrelated jitter: each wait
// is drawn between 1 s and three times the one before, and is at most Cap. The zero
// value is ready. It is for one goroutine.
type Backoff struct {
	Cap  time.Duration  // zero for a minute
	Rand func() float64 // in [0,1); nil for math/rand

	last time.Duration
}

// Next returns how long to wait after err before the next request, zero for nil
// err, which also resets it. An ordinary cut of a parked request costs at most 2 s
// the first time; a Refusal's RetryAfter is obeyed up to 5 min.
func (b *Backoff) Next(err error) time.Duration {
	if err == nil {
		b.last = 0
		return 0
	}
	var transport *TransportError
	if b.last == 0 && errors.As(err, &transport) && transport.Ordinary() {
		b.last = backoffBase
		return b.between(0, afterCut)
	}
	limit := b.Cap
	if limit == 0 {
		limit = backoffCap
	}
	b.last = min(limit, b.between(backoffBase, max(backoffBase, b.last)*3))
	var refusal *Refusal
	if errors.As(err, &refusal) && refusal.RetryAfter > b.last {
		// A tenth of jitter: whoever was told the same does not come back as one.
		return min(retryAfterCap, b.between(refusal.RetryAfter, refusal.RetryAfter*11/10))
	}
	return b.last
}

func (b *Backoff) between(low, high time.Duration) time.Duration {
	random := b.Rand
	if random == nil {
		random = rand.Float64
	}
	return low + time.Duration(random()*float64(high-low))
}

// Pace is a token bucket for empty answers: five at once, then one each 2 s, so
// that a box that answers at once cannot make a busy loop.
type Pace struct{ bucket *rate.Limiter }

// NewPace returns a full bucket.
func NewPace() *Pace { return &Pace{rate.NewLimiter(rate.Every(2*time.Second), 5)} }

// Wait takes a token, or waits for one until ctx ends, whose error it then returns.
func (p *Pace) Wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return Sleep(ctx, p.bucket.Reserve().Delay())
}

// Sleep waits for d or until ctx ends, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
