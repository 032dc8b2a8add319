package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"restic-manager/restic"
)

func TestRequestsAreWhatBoxesInBetweenTake(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength <= 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("length %d, encoding %v; want a known length", r.ContentLength, r.TransferEncoding)
		}
		for name, want := range map[string]string{
			"Authorization": "Bearer host-1." + secretText, "Cache-Control": "no-store",
			"Content-Type": "application/json", "Expect": "", "User-Agent": "agent/1",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if r.Proto != "HTTP/1.1" || r.Header.Get("Idempotency-Key") == "" || r.URL.Path != "/rm/agent/v1/reports" {
			t.Errorf("%s %s, key %q", r.Proto, r.URL, r.Header.Get("Idempotency-Key"))
		}
		answer(w, `,"items":[]`)
	})
	l := mustLink(t, Options{Server: s.URL + "/rm", UserAgent: "agent/1"})
	if _, err := report(t, l, ReportRequest{}); err != nil {
		t.Error(err)
	}
}

func TestOptionsThatCannotBeAreExplainedWithoutSecrets(t *testing.T) {
	const password = "pr0xy-pass"
	tests := map[string]struct {
		options Options
		want    string
	}{
		"no address":          {Options{}, "not a URL"},
		"another scheme":      {Options{Server: "ftp://x"}, "use https"},
		"not encrypted":       {Options{Server: "http://backup.example.org"}, "not encrypted"},
		"a user":              {Options{Server: "https://u:" + password + "@x"}, "must have no user"},
		"a query":             {Options{Server: "https://x/?a=b"}, "must have no user, query"},
		"a bad pin":           {Options{Server: "https://x", Pin: "abc"}, "not a SHA-256"},
		"a missing CA":        {Options{Server: "https://x", CAFile: "/nonexistent"}, "CA file"},
		"a proxy of no kind":  {Options{Server: "https://x", Proxy: restic.NewSecret("gopher://u:" + password + "@p:1")}, "use http, https or socks5"},
		"a proxy that is not": {Options{Server: "https://x", Proxy: restic.NewSecret("http://u:" + password + "@p:port%zz")}, "the proxy is not a URL"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := NewLink(test.options)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), password) {
				t.Errorf("error is %v, want %q and no password", err, test.want)
			}
		})
	}
	for _, address := range []string{"http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"} {
		if _, err := NewLink(Options{Server: address}); err != nil {
			t.Errorf("%s is refused: %v", address, err)
		}
	}
	if _, err := NewLink(Options{Server: "http://10.0.0.1", AllowPlainHTTP: true}); err != nil {
		t.Errorf("allowed plain HTTP is refused: %v", err)
	}
}

func TestSyncFillsInWhatTheLinkKnows(t *testing.T) {
	var got []SyncRequest
	inVirtualTime(t, nil, func(w http.ResponseWriter, r *http.Request) {
		var request SyncRequest
		if err := json.Unmarshal(plain(t, r), &request); err != nil {
			t.Error(err)
		}
		got = append(got, request)
		if len(got) == 1 {
			w.WriteHeader(502)
			return
		}
		answer(w, `,"commands":[]`)
	}, func(t *testing.T, l *Link) {
		if l.LastExchange() != nil {
			t.Error("there is a last exchange before the first")
		}
		if _, err := l.Sync(t.Context(), SyncRequest{}); err == nil {
			t.Error("a 502 is an answer")
		}
		l.GrantWait(40 * time.Second)
		if _, err := l.Sync(t.Context(), SyncRequest{}); err != nil {
			t.Error(err)
		}
		if _, err := l.Sync(t.Context(), SyncRequest{WaitS: NoWait}); err != nil {
			t.Error(err)
		}
	})
	if got[0].WaitS != 25 || got[1].WaitS != 40 || got[2].WaitS != 0 || got[0].AgentTime.IsZero() {
		t.Errorf("waits are %d, %d, %d", got[0].WaitS, got[1].WaitS, got[2].WaitS)
	}
	if last := got[1].LastExchange; got[0].LastExchange != nil || last.Kind != "not_ours" || last.Status != 502 || last.HoldS != 25 {
		t.Errorf("the last exchange is %+v", last)
	}
	if last := got[2].LastExchange; last.Kind != "ok" || last.Status != 200 {
		t.Errorf("the last exchange is %+v", last)
	}
}

func TestSyncEndsAWhileAfterItsHold(t *testing.T) {
	release := make(chan struct{})
	inVirtualTime(t, nil, func(_ http.ResponseWriter, r *http.Request) { <-release }, func(t *testing.T, l *Link) {
		release = make(chan struct{})
		_, err := l.Sync(t.Context(), SyncRequest{})
		var transport *TransportError
		if !errors.As(err, &transport) || transport.Kind != Timeout || transport.Elapsed != 40*time.Second {
			t.Errorf("error is %v, want a time-out after 40 s", err)
		}
		close(release)
	})
}

func TestCallerEndsARequest(t *testing.T) {
	inVirtualTime(t, nil, func(_ http.ResponseWriter, r *http.Request) {
		plain(t, r) // a server notices that a client is gone once it has the body
		<-r.Context().Done()
	}, func(t *testing.T, l *Link) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := l.Sync(ctx, SyncRequest{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want that it was cancelled", err)
		}
		if l.LastExchange() != nil {
			t.Errorf("the agent's own doing is told as %+v", l.LastExchange())
		}
	})
}

func TestClockOffsetComesFromQuickExchanges(t *testing.T) {
	slow := false
	inVirtualTime(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		pause := time.Second
		if slow {
			pause = time.Minute
		}
		time.Sleep(pause) // virtual
		fmt.Fprintf(w, `{"protocol":"restic-manager/1","items":[],"server_time":%q}`,
			time.Now().Add(time.Hour).Format(time.RFC3339Nano))
	}, func(t *testing.T, l *Link) {
		if _, known := l.ClockOffset(); known {
			t.Error("an offset is known before the first answer")
		}
		for _, slow = range []bool{false, true} {
			if _, err := report(t, l, ReportRequest{}); err != nil {
				t.Error(err)
			}
			if offset, known := l.ClockOffset(); !known || offset != time.Hour+time.Second/2 {
				t.Errorf("offset is %s, %t", offset, known)
			}
		}
	})
}
