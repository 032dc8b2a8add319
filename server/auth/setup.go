package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// metaSetupCode is the key under which the hash of the set-up code is kept, so that
// any replica knows it.
const metaSetupCode = "setup_code_hash"

// OpenSetup makes the one-time code of the first account, as long as there never
// was one, and gives it back for the log; it is also written to the set-up file. A
// code that an earlier start has left in the file is kept. Empty when the set-up is
// done: it never opens again.
func (a *Auth) OpenSetup(ctx context.Context) (code string, err error) {
	done, err := a.store.SetUp(ctx)
	if err != nil {
		return "", err
	}
	if done {
		return "", a.removeSetupFile()
	}
	left, err := os.ReadFile(a.setupFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the set-up code: %w", err)
	}
	code = strings.TrimSpace(string(left))
	if hash, err := a.store.Meta(ctx, metaSetupCode); err == nil && code != "" && hash == HashSecret(code) {
		return code, nil
	}
	code = rand.Text() // 26 letters and digits, 130 bits
	if err := a.writeSetupFile(code); err != nil {
		return "", err
	}
	err = a.store.Write(ctx, func(tx *store.Tx) error { return tx.SetMeta(ctx, metaSetupCode, HashSecret(code)) })
	return code, err
}

// SetupOpen fails with SetupDone once the first account was made.
func (a *Auth) SetupOpen(ctx context.Context) error {
	done, err := a.store.SetUp(ctx)
	if err == nil && done { //guard:setup-closed
		return setupDone()
	}
	return err
}

func setupDone() error {
	return fleet.Errorf(fleet.SetupDone, "The set-up is done; sign in.")
}

// CompleteSetup makes the first account, an admin, for whoever knows the code, and
// signs it in. Of any number of calls one succeeds, ever. SetupDone afterwards,
// SetupCodeInvalid for a wrong code, TooManyRequests when the throttle refuses.
func (a *Auth) CompleteSetup(ctx context.Context, code, name, password string) (*fleet.User, *http.Cookie, error) {
	if err := a.SetupOpen(ctx); err != nil {
		return nil, nil, err
	}
	if err := a.checkSetupCode(ctx, code); err != nil {
		return nil, nil, err
	}
	hash, err := a.hashForSetup(ctx, password)
	if err != nil {
		return nil, nil, err
	}
	user := &fleet.User{ID: fleet.NewID[fleet.UserID](), Name: name, Role: fleet.Admin, PasswordHash: hash}
	VisitOf(ctx).Actor = "setup"
	err = a.store.Update(ctx, auditOf(ctx, "setup.complete", user), func(tx *store.Tx) error {
		if err := tx.CreateFirstUser(ctx, user); err != nil {
			return err
		}
		return tx.DeleteMeta(ctx, metaSetupCode)
	})
	if err != nil {
		return nil, nil, err
	}
	if err := a.removeSetupFile(); err != nil {
		a.log.WarnContext(ctx, "set-up code file is still there", "err", err) // useless, and not worth failing for
	}
	cookie, err := a.enter(ctx, user, "user.sign-in", attempt{})
	return user, cookie, err
}

// hashForSetup hashes the first password, unless somebody was faster by the time
// that it is its turn.
func (a *Auth) hashForSetup(ctx context.Context, password string) (string, error) {
	free, err := a.hasher.enter(ctx)
	if err != nil {
		return "", err
	}
	defer free()
	if err := a.SetupOpen(ctx); err != nil {
		return "", err
	}
	return a.hasher.hash(password)
}

func (a *Auth) checkSetupCode(ctx context.Context, code string) error {
	try := setupAttempt(VisitOf(ctx).Address)
	if err := a.allowed(ctx, try); err != nil {
		return err
	}
	want, err := a.store.Meta(ctx, metaSetupCode)
	switch {
	case fleet.Is(err, fleet.NotFound): // somebody was faster
		return setupDone()
	case err != nil:
		return err
	}
	got := HashSecret(strings.ToUpper(strings.TrimSpace(code)))
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 { //guard:setup-code
		if err := a.failed(ctx, try); err != nil {
			return err
		}
		return fleet.Errorf(fleet.SetupCodeInvalid,
			"This is not the set-up code; it stands in the server's log and in the file setup-code in its data directory.").At("/code")
	}
	return nil
}

// writeSetupFile makes the file anew, so that it has nobody else's owner or mode.
func (a *Auth) writeSetupFile(code string) error {
	if err := a.removeSetupFile(); err != nil {
		return err
	}
	f, err := os.OpenFile(a.setupFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the set-up code: %w", err)
	}
	_, err = f.WriteString(code + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the set-up code: %w", err)
	}
	return nil
}

func (a *Auth) removeSetupFile() error {
	if err := os.Remove(a.setupFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the set-up code: %w", err)
	}
	return nil
}

// NewToken makes a one-time token of 256 bits and the hash that is stored of it.
func NewToken() (token, hash string) {
	var b [32]byte
	rand.Read(b[:]) // never fails
	token = base64.RawURLEncoding.EncodeToString(b[:])
	return token, HashSecret(token)
}
