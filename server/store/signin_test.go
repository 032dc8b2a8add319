package store_test

import (
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/google/go-cmp/cmp"

	"restic-manager/server/store"
)

var _ scs.CtxStore = store.SignIns{}

func TestASignInIsKeptUntilItEnds(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		ctx, in := t.Context(), s.SignIns()
		data := []byte{0, 0xff, 'x', 0x80}
		if err := in.CommitCtx(ctx, "token", []byte("before"), c.now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if err := in.CommitCtx(ctx, "token", data, c.now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got, found, err := in.FindCtx(ctx, "token"); err != nil || !found || !cmp.Equal(got, data) {
			t.Errorf("%v, %v, %v", got, found, err)
		}
		var plain int
		if err := s.Scalar(ctx, &plain, `SELECT count(*) FROM sign_ins WHERE token_hash LIKE '%token%' OR data LIKE '%token%'`); err != nil || plain != 0 {
			t.Errorf("the token is in the database: %d, %v", plain, err)
		}
		if _, found, err := in.FindCtx(ctx, "another"); err != nil || found {
			t.Errorf("an unknown token was found: %v", err)
		}
		c.advance(time.Hour)
		if _, found, err := in.FindCtx(ctx, "token"); err != nil || found {
			t.Errorf("an expired sign-in was found: %v", err)
		}
		for range 2 {
			if err := in.DeleteCtx(ctx, "token"); err != nil {
				t.Error(err)
			}
		}
	})
}
