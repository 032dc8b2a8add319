package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Limits of what is sent and answered.
const (
	dialTimeout = 10 * time.Second
	sendTimeout = 20 * time.Second
	maxAnswer   = 64 << 10
	maxTalk     = 1 << 20 // of what a mail server says in all, its certificates among it
)

// Egress is the only way out. It looks at each address when it is dialled, after
// names were looked up, so that a name cannot lead elsewhere than it was checked for.
type Egress struct {
	loopback   bool // this machine may be told
	publicOnly bool // private networks may not
	client     *http.Client
	tls        *tls.Config
}

// NewEgress makes the way out. Loopback is for tests and demonstrations: whoever may
// edit channels could reach what listens on this machine alone. roots are trusted
// beside the system's; nil: none.
func NewEgress(loopback, publicOnly bool, config *tls.Config) *Egress {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	e := &Egress{loopback: loopback, publicOnly: publicOnly, tls: config}
	e.client = &http.Client{
		Transport: &http.Transport{
			DialContext: e.Dial, TLSClientConfig: config, TLSHandshakeTimeout: dialTimeout, DisableKeepAlives: true,
			ResponseHeaderTimeout: sendTimeout, MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, //guard:notify-redirect
		Timeout:       sendTimeout,
	}
	return e
}

// Dial connects to an address, if it may be.
func (e *Egress) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Control: e.control}
	return d.DialContext(ctx, network, address)
}

// control is asked with each address that is about to be connected to.
func (e *Egress) control(network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return &Denied{address, "not an address of the internet"}
	}
	if err := e.allow(at.Addr()); err != nil { //guard:notify-destination
		return err
	}
	return nil
}

// Denied is an address that is never told.
type Denied struct{ address, why string }

func (d *Denied) Error() string {
	return fmt.Sprintf("nothing is sent to %s: it is %s", d.address, d.why)
}

// Where clouds give out the secrets of a machine, beside the link-local ones.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"),
}

// Networks that hold nobody who should be told.
var nobody = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
}

// carrierGrade is shared address space, as private as the others.
var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")

// allow tells whether an address may be told; its error is a Denied.
func (e *Egress) allow(addr netip.Addr) error {
	addr = inner(addr.WithZone(""))
	why := ""
	switch {
	case addr.IsLoopback():
		if !e.loopback {
			why = "this machine itself, which only the server's option notify_loopback allows"
		}
	case addr.IsUnspecified():
		why = "no address"
	case addr.IsLinkLocalUnicast(), addr.IsLinkLocalMulticast(), addr.IsInterfaceLocalMulticast():
		why = "a link-local address"
	case slices.Contains(metadata, addr):
		why = "where a cloud keeps secrets of this machine"
	case addr.IsMulticast(), slices.ContainsFunc(nobody, func(p netip.Prefix) bool { return p.Contains(addr) }):
		why = "not one receiver"
	case e.publicOnly && (addr.IsPrivate() || carrierGrade.Contains(addr)):
		why = "a private address, which the server's option notify_public_only forbids"
	}
	if why != "" {
		return &Denied{addr.String(), why}
	}
	return nil
}

// inner is the IPv4 address that an IPv6 one stands for, where it does.
func inner(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if !addr.Is6() {
		return addr
	}
	b := addr.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case netip.MustParsePrefix("2002::/16").Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return addr
}

// talk is a connection to a mail server, whose lines and their number have no limit of
// their own.
type talk struct {
	net.Conn
	left int
}

var errTalk = errors.New("the server says too much")

func (t *talk) Read(b []byte) (int, error) {
	if t.left <= 0 { //guard:notify-talk
		return 0, errTalk
	}
	n, err := t.Conn.Read(b)
	t.left -= n
	return n, err
}

// dialTalk is Dial for a mail server.
func (e *Egress) dialTalk(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := e.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &talk{conn, maxTalk}, nil
}

// ErrGone says that a receiver wants nothing more: there is no other attempt.
var ErrGone = errors.New("the receiver answered 410: it wants no more messages")

// post sends a body; everything but an answer of 2xx is an error. Of the answer
// nothing is kept: it may be anything.
func (e *Egress) post(ctx context.Context, url string, header http.Header, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header = header
	r.Header.Set("User-Agent", "restic-manager")
	answer, err := e.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // so that a short answer ends in order
	switch {
	case answer.StatusCode == http.StatusGone:
		return ErrGone
	case answer.StatusCode >= 300 && answer.StatusCode < 400:
		return fmt.Errorf("the receiver answered %d: redirects are not followed; give the address that it leads to", answer.StatusCode)
	case answer.StatusCode < 200 || answer.StatusCode >= 400:
		return fmt.Errorf("the receiver answered %d", answer.StatusCode)
	}
	return nil
}
