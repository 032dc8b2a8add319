package wake

import (
	"context"
	"sync"
	"time"

	"restic-manager/server/fleet"
)

const (
	notifyEvery = 25 * time.Millisecond
	feedEvery   = 250 * time.Millisecond
	lastWords   = 3 * time.Second // for what is still untold when Run ends
)

// Run numbers the feed and, with PostgreSQL, tells other replicas and hears them,
// until ctx ends. Then it tells what is left and returns.
func (w *Waker) Run(ctx context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { w.flushFeed(ctx) })
	if w.st.Postgres() {
		l := &link{w: w, heard: make(chan bool, 1)}
		loops.Go(func() { w.notify(ctx) })
		loops.Go(func() { l.listen(ctx) })
		loops.Go(func() { l.poll(ctx) })
	}
	loops.Wait()
}

// maxPending bounds what is kept while the database is away; beyond it readers are
// told to read everything.
const maxPending = 10_000

// pending gathers changes for the feed.
type pending struct {
	mu       sync.Mutex
	seen     map[fleet.Change]struct{}
	overflow bool
	dirty    chan struct{} // has a value while there is something
}

func (p *pending) add(changes []fleet.Change) {
	if len(changes) == 0 {
		return
	}
	p.mu.Lock()
	if p.seen == nil {
		p.seen = map[fleet.Change]struct{}{}
	}
	for _, c := range changes {
		p.seen[c] = struct{}{}
	}
	if len(p.seen) > maxPending {
		p.overflow = true
		clear(p.seen)
	}
	p.mu.Unlock()
	signal(p.dirty)
}

func (p *pending) take() (changes []fleet.Change, overflow bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changes = make([]fleet.Change, 0, len(p.seen))
	for c := range p.seen {
		changes = append(changes, c)
	}
	overflow = p.overflow
	clear(p.seen)
	p.overflow = false
	return changes, overflow
}

func (p *pending) putBack(changes []fleet.Change, overflow bool) {
	if overflow {
		p.mu.Lock()
		p.overflow = true
		p.mu.Unlock()
	}
	p.add(changes)
	signal(p.dirty)
}

// flushFeed gathers for a while from the first change on, then numbers what came.
func (w *Waker) flushFeed(ctx context.Context) {
	failed := false
	gather(ctx, w.feed.dirty, feedEvery, func(ctx context.Context) {
		changes, overflow := w.feed.take()
		if len(changes) == 0 && !overflow {
			return
		}
		var err error
		if overflow {
			err = w.st.ResetFeed(ctx)
		} else {
			err = w.st.FlushFeed(ctx, changes)
		}
		if err == nil {
			w.Publish(Changes)
		} else {
			w.feed.putBack(changes, overflow)
			if !failed { // a lasting trouble is told once
				w.log.ErrorContext(ctx, "changes not told yet", "err", err)
			}
		}
		failed = err != nil
	})
}

// gather calls flush some time after dirty got a value, again and again, and once
// more when ctx ends.
func gather(ctx context.Context, dirty <-chan struct{}, every time.Duration, flush func(context.Context)) {
	for ctx.Err() == nil {
		select {
		case <-dirty:
			if sleep(ctx, every) {
				flush(ctx)
			}
		case <-ctx.Done():
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	flush(ctx)
}

// sleep waits and tells whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
