package wake

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

const (
	pollHearing  = 2 * time.Second        // the net below notifications
	pollDeaf     = 500 * time.Millisecond // all there is without them
	pollWindow   = time.Minute            // how old a queued command is that the poll looks for
	keepAlive    = 30 * time.Second
	answerIn     = 5 * time.Second
	reconnectMin = time.Second
	reconnectMax = 30 * time.Second
)

// link hears the other replicas: by notifications where they arrive, by the shared
// poll in any case.
type link struct {
	w      *Waker
	heard  chan bool // whether notifications arrive, when that changes
	cursor int64     // of the feed, as of the last poll
}

var errDeaf = errors.New("a notification sent through the pool did not arrive; " +
	"a pooler that hands out connections by the transaction is the likely cause (set a listen URL that passes it by)")

// listen keeps a connection that hears, until ctx ends.
func (l *link) listen(ctx context.Context) {
	wait := reconnectMin
	for first := true; ctx.Err() == nil; first = false {
		heard, err := l.hearOnce(ctx)
		l.set(false)
		if ctx.Err() != nil {
			return
		}
		if heard {
			wait = reconnectMin
		}
		if first || heard { // a lasting trouble is told once
			l.w.log.WarnContext(ctx, "no notifications from other replicas, polling", "err", err)
		}
		sleep(ctx, wait)
		wait = min(2*wait, reconnectMax)
	}
}

// hearOnce connects, proves that notifications arrive, wakes everybody, since some
// may have been missed, and then hears until the connection fails. heard tells
// whether it came that far.
func (l *link) hearOnce(ctx context.Context) (heard bool, err error) {
	listener, err := l.w.st.Listen(ctx)
	if err != nil {
		return false, err
	}
	defer listener.Close()
	if err := l.selfTest(ctx, listener); err != nil {
		return false, err
	}
	l.w.wakeAll()
	l.set(true)
	for {
		waiting, cancel := context.WithTimeout(ctx, keepAlive)
		payload, err := listener.Next(waiting)
		cancel()
		switch {
		case err == nil:
			l.w.hear(payload)
		case ctx.Err() != nil:
			return true, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			if err := l.ping(ctx, listener); err != nil {
				return true, err
			}
		default:
			return true, fmt.Errorf("hear: %w", err)
		}
	}
}

// selfTest sends a random payload by the way of all others and waits for it.
func (l *link) selfTest(ctx context.Context, listener *store.Listener) error {
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	sent := l.w.st.ReplicaID() + " test/" + rand.Text()
	if err := l.w.st.Notify(ctx, sent); err != nil {
		return err
	}
	for {
		switch payload, err := listener.Next(ctx); {
		case errors.Is(err, context.DeadlineExceeded):
			return errDeaf
		case err != nil:
			return fmt.Errorf("hear: %w", err)
		case payload == sent:
			return nil
		}
	}
}

func (l *link) ping(ctx context.Context, listener *store.Listener) error {
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	if err := listener.Ping(ctx); err != nil {
		return fmt.Errorf("keep alive: %w", err)
	}
	return nil
}

// set tells the poll whether notifications arrive; only the newest word counts.
func (l *link) set(heard bool) {
	select {
	case <-l.heard:
	default:
	}
	l.heard <- heard
}

// poll looks for what notifications did not bring: seldom while they arrive, often
// while they do not.
func (l *link) poll(ctx context.Context) {
	every := pollDeaf
	t := time.NewTicker(every)
	defer t.Stop()
	for failed := false; ; {
		select {
		case <-ctx.Done():
			return
		case heard := <-l.heard:
			every = pollDeaf
			if heard {
				every = pollHearing
			}
			t.Reset(every)
			continue
		case <-t.C:
		}
		err := l.look(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			l.w.log.ErrorContext(ctx, "poll for wake-ups failed", "err", err)
		}
		failed = err != nil
	}
}

// look wakes the hosts that have young commands and whatever the feed has told
// since the last look.
func (l *link) look(ctx context.Context) error {
	hosts, err := l.w.st.HostsWithCommands(ctx, fleet.At(l.w.st.Now().Add(-pollWindow)))
	if err != nil {
		return err
	}
	topics := make([]string, 0, len(hosts)+1)
	for _, id := range hosts {
		topics = append(topics, Host(id))
	}
	feed, err := l.w.st.Feed(ctx, l.cursor)
	if err != nil {
		return err
	}
	if feed.Cursor != l.cursor {
		topics = append(topics, Changes)
	}
	for _, c := range feed.Changes {
		topics = append(topics, object(c.Topic, c.ID))
	}
	first := l.cursor == 0
	l.cursor = feed.Cursor
	if feed.Reset && !first {
		l.w.wakeAll()
		return nil
	}
	l.w.wake(topics)
	return nil
}
