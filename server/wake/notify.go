package wake

import (
	"context"
	"slices"
	"strings"
	"sync"

	"restic-manager/server/store"
)

const (
	// maxPayloads is how many notifications one flush sends; beyond it everybody is
	// woken.
	maxPayloads = 4
	everything  = "*"
)

// outbox gathers topics for other replicas.
type outbox struct {
	mu     sync.Mutex
	topics map[string]struct{}
	dirty  chan struct{}
}

func (o *outbox) add(topics []string) {
	if len(topics) == 0 {
		return
	}
	o.mu.Lock()
	if o.topics == nil {
		o.topics = map[string]struct{}{}
	}
	for _, t := range topics {
		o.topics[t] = struct{}{}
	}
	if len(o.topics) > maxPending {
		clear(o.topics)
		o.topics[everything] = struct{}{}
	}
	o.mu.Unlock()
	signal(o.dirty)
}

func (o *outbox) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	topics := make([]string, 0, len(o.topics))
	for t := range o.topics {
		topics = append(topics, t)
	}
	clear(o.topics)
	return topics
}

// notify tells other replicas. What cannot be told is dropped: their polls find it.
func (w *Waker) notify(ctx context.Context) {
	gather(ctx, w.out.dirty, notifyEvery, func(ctx context.Context) {
		topics := w.out.take()
		if len(topics) == 0 {
			return
		}
		if err := w.st.Notify(ctx, payloads(w.st.ReplicaID(), topics)...); err != nil {
			w.log.WarnContext(ctx, "other replicas not notified", "err", err)
		}
	})
}

// payloads writes topics as few texts that each begin with the sender.
func payloads(sender string, topics []string) []string {
	if slices.Contains(topics, everything) {
		return []string{sender + " " + everything}
	}
	var all []string
	var b strings.Builder
	for _, t := range topics {
		if b.Len() > 0 && b.Len()+1+len(t) > store.MaxPayload {
			all = append(all, b.String())
			b.Reset()
		}
		if b.Len() == 0 {
			b.WriteString(sender)
		}
		b.WriteString(" " + t)
	}
	all = append(all, b.String())
	if len(all) > maxPayloads {
		return []string{sender + " " + everything}
	}
	return all
}

// hear wakes here what another replica published.
func (w *Waker) hear(payload string) {
	sender, rest, _ := strings.Cut(payload, " ")
	switch {
	case sender == w.st.ReplicaID(): // woken when it was published
	case rest == everything:
		w.wakeAll()
	default:
		w.wake(strings.Fields(rest))
	}
}
