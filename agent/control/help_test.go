package control

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

func (p *pipes) Close() error { close(p.done); return nil }

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

// report prepares a report and sends it.
func report(t *testing.T, l *Link, r ReportRequest) (*ReportAnswer, error) {
	t.Helper()
	prepared, err := PrepareReport(r)
	if err != nil {
		t.Fatal(err)
	}
	return l.Report(t.Context(), prepared)
}
