package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
)

// operation is one of the contract, ready to be called with ids of nothing.
type operation struct {
	id, method, path, role string
	op                     *openapi3.Operation
}

func operations(t testing.TB) []operation {
	t.Helper()
	var list []operation
	for path, item := range readSpec(t).Paths.Map() {
		for method, op := range item.Operations() {
			role, _ := op.Extensions["x-role"].(string)
			list = append(list, operation{id: op.OperationID, method: method, path: path, role: role, op: op})
		}
	}
	if len(list) < 50 {
		t.Fatalf("found %d operations", len(list))
	}
	return list
}

const nobody = "00000000-0000-4000-8000-000000000000"

// url is the operation's path with an id of nothing in each place.
func (o operation) url() string {
	parts := strings.Split(o.path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = nobody
		}
	}
	return strings.ReplaceAll(strings.Join(parts, "/"), "artifacts/"+nobody, "artifacts/snapshots?offset=0")
}

func (o operation) body() any {
	if o.op.RequestBody == nil {
		return nil
	}
	return "{}"
}

func TestTheTableOfRulesIsTheContracts(t *testing.T) {
	rules := auth.Operations()
	for _, o := range operations(t) {
		if got := string(rules[o.id]); got != o.role {
			t.Errorf("%s: the table says %q, the contract %q", o.id, got, o.role)
		}
		delete(rules, o.id)
		open := o.op.Security != nil && len(*o.op.Security) == 0
		if without := o.role == "public" || o.role == "token"; open != without {
			t.Errorf("%s: security says open=%t, role is %s", o.id, open, o.role)
		}
		agents := strings.HasPrefix(o.path, "/agent/")
		if agents != (o.role == "agent" || o.role == "token") {
			t.Errorf("%s: %s is not for %s", o.id, o.path, o.role)
		}
	}
	for id := range rules {
		t.Errorf("the table has %s, the contract has not", id)
	}
}

// TestEveryOperationAsksForItsRole calls each operation as everybody there is.
func TestEveryOperationAsksForItsRole(t *testing.T) {
	w, admin := newAdmin(t)
	repository := admin.repository("nas")
	agent := w.enrolled(admin.host("web-1", repository))
	admin.user("viewer", fleet.Viewer)
	admin.user("operator", fleet.Operator)
	ended := w.signIn("viewer")
	forged := w.client()
	forged.cookie = "rm=" + strings.Repeat("A", 43)
	garbled := w.client().with("Authorization", "Bearer "+nobody+"."+strings.Repeat("x", 43))

	callers := []struct {
		name string
		who  *client
		role string
	}{
		{"nobody", w.client(), ""},
		{"a forged cookie", forged, "forged"},
		{"a forged agent", garbled, ""},
		{"an agent", agent, "agent"},
		{"a viewer", w.signIn("viewer"), "viewer"},
		{"an operator", w.signIn("operator"), "operator"},
		{"an admin", admin, "admin"},
	}
	for _, o := range operations(t) {
		for _, caller := range callers {
			who := *caller.who // which keeps its cookie when an answer clears it
			if o.id == "signOut" && fleet.Role(caller.role).Allows(fleet.Viewer) {
				who = *w.signIn(caller.role)
			}
			checkAccess(t, o, caller.name, caller.role, who.do(o.method, o.url(), o.body()))
		}
	}
	w.pass(25 * time.Hour)
	for _, o := range operations(t) {
		if fleet.Role(o.role).Allows(fleet.Viewer) {
			ended.refused(http.StatusUnauthorized, fleet.SignInEnded, o.method, o.url(), o.body())
		}
	}
}

func checkAccess(t *testing.T, o operation, caller, role string, a *answer) {
	t.Helper()
	code := ""
	if a.status >= 400 {
		code = a.code()
	}
	let := a.status != http.StatusUnauthorized && a.status != http.StatusForbidden
	switch need := fleet.Role(o.role); {
	case o.role == "public", o.role == "token":
		if code == "sign_in_required" || code == "role_missing" || code == "credential_unknown" {
			t.Errorf("%s for %s: %s", o.id, caller, code)
		}
	case o.role == "agent":
		if role == "agent" && !let || role != "agent" && code != "credential_unknown" {
			t.Errorf("%s for %s: %d %s", o.id, caller, a.status, code)
		}
	case role == "" || role == "agent":
		if code != "sign_in_required" {
			t.Errorf("%s for %s: %d %s", o.id, caller, a.status, code)
		}
	case role == "forged":
		if code != "sign_in_ended" {
			t.Errorf("%s for %s: %d %s", o.id, caller, a.status, code)
		}
	case fleet.Role(role).Allows(need):
		if !let {
			t.Errorf("%s for %s: %d %s", o.id, caller, a.status, code)
		}
	case code != "role_missing":
		t.Errorf("%s for %s: %d %s, want role_missing", o.id, caller, a.status, code)
	}
}

func TestRequestsOfOtherSitesAreRefused(t *testing.T) {
	w, admin := newAdmin(t)
	agent := w.enrolled(admin.host("web-1", admin.repository("nas")))
	body := obj{"name": "eve", "password": password, "role": "admin"}
	for name, c := range map[string]*client{
		"by Sec-Fetch-Site": admin.with("Sec-Fetch-Site", "cross-site"),
		"by same site":      admin.with("Sec-Fetch-Site", "same-site"),
		"by Origin":         admin.with("Origin", "https://evil.test"),
	} {
		t.Run(name, func(t *testing.T) {
			c.refused(http.StatusForbidden, fleet.CrossOrigin, "POST", "/api/v1/users", body)
		})
	}
	t.Run("a form cannot send JSON", func(t *testing.T) {
		admin.with("Content-Type", "text/plain").refused(http.StatusBadRequest, fleet.Invalid, "POST", "/api/v1/users", body)
		agent.with("Content-Type", "text/plain").refused(http.StatusBadRequest, fleet.Invalid, "POST", "/agent/v1/reports",
			obj{"session_id": nobody, "items": []any{}})
	})
	t.Run("the public address is no other site", func(t *testing.T) {
		admin.with("Origin", "http://127.0.0.1:8080").must(http.StatusCreated, "POST", "/api/v1/users", body)
	})
	t.Run("reading is not protected", func(t *testing.T) {
		admin.with("Sec-Fetch-Site", "cross-site").must(http.StatusOK, "GET", "/api/v1/users", nil)
	})
}

func TestWhatTheContractDoesNotKnowIsNotFound(t *testing.T) {
	_, admin := newAdmin(t)
	for _, path := range []string{"/api/v1/nothing", "/api/v1/hosts/", "/api/v1/users/" + nobody + "/x", "/api/", "/agent/v1/nothing"} {
		admin.refused(http.StatusNotFound, fleet.NotFound, "GET", path, nil)
	}
	admin.refused(http.StatusNotFound, fleet.NotFound, "PUT", "/api/v1/hosts", "{}")
	admin.with("X-HTTP-Method-Override", "DELETE").must(http.StatusOK, "GET", "/api/v1/me", nil)
	admin.must(http.StatusOK, "GET", "/api/openapi.json", nil)
}

func TestReadinessFailsWhileTheServerStops(t *testing.T) {
	w := newWorld(t)
	w.client().must(http.StatusOK, "GET", "/readyz", nil)
	w.waker.Close()
	if a := w.client().must(http.StatusServiceUnavailable, "GET", "/readyz", nil); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.client().must(http.StatusOK, "GET", "/healthz", nil)
}
