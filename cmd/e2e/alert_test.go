//go:build !windows

package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

// hooked is a receiver of webhooks that believes only what is signed.
type hooked struct {
	*httptest.Server
	mu   sync.Mutex
	told []string // "raised host_silent/1"
}

func newHooked(t *testing.T) *hooked {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	h := &hooked{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		var hook struct {
			Data struct {
				Alerts []struct {
					Event, Code  string
					ObjectsTotal int `json:"objects_total"`
				}
			}
		}
		if err == nil {
			err = json.Unmarshal(body, &hook)
		}
		if err != nil {
			t.Errorf("a webhook that cannot be believed: %v: %s", err, body)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, a := range hook.Data.Alerts {
			h.told = append(h.told, fmt.Sprintf("%s %s/%d", a.Event, a.Code, a.ObjectsTotal))
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hooked) has(what string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, told := range h.told {
		if strings.HasPrefix(told, what) {
			return true
		}
	}
	return false
}

func (h *hooked) count(what string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Count(strings.Join(h.told, "\n"), what)
}

// wait waits until it was told, and shows everything that was told when it is not.
func (h *hooked) wait(t *testing.T, what string) {
	t.Helper()
	end := time.Now().Add(4 * time.Minute)
	for !h.has(what) {
		if time.Now().After(end) {
			h.mu.Lock()
			defer h.mu.Unlock()
			t.Fatalf("nobody was told %q, but %q", what, h.told)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// alarmed is a world whose alerts come to a receiver, with two hosts that have backed up.
func alarmed(t *testing.T) (w *world, receiver *hooked, source string, one, two *host) {
	t.Helper()
	w = newWorld(t, waiting, withServerArgs("--notify-loopback"))
	receiver = newHooked(t)
	w.api.must("POST", "/api/v1/channels", obj{"name": "hook", "kind": "webhook", "secrets": []obj{
		{"name": "url", "value": receiver.URL}, {"name": "secret", "value": webhookSecret}}}, nil)
	w.api.must("PUT", "/api/v1/alert-rules", obj{"rules": []obj{{"scope": "fleet", "code": "host_silent", "threshold": 0}}}, nil)
	repository := w.addRepository("nas", repositorySpec{})
	source = files(t, 3)
	one = w.addHost("web-1", repository, []string{source})
	two = w.addHost("web-2", repository, []string{files(t, 3)})
	one.backUp("succeeded")
	two.backUp("succeeded")
	return w, receiver, source, one, two
}

// noAlert demands that none is open.
func (w *world) noAlert() {
	w.t.Helper()
	var page struct{ Alerts []struct{ Code string } }
	w.api.must("GET", "/api/v1/alerts", nil, &page)
	if len(page.Alerts) > 0 {
		w.t.Errorf("alerts that are left: %+v", page.Alerts)
	}
}

// It takes some minutes, most of them the patience of the evaluation.
func TestASilentHostAndAFailureAreToldAndTakenBack(t *testing.T) {
	t.Parallel()
	w, receiver, source, one, two := alarmed(t)
	// A failure: what it backs up is gone.
	away := source + ".away"
	if err := os.Rename(source, away); err != nil {
		t.Fatal(err)
	}
	lost := w.finished(one.runNow().ID, 3*time.Minute)
	// Meanwhile the other machine loses its power.
	two.agent.kill()
	receiver.wait(t, "raised host_silent/1")
	code := "job_failed"
	if lost.Outcome.Result == "warning" {
		code = "source_missing"
	}
	receiver.wait(t, "raised "+code+"/1")
	if err := os.Rename(away, source); err != nil {
		t.Fatal(err)
	}
	two.agent.again()
	two.waitOnline()
	one.backUp("succeeded")
	receiver.wait(t, "resolved "+code+"/1")
	receiver.wait(t, "resolved host_silent/1")
	w.noAlert()
}

// It takes some minutes, most of them restic's patience and that of the evaluation.
func TestADeadRepositoryIsToldOnceForAllItsHostsAndTakenBack(t *testing.T) {
	t.Parallel()
	w, receiver, _, one, two := alarmed(t)
	w.rest.Stop()
	first, second := one.runNow(), two.runNow()
	for _, j := range []job{first, second} {
		if j = w.finished(j.ID, 40*time.Minute); j.Outcome.Result != "failed" || j.Outcome.Code != "repo_unreachable" {
			t.Fatalf("the backup ended as %s (%s: %s)", j.Outcome.Result, j.Outcome.Code, j.Outcome.Message)
		}
	}
	receiver.wait(t, "raised repository_unreachable/") // of the first of them, or of both
	var page struct {
		Alerts []struct {
			Code  string
			Total int `json:"objects_total"`
		}
	}
	eventually(t, "one alert speaks of both hosts", time.Minute, func() bool {
		return w.api.call("GET", "/api/v1/alerts", nil, &page) == nil && len(page.Alerts) == 1 && page.Alerts[0].Total == 2
	})
	w.rest.Start()
	one.backUp("succeeded")
	two.backUp("succeeded")
	receiver.wait(t, "resolved repository_unreachable/")
	if n := receiver.count("raised repository_unreachable"); n != 1 {
		t.Errorf("a dead repository was raised %d times, want once", n)
	}
	w.noAlert()
}
