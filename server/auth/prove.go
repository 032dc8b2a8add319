package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// SignIn proves who somebody is by name and password, and gives the cookie of the
// new sign-in. InvalidCredentials for a wrong name, a wrong password and a disabled
// account alike, after the same work; TooManyRequests when the throttle refuses;
// Unavailable when too many prove themselves at once.
func (a *Auth) SignIn(ctx context.Context, name, password string) (*fleet.User, *http.Cookie, error) {
	user, err := a.store.UserByName(ctx, name)
	if fleet.Is(err, fleet.NotFound) {
		user, err = nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	try, err := a.signInAttempt(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	stale, err := a.prove(ctx, try, user, password)
	if err != nil {
		return nil, nil, err
	}
	if stale {
		if err := a.rehash(ctx, user, password); err != nil {
			return nil, nil, err
		}
	}
	cookie, err := a.enter(ctx, user, "user.sign-in", try)
	return user, cookie, err
}

// enter begins a sign-in and writes down that it happened.
func (a *Auth) enter(ctx context.Context, user *fleet.User, action string, try attempt) (*http.Cookie, error) {
	VisitOf(ctx).Actor = user.Name
	err := a.store.Update(ctx, auditOf(ctx, action, user), func(tx *store.Tx) error {
		if err := try.succeeded(ctx, tx); err != nil {
			return err
		}
		return tx.SignedIn(ctx, user.ID)
	})
	if err != nil {
		return nil, fmt.Errorf("note a sign-in: %w", err)
	}
	return a.begin(ctx, user)
}

// prove compares a password with an account's, under the throttle. It is looked at
// again when it is this try's turn, so that a flood of tries at once gets no more
// of them through than one after the other. An account that is nil or disabled
// takes the same work and is never right.
func (a *Auth) prove(ctx context.Context, try attempt, user *fleet.User, password string) (stale bool, err error) {
	if err := a.allowed(ctx, try); err != nil {
		return false, err
	}
	free, err := a.hasher.enter(ctx)
	if err != nil {
		return false, err
	}
	defer free()
	if err := a.allowed(ctx, try); err != nil { //guard:throttle-flood
		return false, err
	}
	hash := ""
	if user != nil && !user.Disabled {
		hash = user.PasswordHash
	}
	match, stale, err := a.hasher.compare(password, hash)
	if err != nil {
		return false, err
	}
	if !match {
		if err := errors.Join(a.failed(ctx, try), a.list(ctx, user)); err != nil {
			return false, err
		}
		return false, fleet.Errorf(fleet.InvalidCredentials, "Name and password do not belong together.")
	}
	return stale, nil
}

// rehash replaces a hash of another cost by one of today's.
func (a *Auth) rehash(ctx context.Context, user *fleet.User, password string) error {
	hash, err := a.hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	return a.store.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.User(ctx, user.ID)
		if err != nil || fresh.PasswordHash != user.PasswordHash {
			return err // somebody changed the password meanwhile
		}
		fresh.PasswordHash = hash
		return tx.UpdateUser(ctx, fresh, false)
	})
}

// Reprove asks the person of a request for their own password again. ReauthRequired
// for none and for a wrong one; TooManyRequests when the throttle refuses.
func (a *Auth) Reprove(ctx context.Context, password string) error {
	again := fleet.Errorf(fleet.ReauthRequired, "Give your own password again to do this.").At("/own_password")
	if password == "" {
		return again
	}
	user := Person(ctx)
	try, err := a.signInAttempt(ctx, user.Name)
	if err != nil {
		return err
	}
	_, err = a.prove(ctx, try, user, password)
	if fleet.Is(err, fleet.InvalidCredentials) {
		return again
	}
	return err
}
