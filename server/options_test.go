package server

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestOptionsAreUnderstoodOrNamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		wrong  string // part of the error; empty: good
		public string
		tls    bool
	}{
		"the defaults":      {func(*Options) {}, "", "", false},
		"a proxy before it": {func(o *Options) { o.PublicURL = "https://backup.test/" }, "", "https://backup.test", false},
		"TLS on loopback":   {func(o *Options) { o.TLSSelfMade = true }, "", "", true},
		"beyond loopback":   {func(o *Options) { o.Listen, o.PublicURL = ":8443", "https://backup.test:8443" }, "", "https://backup.test:8443", true},
		"beyond loopback, given": {func(o *Options) {
			o.Listen, o.PublicURL, o.TLSCertificate, o.TLSKey = ":8443", "https://b.test", "c", "k"
		}, "", "https://b.test", true},
		"beyond loopback, behind a proxy":     {func(o *Options) { o.Listen, o.PublicURL, o.InsecureHTTP = ":80", "https://b.test", true }, "", "https://b.test", false},
		"openly, by choice":                   {func(o *Options) { o.Listen, o.PublicURL, o.InsecureHTTP = ":80", "http://b.test", true }, "", "http://b.test", false},
		"beyond loopback, without an address": {func(o *Options) { o.Listen = ":8443" }, "public_url: is required", "", false},
		"openly":                              {func(o *Options) { o.PublicURL = "http://b.test" }, "public_url: must begin with https://", "", false},
		"TLS with an open address":            {func(o *Options) { o.TLSSelfMade, o.PublicURL = true, "http://127.0.0.1:1" }, "public_url: must begin with https://", "", false},
		"an address with a path":              {func(o *Options) { o.PublicURL = "https://b.test/backup" }, "public_url: must be a scheme", "", false},
		"an address with a password":          {func(o *Options) { o.PublicURL = "https://u:p@b.test" }, "public_url: must be a scheme", "", false},
		"another scheme":                      {func(o *Options) { o.PublicURL = "ftp://b.test" }, "public_url: must be https://", "", false},
		"half a certificate":                  {func(o *Options) { o.TLSCertificate = "c" }, "tls_certificate: must be given together", "", false},
		"two certificates":                    {func(o *Options) { o.TLSCertificate, o.TLSKey, o.TLSSelfMade = "c", "k", true }, "tls_self_made: cannot", "", false},
		"plain and TLS":                       {func(o *Options) { o.InsecureHTTP, o.TLSSelfMade = true, true }, "insecure_http: cannot", "", false},
		"no port":                             {func(o *Options) { o.Listen = "127.0.0.1" }, "listen: must be", "", false},
		"a name for a proxy":                  {func(o *Options) { o.TrustedProxies = []string{"proxy.test"} }, "trusted_proxies: each must be", "", false},
		"no room for indexes":                 {func(o *Options) { o.BrowseIndexMiB = 1 }, "browse_index_mib: must be from 16", "", false},
		"cheap hashes":                        {func(o *Options) { o.PasswordMemory = 18 }, "password_memory: must be from 19", "", false},
		"hashes beyond reason":                {func(o *Options) { o.PasswordMemory = 5000 }, "password_memory: must be from 19", "", false},
		"one round":                           {func(o *Options) { o.PasswordRounds = 1 }, "password_rounds: must be from 2", "", false},
		"no hash at a time":                   {func(o *Options) { o.PasswordParallel = 0 }, "password_parallel: must be from 1", "", false},
		"no time to stop":                     {func(o *Options) { o.StopTimeout = 0 }, "stop_timeout: must be", "", false},
		"a level of nothing":                  {func(o *Options) { o.LogLevel = "loud" }, "log_level: must be", "", false},
		"a format of nothing":                 {func(o *Options) { o.LogFormat = "xml" }, "log_format: must be", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			o := Defaults()
			c.change(&o)
			s, err := o.check()
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("got %v, want %q", err, c.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			public := ""
			if s.public != nil {
				public = s.public.String()
			}
			if public != c.public || s.tls() != c.tls {
				t.Errorf("got %q, TLS %t", public, s.tls())
			}
		})
	}
}

func TestTheSelfMadeCertificateIsRenewedWithTheSameKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), selfMadeFile)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	make := func(name string, at time.Time) *x509.Certificate {
		t.Helper()
		pair, err := selfMade(path, name, at)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf
	}
	first := make("backup.test", now)
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again := make("backup.test", now.AddDate(1, 0, 0)); !again.Equal(first) {
		t.Error("a certificate that still fits was made anew")
	}
	for name, c := range map[string]*x509.Certificate{
		"before its end": make("backup.test", now.AddDate(2, 0, -10)), "another name": make("other.test", now), "an address": make("192.0.2.1", now),
	} {
		if c.Equal(first) || pinOf(c) != pinOf(first) {
			t.Errorf("%s: equal %t, pin %s, want %s", name, c.Equal(first), pinOf(c), pinOf(first))
		}
	}
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := selfMade(path, "backup.test", now); err == nil {
		t.Error("a damaged file was replaced, and every agent locked out")
	}
}
