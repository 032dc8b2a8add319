package api

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
)

// crowd keeps many agents that come at once from taking the server down: each class
// of requests has its own places, so that results get in whatever else waits, and
// people are never behind agents. A request that is parked has no place.
type crowd struct {
	results  places // reports with a result
	reports  places // other reports
	arrivals places // sessions, and syncs until they are parked
}

func newCrowd() *crowd {
	return &crowd{results: newPlaces(32), reports: newPlaces(32), arrivals: newPlaces(64)}
}

// places is how many requests of a class are worked on at a time.
type places struct {
	free    chan struct{}
	waiting *atomic.Int64
}

func newPlaces(n int) places { return places{free: make(chan struct{}, n), waiting: new(atomic.Int64)} }

const (
	queueTime  = time.Second // how long a request waits for a place
	perSecond  = 400         // requests that a class works off, roughly
	extraPause = 5           // seconds
)

// enter takes a place and gives back what frees it. It fails with Unavailable, and
// with a time after which to try again, where none becomes free.
func (p places) enter(ctx context.Context) (release func(), err error) {
	select {
	case p.free <- struct{}{}:
		return p.leave, nil
	default:
	}
	queued := p.waiting.Add(1)
	defer p.waiting.Add(-1)
	over := time.NewTimer(queueTime)
	defer over.Stop()
	select {
	case p.free <- struct{}{}:
		return p.leave, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-over.C:
	}
	e := fleet.Errorf(fleet.Unavailable, "Too many agents ask at once; try again a little later.")
	e.Extra = map[string]int64{auth.RetryAfter: 1 + rand.Int64N(queued/perSecond+extraPause)}
	return nil, e
}

func (p places) leave() { <-p.free }
