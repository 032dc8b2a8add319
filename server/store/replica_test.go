package store_test

import (
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestNobodyIsCalledSilentAfterAllOfUsWereAway(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		c := newClock()
		open := func() *store.Store { return storetest.Open(t, url, store.Options{Now: c.now}) }
		if s := open(); !s.QuietUntil().IsZero() {
			t.Error("quiet on a new database")
		}
		c.advance(10 * time.Second)
		if s := open(); !s.QuietUntil().IsZero() {
			t.Error("quiet after a short restart")
		}
		c.advance(16 * time.Second)
		s := open()
		if want := c.now().Add(5 * time.Minute); !s.QuietUntil().Equal(want) {
			t.Errorf("quiet until %v after an outage, want %v", s.QuietUntil(), want)
		}
	})
}

func TestAReplicaThatDiedResetsTheFeedOnce(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		c := newClock()
		dead := storetest.Open(t, url, store.Options{Now: c.now})
		alive := storetest.Open(t, url, store.Options{Now: c.now})
		if err := dead.FlushFeed(t.Context(), changed(fleet.TopicHosts, "a")); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			c.advance(5 * time.Second)
			if err := alive.Beat(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if f, err := alive.Feed(t.Context(), 1); err != nil || f.Reset {
			t.Fatalf("reset too early: %+v, %v", f, err)
		}
		c.advance(5 * time.Second)
		for range 2 {
			if err := alive.Beat(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if f, err := alive.Feed(t.Context(), 1); err != nil || !f.Reset || f.Cursor != 2 {
			t.Errorf("after a replica died: %+v, %v; want one reset", f, err)
		}
	})
}

func TestAJumpOfTheClockKeepsEverybodyQuiet(t *testing.T) {
	c := newClock()
	s := storetest.Open(t, storetest.SQLite(t), store.Options{Now: c.now})
	c.advance(20 * time.Second)
	if err := s.Beat(t.Context()); err != nil || !s.QuietUntil().IsZero() {
		t.Fatalf("quiet until %v after a small step, %v", s.QuietUntil(), err)
	}
	c.advance(-time.Minute)
	if err := s.Beat(t.Context()); err != nil || s.QuietUntil().IsZero() {
		t.Errorf("not quiet after the clock jumped back, %v", err)
	}
}

func TestThePostgresClockIsTheDatabases(t *testing.T) {
	s := storetest.Open(t, storetest.PostgreSQL(t), store.Options{})
	var micros int64
	if err := s.Scalar(t.Context(), &micros, `SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`); err != nil {
		t.Fatal(err)
	}
	if d := s.Now().Sub(time.UnixMicro(micros)).Abs(); d > 5*time.Second {
		t.Errorf("the clocks differ by %v", d)
	}
}
