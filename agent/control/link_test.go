package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"

	"restic-manager/restic"
)

const secretText = "k3ep-this-0ne"

// mustLink makes a link to the server.
func mustLink(t *testing.T, o Options) *Link {
	t.Helper()
	if o.HostID == "" {
		o.HostID, o.Secret = "host-1", restic.NewSecret(secretText)
	}
	if o.Proxy.IsZero() {
		o.Proxy = restic.NewSecret(noProxy)
	}
	if o.Rand == nil {
		o.Rand = func() float64 { return 0 }
	}
	l, err := NewLink(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// serve starts a server that answers by handle.
func serve(t *testing.T, handle http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s
}

// answer writes a 200 of ours with the members given, besides those of every answer.
func answer(w http.ResponseWriter, members string) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"protocol":"restic-manager/1","server_time":%q%s}`, time.Now().UTC().Format(time.RFC3339Nano), members)
}

// refuse writes a problem of ours.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"urn:restic-manager:problem:%s","title":"No","status":%d,"code":%q,"retryable":false}`, code, status, code)
}

// plain reads a request's body, whatever its encoding.
func plain(t *testing.T, r *http.Request) []byte {
	t.Helper()
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return nil
		}
		body = z
	}
	data, err := io.ReadAll(body)
	if err != nil {
		t.Error(err)
	}
	return data
}

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
		"a redirect":               {handle: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", 302) }, kind: Redirect, status: 302},
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
			_, err := l.Report(t.Context(), ReportRequest{})
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
	_, err := mustLink(t, Options{Server: address}).Report(t.Context(), ReportRequest{})
	var transport *TransportError
	if !errors.As(err, &transport) || transport.Kind != Refused {
		t.Errorf("error is %v, want refused", err)
	}
}

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
	if _, err := l.Report(t.Context(), ReportRequest{}); err != nil {
		t.Error(err)
	}
}

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

// pipes is a network of pipes: a listener and the way to dial it, for virtual time.
type pipes struct {
	calls chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.calls:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.calls <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inVirtualTime runs f in a bubble with a link to a server that answers by handle.
func inVirtualTime(t *testing.T, memory Memory, handle http.HandlerFunc, f func(t *testing.T, l *Link)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		server := &http.Server{Handler: handle}
		go server.Serve(network)
		l := mustLink(t, Options{Server: "http://localhost", Dial: network.dial, Memory: memory})
		f(t, l)
		l.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
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
			if _, err := l.Report(t.Context(), ReportRequest{}); err != nil {
				t.Error(err)
			}
			if offset, known := l.ClockOffset(); !known || offset != time.Hour+time.Second/2 {
				t.Errorf("offset is %s, %t", offset, known)
			}
		}
	})
}

func TestRetriesAreFewAndObeyTheServer(t *testing.T) {
	tests := map[string]struct {
		handle func(attempt int, w http.ResponseWriter)
		calls  int
		took   time.Duration
		failed bool
	}{
		"busy twice": {func(n int, w http.ResponseWriter) {
			if n <= 2 {
				w.Header().Set("Retry-After", "7")
				refuse(w, 503, "unavailable")
				return
			}
			answer(w, "")
		}, 3, 14 * time.Second, false},
		"a refusal": {func(_ int, w http.ResponseWriter) { refuse(w, 401, "credential_unknown") }, 1, 0, true},
		"too many requests for ever": {func(_ int, w http.ResponseWriter) {
			w.Header().Set("Retry-After", "100000")
			refuse(w, 429, "too_many_requests")
		}, 4, 15 * time.Minute, true},
		"a cut": {func(n int, w http.ResponseWriter) {
			if n == 1 {
				panic(http.ErrAbortHandler)
			}
			answer(w, "")
		}, 2, time.Second / 2, false},
		"a gateway that is down": {func(_ int, w http.ResponseWriter) { w.WriteHeader(502) }, 4, 3500 * time.Millisecond, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			calls, keys := 0, map[string]bool{}
			inVirtualTime(t, nil, func(w http.ResponseWriter, r *http.Request) {
				calls++
				keys[r.Header.Get("Idempotency-Key")] = true
				if len(plain(t, r)) == 0 {
					t.Error("a repeat has no body")
				}
				test.handle(calls, w)
			}, func(t *testing.T, l *Link) {
				began := time.Now()
				err := l.Rotate(t.Context(), CredentialRotation{})
				if (err != nil) != test.failed || calls != test.calls || time.Since(began) != test.took || len(keys) != 1 {
					t.Errorf("%d calls with %d keys in %s, error %v; want %d in %s", calls, len(keys), time.Since(began), err, test.calls, test.took)
				}
			})
		})
	}
}
