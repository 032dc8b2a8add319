package control

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"restic-manager/restic"
)

func ours(w http.ResponseWriter, _ *http.Request) { answer(w, `,"items":[]`) }

// pinOf is the pin of a test server's key.
func pinOf(s *httptest.Server) string {
	sum := sha256.Sum256(s.Certificate().RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// caFile writes the certificate of a test server as a CA file.
func caFile(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServersAreTrustedByCAOrPin(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(ours))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	unencrypted := serve(t, ours)
	tests := map[string]struct {
		options Options
		trusted bool
	}{
		"unknown to the system":    {Options{Server: s.URL}, false},
		"in the CA file":           {Options{Server: s.URL, CAFile: caFile(t, s)}, true},
		"pinned":                   {Options{Server: s.URL, Pin: pinOf(s)}, true},
		"pinned with a prefix":     {Options{Server: s.URL, Pin: "sha256:" + strings.ToUpper(pinOf(s))}, true},
		"in the CA, other pin":     {Options{Server: s.URL, CAFile: caFile(t, s), Pin: strings.Repeat("ab", 32)}, false},
		"not TLS at all":           {Options{Server: strings.Replace(unencrypted.URL, "http:", "https:", 1)}, false},
		"pinned, HTTP/2 permitted": {Options{Server: s.URL, Pin: pinOf(s), HTTP2: true}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := mustLink(t, test.options)
			for range 2 { // the second on a resumed or kept connection
				_, err := report(t, l, ReportRequest{})
				var transport *TransportError
				switch {
				case test.trusted && err != nil:
					t.Errorf("error is %v", err)
				case !test.trusted && (!errors.As(err, &transport) || transport.Kind != TLS):
					t.Errorf("error is %v, want that it is not trusted", err)
				}
				l.Close()
			}
		})
	}
}

// connectProxy is an HTTP proxy that opens tunnels for user "u" with password "p w"
// to one address, whatever name is asked for.
type connectProxy struct {
	to      string
	mu      sync.Mutex
	tunnels []string
}

func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if user, password, ok := basic(r.Header.Get("Proxy-Authorization")); !ok || user != "u" || password != "p w" {
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect || !strings.Contains(r.Host, ".test:") {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	p.mu.Lock()
	p.tunnels = append(p.tunnels, r.Host)
	p.mu.Unlock()
	there, err := net.Dial("tcp", p.to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
	go pump(there, buffered.Reader)
	_, _ = io.Copy(here, there)
}

func pump(to net.Conn, from *bufio.Reader) {
	_, _ = io.Copy(to, from)
	_ = to.(*net.TCPConn).CloseWrite()
}

func basic(header string) (user, password string, ok bool) {
	return (&http.Request{Header: http.Header{"Authorization": {header}}}).BasicAuth()
}

func TestProxyOpensATunnelForWhomItKnows(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(ours))
	t.Cleanup(s.Close)
	proxy := &connectProxy{to: s.Listener.Addr().String()}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	through := func(user, password string) restic.Secret {
		u, err := url.Parse(front.URL)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(user, password)
		return restic.NewSecret(u.String())
	}
	tests := map[string]struct {
		server string
		proxy  restic.Secret
		kind   Kind
		status int
	}{
		"right credentials": {"https://server.test", through("u", "p w"), "", 0},
		"wrong credentials": {"https://server.test", through("u", "s3cret"), ProxyAuth, 407},
		"a refused target":  {"https://server.example", through("u", "p w"), NotOurs, 403},
		"plain HTTP, wrong": {"http://server.test", through("u", "s3cret"), ProxyAuth, 407},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := mustLink(t, Options{Server: test.server, Proxy: test.proxy, Pin: pinOf(s), AllowPlainHTTP: true})
			_, err := report(t, l, ReportRequest{})
			if test.kind == "" {
				if err != nil || len(proxy.tunnels) != 1 || proxy.tunnels[0] != "server.test:443" {
					t.Errorf("error %v, tunnels %v", err, proxy.tunnels)
				}
				return
			}
			var transport *TransportError
			if !errors.As(err, &transport) || transport.Kind != test.kind || transport.Status != test.status {
				t.Errorf("error is %v, want %s with status %d", err, test.kind, test.status)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestParkedRequestsHaveConnectionsOfTheirOwn(t *testing.T) {
	var mu sync.Mutex
	from := map[string]map[string]bool{}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if from[r.RemoteAddr] == nil {
			from[r.RemoteAddr] = map[string]bool{}
		}
		from[r.RemoteAddr][r.URL.Path] = true
		mu.Unlock()
		answer(w, `,"items":[],"commands":[]`)
	})
	l := mustLink(t, Options{Server: s.URL})
	for range 3 {
		if _, err := l.Sync(t.Context(), SyncRequest{}); err != nil {
			t.Error(err)
		}
		if _, err := report(t, l, ReportRequest{}); err != nil {
			t.Error(err)
		}
	}
	if len(from) != 2 {
		t.Errorf("%d connections, want 2", len(from))
	}
	for address, paths := range from {
		if len(paths) != 1 {
			t.Errorf("the connection from %s carried %v", address, paths)
		}
	}
}
