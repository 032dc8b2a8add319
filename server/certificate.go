package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// selfMadeFile holds the self-made certificate and its key.
const selfMadeFile = "tls.pem"

// certificate says how the server encrypts, nil where it speaks plain HTTP, and the pin
// that agents must be told to trust a self-made certificate.
func (s *settings) certificate(now time.Time, log *slog.Logger) (*tls.Config, string, error) {
	switch {
	case s.TLSCertificate != "":
		g, err := readGiven(s.TLSCertificate, s.TLSKey, log)
		if err != nil {
			return nil, "", fmt.Errorf("read tls_certificate and tls_key: %w", err)
		}
		return &tls.Config{GetCertificate: g.show, MinVersion: tls.VersionTLS12}, "", nil
	case s.TLSSelfMade:
		pair, err := selfMade(filepath.Join(s.DataDir, selfMadeFile), s.public.Hostname(), now)
		if err != nil {
			return nil, "", fmt.Errorf("self-made certificate: %w", err)
		}
		return &tls.Config{Certificates: []tls.Certificate{*pair}, MinVersion: tls.VersionTLS12}, pinOf(pair.Leaf), nil
	}
	return nil, "", nil
}

// pinOf names a certificate's key: it stays when the certificate is renewed.
func pinOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// selfMade reads the certificate that an earlier start has made, or makes one. The
// key is never changed, since agents know the server by it; only the certificate is
// made anew when its name or its time does not fit.
func selfMade(path, name string, now time.Time) (*tls.Certificate, error) {
	key, leaf, err := readSelfMade(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case leaf.VerifyHostname(name) == nil && now.Add(30*24*time.Hour).Before(leaf.NotAfter):
		return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
	}
	if leaf, err = sign(key, name, now); err != nil {
		return nil, err
	}
	if err := writeSelfMade(path, key, leaf); err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

func sign(key *ecdsa.PrivateKey, name string, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "restic-manager"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(2, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},

		BasicConstraintsValid: true,
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func readSelfMade(path string) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	keyBlock, rest := pem.Decode(text)
	if keyBlock == nil {
		return nil, nil, fmt.Errorf("%s holds no PEM: restore it from a backup, or remove it and enrol every agent again", path)
	}
	certBlock, _ := pem.Decode(rest)
	if certBlock == nil {
		return nil, nil, fmt.Errorf("%s holds no certificate: restore it from a backup, or remove it and enrol every agent again", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("%s: not the kind of key that was made here", path)
	}
	leaf, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, leaf, nil
}

func writeSelfMade(path string, key *ecdsa.PrivateKey, leaf *x509.Certificate) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})...)
	return writePrivate(path, text)
}
