package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/runner"
	"restic-manager/restic"
)

// TestTheDoctorSaysInPlainWordsWhatIsWrongWithACertificate has a server and a storage
// with every wrong one, and looks that no words of a library are what a person reads.
func TestTheDoctorSaysInPlainWordsWhatIsWrongWithACertificate(t *testing.T) {
	now := time.Now()
	tests := []struct {
		name    string
		cert    x509.Certificate
		trusted bool
		says    string
		next    string
	}{
		{"unknown", x509.Certificate{NotAfter: now.Add(time.Hour)}, false, "self-made, or signed by an authority that this machine does not know", "ca_file to the PEM file"},
		{"another name", x509.Certificate{NotAfter: now.Add(time.Hour), IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}, DNSNames: []string{"nas.test"}}, true,
			`is not for "127.0.0.1" but for "nas.test", "192.0.2.1"`, "use a name that the certificate has"},
		{"expired", x509.Certificate{NotAfter: now.Add(-time.Hour)}, true, "its certificate expired on " + day(now.Add(-time.Hour)), "renewed"},
		{"not yet", x509.Certificate{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}, true, "is not valid before " + day(now.Add(time.Hour)), "clock"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server, ca := certified(t, test.cert)
			config := Config{Server: server.URL, Proxy: restic.NewSecret(noProxy), ResticProxy: restic.NewSecret(noProxy)}
			if test.trusted {
				config.CAFile, config.ResticCAFile = ca, ca
			}
			x := &examination{config: config, identity: Identity{HostID: modelHost, Secret: newAgentSecret()}}
			x.server(t.Context())
			location, err := restic.ParseLocation("rest:" + server.URL + "/web-1/")
			if err != nil {
				t.Fatal(err)
			}
			x.storage(t.Context(), runner.Repository{Name: "nas", Location: location})
			if len(x.findings) != 2 {
				t.Fatalf("found %+v", x.findings)
			}
			for _, f := range x.findings {
				if f.Verdict != Bad || !strings.Contains(f.Says, test.says) || !strings.Contains(f.Next, test.next) || strings.Contains(f.Says, "x509") {
					t.Errorf("found %+v, want %q and %q", f, test.says, test.next)
				}
			}
		})
	}
}

func TestTheDoctorKnowsAServerWithoutTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	defer server.Close()
	x := &examination{config: Config{Server: "https" + strings.TrimPrefix(server.URL, "http"), Proxy: restic.NewSecret(noProxy)}}
	x.server(t.Context())
	if len(x.findings) != 1 || !strings.Contains(x.findings[0].Says, "does not speak TLS") {
		t.Errorf("found %+v", x.findings)
	}
}

// certified is a server with a self-made certificate, which is also in a file.
func certified(t *testing.T, template x509.Certificate) (server *httptest.Server, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: "test"}
	template.IsCA, template.BasicConstraintsValid = true, true
	if template.IPAddresses == nil {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-24 * time.Hour)
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	server = httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, file
}

func TestTheLogSaysInPlainWordsWhyTheServerIsNotTrusted(t *testing.T) {
	server, ca := certified(t, x509.Certificate{NotAfter: time.Now().Add(-time.Hour)})
	config := Config{Server: server.URL, Proxy: restic.NewSecret(noProxy), CAFile: ca}
	link, err := control.NewLink(config.linkOptions(Identity{HostID: modelHost, Secret: newAgentSecret()}, "", nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	_, err = link.Sync(t.Context(), control.SyncRequest{WaitS: control.NoWait})
	var log strings.Builder
	a := &Agent{log: slog.New(slog.NewTextHandler(&log, nil))}
	a.noteTrouble(err)
	a.noteTrouble(err)
	if said := log.String(); strings.Count(said, "its certificate expired on") != 1 || !strings.Contains(said, "next=\"have the certificate renewed") || strings.Contains(said, "x509") {
		t.Errorf("the log says %s", said)
	}
}
