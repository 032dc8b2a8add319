package control

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestEnrolmentIsNotSigned(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the request is signed")
		}
		answer(w, `,"host_id":"h","host_name":"n"`)
	})
	got, err := mustLink(t, Options{Server: s.URL}).Enrol(t.Context(), EnrolRequest{Token: "t"})
	if err != nil || got.HostId != "h" {
		t.Errorf("enrolled as %+v, %v", got, err)
	}
}

func TestSecretsArriveAsSecrets(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answer(w, `,"secrets":[{"id":"s","version":2,"username":"u","value":"hunter2"}]`)
	})
	got, err := mustLink(t, Options{Server: s.URL}).FetchSecrets(t.Context(), SecretsRequest{})
	if err != nil || len(got) != 1 || got[0].Value.Reveal() != "hunter2" || got[0].Username != "u" {
		t.Fatalf("fetched %v, %v", got, err)
	}
	if text := fmt.Sprintf("%+v", got); strings.Contains(text, "hunter2") {
		t.Errorf("printed as %s", text)
	}
}

func TestArtifactPartsSayWhereToGoOn(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || r.URL.Path != "/agent/v1/jobs/j/artifacts/snapshots" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		if r.URL.Query().Get("offset") != "0" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(409)
			fmt.Fprint(w, `{"type":"urn:restic-manager:problem:artifact_offset","title":"No","status":409,"code":"artifact_offset","retryable":true,"expected_offset":7}`)
			return
		}
		if body := plain(t, r); string(body) != "part" || r.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("body %q as %s", body, r.Header.Get("Content-Type"))
		}
		answer(w, `,"next_offset":4,"complete":true`)
	})
	l := mustLink(t, Options{Server: s.URL})
	got, err := l.PutArtifact(t.Context(), "j", "snapshots", PutArtifactParams{Last: true}, []byte("part"))
	if err != nil || got.NextOffset != 4 || !got.Complete {
		t.Errorf("answer %+v, %v", got, err)
	}
	_, err = l.PutArtifact(t.Context(), "j", "snapshots", PutArtifactParams{Offset: 9}, []byte("part"))
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.ExpectedOffset != 7 {
		t.Errorf("error is %v, want where to go on", err)
	}
}

func TestClosingNamesTheSession(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/agent/v1/sessions/s-1/close" {
			t.Errorf("path %s", r.URL.Path)
		}
		answer(w, "")
	})
	if err := mustLink(t, Options{Server: s.URL}).CloseSession(t.Context(), "s-1"); err != nil {
		t.Error(err)
	}
}
