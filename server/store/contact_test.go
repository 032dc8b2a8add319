package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestContactsOfManyHostsAreOneStatement(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		var hosts []fleet.HostID
		for i := range 300 {
			hosts = append(hosts, addHost(t, s, fmt.Sprintf("host-%03d", i)).ID)
		}
		for range 3 {
			for _, id := range hosts {
				s.TouchContact(id, 25*time.Second)
			}
		}
		before := s.Stats()
		if err := s.FlushContacts(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := s.Stats()
		// Who came back, the write, who is overdue.
		if n := after.Statements - before.Statements; n != 3 {
			t.Errorf("%d statements, want 3", n)
		}
		h := readHost(t, s, hosts[7])
		now := fleet.At(c.now())
		if h.LastContact != now || h.ContactDeadline != now.Add(70*time.Second) {
			t.Errorf("contact %v, deadline %v after it", h.LastContact.Time(), h.ContactDeadline.Time().Sub(c.now()))
		}
		before = s.Stats()
		if err := s.FlushContacts(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := s.Stats().Transactions - before.Transactions; n != 0 {
			t.Errorf("%d transactions where nobody was in touch, want none", n)
		}
	})
}

func TestAHostThatComesBackOrFallsSilentIsToldOnce(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web-1")
		told := 0
		s.OnCommit(func(e store.Effects) { told += len(e.Changes) })
		flush := func(want int, when string) {
			t.Helper()
			told = 0
			if err := s.FlushContacts(t.Context()); err != nil {
				t.Fatal(err)
			}
			if told != want {
				t.Errorf("%s: told %d times, want %d", when, told, want)
			}
		}
		flush(0, "before the first contact")
		s.TouchContact(h.ID, 25*time.Second)
		flush(1, "at the first contact")
		c.advance(25 * time.Second)
		s.TouchContact(h.ID, 25*time.Second)
		flush(0, "at the next contact")
		c.advance(70 * time.Second)
		flush(0, "at the deadline")
		c.advance(time.Second)
		flush(1, "after the deadline")
		c.advance(time.Minute)
		flush(0, "while it stays away")
		s.TouchContact(h.ID, 25*time.Second)
		flush(1, "when it comes back")
	})
}

func TestAnOlderContactOfAnotherReplicaTakesNothingBack(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		fast, slow := newClock(), newClock()
		fast.advance(10 * time.Second)
		a, b := storetest.Open(t, url, store.Options{Now: fast.now}), storetest.Open(t, url, store.Options{Now: slow.now})
		h := addHost(t, a, "web-1")
		a.TouchContact(h.ID, 25*time.Second)
		b.TouchContact(h.ID, 25*time.Second)
		if err := errors.Join(a.FlushContacts(t.Context()), b.FlushContacts(t.Context())); err != nil {
			t.Fatal(err)
		}
		if got := readHost(t, a, h.ID); got.LastContact != fleet.At(fast.now()) {
			t.Errorf("last contact %v, want the later one %v", got.LastContact.Time(), fast.now())
		}
	})
}

func TestContactsThatCannotBeWrittenAreKept(t *testing.T) {
	s, err := store.Open(t.Context(), storetest.SQLite(t), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.TouchContact("h1", time.Second)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a lost batch would make the second call succeed in writing nothing
		wantCode(t, s.FlushContacts(t.Context()), fleet.Unavailable)
	}
}
