package control

import (
	"fmt"
	"time"
)

// Kind says how an exchange failed without a word from the server.
type Kind string

// The kinds, as LastExchange carries them.
const (
	Cut       Kind = "cut"        // the connection ended in the middle, or the answer did
	Timeout   Kind = "timeout"    // nothing came in time
	Refused   Kind = "refused"    // no connection: refused, no route, no such name
	NotOurs   Kind = "not_ours"   // somebody else answered
	ProxyAuth Kind = "proxy_auth" // the proxy wants other credentials
	TLS       Kind = "tls"        // no trust in the server's certificate, or no TLS at all
	Redirect  Kind = "redirect"   // sent elsewhere; agents do not follow
)

// TransportError is an exchange that failed without a word from the server.
type TransportError struct {
	Kind    Kind
	Status  int // of the answer that was not ours, else 0
	Elapsed time.Duration
	Err     error // the cause; never with a secret
}

func (e *TransportError) Error() string { panic("todo") }

func (e *TransportError) Unwrap() error { return e.Err }

// Refusal is the server's problem document.
type Refusal struct {
	Problem
	RetryAfter time.Duration // 0 when the server named none
}

func (e *Refusal) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Title) }

// IsRefusal reports whether err is the server's problem with that code.
func IsRefusal(err error, code string) bool { panic("todo") }
