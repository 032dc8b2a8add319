package agent

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"restic-manager/agent/runner"
	"restic-manager/restic"
)

// TestTheDoctorSaysOfTheServerWhatItSaid answers with every kind of refusal: only those
// that come after the agent's secret was accepted prove that the server knows it.
func TestTheDoctorSaysOfTheServerWhatItSaid(t *testing.T) {
	tests := []struct {
		status int
		code   string
		want   Verdict
	}{
		{http.StatusConflict, "session_unknown", Good},
		{http.StatusConflict, "session_superseded", Good},
		{http.StatusUnauthorized, "credential_unknown", Bad},
		{http.StatusForbidden, "agent_disabled", Bad},
		{http.StatusServiceUnavailable, "unavailable", Warning},
		{http.StatusTooManyRequests, "too_many_requests", Warning},
		{http.StatusBadRequest, "invalid_request", Warning},
		{http.StatusBadGateway, "", Bad}, // not the server's word
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.status, test.code), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if test.code != "" {
					w.Header().Set("Content-Type", "application/problem+json")
				}
				w.WriteHeader(test.status)
				fmt.Fprintf(w, `{"type":"urn:restic-manager:problem:%s","title":"T","status":%d,"code":%q}`, test.code, test.status, test.code)
			}))
			defer server.Close()
			x := &examination{
				config:   Config{Server: server.URL, Proxy: restic.NewSecret(noProxy)},
				identity: Identity{HostID: modelHost, Secret: newAgentSecret()},
			}
			x.server(t.Context())
			if len(x.findings) == 0 || x.findings[0].Subject != "server" || x.findings[0].Verdict != test.want {
				t.Errorf("found %+v, want %s", x.findings, test.want)
			}
		})
	}
}

func TestTheDoctorDoesNotTakeAnErrorForAStorage(t *testing.T) {
	for status, want := range map[int]Verdict{
		http.StatusOK: Good, http.StatusUnauthorized: Good, http.StatusNotFound: Good,
		http.StatusBadGateway: Bad, http.StatusProxyAuthRequired: Bad,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		location, err := restic.ParseLocation("rest:" + server.URL + "/web-1/")
		if err != nil {
			t.Fatal(err)
		}
		x := &examination{config: Config{ResticProxy: restic.NewSecret(noProxy)}}
		x.storage(t.Context(), runner.Repository{Name: "nas", Location: location})
		if len(x.findings) != 1 || x.findings[0].Verdict != want {
			t.Errorf("%d: found %+v, want %s", status, x.findings, want)
		}
		server.Close()
	}
}

func TestTheDoctorSaysThatThereIsNoRoom(t *testing.T) {
	x := &examination{config: Config{StateDir: "/var/lib/x"}}
	x.room(leastRoom)
	if len(x.findings) != 0 {
		t.Errorf("enough room is %+v", x.findings)
	}
	x.room(4096)
	if len(x.findings) != 1 || x.findings[0].Verdict != Bad || !strings.Contains(x.findings[0].Says, "4.0 KiB are free where /var/lib/x is") || x.findings[0].Next == "" {
		t.Errorf("no room is %+v", x.findings)
	}
}
