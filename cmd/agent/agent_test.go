package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"restic-manager-agent": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			// Nothing of the machine that the test runs on may be found.
			env.Setenv("RM_AGENT_CONFIG", env.WorkDir+"/etc/agent.yaml")
			env.Setenv("RM_AGENT_STATE_DIR", env.WorkDir+"/state")
			env.Setenv("RM_AGENT_POLICY", env.WorkDir+"/etc/policy.yaml")
			env.Setenv("RM_AGENT_RESTIC", env.WorkDir+"/no-restic")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"serve": serve},
	})
}

// serve starts a server that enrols each token once, per installation, and
// puts its address into $SERVER. With "lose" it enrols, and loses the first answer.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	s := &enrolments{known: map[string]string{}, lose: len(args) > 0 && args[0] == "lose"}
	server := httptest.NewServer(s)
	ts.Defer(server.Close)
	ts.Setenv("SERVER", server.URL)
}

type enrolments struct {
	mu    sync.Mutex
	known map[string]string // token → installation and hash
	lose  bool
}

const hostID = "01936f0e-5c1a-7c3e-9a54-0d7d3b8f1c22"

func (s *enrolments) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var request struct {
		Token      string `json:"token"`
		InstallID  string `json:"install_id"`
		SecretHash string `json:"secret_hash"`
	}
	if r.URL.Path != "/agent/v1/enrolments" {
		problem(w, http.StatusUnauthorized, "credential_unknown", "Not known")
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		problem(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	if request.Token != "one-time-token" {
		problem(w, http.StatusUnauthorized, "enrolment_token_invalid", "The token is not known")
		return
	}
	who := request.InstallID + request.SecretHash
	if first, used := s.known[request.Token]; used && first != who {
		problem(w, http.StatusConflict, "enrolment_token_used", "The token was used")
		return
	}
	s.known[request.Token] = who
	if s.lose {
		s.lose = false
		panic(http.ErrAbortHandler)
	}
	answer(w, http.StatusOK, "application/json", map[string]any{
		"protocol": "restic-manager/1", "server_time": time.Now().UTC(), "host_id": hostID, "host_name": "web-1",
	})
}

func problem(w http.ResponseWriter, status int, code, title string) {
	answer(w, status, "application/problem+json", map[string]any{
		"type": "urn:restic-manager:problem:" + code, "title": title, "status": status, "code": code, "retryable": false,
	})
}

func answer(w http.ResponseWriter, status int, media string, body any) {
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func TestExitCodesTellUsageFromFailure(t *testing.T) {
	for err, want := range map[error]int{nil: 0, errSaid: 1, usageError{errSaid}: 2, errors.New("x"): 1} {
		if got := exitCode(err); got != want {
			t.Errorf("%v gives %d, want %d", err, got, want)
		}
	}
}
