package store_test

import (
	"testing"
	"time"

	"restic-manager/server/store"
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
