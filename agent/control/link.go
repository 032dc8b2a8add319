package control

import (
	"context"
	"net"
	"time"

	"restic-manager/restic"
)

// Options say where the server is and how to get there.
type Options struct {
	Server    string // base URL, no path needed
	HostID    string // empty before enrolment
	Secret    restic.Secret
	UserAgent string

	// Proxy is the URL of an HTTP proxy, with credentials if it wants them.
	// Empty takes it from the environment; "none" uses no proxy.
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
	// Rand returns numbers in [0,1); nil for math/rand. Called by one goroutine at a time.
	Rand func() float64
}

// Memory keeps small values over restarts.
type Memory interface {
	Value(key string) ([]byte, bool)
	SetValue(ctx context.Context, key string, value []byte) error
}

// Link is an agent's line to its server. Its methods may be called at the same
// time; Sync has a connection of its own.
type Link struct{}

// NewLink checks the options. It connects nowhere.
func NewLink(o Options) (*Link, error) { panic("todo") }

// Identify sets what the agent signs in with from the next request on.
func (l *Link) Identify(hostID string, secret restic.Secret) { panic("todo") }

// Close gives up idle connections.
func (l *Link) Close() { panic("todo") }

// Enrol turns a token into an identity. The caller passes the result to Identify.
func (l *Link) Enrol(ctx context.Context, r EnrolRequest) (*EnrolAnswer, error) { panic("todo") }

// OpenSession begins a process life.
func (l *Link) OpenSession(ctx context.Context, r SessionRequest) (*SessionAnswer, error) {
	panic("todo")
}

// Sync asks once and waits for up to the hold. It sets the request's WaitS from
// the learned hold, unless it is NoWait, and its LastExchange and agent clock.
func (l *Link) Sync(ctx context.Context, r SyncRequest) (*SyncAnswer, error) { panic("todo") }

// NoWait in SyncRequest.WaitS asks for an answer at once.
const NoWait = -1

// Report hands over records, once.
func (l *Link) Report(ctx context.Context, r ReportRequest) (*ReportAnswer, error) { panic("todo") }

// Fetched is a secret with the name it was asked by.
type Fetched struct {
	ID       string
	Version  int64
	Username string
	Value    restic.Secret
}

// FetchSecrets fetches the values behind references.
func (l *Link) FetchSecrets(ctx context.Context, r SecretsRequest) ([]Fetched, error) {
	panic("todo")
}

// Rotate tells the server the hash of the next agent secret.
func (l *Link) Rotate(ctx context.Context, r CredentialRotation) error { panic("todo") }

// CloseSession ends a session in order.
func (l *Link) CloseSession(ctx context.Context, sessionID string) error { panic("todo") }

// PutArtifact hands over one part of a large result.
func (l *Link) PutArtifact(ctx context.Context, jobID, name string, p PutArtifactParams, part []byte) (*ArtifactAnswer, error) {
	panic("todo")
}

// GrantWait tells the longest hold that the server permits.
func (l *Link) GrantWait(max time.Duration) { panic("todo") }

// LastExchange tells how the last sync ended; nil before the first.
func (l *Link) LastExchange() *LastExchange { panic("todo") }

// ClockOffset estimates server time minus agent time; false before the first answer.
func (l *Link) ClockOffset() (time.Duration, bool) { panic("todo") }
