package agent

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"restic-manager/restic"
)

const noProxy = "none"

// resticConfig is what restic is started with. Its network settings are the
// configuration's, or where that says nothing, the environment's that the agent has.
func (c Config) resticConfig(binary string, getenv func(string) string) restic.Config {
	rc := restic.Config{Binary: binary, CacheDir: c.CacheDir, TempDir: c.tempDir(), CACertFile: c.ResticCAFile}
	switch proxy := c.ResticProxy.Reveal(); proxy {
	case noProxy:
	case "":
		rc.HTTPProxy = restic.NewSecret(firstOf(getenv, "HTTP_PROXY", "http_proxy"))
		rc.HTTPSProxy = restic.NewSecret(firstOf(getenv, "HTTPS_PROXY", "https_proxy"))
		rc.NoProxy = firstOf(getenv, "NO_PROXY", "no_proxy")
	default:
		rc.HTTPProxy, rc.HTTPSProxy = c.ResticProxy, c.ResticProxy
	}
	return rc
}

func firstOf(getenv func(string) string, names ...string) string {
	for _, name := range names {
		if value := getenv(name); value != "" {
			return value
		}
	}
	return ""
}

// storageClient reaches REST servers the way restic does: by the same proxy, with
// the same authorities, and following nobody elsewhere.
func (c Config) storageClient() (*http.Client, error) {
	roots, err := authorities(c.ResticCAFile)
	if err != nil {
		return nil, fmt.Errorf("restic_ca_file: %w", err)
	}
	return plainClient(proxyBy(c.ResticProxy), &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}), nil
}

// serverClient reaches the server without being the agent, to ask for the time.
func (c Config) serverClient() (*http.Client, error) {
	roots, err := authorities(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if pin := strings.TrimPrefix(c.Pin, "sha256:"); pin != "" {
		trust.InsecureSkipVerify = true // the pin is the whole check
		trust.VerifyConnection = func(state tls.ConnectionState) error {
			sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
			if hex.EncodeToString(sum[:]) != pin {
				return errors.New("the server's public key is not the pinned one")
			}
			return nil
		}
	}
	return plainClient(proxyBy(c.Proxy), trust), nil
}

func plainClient(proxy func(*http.Request) (*url.URL, error), trust *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 proxy,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 20 * time.Second,
			IdleConnTimeout:       10 * time.Second,
			TLSClientConfig:       trust,
		},
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, //guard:storage-redirect
	}
}

// authorities are the system's, with those of a PEM file; nil is the system's alone.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the file holds no certificate in PEM form")
	}
	return roots, nil
}

// proxyBy follows a setting: a URL, "none", or empty for the environment's. Names of
// this machine are never proxied, which is restic's rule too.
func proxyBy(setting restic.Secret) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		switch proxy := setting.Reveal(); {
		case proxy == noProxy:
			return nil, nil
		case proxy == "":
			return http.ProxyFromEnvironment(r)
		case loopback(r.URL.Hostname()):
			return nil, nil
		default:
			return url.Parse(proxy)
		}
	}
}
