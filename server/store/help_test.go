package store_test

import (
	"sync/atomic"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

// clock is a time that a test moves.
type clock struct{ micros atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.micros.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

func (c *clock) now() time.Time           { return time.UnixMicro(c.micros.Load()) }
func (c *clock) advance(by time.Duration) { c.micros.Add(by.Microseconds()) }

// eachAt is storetest.Each with a clock that stands still until it is moved.
func eachAt(t *testing.T, test func(t *testing.T, s *store.Store, c *clock)) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, url string) {
		c := newClock()
		test(t, storetest.Open(t, url, store.Options{Now: c.now}), c)
	})
}

// write runs a transaction that must go through.
func write(t *testing.T, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// writeBeside is write for goroutines beside the test's own, which may not end it.
func writeBeside(t *testing.T, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), fn); err != nil {
		t.Error(err)
	}
}

func addHost(t *testing.T, s *store.Store, name string) *fleet.Host {
	t.Helper()
	h := &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: name, Profile: fleet.Guarded}
	write(t, s, func(tx *store.Tx) error { return tx.CreateHost(t.Context(), h) })
	return h
}

func addRepository(t *testing.T, s *store.Store, name string) *fleet.Repository {
	t.Helper()
	r := &fleet.Repository{ID: fleet.NewID[fleet.RepositoryID](), Name: name, Location: "rest:https://nas.test/" + name}
	write(t, s, func(tx *store.Tx) error { return tx.CreateRepository(t.Context(), r) })
	return r
}

func addSchedule(t *testing.T, s *store.Store, h *fleet.Host, r *fleet.Repository, name string) *fleet.Schedule {
	t.Helper()
	sch := &fleet.Schedule{ID: fleet.NewID[fleet.ScheduleID](), HostID: h.ID, RepositoryID: r.ID, Name: name,
		Paths: fleet.NewList([]string{"/etc"}), Manual: true, Enabled: true}
	write(t, s, func(tx *store.Tx) error { return tx.CreateSchedule(t.Context(), sch) })
	return sch
}

func readHost(t *testing.T, s *store.Store, id fleet.HostID) *fleet.Host {
	t.Helper()
	h, err := s.Host(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// wantCode tells when an error has another code.
func wantCode(t *testing.T, err error, want fleet.Code) {
	t.Helper()
	if !fleet.Is(err, want) {
		t.Errorf("got error %v, want code %s", err, want)
	}
}
