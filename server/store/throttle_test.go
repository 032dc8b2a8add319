package store_test

import (
	"sync"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func TestFailuresAreCountedAcrossReplicasAndForgotten(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				writeBeside(t, s, func(tx *store.Tx) error {
					_, err := tx.CountFailure(t.Context(), "user/ada", time.Minute)
					return err
				})
			})
		}
		all.Wait()
		count := func() (n int64) {
			write(t, s, func(tx *store.Tx) (err error) {
				n, err = tx.CountFailure(t.Context(), "user/ada", time.Minute)
				return err
			})
			return n
		}
		if n := count(); n != 21 {
			t.Errorf("counted %d failures, want 21", n)
		}
		write(t, s, func(tx *store.Tx) error { return tx.Block(t.Context(), "user/ada", time.Hour) })
		write(t, s, func(tx *store.Tx) error { return tx.Block(t.Context(), "user/ada", time.Second) })
		blocked := func() fleet.Time {
			until, err := s.BlockedUntil(t.Context(), "address/::1", "user/ada")
			if err != nil {
				t.Fatal(err)
			}
			return until
		}
		if want := fleet.At(c.now().Add(time.Hour)); blocked() != want {
			t.Errorf("blocked until %v, want %v: a block is never shortened", blocked().Time(), want.Time())
		}
		c.advance(time.Hour)
		if blocked() != 0 {
			t.Error("still blocked after its time")
		}
		if n := count(); n != 1 {
			t.Errorf("counted %d failures after the window, want 1", n)
		}
		write(t, s, func(tx *store.Tx) error { return tx.ClearFailures(t.Context(), "user/ada") })
		if n := count(); n != 1 {
			t.Errorf("counted %d failures after they were cleared, want 1", n)
		}
	})
}
