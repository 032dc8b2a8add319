package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"restic-manager/restic"
)

const (
	dialTimeout = 10 * time.Second
	tlsTimeout  = 10 * time.Second
	// idleTimeout is below the common 60 s of balancers, which would else close the
	// connection in the moment that a request is sent on it.
	idleTimeout = 50 * time.Second
	pingTimeout = 15 * time.Second
)

// noProxy in Options.Proxy goes straight to the server, whatever the environment says.
const noProxy = "none"

// serverURL checks the base URL of the server.
func serverURL(o Options) (*url.URL, error) {
	u, err := url.Parse(o.Server)
	if err != nil || u.Host == "" {
		return nil, errors.New("the server's address is not a URL like https://backup.example.org")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the server's address must have no user, query or fragment")
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !o.AllowPlainHTTP && !loopback(u.Hostname()) { //guard:server-encrypted
			return nil, fmt.Errorf("%s is not encrypted; use https, or allow plain HTTP in the configuration", u.Redacted())
		}
	default:
		return nil, fmt.Errorf("the server's address has scheme %q; use https", u.Scheme)
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	return u, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// newTransport makes the connections of one kind of request. Parked requests have
// another than the rest, so that one dead connection cannot stop both.
func newTransport(o Options) (*http.Transport, error) {
	proxy, err := proxyFunc(o.Proxy)
	if err != nil {
		return nil, err
	}
	trust, err := tlsConfig(o)
	if err != nil {
		return nil, err
	}
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: pingTimeout}).DialContext
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(o.HTTP2)
	return &http.Transport{
		Proxy:                  proxy,
		OnProxyConnectResponse: checkConnect,
		DialContext:            dial,
		TLSClientConfig:        trust,
		TLSHandshakeTimeout:    tlsTimeout,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConnsPerHost:    2,
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              protocols,
		// A connection that died silently would swallow requests for a quarter of an hour.
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingTimeout, PingTimeout: pingTimeout},
	}, nil
}

// checkConnect turns a proxy's refusal into an error that keeps its status.
func checkConnect(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{answer.StatusCode}
}

// proxyFunc never puts the proxy's URL into an error: it may hold a password.
func proxyFunc(proxy restic.Secret) (func(*http.Request) (*url.URL, error), error) {
	switch text := proxy.Reveal(); text {
	case "":
		return fromEnvironment, nil
	case noProxy:
		return nil, nil
	default:
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return nil, errors.New("the proxy is not a URL like http://user:password@proxy.example.org:3128")
		}
		switch u.Scheme {
		case "http", "https", "socks5":
			return http.ProxyURL(u), nil
		}
		return nil, fmt.Errorf("the proxy's URL has scheme %q; use http, https or socks5", u.Scheme)
	}
}

func fromEnvironment(request *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(request)
	if err != nil {
		return nil, errors.New("the proxy that the environment names is not a URL")
	}
	return u, nil
}

// tlsConfig says which servers to trust.
func tlsConfig(o Options) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pool, err := trustedRoots(o.CAFile)
		if err != nil {
			return nil, err
		}
		c.RootCAs = pool
	}
	if o.Pin == "" {
		return c, nil
	}
	pin, err := hex.DecodeString(strings.TrimPrefix(strings.ToLower(o.Pin), "sha256:"))
	if err != nil || len(pin) != sha256.Size {
		return nil, errors.New("the pin is not a SHA-256 in hex")
	}
	c.InsecureSkipVerify = true // the pin is stricter; it is checked on resumed connections too
	c.VerifyConnection = func(state tls.ConnectionState) error { return checkPin(state, pin) }
	return c, nil
}

func checkPin(state tls.ConnectionState, pin []byte) error {
	if len(state.PeerCertificates) == 0 {
		return errPin
	}
	sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
	if subtle.ConstantTimeCompare(sum[:], pin) != 1 { //guard:server-pin
		return errPin
	}
	return nil
}

func trustedRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the CA file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without certificates of its own
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the CA file %s holds no PEM certificate", file)
	}
	return pool, nil
}
