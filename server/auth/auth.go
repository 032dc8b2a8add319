package auth

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/alexedwards/scs/v2"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Options is what an Auth works with.
type Options struct {
	Store  *store.Store
	Hasher *Hasher
	Log    *slog.Logger
	Secure bool // the browser reaches the server by HTTPS

	SetupFile string // where the set-up code is written for whoever may read there
}

// Auth lets requests through or refuses them. It keeps no state of its own:
// sign-ins, the throttle and set-up are in the database, so any replica may serve
// any request. It is safe for concurrent use.
type Auth struct {
	store   *store.Store
	hasher  *Hasher
	log     *slog.Logger
	signIns *scs.SessionManager

	setupFile string
	proofs    proofs
}

// New makes an Auth.
func New(o Options) *Auth {
	return &Auth{
		store: o.Store, hasher: o.Hasher, log: o.Log, signIns: newSignIns(o.Store, o.Secure), setupFile: o.SetupFile,
	}
}

// Admit applies a rule to a request, before anything of its body is read. The
// context it gives back holds the person or the agent, and must become the
// request's. It fails with SignInRequired, SignInEnded, RoleMissing, and for agents
// with CredentialUnknown, AgentDisabled and AgentDeleted.
func (a *Auth) Admit(r *http.Request, rule Rule) (context.Context, error) {
	switch rule {
	case Token:
		return r.Context(), nil
	case Agent:
		return a.admitAgent(r)
	case Public:
		ctx, user, err := a.load(r)
		if fleet.Is(err, fleet.SignInRequired) || fleet.Is(err, fleet.SignInEnded) {
			return ctx, nil
		}
		return withPerson(ctx, user), err
	}
	return a.admitPerson(r, rule.Role())
}

func (a *Auth) admitPerson(r *http.Request, need fleet.Role) (context.Context, error) {
	ctx, user, err := a.load(r)
	if err != nil {
		return nil, err
	}
	ctx = withPerson(ctx, user)
	if !user.Role.Allows(need) { //guard:people-role
		return nil, fleet.Errorf(fleet.RoleMissing, "This needs the role %s; yours is %s. Ask an admin.", need, user.Role)
	}
	return ctx, nil
}

type personKey struct{}

func withPerson(ctx context.Context, user *fleet.User) context.Context {
	if user != nil {
		VisitOf(ctx).Actor = user.Name
	}
	return context.WithValue(ctx, personKey{}, user)
}

// Person gives the account behind a request; nil on a public route that nobody
// signed in for.
func Person(ctx context.Context) *fleet.User {
	user, _ := ctx.Value(personKey{}).(*fleet.User)
	return user
}

// Audit begins the entry of a change that the request's person makes.
func Audit(ctx context.Context, action string) fleet.Audit {
	v := VisitOf(ctx)
	return fleet.Audit{Actor: v.Actor, Address: v.Address.String(), RequestID: v.ID, Action: action}
}
