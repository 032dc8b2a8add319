package deploy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restic-manager/restic/restictest"
)

// The samples are run as they stand, but for addresses, files and the certificate.
func TestTheNginxSamplePassesWhatTheServerNeeds(t *testing.T) {
	nginx := restictest.Program(t, "nginx")
	site, addr, dir := newBackend(t), restictest.FreeAddr(t), t.TempDir()
	workers := "worker_processes 1;"
	if os.Geteuid() == 0 {
		workers += " user root;" // another user cannot write below the test's directory
	}
	config := sample(t, "proxy/nginx.conf", map[string]string{
		"listen 443 ssl;":                         "listen " + addr + " ssl;",
		"server 127.0.0.1:8080;":                  "server " + site.Listener.Addr().String() + ";",
		"/etc/ssl/backup.example.org.pem":         filepath.Join(dir, "both.pem"),
		"/etc/ssl/private/backup.example.org.key": filepath.Join(dir, "both.pem"),
		"worker_processes auto;":                  workers,
		"worker_rlimit_nofile 65536;":             "",
		"worker_connections 16384;":               "worker_connections 256;",
		"http {\n    upstream": "http {\n    client_body_temp_path " + dir + "/b; proxy_temp_path " + dir + "/p; fastcgi_temp_path " + dir + "/f;" +
			" uwsgi_temp_path " + dir + "/u; scgi_temp_path " + dir + "/s;\n    upstream",
	})
	writeCertificate(t, filepath.Join(dir, "both.pem"))
	path := write(t, dir, "nginx.conf", config)
	start(t, nginx, "-p", dir, "-c", path, "-e", "stderr", "-g", "daemon off; pid "+dir+"/pid;")
	checkProxy(t, site, addr)
}

func TestTheHAProxySamplePassesWhatTheServerNeeds(t *testing.T) {
	haproxy := restictest.Program(t, "haproxy")
	site, addr, dir := newBackend(t), restictest.FreeAddr(t), t.TempDir()
	config := sample(t, "proxy/haproxy.cfg", map[string]string{
		"bind :443 ":                           "bind " + addr + " ",
		"127.0.0.1:8080 check":                 site.Listener.Addr().String() + " check",
		"/etc/ssl/backup.example.org.both.pem": filepath.Join(dir, "both.pem"),
		"maxconn 20000":                        "maxconn 100",
	})
	writeCertificate(t, filepath.Join(dir, "both.pem"))
	path := write(t, dir, "haproxy.cfg", config)
	start(t, haproxy, "-db", "-f", path)
	checkProxy(t, site, addr)
}

// checkProxy sends what browsers and agents send and looks at what arrives.
func checkProxy(t *testing.T, site *backend, addr string) {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the certificate is made for this test
	}}
	defer client.CloseIdleConnections()
	url := "https://" + addr
	waitFor(t, func() error {
		answer, err := client.Get(url + "/readyz")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %s", answer.Status)
		}
		return nil
	})

	body := bytes.Repeat([]byte("x"), 512<<10)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/agent/v1/reports?wait=2", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "backup.example.org"
	request.Header.Set("X-Forwarded-For", "203.0.113.9") // by somebody who would like to be somebody else
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || string(text) != "waited" {
		t.Fatalf("a parked report of 512 KiB was answered %s: %.200s", answer.Status, text)
	}
	got := <-site.got
	hops := strings.Split(strings.Join(got.header.Values("X-Forwarded-For"), ","), ",")
	if last := strings.TrimSpace(hops[len(hops)-1]); last != "127.0.0.1" {
		t.Errorf("X-Forwarded-For ends with %q, want the client's address", last)
	}
	if got.host != "backup.example.org" || got.header.Get("X-Forwarded-Proto") != "https" || got.bytes != len(body) || got.proto != "HTTP/1.1" {
		t.Errorf("arrived: host %s, proto %s over %s, %d bytes", got.host, got.header.Get("X-Forwarded-Proto"), got.proto, got.bytes)
	}
}

// backend is the server behind the proxy.
type backend struct {
	*httptest.Server
	got chan arrived
}

type arrived struct {
	host, proto string
	header      http.Header
	bytes       int
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{got: make(chan arrived, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /agent/v1/reports", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		b.got <- arrived{r.Host, r.Proto, r.Header, len(body)}
		select {
		case <-time.After(2 * time.Second): // parked
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "waited")
	})
	b.Server = httptest.NewServer(mux)
	t.Cleanup(b.Close)
	return b
}

// sample reads an embedded sample and replaces each text, which must be there once.
func sample(t *testing.T, name string, changes map[string]string) string {
	t.Helper()
	content, err := Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for from, to := range changes {
		if !strings.Contains(text, from) {
			t.Fatalf("%s lacks %q", name, from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	return text
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs a proxy in the foreground until the test ends.
func start(t *testing.T, name string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // ended by the test's context
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), &said)
		}
	})
}

func waitFor(t *testing.T, try func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not ready in time: %v", err)
		}
	}
}

func writeCertificate(t *testing.T, path string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"backup.example.org"}}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var both bytes.Buffer
	_ = pem.Encode(&both, &pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	_ = pem.Encode(&both, &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	if err := os.WriteFile(path, both.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
