package wake

import (
	"log/slog"
	"sync"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Changes is the topic of the changes feed.
const Changes = "changes"

// Host is the topic of a host's agent: a command, another configuration or another
// directive is there for it.
func Host(id fleet.HostID) string { return "host/" + string(id) }

// Job is the topic of a job: its state, events or log changed.
func Job(id fleet.JobID) string { return object(fleet.TopicJobs, string(id)) }

func object(t fleet.Topic, id string) string { return string(t) + "/" + id }

// Waker wakes those who wait. It is safe for concurrent use.
type Waker struct {
	st  *store.Store
	log *slog.Logger

	mu          sync.Mutex
	subscribers map[string]map[*subscriber]struct{}

	out  outbox
	feed pending

	drain    chan struct{}
	draining sync.Once
}

// subscriber is told by a value in woken, or is a Bell's, which has none.
type subscriber struct {
	woken chan struct{}
	rung  bool
	call  func()
}

// New makes a Waker that hears what the store commits. Run tells others and hears
// them; without it only this process is woken and the feed stands still.
func New(st *store.Store, log *slog.Logger) *Waker {
	w := &Waker{st: st, log: log, subscribers: map[string]map[*subscriber]struct{}{}, drain: make(chan struct{})}
	w.out.dirty, w.feed.dirty = make(chan struct{}, 1), make(chan struct{}, 1)
	st.OnCommit(w.committed)
	return w
}

// Subscribe gives a channel that has a value as soon as one of the topics was
// published after this call; several become one. cancel ends it and must be called.
func (w *Waker) Subscribe(topics ...string) (woken <-chan struct{}, cancel func()) {
	s := &subscriber{woken: make(chan struct{}, 1)}
	w.subscribe(s, topics)
	return s.woken, func() { w.unsubscribe(s, topics) }
}

func (w *Waker) subscribe(s *subscriber, topics []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, topic := range topics {
		if w.subscribers[topic] == nil {
			w.subscribers[topic] = map[*subscriber]struct{}{}
		}
		w.subscribers[topic][s] = struct{}{}
	}
}

func (w *Waker) unsubscribe(s *subscriber, topics []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, topic := range topics {
		delete(w.subscribers[topic], s)
		if len(w.subscribers[topic]) == 0 {
			delete(w.subscribers, topic)
		}
	}
}

// Publish wakes who waits for one of the topics, here at once and in other replicas
// soon. Who subscribes later is not woken. It does not block.
func (w *Waker) Publish(topics ...string) {
	w.wake(topics)
	if w.st.Postgres() {
		w.out.add(topics)
	}
}

// Close wakes everybody and makes Draining say so: requests that are parked shall
// end. It may be called more than once.
func (w *Waker) Close() {
	w.draining.Do(func() { close(w.drain) })
	w.wakeAll()
}

// Draining is closed by Close: nobody shall park any more.
func (w *Waker) Draining() <-chan struct{} { return w.drain }

// Parked tells how many subscriptions there are.
func (w *Waker) Parked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, topic := range w.subscribers {
		n += len(topic)
	}
	return n
}

// Waiting tells how many subscribe to a topic.
func (w *Waker) Waiting(topic string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.subscribers[topic])
}

// committed hears of each transaction of the store.
func (w *Waker) committed(e store.Effects) {
	topics := make([]string, 0, len(e.Hosts)+len(e.Changes))
	for _, id := range e.Hosts {
		topics = append(topics, Host(id))
	}
	for _, c := range e.Changes {
		topics = append(topics, object(c.Topic, c.ID))
	}
	w.Publish(topics...)
	w.feed.add(e.Changes)
}

func (w *Waker) wake(topics []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, topic := range topics {
		for s := range w.subscribers[topic] {
			s.wake()
		}
	}
}

func (w *Waker) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, subscribers := range w.subscribers {
		for s := range subscribers {
			s.wake()
		}
	}
}

// wake is called with the Waker locked.
func (s *subscriber) wake() {
	if s.woken == nil {
		s.ring()
		return
	}
	select {
	case s.woken <- struct{}{}:
	default: // it has been woken and not yet read
	}
}
