package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// from is a visit from another address.
func from(ctx context.Context, n int) context.Context {
	return auth.WithVisit(ctx, &auth.Visit{Address: netip.AddrFrom4([4]byte{198, 51, 100, byte(n)})})
}

func (w *world) wrongPasswords(t *testing.T) []fleet.Audit {
	t.Helper()
	list, _, err := w.store.AuditEntries(t.Context(), store.AuditFilter{Action: "user.wrong-password"}, store.Page{Size: 200})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAWrongPasswordIsInTheAuditLogAndAFloodIsNot(t *testing.T) {
	w := newWorld(t, false)
	w.setUp(t)
	if _, _, err := w.auth.SignIn(visit(t.Context()), "admin", "cAnArY-password"); !fleet.Is(err, fleet.InvalidCredentials) {
		t.Fatal(err)
	}
	list := w.wrongPasswords(t)
	if len(list) != 1 || list[0].ObjectName != "admin" || list[0].Address != "192.0.2.1" {
		t.Fatalf("got %+v", list)
	}
	for n := range 60 {
		_, _, err := w.auth.SignIn(from(t.Context(), n), "cAnArY-name", "cAnArY-password")
		if !fleet.Is(err, fleet.InvalidCredentials) && !fleet.Is(err, fleet.TooManyRequests) {
			t.Fatal(err)
		}
		_, _, err = w.auth.SignIn(from(t.Context(), n), fmt.Sprint("cAnArY-", n), "cAnArY-password")
		if !fleet.Is(err, fleet.InvalidCredentials) {
			t.Fatal(err)
		}
	}
	list = w.wrongPasswords(t)
	if len(list) != 50 || list[0].Detail == "" {
		t.Errorf("%d entries, the last one %+v; want 50, and that there are more", len(list), list[0])
	}
	if strings.Contains(fmt.Sprintf("%+v", list), "cAnArY") {
		t.Error("what was typed is in the audit log")
	}
	if _, err := w.store.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEnrolmentIsThrottledByAddress(t *testing.T) {
	w := newWorld(t, false)
	tried := 0
	try := func(ctx context.Context, outcome error) error {
		return w.auth.Enrol(ctx, func() error { tried++; return outcome })
	}
	wrong := fleet.Errorf(fleet.EnrolmentTokenInvalid, "no")
	for range 20 {
		if err := try(visit(t.Context()), wrong); !fleet.Is(err, fleet.EnrolmentTokenInvalid) {
			t.Fatal(err)
		}
	}
	// A token that is good is answered alike: nobody learns anything by trying on.
	before := tried
	for _, outcome := range []error{wrong, nil} {
		err := try(visit(t.Context()), outcome)
		var e *fleet.Error
		if !fleet.Is(err, fleet.TooManyRequests) || !errors.As(err, &e) || e.Extra[auth.RetryAfter] < 1 || tried != before {
			t.Errorf("got %v after %d tries, want to be refused with a time to wait", err, tried)
		}
	}
	if err := try(from(t.Context(), 1), nil); err != nil {
		t.Errorf("another address is kept out: %v", err)
	}
	for range 50 { // a rack that is set up from one address
		if err := try(from(t.Context(), 2), nil); err != nil {
			t.Fatalf("enrolments that go well are throttled: %v", err)
		}
	}
}
