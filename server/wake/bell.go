package wake

// Bell is a subscription that nobody waits at: who is parked by the thousand leaves
// word whom to call. It rings as soon as its topic is published after Waker.Bell;
// several times before somebody hears it are one. It is safe for concurrent use.
type Bell struct {
	w      *Waker
	topics []string
	s      *subscriber
}

// Bell subscribes to a topic. Close it.
func (w *Waker) Bell(topic string) *Bell {
	b := &Bell{w, []string{topic}, &subscriber{}}
	w.subscribe(b.s, b.topics)
	return b
}

// Call has f called once, in a goroutine of its own, when the bell rings next; at
// once if it has rung and nobody was called. Another f takes the place of one that
// was not called yet.
func (b *Bell) Call(f func()) {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	b.s.call = f
	if b.s.rung {
		b.s.ring()
	}
}

// Close ends the subscription; f may be under way. It may be called more than once.
func (b *Bell) Close() {
	b.w.unsubscribe(b.s, b.topics)
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	b.s.call = nil
}

// ring is called with the Waker locked.
func (s *subscriber) ring() {
	s.rung = s.call == nil
	if s.call != nil {
		go s.call()
		s.call = nil
	}
}
