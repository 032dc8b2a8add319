package store_test

import (
	"sync"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestAnIdempotencyKeyIsClaimedOnce(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		claim := func(key, fingerprint string) (r *store.Replay, err error) {
			err = s.Write(t.Context(), func(tx *store.Tx) (err error) {
				r, err = tx.ClaimIdempotency(t.Context(), key, fingerprint)
				return err
			})
			return r, err
		}
		if r, err := claim("k", "f"); r != nil || err != nil {
			t.Fatalf("first: %+v, %v", r, err)
		}
		_, err := claim("k", "f")
		wantCode(t, err, fleet.IdempotencyInFlight)
		_, err = claim("k", "other")
		wantCode(t, err, fleet.IdempotencyMismatch)
		write(t, s, func(tx *store.Tx) error {
			return tx.FinishIdempotency(t.Context(), "k", store.Replay{Status: 201, Body: "{}"})
		})
		if r, err := claim("k", "f"); err != nil || r == nil || r.Status != 201 || r.Body != "{}" {
			t.Errorf("repeat: %+v, %v", r, err)
		}
		write(t, s, func(tx *store.Tx) error { return tx.ReleaseIdempotency(t.Context(), "k") })
		if r, err := claim("k", "f"); err != nil || r == nil {
			t.Errorf("a finished key was released: %+v, %v", r, err)
		}
		c.advance(store.IdempotencyKept)
		if r, err := claim("k", "other"); r != nil || err != nil {
			t.Errorf("after a day: %+v, %v", r, err)
		}
		write(t, s, func(tx *store.Tx) error { return tx.ReleaseIdempotency(t.Context(), "k") })
		if r, err := claim("k", "f"); r != nil || err != nil {
			t.Errorf("after it was released: %+v, %v", r, err)
		}
	})
}

func TestAKeyWhoseRequestDiedIsFreeAfterItsLease(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		claim := func(key string) (r *store.Replay, err error) {
			err = s.Write(t.Context(), func(tx *store.Tx) (err error) {
				r, err = tx.ClaimIdempotency(t.Context(), key, "f")
				return err
			})
			return r, err
		}
		for _, key := range []string{"died", "answered"} {
			if r, err := claim(key); r != nil || err != nil {
				t.Fatalf("first: %+v, %v", r, err)
			}
		}
		write(t, s, func(tx *store.Tx) error {
			return tx.FinishIdempotency(t.Context(), "answered", store.Replay{Status: 201, Body: "{}"})
		})
		c.advance(store.IdempotencyLease - time.Second)
		_, err := claim("died")
		wantCode(t, err, fleet.IdempotencyInFlight)
		c.advance(time.Second)
		if r, err := claim("died"); r != nil || err != nil {
			t.Errorf("after the lease: %+v, %v; want to be the first again", r, err)
		}
		if r, err := claim("answered"); err != nil || r == nil {
			t.Errorf("the answer was forgotten with the lease: %+v, %v", r, err)
		}
	})
}

func TestAKeyClaimedAndFinishedWithItsChangeIsReplayedToEverybodyElse(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				writeBeside(t, s, func(tx *store.Tx) error {
					before, err := tx.ClaimIdempotency(t.Context(), "k", "f")
					if err != nil || before != nil {
						return err
					}
					h := &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: "host-" + fleet.NewID[string]()}
					if err := tx.CreateHost(t.Context(), h); err != nil {
						return err
					}
					return tx.FinishIdempotency(t.Context(), "k", store.Replay{Status: 201, Body: string(h.ID)})
				})
			})
		}
		all.Wait()
		if hosts, _, err := s.Hosts(t.Context(), store.HostFilter{}, store.Page{}); err != nil || len(hosts) != 1 {
			t.Errorf("%d hosts were made, %v; want one", len(hosts), err)
		}
	})
}
