package notify_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// post office: an SMTP server as far as mail programs need one.
type postOffice struct {
	t        testing.TB
	listener net.Listener
	tls      *tls.Config
	roots    *x509.CertPool
	implicit bool // TLS from the first byte
	user     string
	password string

	mu      sync.Mutex
	refuse  int // so many mails are put off with 451
	tried   int
	letters []letter
}

// letter is a mail that was taken.
type letter struct {
	from      string
	to        []string
	encrypted bool
	user      string
	header    mail.Header
	raw       string
	parts     map[string]string // by content type
}

func newPostOffice(t testing.TB, implicit bool) *postOffice {
	t.Helper()
	certificate, roots := selfMade(t)
	p := &postOffice{t: t, implicit: implicit, roots: roots, tls: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	var err error
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = p.listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(conn) })
		}
	})
	return p
}

func (p *postOffice) port() string {
	_, port, _ := net.SplitHostPort(p.listener.Addr().String())
	return port
}

func (p *postOffice) taken() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]letter{}, p.letters...)
}

func selfMade(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "loopback"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// serve holds one conversation.
func (p *postOffice) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	l := letter{}
	if p.implicit {
		conn, l.encrypted = tls.Server(conn, p.tls), true
	}
	in := bufio.NewReader(conn)
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(conn, format+"\r\n", args...) }
	say("220 loopback ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO", "HELO":
			say("250-loopback")
			if !l.encrypted {
				say("250-STARTTLS")
			}
			if p.user != "" && l.encrypted {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go ahead")
			conn, l.encrypted = tls.Server(conn, p.tls), true
			in = bufio.NewReader(conn)
		case "AUTH":
			_, given, _ := strings.Cut(rest, " ")
			plain, _ := base64.StdEncoding.DecodeString(given)
			if string(plain) != "\x00"+p.user+"\x00"+p.password {
				say("535 5.7.8 wrong: %s", plain) // a server that repeats what it got
				continue
			}
			l.user = p.user
			say("235 fine")
		case "MAIL":
			l.from, l.to = rest, nil
			say("250 ok")
		case "RCPT":
			l.to = append(l.to, rest)
			say("250 ok")
		case "DATA":
			say("354 go on")
			raw, err := io.ReadAll(textproto.NewReader(in).DotReader())
			if err != nil {
				return
			}
			if p.put(l, raw) {
				say("250 taken")
			} else {
				say("451 4.3.0 try again")
			}
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// put keeps a letter, unless it is put off.
func (p *postOffice) put(l letter, raw []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried++
	if p.tried <= p.refuse {
		return false
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		p.t.Errorf("read a mail: %v\n%s", err, raw)
		return true
	}
	l.header, l.raw, l.parts = m.Header, string(raw), map[string]string{}
	p.split(&l, textproto.MIMEHeader(m.Header), m.Body)
	p.letters = append(p.letters, l)
	return true
}

func (p *postOffice) split(l *letter, header textproto.MIMEHeader, body io.Reader) {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		p.t.Errorf("content type: %v", err)
		return
	}
	if !strings.HasPrefix(kind, "multipart/") {
		if strings.EqualFold(header.Get("Content-Transfer-Encoding"), "quoted-printable") {
			body = quotedprintable.NewReader(body)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			p.t.Errorf("read a part: %v", err)
		}
		l.parts[kind] = string(text)
		return
	}
	parts := multipart.NewReader(body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if err != nil {
			return
		}
		p.split(l, part.Header, part)
	}
}
