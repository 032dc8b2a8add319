package control

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"restic-manager/restic"
)

// Options say where the server is and how to get there.
type Options struct {
	Server    string // base URL
	HostID    string // empty before enrolment
	Secret    restic.Secret
	UserAgent string

	// Proxy is the URL of a proxy, with credentials if it wants them. Empty takes
	// it from the environment; "none" uses no proxy.
	Proxy restic.Secret
	// CAFile holds PEM certificates to trust besides the system's.
	CAFile string
	// Pin is the SHA-256 of the server key's SubjectPublicKeyInfo in hex; with it,
	// that key is trusted and no other, whatever the certificate says.
	Pin string
	// AllowPlainHTTP permits http:// to other than loopback addresses.
	AllowPlainHTTP bool
	// HTTP2 lets TLS connections negotiate HTTP/2.
	HTTP2 bool

	// Memory keeps what was learned over restarts; nil forgets.
	Memory Memory
	// Dial opens connections; nil for TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Rand returns numbers in [0,1) and is safe for concurrent use; nil for math/rand.
	Rand func() float64
}

// Link is an agent's line to its server. Its methods may be called at the same
// time; Sync has connections of its own. Their errors are a *Refusal, a
// *TransportError, or the context's when that ended first; another error says that
// an answer with our marker could not be understood.
type Link struct {
	server    string
	userAgent string
	parked    *http.Client
	others    *http.Client
	retrying  *retryablehttp.Client
	hold      *hold
	encoding  encoding
	clock     clock

	mu       sync.Mutex
	hostID   string
	secret   restic.Secret
	lastSync *LastExchange
}

// NewLink checks the options. It connects nowhere.
func NewLink(o Options) (*Link, error) {
	server, err := serverURL(o)
	if err != nil {
		return nil, err
	}
	parked, err := newTransport(o)
	if err != nil {
		return nil, err
	}
	others, err := newTransport(o)
	if err != nil {
		return nil, err
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	l := &Link{
		server: server.String(), userAgent: o.UserAgent,
		parked: client(parked), others: client(others),
		hold:   newHold(o.Memory, server.String()),
		hostID: o.HostID, secret: o.Secret,
	}
	l.retrying = retryClient(l.others, o.Rand)
	return l, nil
}

// client does not follow redirects: read makes errors of them.
func client(t *http.Transport) *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, //guard:server-redirect
	}
}

// Identify sets what the agent signs in with from the next request on.
func (l *Link) Identify(hostID string, secret restic.Secret) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hostID, l.secret = hostID, secret
}

// Close gives up idle connections.
func (l *Link) Close() {
	l.parked.CloseIdleConnections()
	l.others.CloseIdleConnections()
}

// GrantWait tells the longest hold that the server permits.
func (l *Link) GrantWait(longest time.Duration) { l.hold.grant(longest) }

// LastExchange tells how the last Sync ended; nil before the first.
func (l *Link) LastExchange() *LastExchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lastSync == nil {
		return nil
	}
	last := *l.lastSync
	return &last
}

// ClockOffset estimates server time minus agent time; false before the first
// answer that came quickly.
func (l *Link) ClockOffset() (time.Duration, bool) { return l.clock.read() }

// note remembers how a Sync ended.
func (l *Link) note(began time.Time, asked time.Duration, err error) {
	last := &LastExchange{
		Kind: exchangeOK, Status: http.StatusOK,
		ElapsedMs: time.Since(began).Milliseconds(), HoldS: int(asked / time.Second),
	}
	var transport *TransportError
	var refusal *Refusal
	switch {
	case errors.As(err, &transport):
		last.Kind, last.Status, last.Message = string(transport.Kind), transport.Status, clip(err.Error(), 500)
	case errors.As(err, &refusal):
		last.Kind, last.Status, last.Message = exchangeProblem, refusal.Status, clip(refusal.Code, 500)
	case err != nil:
		return // the agent's own doing
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastSync = last
}

// clip shortens s to at most n characters.
func clip(s string, n int) string {
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n])
	}
	return s
}
