package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/alexedwards/scs/v2"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// A sign-in ends after so long without use, and after so long in any case.
const (
	idleTimeout = 8 * time.Hour
	lifetime    = 24 * time.Hour
)

// touched is how old the last note of use may get. Each note is a write, so not
// every request makes one.
const touched = time.Minute

// What a sign-in holds.
const (
	keyUser       = "user"
	keyGeneration = "generation"
	keyUsed       = "used"
)

// newSignIns does without scs.New, which starts a store of its own that nothing
// ends.
func newSignIns(s *store.Store, secure bool) *scs.SessionManager {
	name := "rm"
	if secure {
		name = "__Host-rm"
	}
	return &scs.SessionManager{
		Store: s.SignIns(), Codec: textCodec{}, Lifetime: lifetime,
		HashTokenInStore: true,        //guard:sign-in-hash
		IdleTimeout:      idleTimeout, //guard:sign-in-idle
		Cookie: scs.SessionCookie{
			Name: name, Path: "/",
			Secure:   secure,               //guard:cookie-secure
			HttpOnly: true,                 //guard:cookie-script
			SameSite: http.SameSiteLaxMode, //guard:cookie-site
			Persist:  false,                // ends with the browser; the server ends it sooner
		},
	}
}

// textCodec keeps sign-ins as JSON, since the column is text.
type textCodec struct{}

type signInDoc struct {
	Deadline time.Time         `json:"deadline"`
	Values   map[string]string `json:"values"`
}

func (textCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	doc := signInDoc{Deadline: deadline, Values: map[string]string{}}
	for k, v := range values {
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("sign-in value %s is no text", k)
		}
		doc.Values[k] = s
	}
	return json.Marshal(doc)
}

func (textCodec) Decode(data []byte) (time.Time, map[string]any, error) {
	var doc signInDoc
	if err := json.Unmarshal(data, &doc); err != nil {
		return time.Time{}, nil, fmt.Errorf("read a sign-in: %w", err)
	}
	values := make(map[string]any, len(doc.Values))
	for k, v := range doc.Values {
		values[k] = v
	}
	return doc.Deadline, values, nil
}

// load finds the sign-in of a request's cookie and the account behind it. The
// context can be used whatever the error is: SignInRequired without a cookie,
// SignInEnded with one that is no good any more.
func (a *Auth) load(r *http.Request) (context.Context, *fleet.User, error) {
	token := ""
	if cookie, err := r.Cookie(a.signIns.Cookie.Name); err == nil {
		token = cookie.Value
	}
	ctx, err := a.signIns.Load(r.Context(), token)
	if err != nil {
		return r.Context(), nil, fmt.Errorf("load a sign-in: %w", err)
	}
	if token == "" {
		return ctx, nil, fleet.Errorf(fleet.SignInRequired, "Sign in first.")
	}
	user, err := a.holder(ctx)
	if err != nil {
		return ctx, nil, err
	}
	return ctx, user, a.touch(ctx, r)
}

// holder gives the account whose sign-in a context holds, if it is still good.
func (a *Auth) holder(ctx context.Context) (*fleet.User, error) {
	ended := fleet.Errorf(fleet.SignInEnded, "Your sign-in has ended; sign in again.")
	id := fleet.UserID(a.signIns.GetString(ctx, keyUser))
	if id == "" {
		return nil, ended
	}
	user, err := a.store.User(ctx, id)
	switch {
	case fleet.Is(err, fleet.NotFound):
		return nil, ended
	case err != nil:
		return nil, err
	case user.Disabled, a.signIns.GetString(ctx, keyGeneration) != generation(user): //guard:sign-in-ended
		return nil, ended
	}
	return user, nil
}

func generation(u *fleet.User) string { return strconv.FormatInt(u.Generation, 10) }

// StillGood looks again whether the sign-in behind a request is good: for a request
// that was parked, before it is answered.
func (a *Auth) StillGood(ctx context.Context) error {
	_, err := a.holder(ctx)
	return err
}

// touch notes that a sign-in is in use. What a page fetches by itself is no use: a
// forgotten tab must not stay signed in. Where the disk is full it is not noted, so that
// pages can be read which say so.
func (a *Auth) touch(ctx context.Context, r *http.Request) error {
	mode := r.Header.Get("Sec-Fetch-Mode")
	if r.Method == http.MethodGet && mode != "" && mode != "navigate" {
		return nil
	}
	now := a.store.Now()
	if used, err := time.Parse(time.RFC3339, a.signIns.GetString(ctx, keyUsed)); err == nil && now.Sub(used) < touched {
		return nil
	}
	a.signIns.Put(ctx, keyUsed, now.Format(time.RFC3339))
	if _, _, err := a.signIns.Commit(ctx); err != nil && !fleet.Is(err, fleet.ServerDiskFull) {
		return fmt.Errorf("note the use of a sign-in: %w", err)
	}
	return nil
}

// begin makes a new sign-in for an account and its cookie. One that the browser had
// before is ended, so that nobody can prepare a token for somebody else.
func (a *Auth) begin(ctx context.Context, user *fleet.User) (*http.Cookie, error) {
	ctx, err := a.signIns.Load(ctx, "") // there is one already when Admit has run
	if err != nil {
		return nil, fmt.Errorf("begin a sign-in: %w", err)
	}
	if err := a.signIns.RenewToken(ctx); err != nil {
		return nil, fmt.Errorf("begin a sign-in: %w", err)
	}
	a.signIns.Put(ctx, keyUser, string(user.ID))
	a.signIns.Put(ctx, keyGeneration, generation(user))
	a.signIns.Put(ctx, keyUsed, a.store.Now().Format(time.RFC3339))
	token, _, err := a.signIns.Commit(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin a sign-in: %w", err)
	}
	return a.cookie(token), nil
}

// keep lets the sign-in of this request outlive a change that ended the others.
func (a *Auth) keep(ctx context.Context, user *fleet.User) error {
	a.signIns.Put(ctx, keyGeneration, generation(user))
	if _, _, err := a.signIns.Commit(ctx); err != nil {
		return fmt.Errorf("keep a sign-in: %w", err)
	}
	return nil
}

func (a *Auth) cookie(token string) *http.Cookie {
	c := a.signIns.Cookie
	return &http.Cookie{
		Name: c.Name, Value: token, Path: c.Path,
		Secure: c.Secure, HttpOnly: c.HttpOnly, SameSite: c.SameSite,
	}
}

// SignOut ends the sign-in of the request and gives the cookie that clears the
// browser's.
func (a *Auth) SignOut(ctx context.Context) (*http.Cookie, error) {
	if err := a.signIns.Destroy(ctx); err != nil {
		return nil, fmt.Errorf("end a sign-in: %w", err)
	}
	c := a.cookie("")
	c.MaxAge = -1
	return c, nil
}
