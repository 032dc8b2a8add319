//go:build !windows

package e2e_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"restic-manager/restic/restictest"
)

// behind starts a world whose public address is that of a proxy which configure
// starts in front of it.
func behind(t *testing.T, configure func(front, back string)) *world {
	t.Helper()
	front, back := restictest.FreeAddr(t), restictest.FreeAddr(t)
	configure(front, back)
	eventually(t, "the proxy listens", time.Minute, func() bool {
		c, err := net.Dial("tcp", front)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return newWorld(t, waiting, withAddr(back), withPublicURL("http://"+front, nil), withServerArgs("--trusted-proxies", "127.0.0.1"))
}

func nginx(t *testing.T, front, back string) {
	t.Helper()
	dir := t.TempDir()
	conf := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log stderr; worker_processes 1;
events { worker_connections 256; }
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server {
		listen %[2]s;
		location / { proxy_pass http://%[3]s; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; }
	}
}`, dir, front, back)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, "nginx", nil, restictest.Program(t, "nginx"), "-p", dir, "-c", path)
}

// haproxy cuts what is silent for the seconds given, which no default prevents.
func haproxy(t *testing.T, front, back string, seconds int) {
	t.Helper()
	conf := fmt.Sprintf(`global
	maxconn 256
defaults
	mode http
	timeout connect 5s
	timeout client %[3]ds
	timeout server %[3]ds
frontend f
	bind %[1]s
	default_backend b
backend b
	option forwardfor
	server s %[2]s
`, front, back, seconds)
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, "haproxy", nil, restictest.Program(t, "haproxy"), "-db", "-f", path)
}

func TestABackupThroughNginxAndHAProxyWithTheirDefaults(t *testing.T) {
	t.Parallel()
	for name, proxy := range map[string]func(t *testing.T, front, back string){
		"nginx":           nginx,
		"HAProxy at 30 s": func(t *testing.T, front, back string) { haproxy(t, front, back, 30) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := behind(t, func(front, back string) { proxy(t, front, back) })
			h := w.addHost("web-1", w.addRepository("nas", repositorySpec{}), []string{files(t, 50)})
			h.backUp("succeeded")
			w.idle(h, 30*time.Second)
			h.backUp("succeeded")
		})
	}
}

func TestAProxyThatCutsEarlyTeachesTheAgentAShorterHold(t *testing.T) {
	t.Parallel()
	w := behind(t, func(front, back string) { haproxy(t, front, back, 15) })
	h := w.addHost("web-1", w.addRepository("nas", repositorySpec{}), []string{files(t, 50)})
	h.backUp("succeeded")
	eventually(t, "the agent has learned", 2*time.Minute, func() bool { return strings.Contains(h.agent.log.String(), "server reached again") })
	w.idle(h, 30*time.Second)
	if n := strings.Count(h.agent.log.String(), "server not reached"); n != 1 {
		t.Errorf("the agent lost the server %d times, want once", n)
	}
	h.backUp("succeeded")
}

// idle watches for a while that the host stays online with nothing to do.
func (w *world) idle(h *host, d time.Duration) {
	w.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); <-time.After(time.Second) {
		var seen struct{ Presence string }
		w.api.must("GET", "/api/v1/hosts/"+h.id, nil, &seen)
		if seen.Presence != "online" {
			w.t.Fatalf("the host is %s", seen.Presence)
		}
	}
}

// authority signs certificates for names that exist nowhere.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", true)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) sign(name string, isCA bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: isCA, BasicConstraintsValid: true,
	}
	parent, signer := a.cert, a.key
	if isCA {
		c.KeyUsage, parent, signer = x509.KeyUsageCertSign, c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(a.path(file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c, key
}

// connectProxy lets nobody through without name and password, and knows the only
// ways to the made-up names.
type connectProxy struct {
	addr  string
	names map[string]string // host:port → loopback address

	mu      sync.Mutex
	through map[string]int // tunnels by host:port
	refused int
}

const proxyUser, proxyPassword = "proxy-user", "proxy-password"

func newConnectProxy(t *testing.T, names map[string]string) *connectProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &connectProxy{addr: l.Addr().String(), names: names, through: map[string]int{}}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *connectProxy) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+proxyPassword))
	back := p.names[r.Host]
	switch {
	case r.Header.Get("Proxy-Authorization") != want:
		p.mu.Lock()
		p.refused++
		p.mu.Unlock()
		fmt.Fprint(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\nContent-Type: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return
	case r.Method != http.MethodConnect || back == "":
		fmt.Fprint(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return
	}
	to, err := net.Dial("tcp", back)
	if err != nil {
		return
	}
	defer to.Close()
	p.mu.Lock()
	p.through[r.Host]++
	p.mu.Unlock()
	fmt.Fprint(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		io.Copy(to, in)
		to.Close()
	}()
	io.Copy(c, to)
}

func TestAgentAndResticGoThroughAnAuthenticatingProxyOverTLS(t *testing.T) {
	t.Parallel()
	work(t)
	ca := newAuthority(t)
	ca.sign("server.test", false)
	ca.sign("nas.test", false)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	addr := restictest.FreeAddr(t)
	direct := &http.Client{Transport: &http.Transport{ // the test itself needs no proxy
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	}}
	w := newWorld(t, withAddr(addr), withPublicURL("https://server.test", direct), withRest(restictest.WithTLS(ca.path("nas.test.pem"), ca.path("nas.test.key"))),
		withServerArgs("--tls-certificate", ca.path("server.test.pem"), "--tls-key", ca.path("server.test.key")))
	p := newConnectProxy(t, map[string]string{"server.test:443": addr, "nas.test:8000": w.rest.Addr})

	source := files(t, 100)
	repository := w.addRepository("nas", repositorySpec{location: "rest:https://nas.test:8000/" + w.rest.User + "/nas/"})
	proxy := "http://" + proxyUser + ":" + proxyPassword + "@" + p.addr
	h := w.addHost("web-1", repository, []string{source}, withAgentEnv(
		"RM_AGENT_PROXY="+proxy, "RM_AGENT_CA_FILE="+ca.path("ca.pem"), "RM_AGENT_RESTIC_PROXY="+proxy, "RM_AGENT_RESTIC_CA_FILE="+ca.path("ca.pem")))
	j := h.backUp("succeeded")

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.through["server.test:443"] == 0 || p.through["nas.test:8000"] == 0 || p.refused > 0 {
		t.Errorf("tunnels %v, %d refused", p.through, p.refused)
	}
	for _, text := range []string{w.log(j.ID), h.agent.log.String(), w.server.log.String()} {
		if strings.Contains(text, proxyPassword) || strings.Contains(text, w.rest.Password) {
			t.Error("a log holds a password")
		}
	}
}

func TestASelfMadeCertificateIsPinnedByTheEnrolmentLine(t *testing.T) {
	t.Parallel()
	work(t)
	addr := restictest.FreeAddr(t)
	open := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	w := newWorld(t, withAddr(addr), withPublicURL("https://"+addr, open), withServerArgs("--tls-self-made"))
	h, line := w.makeHost("web-1", w.addRepository("nas", repositorySpec{}), []string{files(t, 10)})
	if !strings.Contains(line, "--pin") {
		t.Fatalf("no pin in %s", line)
	}
	_, wrong, _ := strings.Cut(line, "--pin ")
	wrong, _, _ = strings.Cut(wrong, " ")
	cmd := exec.Command("/bin/sh", "-c", strings.Replace(line, wrong, "'sha256:"+strings.Repeat("A", 43)+"='", 1))
	cmd.Env = append(append(os.Environ(), h.env...), "PATH="+programs+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("a wrong pin was taken: %s", out)
	}
	h.paste(line)
	h.startAgent()
	h.backUp("succeeded")
}
