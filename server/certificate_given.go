package server

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// given is a certificate that somebody else renews. Its files are looked at with each
// handshake, so that a renewal needs no new start.
type given struct {
	certificate, key string // paths
	log              *slog.Logger

	mu   sync.Mutex
	seen [2]os.FileInfo // of the files that were last read
	pair *tls.Certificate
}

// readGiven reads a certificate and its key for the first time.
func readGiven(certificate, key string, log *slog.Logger) (*given, error) {
	g := &given{certificate: certificate, key: key, log: log}
	var err error
	if g.seen, err = g.look(); err != nil {
		return nil, err
	}
	return g, g.read()
}

// look is taken before the files are read: what is written meanwhile is a change.
func (g *given) look() (seen [2]os.FileInfo, err error) {
	for i, path := range []string{g.certificate, g.key} {
		if seen[i], err = os.Stat(path); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

func (g *given) read() error {
	pair, err := tls.LoadX509KeyPair(g.certificate, g.key)
	if err != nil {
		return err
	}
	g.pair = &pair
	until := pair.Leaf.NotAfter
	if until.Before(time.Now()) {
		g.log.Error("the certificate has expired: agents and browsers refuse it; have it renewed", "tls_certificate", g.certificate, "until", until)
		return nil
	}
	g.log.Info("certificate read", "tls_certificate", g.certificate, "until", until)
	return nil
}

// show gives the certificate of the files as they are now. While they cannot be used,
// since one of the two is still being written or is wrong, it is the one before.
func (g *given) show(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, err := g.look()
	if err != nil || unchanged(now, g.seen) {
		return g.pair, nil
	}
	g.seen = now
	if err := g.read(); err != nil {
		g.log.Error("the certificate was changed and cannot be used; the one before is shown still", "tls_certificate", g.certificate, "tls_key", g.key, "err", err)
	}
	return g.pair, nil
}

func unchanged(now, before [2]os.FileInfo) bool {
	for i, n := range now {
		if b := before[i]; !os.SameFile(n, b) || n.Size() != b.Size() || !n.ModTime().Equal(b.ModTime()) {
			return false
		}
	}
	return true
}
