package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"restic-manager/restic"
	"restic-manager/server"
	"restic-manager/server/store/storetest"
)

// options is a server that listens on loopback and hashes cheaply.
func options(t testing.TB) server.Options {
	t.Helper()
	o := server.Defaults()
	o.Listen, o.DataDir = "127.0.0.1:0", filepath.Join(t.TempDir(), "data")
	o.PasswordMemory, o.PasswordRounds = 19, 2
	return o
}

// running is a server that runs until the test ends or stop is called.
type running struct {
	*server.Server
	t      testing.TB
	log    *safeBuffer
	cancel context.CancelFunc
	ended  chan error
	client *http.Client
}

func start(t testing.TB, o server.Options) *running {
	t.Helper()
	r := &running{t: t, log: &safeBuffer{}, ended: make(chan error, 1)}
	s, err := server.New(t.Context(), o, "test", r.log)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = s
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- s.Run(ctx) }()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.client = &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		r.stop()
	})
	return r
}

// stop ends the server in order; later calls do nothing.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	if r.ended == nil {
		return
	}
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("the server ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		r.t.Error("the server does not end")
	}
	r.ended = nil
}

// send asks for something and wants a status.
func (r *running) send(status int, method, path string, body any) []byte {
	r.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.URL()+path, bytes.NewReader(text))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		r.t.Fatalf("%s %s: %d %s, %v", method, path, res.StatusCode, got, err)
	}
	return got
}

func (r *running) setUp(o server.Options) {
	r.t.Helper()
	code, err := server.SetupCode(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.send(http.StatusCreated, "POST", "/api/v1/setup", map[string]string{"code": code, "name": "admin", "password": "a long password"})
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestAServerStopsInOrderAndComesBack(t *testing.T) {
	o := options(t)
	first := start(t, o)
	first.setUp(o)
	if page := first.send(http.StatusOK, "GET", "/", nil); !bytes.Contains(page, []byte("<html")) {
		t.Errorf("no page: %.200s", page)
	}
	var feed struct{ Cursor int64 }
	if err := json.Unmarshal(first.send(http.StatusOK, "GET", "/api/v1/changes", nil), &feed); err != nil {
		t.Fatal(err)
	}
	parked := make(chan []byte, 1)
	go func() {
		parked <- first.send(http.StatusOK, "GET", fmt.Sprintf("/api/v1/changes?since=%d&topics=users&wait=30", feed.Cursor), nil)
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for first.Parked() == 0 {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the request was never parked")
		}
	}
	began := time.Now()
	first.stop()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("stopping took %s: the parked request was waited for", took)
	}
	select {
	case <-parked:
	case <-time.After(5 * time.Second):
		t.Error("the parked request got no answer")
	}

	second := start(t, o)
	second.send(http.StatusOK, "POST", "/api/v1/sign-in", map[string]string{"name": "admin", "password": "a long password"})
	if strings.Contains(second.log.String(), "set-up code") {
		t.Error("the set-up opened again")
	}
}

func TestTheSelfMadeCertificateIsInTheLine(t *testing.T) {
	o := options(t)
	o.TLSSelfMade = true
	r := start(t, o)
	r.setUp(o)
	pin := r.pin()
	made := r.send(http.StatusCreated, "POST", "/api/v1/hosts", map[string]string{"name": "web-1"})
	var answer struct {
		Enrolment struct {
			Line string `json:"line_linux"`
		}
	}
	if err := json.Unmarshal(made, &answer); err != nil {
		t.Fatal(err)
	}
	if want := " --server " + r.URL() + " --pin " + pin + " "; !strings.Contains(answer.Enrolment.Line, want) || !strings.HasPrefix(r.URL(), "https://127.0.0.1:") {
		t.Errorf("%q is not in %s", want, answer.Enrolment.Line)
	}
	r.stop()

	t.Run("the key outlives another name and another start", func(t *testing.T) {
		o.PublicURL = "https://backup.test"
		again := start(t, o)
		res, err := again.client.Get("https://" + again.Addr() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		leaf := res.TLS.PeerCertificates[0]
		sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
		if got := "sha256:" + hex.EncodeToString(sum[:]); got != pin {
			t.Errorf("got %s, want %s", got, pin)
		}
		if err := leaf.VerifyHostname("backup.test"); err != nil {
			t.Error(err)
		}
	})
}

func TestARenewedCertificateIsShownWithoutANewStart(t *testing.T) {
	folder := t.TempDir()
	o := options(t)
	o.TLSCertificate, o.TLSKey = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	put := func(name string) {
		t.Helper()
		certificate, key := signed(t, name)
		for path, text := range map[string][]byte{o.TLSKey: key, o.TLSCertificate: certificate} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	put("first.test")
	r := start(t, o)
	r.client.Transport.(*http.Transport).DisableKeepAlives = true
	shows := func(name string) {
		t.Helper()
		res, err := r.client.Get("https://" + r.Addr() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.TLS.PeerCertificates[0].DNSNames; len(got) != 1 || got[0] != name {
			t.Errorf("the certificate is for %q, want %q", got, name)
		}
	}
	shows("first.test")
	put("renewed.test")
	shows("renewed.test")
	if err := os.WriteFile(o.TLSKey, []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	shows("renewed.test")
	if !strings.Contains(r.log.String(), "cannot be used; the one before is shown still") {
		t.Error("the log does not say that the new files cannot be used")
	}
	put("last.test")
	shows("last.test")
	if err := os.Remove(o.TLSKey); err != nil {
		t.Fatal(err)
	}
	shows("last.test")
}

// signed makes a certificate of a name, and its key, as PEM.
func signed(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pair.Public(), pair)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// pin is the pin of the certificate that the server shows.
func (r *running) pin() string {
	r.t.Helper()
	res, err := r.client.Get(r.URL() + "/healthz")
	if err != nil {
		r.t.Fatal(err)
	}
	res.Body.Close()
	sum := sha256.Sum256(res.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestTwoServersShareADatabase(t *testing.T) {
	o := options(t)
	o.Database = restic.NewSecret(storetest.PostgreSQL(t))
	first := start(t, o)
	second := start(t, o) // with the same sealing key
	first.setUp(o)
	second.send(http.StatusOK, "POST", "/api/v1/sign-in", map[string]string{"name": "admin", "password": "a long password"})
	second.send(http.StatusCreated, "POST", "/api/v1/repositories", map[string]string{"name": "r", "location": "/srv/r"})
	if list := first.send(http.StatusOK, "GET", "/api/v1/repositories", nil); !bytes.Contains(list, []byte(`"name":"r"`)) {
		t.Errorf("got %s", list)
	}

	t.Run("another sealing key is refused", func(t *testing.T) {
		other := o
		other.DataDir = t.TempDir()
		other.SealingKey = filepath.Join(other.DataDir, "k")
		if err := os.WriteFile(other.SealingKey, []byte(strings.Repeat("ab", 32)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := server.New(t.Context(), other, "test", io.Discard)
		if err == nil || !strings.Contains(err.Error(), "master_key_mismatch") {
			t.Errorf("got %v", err)
		}
		if s != nil {
			_ = s.Close()
		}
	})
}

func TestWhatIsPrintedHoldsNoSecret(t *testing.T) {
	o := options(t)
	o.LogLevel = "debug"
	r := start(t, o)
	r.setUp(o)
	r.send(http.StatusCreated, "POST", "/api/v1/repositories", map[string]string{
		"name": "r", "location": "rest:https://nas.test/r/", "password": "cAnArY-password", "username": "u", "append_secret": "cAnArY-append",
	})
	r.send(http.StatusUnauthorized, "POST", "/api/v1/sign-in", map[string]string{"name": "cAnArY-name", "password": "cAnArY-guess"})
	r.send(http.StatusUnprocessableEntity, "POST", "/api/v1/users", map[string]string{"name": "x", "password": "cAnArY", "role": "viewer"})
	r.stop()
	for _, line := range strings.Split(r.log.String(), "\n") {
		if strings.Contains(line, "cAnArY") {
			t.Errorf("printed: %s", line)
		}
	}
	if !strings.Contains(r.log.String(), "op=createRepository") {
		t.Error("the log has no request at all")
	}
}

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
