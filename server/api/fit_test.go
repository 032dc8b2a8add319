package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"restic-manager/server/auth"
)

const fitting = `{"session_id":"01936f0e-5c1a-7c3e-9a54-0d7d3b8f1c22","journal_id":"01936f0e-5c1a-7c3e-9a54-0d7d3b8f1c23","acked_seq":7,` +
	`"config_revision":3,"wait_s":25,"running":[{"job_id":"01936f0e-5c1a-7c3e-9a54-0d7d3b8f1c24","epoch":1,"phase":"running","last_event_seq":2}],` +
	`"directives":[],"spool":{"bytes":0,"jobs":0,"dropped_lines":0},"agent_time":"2026-01-01T00:00:00.123456789Z","uptime_ms":1000,` +
	`"health":[{"code":"a","message":"b"}],"last_exchange":{"kind":"ok","status":200,"elapsed_ms":25000,"hold_s":25}}`

func syncOperation(t testing.TB) *operation {
	t.Helper()
	c, err := readContract(auth.Operations())
	if err != nil {
		t.Fatal(err)
	}
	op := c["POST /agent/v1/sync"]
	if op == nil || op.form == nil {
		t.Fatal("the sync has no form: its schema asks for what forms do not know")
	}
	return op
}

// slowly is what is asked of a body that does not fit.
func slowly(op *operation, body []byte) error {
	if err := checkJSON(body); err != nil {
		return err
	}
	r := httptest.NewRequest(http.MethodPost, "/agent/v1/sync", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r = r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, chi.NewRouteContext()))
	if err := op.validate(r); err != nil {
		return err
	}
	var decoded SyncRequest
	return json.Unmarshal(body, &decoded)
}

func TestAnOrdinarySyncFits(t *testing.T) {
	op := syncOperation(t)
	if err := slowly(op, []byte(fitting)); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{fitting, " " + strings.ReplaceAll(fitting, ",", " ,\n\t") + "\r\n"} {
		if !op.form.fits([]byte(body)) {
			t.Errorf("does not fit: %s", body)
		}
	}
	if n := testing.AllocsPerRun(100, func() { op.form.fits([]byte(fitting)) }); n > 40 {
		t.Errorf("%v allocations, want 40 at most", n)
	}
}

// What does not fit goes the long way, whether it is good or not.
func TestWhatIsNotPlainDoesNotFit(t *testing.T) {
	op := syncOperation(t)
	for name, change := range map[string][2]string{
		"a member twice": {`"acked_seq":7`, `"acked_seq":7,"acked_seq":8`}, "a member that is required": {`"acked_seq":7,`, ``},
		"an unknown member": {`"acked_seq":7`, `"acked_seq":7,"new":1`}, "another case": {`"acked_seq"`, `"Acked_Seq"`},
		"an escape": {`"code":"a"`, `"code":"\u0061"`}, "a NUL": {`"code":"a"`, "\"code\":\"\x00\""}, "no UTF-8": {`"code":"a"`, "\"code\":\"\xff\""},
		"another character": {`"code":"a"`, `"code":"ä"`}, "null": {`"acked_seq":7`, `"acked_seq":null`}, "a fraction": {`"acked_seq":7`, `"acked_seq":7.0`},
		"an exponent": {`"acked_seq":7`, `"acked_seq":7e0`}, "below the least": {`"acked_seq":7`, `"acked_seq":-7`}, "minus": {`"uptime_ms":1000`, `"uptime_ms":-`},
		"a leading zero": {`"acked_seq":7`, `"acked_seq":07`}, "above the most": {`"wait_s":25`, `"wait_s":301`}, "a text for a number": {`"wait_s":25`, `"wait_s":"25"`},
		"too long": {`"kind":"ok"`, `"kind":"` + strings.Repeat("x", 41) + `"`}, "too many": {`"directives":[]`, `"directives":[` + strings.Repeat(`{"job_id":"x"},`, 1001) + `]`},
		"no id": {`1c22"`, `1c2G"`}, "no time": {`2026-01-01T`, `2026-13-01T`}, "another zone": {`.123456789Z`, `+01:00`}, "a long fraction": {`.123456789Z`, `.1234567890Z`},
		"a comma at the end": {`"directives":[]`, `"directives":[],`}, "something behind": {`"hold_s":25}}`, `"hold_s":25}} {}`}, "a NUL behind": {`"hold_s":25}}`, "\"hold_s\":25}}\x00"},
		"an end too soon": {`"hold_s":25}}`, `"hold_s":25}`}, "no comma": {`,"wait_s"`, ` "wait_s"`}, "a comma first": {`{"session_id"`, `{,"session_id"`},
	} {
		body := strings.Replace(fitting, change[0], change[1], 1)
		if body == fitting {
			t.Fatalf("%s changes nothing", name)
		}
		if op.form.fits([]byte(body)) {
			t.Errorf("%s fits", name)
		}
	}
}

// FuzzFit looks for a body that fits and would be refused, or understood otherwise,
// the long way.
func FuzzFit(f *testing.F) {
	op := syncOperation(f)
	f.Add([]byte(fitting))
	f.Add([]byte(`{"session_id":"01936f0e-5c1a-7c3e-9a54-0d7d3b8f1c22","journal_id":"01936f0e-5c1a-7c3e-9a54-0d7d3b8f1c23","acked_seq":0,"config_revision":0,"wait_s":0}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if !op.form.fits(body) {
			return
		}
		if err := slowly(op, body); err != nil && !strings.Contains(err.Error(), "day out of range") {
			t.Errorf("fits, but %v: %q", err, body)
		}
	})
}
