package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
)

// canary is a value that must never come back in a refusal.
const canary = "cAnArY-7f3a"

// TestProblemsNeverRepeatAValue puts a value into every member of every body, in a
// form that the member does not take, and looks for it in the refusal.
func TestProblemsNeverRepeatAValue(t *testing.T) {
	w, admin := newAdmin(t)
	agent := w.enrolled(admin.host("web-1", admin.repository("nas")))
	tried := 0
	for _, o := range operations(t) {
		caller := admin
		if strings.HasPrefix(o.path, "/agent/") {
			caller = agent
		}
		for what, body := range spoiled(o) {
			a := caller.do(o.method, o.url(), body)
			tried++
			if a.status >= 400 && strings.Contains(string(a.text), canary) {
				t.Errorf("%s with %s: %s", o.id, what, a.text)
			}
			if a.status >= 500 {
				t.Errorf("%s with %s: %d %s", o.id, what, a.status, a.text)
			}
		}
		a := caller.do(o.method, o.url()+"?"+url.Values{"page_size": {canary}, "wait": {canary}, canary: {canary}}.Encode(), o.body())
		if a.status >= 400 && strings.Contains(string(a.text), canary+`"`) && !strings.Contains(string(a.text), `"field":"`+canary+`"`) {
			t.Errorf("%s with a parameter: %s", o.id, a.text)
		}
	}
	if tried < 300 {
		t.Errorf("only %d bodies were tried", tried)
	}
}

// spoiled makes bodies with the canary in each member, as a text that is too long,
// a text with signs, a number's place, a list's place, and an unknown member.
func spoiled(o operation) map[string]any {
	if o.op.RequestBody == nil || o.op.RequestBody.Value.Content["application/json"] == nil {
		return nil
	}
	schema := o.op.RequestBody.Value.Content["application/json"].Schema.Value
	bodies := map[string]any{
		"an unknown member": obj{"unknown": canary}, "no JSON": canary, "half a JSON": `{"name":"` + canary, "two values": `{} "` + canary + `"`,
	}
	for name := range schema.Properties {
		for what, value := range map[string]any{
			"text": canary, "signs": "\u202e" + canary + "\r\n'\"<", "length": strings.Repeat(canary, 1000), "list": []any{canary},
			"object": obj{"x": canary}, "lists": []any{[]any{canary}, canary, canary},
		} {
			body := plausible(schema)
			body[name] = value
			bodies[name+" with "+what] = body
		}
		twice, _ := json.Marshal(canary)
		bodies[name+" twice"] = fmt.Sprintf(`{%q:%s,%q:%s}`, name, twice, name, twice)
	}
	return bodies
}

// plausible fills the required members with what their type takes.
func plausible(schema *openapi3.Schema) obj {
	body := obj{}
	for _, name := range schema.Required {
		body[name] = example(schema.Properties[name].Value)
	}
	return body
}

func example(s *openapi3.Schema) any {
	switch {
	case s.Example != nil:
		return s.Example
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type.Is("integer"):
		return 1
	case s.Type.Is("boolean"):
		return false
	case s.Type.Is("array"):
		return []any{}
	case s.Type.Is("object"):
		return plausible(s)
	}
	return "plausible text"
}

func TestProblemsPointAtEveryMistake(t *testing.T) {
	_, admin := newAdmin(t)
	p := admin.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "POST", "/api/v1/users",
		obj{"name": "-", "password": "short", "role": "owner"})
	got := map[string]string{}
	for _, f := range p.Fields {
		got[f.Field] = f.Detail
	}
	want := map[string]string{
		"/name":     "The field must match ^[A-Za-z0-9][A-Za-z0-9._@-]*$.",
		"/password": "The field must have at least 10 characters.",
		"/role":     "The field must be one of: viewer operator admin.",
	}
	for field, detail := range want {
		if got[field] != detail {
			t.Errorf("%s: got %q, want %q", field, got[field], detail)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}

func TestUnknownMembersAreRefused(t *testing.T) {
	_, admin := newAdmin(t)
	p := admin.refused(http.StatusBadRequest, fleet.UnknownField, "POST", "/api/v1/users",
		obj{"name": "eve", "password": password, "role": "viewer", "generation": 7})
	if p.Field != "/generation" {
		t.Errorf("points at %q", p.Field)
	}
	// encoding/json would take these for the members themselves.
	admin.refused(http.StatusBadRequest, fleet.UnknownField, "POST", "/api/v1/users",
		obj{"name": "eve", "password": password, "role": "viewer", "Role": "admin"})
}

func TestBodiesHaveLimits(t *testing.T) {
	_, admin := newAdmin(t)
	const path = "/api/v1/users"
	for name, c := range map[string]struct {
		body   string
		status int
		code   fleet.Code
	}{
		"larger than 1 MiB":      {`{"name":"` + strings.Repeat("a", 1<<20) + `"}`, http.StatusRequestEntityTooLarge, fleet.BodyTooLarge},
		"deeper than 32":         {strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), http.StatusBadRequest, fleet.Invalid},
		"a member twice":         {`{"name":"a","name":"b"}`, http.StatusBadRequest, fleet.Invalid},
		"a member twice, nested": {`{"name":{"a":1,"a":2}}`, http.StatusBadRequest, fleet.Invalid},
		"no UTF-8":               {"{\"name\":\"\xff\"}", http.StatusBadRequest, fleet.Invalid},
		"a NUL":                  {`{"name":"a\u0000b"}`, http.StatusBadRequest, fleet.Invalid},
		"something behind":       {`{} {}`, http.StatusBadRequest, fleet.Invalid},
		"no object":              {`[]`, http.StatusBadRequest, fleet.Invalid},
		"nothing":                {``, http.StatusBadRequest, fleet.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			admin.refused(c.status, c.code, "POST", path, c.body)
		})
	}
	t.Run("compressed beyond 1 MiB", func(t *testing.T) {
		bomb := gzipped(t, strings.Repeat(" ", 64<<20))
		admin.with("Content-Encoding", "gzip").refused(http.StatusRequestEntityTooLarge, fleet.BodyTooLarge, "POST", path, bomb)
	})
	t.Run("compressed in another way", func(t *testing.T) {
		admin.with("Content-Encoding", "br").refused(http.StatusBadRequest, fleet.Invalid, "POST", path, "{}")
	})
	t.Run("compressed well", func(t *testing.T) {
		body := gzipped(t, `{"name":"zip","password":"`+password+`","role":"viewer"}`)
		admin.with("Content-Encoding", "gzip").must(http.StatusCreated, "POST", path, body)
	})
}

func TestNothingIsReadOfAStrangersBody(t *testing.T) {
	w, _ := newAdmin(t)
	// The refusal comes before the body, so its size and form play no part.
	w.client().refused(http.StatusUnauthorized, fleet.SignInRequired, "POST", "/api/v1/users", strings.Repeat("x", 2<<20))
	w.client().refused(http.StatusUnauthorized, fleet.CredentialUnknown, "POST", "/agent/v1/reports", strings.Repeat("x", 2<<20))
}

func TestNamesTakenAreNotRepeatedEither(t *testing.T) {
	_, admin := newAdmin(t)
	admin.repository(canary)
	admin.must(http.StatusCreated, "POST", "/api/v1/hosts", obj{"name": canary})
	admin.must(http.StatusCreated, "POST", "/api/v1/users", obj{"name": canary, "password": password, "role": "viewer"})
	for path, body := range map[string]obj{
		"/api/v1/repositories": {"name": canary, "location": "/srv/r"},
		"/api/v1/hosts":        {"name": canary},
		"/api/v1/users":        {"name": canary, "password": password, "role": "viewer"},
	} {
		a := admin.must(http.StatusConflict, "POST", path, body)
		if p := into[api.Problem](a); p.Code != "name_taken" || p.Field != "/name" || strings.Contains(string(a.text), canary) {
			t.Errorf("%s: %s", path, a.text)
		}
	}
}
