package control

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestOnlyTheServersWordIsBelieved(t *testing.T) {
	html := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			fmt.Fprint(w, "<html>please sign in</html>")
		}
	}
	text := func(status int, media, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	const problem = `{"type":"urn:restic-manager:problem:agent_disabled","title":"Off","status":403,"code":"agent_disabled","retryable":false}`
	tests := map[string]struct {
		handle http.HandlerFunc
		kind   Kind   // of a TransportError
		status int    // of a TransportError
		code   string // of a Refusal
	}{
		"an answer with the marker": {handle: func(w http.ResponseWriter, _ *http.Request) { answer(w, `,"items":[]`) }},
		"unknown members": {handle: func(w http.ResponseWriter, _ *http.Request) {
			answer(w, `,"items":[],"new":{"a":1}`)
		}},
		"a problem of ours":        {handle: text(403, "application/problem+json", problem), code: "agent_disabled"},
		"a problem with a charset": {handle: text(403, "application/problem+json; charset=utf-8", problem), code: "agent_disabled"},
		"a problem as plain JSON":  {handle: text(403, "application/json", problem), kind: NotOurs, status: 403},
		"a problem with 200":       {handle: text(200, "application/problem+json", problem), kind: NotOurs, status: 200},
		"a problem of another":     {handle: text(403, "application/problem+json", strings.Replace(problem, "urn:restic-manager", "urn:else", 1)), kind: NotOurs, status: 403},
		"HTML with 200":            {handle: html(200), kind: NotOurs, status: 200},
		"HTML with 400":            {handle: html(400), kind: NotOurs, status: 400},
		"HTML with 401":            {handle: html(401), kind: NotOurs, status: 401},
		"HTML with 403":            {handle: html(403), kind: NotOurs, status: 403},
		"HTML with 404":            {handle: html(404), kind: NotOurs, status: 404},
		"HTML with 407":            {handle: html(407), kind: ProxyAuth, status: 407},
		"HTML with 413":            {handle: html(413), kind: NotOurs, status: 413},
		"HTML with 502":            {handle: html(502), kind: NotOurs, status: 502},
		"HTML with 504":            {handle: html(504), kind: NotOurs, status: 504},
		"nothing with 204":         {handle: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, kind: NotOurs, status: 204},
		"nothing with 200":         {handle: func(http.ResponseWriter, *http.Request) {}, kind: NotOurs, status: 200},
		"a redirect":               {handle: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, kind: Redirect, status: 302},
		"another marker":           {handle: text(200, "application/json", `{"protocol":"restic-manager/9","items":[]}`), kind: NotOurs, status: 200},
		"no marker":                {handle: text(200, "application/json", `{"items":[]}`), kind: NotOurs, status: 200},
		"truncated JSON":           {handle: text(200, "application/json", `{"protocol":"restic-manager/1","items":[`), kind: NotOurs, status: 200},
		"two JSON values":          {handle: text(200, "application/json", `{"protocol":"restic-manager/1","items":[]}{}`), kind: NotOurs, status: 200},
		"the marker with 201":      {handle: text(201, "application/json", `{"protocol":"restic-manager/1","items":[]}`), kind: NotOurs, status: 201},
		"an endless answer":        {handle: text(200, "application/json", `{"protocol":"restic-manager/1","x":"`+strings.Repeat("x", answerLimit)+`"}`), kind: NotOurs, status: 200},
		"an answer shorter than said": {handle: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"protocol":"restic-manager/1",`)
		}, kind: Cut, status: 200},
		"a connection that is cut": {handle: func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, kind: Cut},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := mustLink(t, Options{Server: serve(t, test.handle).URL})
			_, err := report(t, l, ReportRequest{})
			var transport *TransportError
			var refusal *Refusal
			switch {
			case test.kind != "":
				if !errors.As(err, &transport) || transport.Kind != test.kind || transport.Status != test.status {
					t.Errorf("error is %#v (%v), want %s with status %d", err, err, test.kind, test.status)
				}
			case test.code != "":
				if !errors.As(err, &refusal) || !IsRefusal(err, test.code) || refusal.Status != 403 {
					t.Errorf("error is %#v, want the refusal %s", err, test.code)
				}
			case err != nil:
				t.Errorf("error is %v", err)
			}
			if err != nil && strings.Contains(err.Error(), secretText) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestNoConnectionIsRefused(t *testing.T) {
	s := httptest.NewServer(nil)
	address := s.URL
	s.Close()
	_, err := report(t, mustLink(t, Options{Server: address}), ReportRequest{})
	var transport *TransportError
	if !errors.As(err, &transport) || transport.Kind != Refused {
		t.Errorf("error is %v, want refused", err)
	}
}
