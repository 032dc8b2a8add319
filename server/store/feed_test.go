package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func changed(topic fleet.Topic, ids ...string) []fleet.Change {
	var list []fleet.Change
	for _, id := range ids {
		list = append(list, fleet.Change{Topic: topic, ID: id})
	}
	return list
}

func TestTheFeedTellsWhatCameAfterACursorOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		flush := func(c []fleet.Change) {
			t.Helper()
			if err := s.FlushFeed(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		read := func(since int64, topics ...fleet.Topic) store.Feed {
			t.Helper()
			f, err := s.Feed(t.Context(), since, topics...)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		if f := read(0); f.Cursor != 0 || f.Reset || len(f.Changes) != 0 {
			t.Errorf("an empty feed says %+v", f)
		}
		flush(nil)
		flush(changed(fleet.TopicHosts, "a", "b"))
		flush(changed(fleet.TopicJobs, "j"))
		flush(changed(fleet.TopicHosts, "a"))
		want := append(changed(fleet.TopicHosts, "a", "b"), changed(fleet.TopicJobs, "j")...)
		if f := read(0); f.Cursor != 3 || f.Reset || !cmp.Equal(f.Changes, want) {
			t.Errorf("from the start: %+v", f)
		}
		if f := read(1, fleet.TopicHosts); f.Cursor != 3 || !cmp.Equal(f.Changes, changed(fleet.TopicHosts, "a")) {
			t.Errorf("hosts after 1: %+v", f)
		}
		if f := read(1, fleet.TopicUsers); f.Cursor != 3 || len(f.Changes) != 0 || f.Reset {
			t.Errorf("users after 1: %+v; want the cursor moved on", f)
		}
		before := s.Stats().Statements
		if f := read(3); f.Cursor != 3 || len(f.Changes) != 0 || f.Reset {
			t.Errorf("after the last: %+v", f)
		}
		if n := s.Stats().Statements - before; n != 1 {
			t.Errorf("looking where nothing changed took %d statements, want 1", n)
		}
	})
}

func TestACursorThatCannotBeFollowedIsReset(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		flush := func(ids ...string) {
			t.Helper()
			if err := s.FlushFeed(t.Context(), changed(fleet.TopicHosts, ids...)); err != nil {
				t.Fatal(err)
			}
		}
		wantReset := func(why string, since, cursor int64) {
			t.Helper()
			f, err := s.Feed(t.Context(), since)
			if err != nil || !f.Reset || f.Cursor != cursor || len(f.Changes) != 0 {
				t.Errorf("%s: %+v, %v; want a reset to %d", why, f, err, cursor)
			}
		}
		flush("a")
		wantReset("from the future", 9, 1)
		c.advance(store.FeedKept + time.Minute)
		flush("b")
		if err := s.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantReset("trimmed away", 0, 2)
		if f, err := s.Feed(t.Context(), 1); err != nil || f.Reset || len(f.Changes) != 1 {
			t.Errorf("the oldest that is kept: %+v, %v", f, err)
		}
		c.advance(store.FeedKept + time.Minute)
		if err := s.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantReset("everything trimmed", 1, 2)
		if f, err := s.Feed(t.Context(), 2); err != nil || f.Reset {
			t.Errorf("a reader that is up to date was reset: %+v, %v", f, err)
		}
		if err := s.ResetFeed(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantReset("changes were lost", 2, 3)
		var many []string
		for i := range 2000 {
			many = append(many, fmt.Sprint(i))
		}
		flush(many...)
		wantReset("more than an answer holds", 3, 4)
	})
}

func TestAReaderSkipsNoChangeWhileManyWrite(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		const writers, each = 8, 15
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range each {
					if err := s.FlushFeed(t.Context(), changed(fleet.TopicHosts, fmt.Sprintf("%d-%d", w, i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { all.Wait(); close(done) }()
		seen := map[string]int{}
		var cursor int64
		for last := false; ; {
			f, err := s.Feed(t.Context(), cursor)
			if err != nil || f.Reset {
				t.Fatalf("%+v, %v", f, err)
			}
			cursor = f.Cursor
			for _, c := range f.Changes {
				seen[c.ID]++
			}
			if last {
				break
			}
			select {
			case <-done:
				last = true
			default:
			}
		}
		if len(seen) != writers*each || cursor != writers*each {
			t.Errorf("saw %d changes up to %d, want %d", len(seen), cursor, writers*each)
		}
	})
}
