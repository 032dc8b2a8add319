package api_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
)

func TestGuessesAreThrottledAndNobodyElseIsKeptOut(t *testing.T) {
	w, admin := newAdmin(t)
	admin.user("ana", fleet.Viewer) // who has signed in from here
	attacker := w.client().with("X-Forwarded-For", "203.0.113.5")
	guess := obj{"name": "ana", "password": "a wrong password"}

	evaluated := 0
	for range 100 {
		a := attacker.do("POST", "/api/v1/sign-in", guess)
		if a.status == http.StatusUnauthorized && a.code() == "invalid_credentials" {
			evaluated++
			continue
		}
		after, err := strconv.Atoi(a.header.Get("Retry-After"))
		if a.code() != "too_many_requests" || err != nil || after < 1 || after > 900 {
			t.Fatalf("got %d %s, Retry-After %q", a.status, a.text, a.header.Get("Retry-After"))
		}
	}
	if evaluated != 10 {
		t.Errorf("%d guesses were evaluated", evaluated)
	}
	t.Run("the right password does not help the attacker's address", func(t *testing.T) {
		attacker.refused(http.StatusTooManyRequests, fleet.TooManyRequests, "POST", "/api/v1/sign-in", obj{"name": "ana", "password": password})
	})
	t.Run("from another new address the account is closed too", func(t *testing.T) {
		other := w.client().with("X-Forwarded-For", "203.0.113.99")
		other.refused(http.StatusTooManyRequests, fleet.TooManyRequests, "POST", "/api/v1/sign-in", guess)
	})
	t.Run("its owner gets in from where they were before", func(t *testing.T) {
		w.signIn("ana")
	})
	t.Run("others get in from anywhere", func(t *testing.T) {
		w.client().with("X-Forwarded-For", "198.51.100.1").must(http.StatusOK, "POST", "/api/v1/sign-in",
			obj{"name": "admin", "password": password})
	})
	t.Run("after the window it is over", func(t *testing.T) {
		w.pass(16 * time.Minute)
		attacker.must(http.StatusOK, "POST", "/api/v1/sign-in", obj{"name": "ana", "password": password})
	})
}

func TestOneAddressCannotTryEveryAccount(t *testing.T) {
	w, _ := newAdmin(t)
	evaluated := 0
	for i := range 60 {
		a := w.client().do("POST", "/api/v1/sign-in", obj{"name": "user" + strconv.Itoa(i), "password": password})
		if a.status == http.StatusUnauthorized {
			evaluated++
		}
	}
	if evaluated != 30 {
		t.Errorf("%d accounts were tried", evaluated)
	}
}

func TestSigningInTellsNothingAboutAccounts(t *testing.T) {
	w, admin := newAdmin(t)
	admin.user("ana", fleet.Viewer)
	id := w.users()[1].ID
	admin.must(http.StatusOK, "PATCH", "/api/v1/users/"+string(id), obj{"disabled": true})
	var seen []api.Problem
	for _, body := range []obj{
		{"name": "admin", "password": "wrong"}, {"name": "nobody", "password": password}, {"name": "ana", "password": password},
		{"name": "x\n\u202e", "password": password},
	} {
		p := w.client().refused(http.StatusUnauthorized, fleet.InvalidCredentials, "POST", "/api/v1/sign-in", body)
		p.RequestId = ""
		seen = append(seen, p)
	}
	for _, p := range seen[1:] {
		if p.Detail != seen[0].Detail || p.Title != seen[0].Title {
			t.Errorf("got %+v, want %+v", p, seen[0])
		}
	}
}

func TestSignInsEnd(t *testing.T) {
	w, admin := newAdmin(t)
	const me = "/api/v1/me"
	ended := func(t *testing.T, c *client) {
		t.Helper()
		c.refused(http.StatusUnauthorized, fleet.SignInEnded, "GET", me, nil)
	}
	change := func(t *testing.T, name string, body obj) {
		t.Helper()
		user, err := w.store.UserByName(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		admin.must(http.StatusOK, "PATCH", "/api/v1/users/"+string(user.ID), body)
	}
	t.Run("by signing out", func(t *testing.T) {
		c := admin.user("out", fleet.Viewer)
		cookie := c.cookie
		c.must(http.StatusNoContent, "POST", "/api/v1/sign-out", nil)
		c.cookie = cookie
		ended(t, c)
	})
	for name, body := range map[string]obj{
		"by another role": {"role": "operator"}, "by another password": {"password": "another password"}, "by being disabled": {"disabled": true},
	} {
		t.Run(name, func(t *testing.T) {
			user := "u" + strconv.Itoa(len(name))
			c := admin.user(user, fleet.Viewer)
			change(t, user, body)
			ended(t, c)
		})
	}
	t.Run("by changing one's password, but not the one that did", func(t *testing.T) {
		c := admin.user("pw", fleet.Viewer)
		other := w.signIn("pw")
		c.must(http.StatusNoContent, "PUT", "/api/v1/me/password", obj{"current_password": password, "new_password": "another password"})
		ended(t, other)
		c.must(http.StatusOK, "GET", me, nil)
		c.refused(http.StatusUnauthorized, fleet.InvalidCredentials, "PUT", "/api/v1/me/password",
			obj{"current_password": password, "new_password": "another password"})
	})
	t.Run("by signing in again in the same browser", func(t *testing.T) {
		c := admin.user("again", fleet.Viewer)
		before := *c
		c.must(http.StatusOK, "POST", "/api/v1/sign-in", obj{"name": "again", "password": password})
		ended(t, &before)
	})
	t.Run("by deletion", func(t *testing.T) {
		c := admin.user("gone", fleet.Viewer)
		user, _ := w.store.UserByName(t.Context(), "gone")
		admin.must(http.StatusNoContent, "DELETE", "/api/v1/users/"+string(user.ID), nil)
		ended(t, c)
	})
}

func TestTheLastAdminStays(t *testing.T) {
	w, admin := newAdmin(t)
	path := "/api/v1/users/" + string(w.users()[0].ID)
	admin.refused(http.StatusConflict, fleet.LastAdmin, "DELETE", path, nil)
	admin.refused(http.StatusConflict, fleet.LastAdmin, "PATCH", path, obj{"role": "viewer"})
	admin.refused(http.StatusConflict, fleet.LastAdmin, "PATCH", path, obj{"disabled": true})
	admin.user("second", fleet.Admin)
	admin.must(http.StatusOK, "PATCH", path, obj{"role": "viewer"})
}

func TestUsersAreListedByPages(t *testing.T) {
	_, admin := newAdmin(t)
	for _, name := range []string{"bob", "cid", "dan"} {
		admin.must(http.StatusCreated, "POST", "/api/v1/users", obj{"name": name, "password": password, "role": "viewer"})
	}
	var names []string
	token := ""
	for pages := 0; ; pages++ {
		page := get[api.UserPage](admin, "/api/v1/users?page_size=2&page_token="+token)
		for _, u := range page.Users {
			names = append(names, u.Name)
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	if got := len(names); got != 4 || names[0] != "admin" || names[3] != "dan" {
		t.Errorf("got %v", names)
	}
	admin.refused(http.StatusBadRequest, fleet.InvalidPageToken, "GET", "/api/v1/users?page_token=nonsense", nil)
}
