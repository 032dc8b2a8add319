package agent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// untrusted says in plain words why a certificate is not accepted, and what helps.
// setting is the one that names further authorities. is is false for other errors.
func untrusted(err error, setting string, now time.Time) (says, next string, is bool) {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &name) && name.Certificate != nil:
		return fmt.Sprintf("its certificate is not for %q but for %s", name.Host, namesOf(name.Certificate)),
			"use a name that the certificate has, or have one made that has this name", true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		if now.Before(invalid.Cert.NotBefore) {
			return fmt.Sprintf("its certificate is not valid before %s, and this machine's clock says %s", day(invalid.Cert.NotBefore), day(now)),
				"set this machine's clock, if it is wrong", true
		}
		return fmt.Sprintf("its certificate expired on %s, and this machine's clock says %s", day(invalid.Cert.NotAfter), day(now)),
			"have the certificate renewed; set this machine's clock, if it is wrong", true
	case errors.As(err, &unknown):
		return "its certificate is self-made, or signed by an authority that this machine does not know",
			"set " + setting + " to the PEM file of that authority, or of the certificate itself", true
	case errors.As(err, &invalid):
		return "its certificate is not fit for a server: " + invalid.Error(), "have another one made", true
	case errors.As(err, &header), err != nil && strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "it does not speak TLS at that port", "look at the port, and whether the address should begin with http://", true
	}
	return "", "", false
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// namesOf lists what a certificate is for. Who made it wrote the names.
func namesOf(c *x509.Certificate) string {
	names := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	var quoted []string
	for _, name := range names[:min(len(names), 5)] {
		quoted = append(quoted, fmt.Sprintf("%q", clip(name, 100)))
	}
	if len(names) > len(quoted) {
		quoted = append(quoted, fmt.Sprintf("%d more", len(names)-len(quoted)))
	}
	if len(quoted) == 0 {
		return "no name at all"
	}
	return strings.Join(quoted, ", ")
}
