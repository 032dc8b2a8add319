package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
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

// What LastExchange calls exchanges in which the server did speak.
const (
	exchangeOK      = "ok"
	exchangeProblem = "problem"
)

// TransportError is an exchange that failed without a word from the server.
type TransportError struct {
	Kind    Kind
	Status  int           // of the answer that was not ours, else 0
	Elapsed time.Duration // since the request began
	Hold    time.Duration // for which a parked request was to wait, else 0
	Err     error         // the cause; never with a secret
}

func (e *TransportError) Error() string {
	var b strings.Builder
	b.WriteString(e.Kind.explain())
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	fmt.Fprintf(&b, " after %s", e.Elapsed.Round(100*time.Millisecond))
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *TransportError) Unwrap() error { return e.Err }

// Ordinary reports whether this is what boxes do to requests that are parked for
// long, and no sign of trouble.
func (e *TransportError) Ordinary() bool {
	return e.Hold > 0 && e.Elapsed >= e.Hold/2 && (e.Kind == Cut || e.Kind == NotOurs || e.Kind == Timeout)
}

func (k Kind) explain() string {
	switch k {
	case Cut:
		return "connection cut"
	case Timeout:
		return "no answer in time"
	case Refused:
		return "no connection to the server"
	case NotOurs:
		return "the answer is not the server's"
	case ProxyAuth:
		return "the proxy wants other credentials"
	case TLS:
		return "no trust in the server's TLS"
	case Redirect:
		return "redirected; the server's address is not the one to use"
	default:
		return string(k)
	}
}

// Refusal is the server's problem document.
type Refusal struct {
	Problem
	RetryAfter time.Duration // 0 when the server named none
}

func (e *Refusal) Error() string {
	if e.Detail != "" {
		return fmt.Sprintf("%s: %s", e.Code, e.Detail)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Title)
}

// IsRefusal reports whether err is the server's problem with that code.
func IsRefusal(err error, code string) bool {
	var refusal *Refusal
	return errors.As(err, &refusal) && refusal.Code == code
}

// proxyError is a proxy's answer to CONNECT that opens no tunnel.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy answered CONNECT by %d %s", e.status, http.StatusText(e.status))
}

// errPin says that the server's key is not the pinned one.
var errPin = errors.New("the server's key is not the pinned one")

// explain finds out what kind of failure a round trip's error is.
func explain(err error) *TransportError {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // the wrapper repeats method and address
	}
	var proxy *proxyError
	if errors.As(err, &proxy) {
		kind := NotOurs
		if proxy.status == http.StatusProxyAuthRequired {
			kind = ProxyAuth
		}
		return &TransportError{Kind: kind, Status: proxy.status, Err: err}
	}
	return &TransportError{Kind: kindOf(err), Err: err}
}

func kindOf(err error) Kind {
	var (
		timeout   net.Error
		operation *net.OpError
		name      *net.DNSError
	)
	switch {
	case isTLS(err):
		return TLS
	case errors.As(err, &name), errors.As(err, &operation) && operation.Op == "dial":
		return Refused
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	default:
		return Cut
	}
}

func isTLS(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		header       tls.RecordHeaderError
		alert        tls.AlertError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.Is(err, errPin) || errors.Is(err, http.ErrSchemeMismatch) ||
		errors.As(err, &verification) || errors.As(err, &header) || errors.As(err, &alert) ||
		errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid) ||
		strings.HasPrefix(err.Error(), "tls: ") || strings.Contains(err.Error(), "remote error: tls: ")
}
