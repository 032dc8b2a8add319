package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// ResetPassword gives an account another password and ends its sign-ins, beside a
// server that may be running. NotFound when there is no account of that name.
func ResetPassword(ctx context.Context, o Options, out io.Writer, name, password string) (err error) {
	settings, err := o.check()
	if err != nil {
		return err
	}
	if n := len([]rune(password)); n < auth.MinPassword || n > auth.MaxPassword {
		return fleet.Errorf(fleet.InvalidField, "A password has %d to %d characters.", auth.MinPassword, auth.MaxPassword)
	}
	hasher, err := settings.hasher()
	if err != nil {
		return err
	}
	s := &Server{settings: settings, log: settings.logger(out)}
	if err := s.open(ctx, false); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return auth.New(auth.Options{Store: s.store, Hasher: hasher, Log: s.log}).ResetPassword(ctx, name, password)
}

// Verify looks whether the audit log is whole and whether the numbers on the pages
// are what counting gives, beside a server that may be running. It tells how many
// audit entries hold, and fails with all that is wrong; it mends nothing.
func Verify(ctx context.Context, o Options, out io.Writer) (entries int64, err error) {
	settings, err := o.check()
	if err != nil {
		return 0, err
	}
	s := &Server{settings: settings, log: settings.logger(out)}
	if err := s.open(ctx, false); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	err = s.store.View(ctx, func(q store.Queries) (err error) {
		entries, err = q.VerifyAudit(ctx)
		return errors.Join(err, q.VerifyRollups(ctx))
	})
	return entries, err
}

// SetupCode reads the set-up code that a server has left for its first account.
func SetupCode(o Options) (string, error) {
	settings, err := o.check()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(settings.setupFile())
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no %s: the set-up is done, or the server has not started with this data directory", settings.setupFile())
	}
	if err != nil {
		return "", fmt.Errorf("read the set-up code: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
