package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
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
	transport := &http.Transport{
		Proxy:                 c.storageProxy,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 20 * time.Second,
		IdleConnTimeout:       10 * time.Second,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if c.ResticCAFile != "" {
		pem, err := os.ReadFile(c.ResticCAFile)
		if err != nil {
			return nil, fmt.Errorf("restic_ca_file: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, errors.New("restic_ca_file: the file holds no certificate in PEM form")
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	return &http.Client{
		Transport:     transport,
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// storageProxy follows restic's rule that names of this machine are never proxied.
func (c Config) storageProxy(r *http.Request) (*url.URL, error) {
	switch proxy := c.ResticProxy.Reveal(); {
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
