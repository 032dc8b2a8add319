package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestWhatIsPastItsTimeIsForgotten(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web-1")
		fill := func(mark string) {
			t.Helper()
			if err := s.SignIns().CommitCtx(t.Context(), mark, []byte("x"), c.now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			write(t, s, func(tx *store.Tx) error {
				if _, err := tx.CountFailure(t.Context(), mark, time.Minute); err != nil {
					return err
				}
				if _, err := tx.ClaimIdempotency(t.Context(), mark, mark); err != nil {
					return err
				}
				for range 2 {
					if _, err := tx.OpenSession(t.Context(), h.ID, mark, mark); err != nil {
						return err
					}
				}
				return nil
			})
		}
		fill("old")
		c.advance(31 * 24 * time.Hour)
		fill("new")
		for range 2 {
			if err := s.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for table, want := range map[string]int{"sign_ins": 1, "throttles": 1, "idempotency": 1, "sessions": 2} {
			var n int
			if err := s.Scalar(t.Context(), &n, `SELECT count(*) FROM `+table); err != nil || n != want {
				t.Errorf("%s: %d rows are kept, %v; want %d", table, n, err, want)
			}
		}
	})
}

func TestRunKeepsTheClockAndLeavesInOrder(t *testing.T) {
	path := storetest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), path, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		h := addHost(t, s, "web-1")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); s.Run(ctx) }()

		s.TouchContact(h.ID, time.Minute)
		<-time.After(1500 * time.Millisecond)
		first := readHost(t, s, h.ID).LastContact
		if first.IsZero() {
			t.Error("a contact was not written within a second")
		}
		<-time.After(10 * time.Minute)
		if !s.QuietUntil().IsZero() {
			t.Error("beating in time was taken for an outage")
		}
		s.TouchContact(h.ID, time.Minute)
		stop()
		<-ended
		if readHost(t, s, h.ID).LastContact == first {
			t.Error("the last contact was not written at the end")
		}
		var ids []string
		err = s.View(t.Context(), func(q store.Queries) error {
			var id string
			err := q.Scalar(t.Context(), &id, `SELECT MAX(id) FROM replicas`)
			ids = append(ids, id)
			return err
		})
		if err != nil || ids[0] != "left" {
			t.Errorf("replicas %q are left, %v; want the mark of one that left in order", ids, err)
		}
	})
}

func TestMetaIsSwappedFromWhatItWas(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		write(t, s, func(tx *store.Tx) error {
			for i, step := range []struct {
				do   func() (bool, error)
				want bool
			}{
				{func() (bool, error) { return tx.SwapMeta(ctx, "k", "", "a") }, false},
				{func() (bool, error) { return tx.AddMeta(ctx, "k", "a") }, true},
				{func() (bool, error) { return tx.AddMeta(ctx, "k", "b") }, false},
				{func() (bool, error) { return tx.SwapMeta(ctx, "k", "b", "c") }, false},
				{func() (bool, error) { return tx.SwapMeta(ctx, "k", "a", "c") }, true},
			} {
				if got, err := step.do(); err != nil || got != step.want {
					t.Errorf("step %d: %v, %v", i, got, err)
				}
			}
			return nil
		})
		if v, err := s.Meta(ctx, "k"); err != nil || v != "c" {
			t.Errorf("%q, %v", v, err)
		}
		before, err := s.Epoch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		write(t, s, func(tx *store.Tx) error {
			return errors.Join(tx.DeleteMeta(ctx, "k"), tx.DeleteMeta(ctx, "k"), tx.RenewEpoch(ctx))
		})
		_, err = s.Meta(ctx, "k")
		wantCode(t, err, fleet.NotFound)
		if after, err := s.Epoch(ctx); err != nil || after == before {
			t.Errorf("the epoch is still %q, %v", after, err)
		}
	})
}
