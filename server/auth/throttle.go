package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// How often somebody may be wrong within a window before they are refused for as
// long. An account is counted for itself too, since guesses may come from
// everywhere; but whoever signed in from an address before is not kept out by what
// others do elsewhere.
const (
	window           = 15 * time.Minute
	failuresAtOnce   = 10 // of an account at one address, and of an account from everywhere
	failuresInSum    = 30 // of an address with all accounts
	addressKnownFor  = 30 * 24 * time.Hour
	setupCodeGuesses = 10
	tokenGuesses     = 20 // of enrolment tokens, at one address
	failuresListed   = 50 // in the audit log, of all together
)

// RetryAfter is the key in fleet.Error.Extra for the seconds after which a refused
// caller may try again.
const RetryAfter = "retry_after_s"

// attempt is a try to prove something, with what it is counted under.
type attempt struct {
	limits map[string]int64 // key → failures allowed
	clear  []string         // keys that a success forgets
	known  string           // key that a success remembers
}

// signInAttempt is a try to be the account of that name. Only hashes of names are
// stored: people type passwords into the wrong field.
func (a *Auth) signInAttempt(ctx context.Context, name string) (attempt, error) {
	account, from := keyed("account", strings.ToLower(name)), network(VisitOf(ctx).Address)
	pair := keyed("pair", strings.ToLower(name), from)
	try := attempt{
		limits: map[string]int64{pair: failuresAtOnce, keyed("address", from): failuresInSum},
		clear:  []string{pair},
		known:  keyed("known", strings.ToLower(name), from),
	}
	until, err := a.store.BlockedUntil(ctx, try.known)
	if err != nil {
		return attempt{}, err
	}
	if until.IsZero() {
		try.limits[account] = failuresAtOnce
		try.clear = append(try.clear, account)
	}
	return try, nil
}

// setupAttempt is a try to know the set-up code.
func setupAttempt(from netip.Addr) attempt {
	return attempt{limits: map[string]int64{keyed("setup", network(from)): setupCodeGuesses}}
}

// Enrol lets an agent enrol, unless too many from its address came with a token that is
// no good: then TooManyRequests, whatever this one brings.
func (a *Auth) Enrol(ctx context.Context, enrol func() error) error {
	try := attempt{limits: map[string]int64{keyed("enrol", network(VisitOf(ctx).Address)): tokenGuesses}}
	if err := a.allowed(ctx, try); err != nil { //guard:enrol-throttle
		return err
	}
	err := enrol()
	if fleet.Is(err, fleet.EnrolmentTokenInvalid) || fleet.Is(err, fleet.EnrolmentTokenUsed) {
		if counted := a.failed(ctx, try); counted != nil {
			return counted
		}
	}
	return err
}

func keyed(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return parts[0] + ":" + hex.EncodeToString(sum[:16])
}

// allowed refuses a try whose keys were wrong too often: TooManyRequests with the
// seconds to wait.
func (a *Auth) allowed(ctx context.Context, try attempt) error {
	keys := make([]string, 0, len(try.limits))
	for key := range try.limits {
		keys = append(keys, key)
	}
	until, err := a.store.BlockedUntil(ctx, keys...)
	if err != nil {
		return err
	}
	if !until.IsZero() { //guard:throttle
		wait := int64(until.Time().Sub(a.store.Now())/time.Second) + 1
		refused := fleet.Errorf(fleet.TooManyRequests, "Too many wrong tries; try again in %d s.", wait)
		refused.Extra = map[string]int64{RetryAfter: wait}
		return refused
	}
	return nil
}

// failed counts a try that was wrong.
func (a *Auth) failed(ctx context.Context, try attempt) error {
	return a.store.Write(ctx, func(tx *store.Tx) error {
		for key, limit := range try.limits {
			n, err := tx.CountFailure(ctx, key, window)
			if err != nil {
				return err
			}
			if n >= limit {
				if err := tx.Block(ctx, key, window); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// list writes a wrong password to the audit log; of a flood, only the first ones. A name
// that is no account's is not written: people type passwords into the wrong field.
func (a *Auth) list(ctx context.Context, user *fleet.User) error {
	var n int64
	err := a.store.Write(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.CountFailure(ctx, "listed", window)
		return err
	})
	if err != nil || n > failuresListed { //guard:failures-listed
		return err
	}
	entry := Audit(ctx, "user.wrong-password")
	if user != nil {
		entry = auditOf(ctx, entry.Action, user)
	}
	if n == failuresListed {
		entry.Detail = "more of them are not listed for a while"
	}
	return a.store.Update(ctx, entry, func(*store.Tx) error { return nil })
}

// succeeded forgets the failures before a try that was right, and remembers where
// it came from. The address's own count stays: whoever has an account could clear
// it at will.
func (try attempt) succeeded(ctx context.Context, tx *store.Tx) error {
	for _, key := range try.clear {
		if err := tx.ClearFailures(ctx, key); err != nil {
			return err
		}
	}
	if try.known == "" {
		return nil
	}
	if _, err := tx.CountFailure(ctx, try.known, addressKnownFor); err != nil {
		return err
	}
	return tx.Block(ctx, try.known, addressKnownFor)
}
