package store_test

import (
	"fmt"
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func TestEventsAreReadAfterANumberInOrder(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		j := addJob(t, s, newJob(addHost(t, s, "web-1"), fleet.At(c.now())))
		var events []fleet.Event
		for i := range int64(450) {
			kind := "note"
			if i%100 == 0 {
				kind = "running"
			}
			events = append(events, fleet.Event{JobID: j.ID, Seq: i + 1, Kind: kind, Body: fleet.Doc(fmt.Sprintf(`{"n":%d}`, i+1)), ReceivedAt: 5})
		}
		write(t, s, func(tx *store.Tx) error { return tx.AppendEvents(t.Context(), events) })
		got, err := s.Events(t.Context(), j.ID, 440, 5)
		if err != nil || len(got) != 5 || got[0] != events[440] || got[4].Seq != 445 {
			t.Errorf("got %+v, %v", got, err)
		}
		if list, err := s.EventsOf(t.Context(), j.ID, "running"); err != nil || len(list) != 5 || list[1].Seq != 101 {
			t.Errorf("got %d of a kind, %v", len(list), err)
		}
		if last, err := s.LastEventOf(t.Context(), j.ID, "running", "stopping"); err != nil || last.Seq != 401 {
			t.Errorf("got %+v, %v; want 401", last, err)
		}
		_, err = s.LastEventOf(t.Context(), j.ID, "stopping")
		wantCode(t, err, fleet.NotFound)
		_, err = s.Event(t.Context(), j.ID, 451)
		wantCode(t, err, fleet.NotFound)
		if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.AppendEvents(t.Context(), events[:1]) }); err == nil {
			t.Error("a number was taken twice")
		}
	})
}

func TestInterestIsKeptUntilItsMoment(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web-1")
		a, b := addJob(t, s, newJob(h, fleet.At(c.now()))), addJob(t, s, newJob(h, fleet.At(c.now())))
		write(t, s, func(tx *store.Tx) error {
			if err := tx.SetInterest(t.Context(), a.ID, 10); err != nil {
				return err
			}
			return tx.SetInterest(t.Context(), a.ID, 100)
		})
		if until, err := s.Interest(t.Context(), a.ID); err != nil || until != 100 {
			t.Errorf("got %d, %v", until, err)
		}
		if until, err := s.Interest(t.Context(), b.ID); err != nil || until != 0 {
			t.Errorf("got %d, %v", until, err)
		}
		for now, want := range map[fleet.Time]bool{99: true, 100: false} {
			if watched, err := s.Watched(t.Context(), []fleet.JobID{a.ID, b.ID}, now); err != nil || watched[a.ID] != want || watched[b.ID] {
				t.Errorf("at %d got %v, %v", now, watched, err)
			}
		}
		write(t, s, func(tx *store.Tx) error { return tx.DropInterest(t.Context(), 101) })
		if until, err := s.Interest(t.Context(), a.ID); err != nil || until != 0 {
			t.Errorf("got %d, %v; want it forgotten", until, err)
		}
	})
}
