package api_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// variants are ways of writing the path of the set-up that some router might take
// for it.
func variants() []string {
	return []string{
		"/api/v1/setup", "/api/v1/setup/", "/api/v1//setup", "//api/v1/setup", "/api/v1/./setup", "/api/v1/x/../setup",
		"/API/V1/SETUP", "/api/v1/Setup", "/api/v1/setup%2f", "/api/v1%2fsetup", "/api/v1/%73etup", "/api/v1/setup?a=b",
		"/api/v1/setup;x=1", "/api/v1/setup.json", "/api/v1/setup%00", "/%61pi/v1/setup", "/api/v1/setup#x", "/api/v1/setup%20",
		"/api/v2/../v1/setup", "/api//v1/setup",
	}
}

func (w *world) users() []fleet.User {
	w.t.Helper()
	list, _, err := w.store.Users(w.t.Context(), store.Page{})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func TestOfManySetupsAtOnceOneSucceeds(t *testing.T) {
	w := newWorld(t)
	var made, done atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			a, err := w.client().try(t.Context(), "POST", "/api/v1/setup", obj{"code": w.code, "name": "admin", "password": password})
			switch {
			case err != nil:
				t.Error(err)
			case a.status == http.StatusCreated:
				made.Add(1)
			case a.status == http.StatusNotFound && a.code() == "setup_done":
				done.Add(1)
			default:
				t.Errorf("got %d %s", a.status, a.text)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 || done.Load() != 49 || len(w.users()) != 1 {
		t.Errorf("%d made, %d refused, %d users", made.Load(), done.Load(), len(w.users()))
	}
}

func TestTheSetupNeverOpensAgain(t *testing.T) {
	t.Run("with a wrong code nobody is made", func(t *testing.T) {
		w := newWorld(t)
		for _, path := range variants() {
			a := w.client().do("POST", path, obj{"code": "WRONG", "name": "eve", "password": password})
			if a.status < 400 {
				t.Errorf("%s: %d", path, a.status)
			}
		}
		if n := len(w.users()); n != 0 {
			t.Errorf("%d users", n)
		}
		w.client().must(http.StatusOK, "GET", "/api/v1/setup", nil)
	})
	t.Run("after the first account", func(t *testing.T) {
		w, _ := newAdmin(t)
		for _, path := range variants() {
			for _, method := range []string{"POST", "PUT", "GET"} {
				a := w.client().do(method, path, obj{"code": w.code, "name": "eve", "password": password})
				if a.status < 400 {
					t.Errorf("%s %s: %d", method, path, a.status)
				}
			}
		}
		if n := len(w.users()); n != 1 {
			t.Errorf("%d users", n)
		}
	})
	t.Run("with no account left", func(t *testing.T) {
		w, _ := newAdmin(t)
		user := w.users()[0]
		err := w.store.Write(t.Context(), func(tx *store.Tx) error {
			return tx.DeleteUser(t.Context(), user.ID) // refused, so the test goes deeper
		})
		if !fleet.Is(err, fleet.LastAdmin) {
			t.Fatalf("got %v", err)
		}
		code, err := w.auth.OpenSetup(t.Context())
		if err != nil || code != "" {
			t.Errorf("a start gave the code %q, %v", code, err)
		}
		w.client().refused(http.StatusNotFound, fleet.SetupDone, "GET", "/api/v1/setup", nil)
	})
}

func TestTheSetupCodeIsThrottled(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		w.client().refused(http.StatusUnauthorized, fleet.SetupCodeInvalid, "POST", "/api/v1/setup",
			obj{"code": "WRONG", "name": "eve", "password": password})
	}
	a := w.client().must(http.StatusTooManyRequests, "POST", "/api/v1/setup", obj{"code": w.code, "name": "eve", "password": password})
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	elsewhere := w.client().with("X-Forwarded-For", "192.0.2.7")
	elsewhere.must(http.StatusCreated, "POST", "/api/v1/setup", obj{"code": w.code, "name": "ana", "password": password})
}

func TestTheFirstAccountIsAnAdminAndSignedIn(t *testing.T) {
	_, admin := newAdmin(t)
	me := get[api.User](admin, "/api/v1/me")
	if me.Name != "admin" || me.Role != api.RoleAdmin {
		t.Errorf("got %+v", me)
	}
	audit := get[api.AuditPage](admin, "/api/v1/audit?action=setup.complete")
	if len(audit.Entries) != 1 || audit.Entries[0].Actor != "setup" || audit.Entries[0].ObjectName != "admin" {
		t.Errorf("audit: %+v", audit.Entries)
	}
}
