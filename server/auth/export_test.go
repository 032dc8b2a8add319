package auth

import (
	"context"
	"time"

	"github.com/alexedwards/scs/v2"
)

// Refuse has each writing of a sign-in fail from now on, as a disk does.
func (a *Auth) Refuse(with error) { a.signIns.Store = refusing{a.signIns.Store, with} }

type refusing struct {
	scs.Store
	err error
}

func (r refusing) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return r.Store.(scs.CtxStore).FindCtx(ctx, token)
}

func (r refusing) CommitCtx(context.Context, string, []byte, time.Time) error { return r.err }

func (r refusing) DeleteCtx(context.Context, string) error { return r.err }
