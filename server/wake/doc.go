// Package wake ends the waiting of parked requests when something for them has
// happened, in this process or, with PostgreSQL, in another replica.
//
// A wake-up is a hint. Whoever waits subscribes first, reads the database, parks
// only if there is nothing, and reads again when woken:
//
//	woken, cancel := waker.Subscribe(wake.Host(id))
//	defer cancel()
//	for {
//		if found := read(); found { return }
//		select {
//		case <-woken:
//		case <-waker.Draining():
//		case <-deadline:
//		case <-ctx.Done():
//		}
//	}
//
// In its own process a topic is told at the commit. Other replicas are told by a
// flusher that gathers topics for 25 ms and sends one notification, outside of the
// transactions that changed something. What gets lost on that way is found by one
// shared poll per replica, which is all there is where notifications do not arrive.
//
// Vocabulary: a topic is what somebody waits for, "host/<id>", "jobs/<id>" or
// "changes"; the feed is what browsers wait for, numbered by FlushFeed.
//
// It may import store and fleet.
package wake
