package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"restic-manager/restic"
	"restic-manager/server/auth"
	"restic-manager/server/job"
)

// Options is the server's configuration, as flags, environment and file give it.
// deploy/server.reference.yaml explains each; the tags serve the command line. Begin
// with Defaults.
type Options struct {
	Listen         string        `default:"127.0.0.1:8080" help:"Address and port to listen on."`
	PublicURL      string        `name:"public-url" help:"Where browsers and agents reach the server, such as https://backup.example.org. Required unless it listens on loopback."`
	DataDir        string        `help:"Directory of everything that the server keeps on disk. Default: /var/lib/restic-manager, on Windows below ProgramData."`
	Database       restic.Secret `secret:"" help:"postgres://… for PostgreSQL. Default: an SQLite file in the data directory."`
	DatabaseListen restic.Secret `secret:"" help:"Another way to the same PostgreSQL for its notifications, past a pooler. Default: the database itself."`
	SealingKey     string        `help:"File of the key that opens the stored secrets. Default: sealing.key in the data directory."`

	ProgramsDir string `help:"Directory of the programs that machines are given, beside the agents that came with the server. Default: programs in the data directory."`

	TLSCertificate string   `name:"tls-certificate" help:"PEM file of the certificate and its chain."`
	TLSKey         string   `name:"tls-key" help:"PEM file of the certificate's key."`
	TLSSelfMade    bool     `name:"tls-self-made" help:"Make a certificate and let agents pin it. The default where it does not listen on loopback and none is given."`
	InsecureHTTP   bool     `name:"insecure-http" help:"Speak plain HTTP beyond loopback. Only behind a proxy on a network that you trust."`
	TrustedProxies []string `help:"Addresses or networks of proxies whose X-Forwarded-For is believed."`

	LogLevel  string `default:"info" help:"debug, info, warn or error."`
	LogFormat string `default:"text" help:"text or json."`

	NotifyLoopback   bool          `help:"Let channels send to this machine itself. Only for tests and demonstrations."`
	NotifyPublicOnly bool          `help:"Keep channels from sending to private networks."`
	MetricsToken     restic.Secret `secret:"" help:"Bearer token for /metrics, for Prometheus; at least 20 characters. Without it there is no /metrics."`

	HistoryDays int `default:"400" help:"How long jobs are kept after their end, in days; 0 is for ever."`
	LogDays     int `default:"90" help:"How long their logs are kept, in days; 0 is as long as the jobs."`

	BrowseIndexMiB int `name:"browse-index-mib" default:"1024" help:"MiB of the database that the indexes by which snapshots are browsed take together."`

	PasswordMemory   uint32        `default:"64" help:"MiB that one password hash takes."`
	PasswordRounds   uint32        `default:"3" help:"Rounds of one password hash."`
	PasswordParallel int           `default:"2" help:"Password hashes made at the same time."`
	StopTimeout      time.Duration `default:"20s" help:"How long a stopping server waits for requests to end."`
}

// Defaults is the options that nobody has to give.
func Defaults() Options {
	return Options{
		Listen: "127.0.0.1:8080", LogLevel: "info", LogFormat: "text", HistoryDays: 400, LogDays: 90,
		BrowseIndexMiB: job.DefaultBrowseBytes >> 20,
		PasswordMemory: 64, PasswordRounds: 3, PasswordParallel: 2, StopTimeout: 20 * time.Second,
	}
}

// settings is Options with every value understood.
type settings struct {
	Options

	public   *url.URL // nil: where it listens
	loopback bool     // listens where only this machine reaches it
	proxies  []netip.Prefix
	cost     auth.Cost
	level    slog.Level
}

// check understands the options, or lists every mistake in them at once.
func (o Options) check() (*settings, error) {
	s := &settings{Options: o}
	if s.DataDir == "" {
		s.DataDir = defaultDataDir()
	}
	var mistakes []error
	note := func(option, format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("%s: "+format, append([]any{option}, args...)...))
	}
	s.checkListen(note)
	s.checkTLS(note)
	s.checkPublicURL(note)
	s.checkProxies(note)
	s.checkPasswords(note)
	if err := s.level.UnmarshalText([]byte(o.LogLevel)); err != nil {
		note("log_level", "must be debug, info, warn or error")
	}
	if o.LogFormat != "text" && o.LogFormat != "json" {
		note("log_format", "must be text or json")
	}
	s.checkHistory(note)
	if s.BrowseIndexMiB < 16 || s.BrowseIndexMiB > 1<<20 {
		note("browse_index_mib", "must be from 16 to 1048576 MiB; an index takes about 10 MiB for a million files")
	}
	if o.StopTimeout <= 0 || o.StopTimeout > 5*time.Minute {
		note("stop_timeout", "must be more than 0s and at most 5m")
	}
	if n := len(s.MetricsToken.Reveal()); n > 0 && n < 20 {
		note("metrics_token", "must have at least 20 characters, such as from: openssl rand -base64 32")
	}
	if s.SealingKey == "" {
		s.SealingKey = filepath.Join(s.DataDir, "sealing.key")
	}
	if s.ProgramsDir == "" {
		s.ProgramsDir = filepath.Join(s.DataDir, "programs")
	}
	if len(mistakes) > 0 {
		return nil, fmt.Errorf("mend these %d options:\n%w", len(mistakes), errors.Join(mistakes...))
	}
	return s, nil
}

type noteFunc func(option, format string, args ...any)

func (s *settings) checkListen(note noteFunc) {
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil || port == "" {
		note("listen", "must be an address and a port, such as 127.0.0.1:8080 or :8443")
		return
	}
	s.loopback = isLoopback(host)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func (s *settings) checkTLS(note noteFunc) {
	given := s.TLSCertificate != "" || s.TLSKey != ""
	switch {
	case given && (s.TLSCertificate == "" || s.TLSKey == ""):
		note("tls_certificate", "must be given together with tls_key")
	case given && s.TLSSelfMade:
		note("tls_self_made", "cannot be used together with tls_certificate")
	case s.InsecureHTTP && (given || s.TLSSelfMade):
		note("insecure_http", "cannot be used together with a certificate")
	}
	if !given && !s.loopback && !s.InsecureHTTP {
		s.TLSSelfMade = true
	}
}

// setupFile is where the set-up code lies until it was used.
func (s *settings) setupFile() string { return filepath.Join(s.DataDir, setupFile) }

// tls tells whether the server itself speaks TLS.
func (s *settings) tls() bool { return s.TLSSelfMade || s.TLSCertificate != "" }

func (s *settings) checkPublicURL(note noteFunc) {
	const option = "public_url"
	text := s.PublicURL
	if text == "" && s.loopback {
		return // it is where it will listen
	}
	u, err := url.Parse(text)
	switch {
	case text == "":
		note(option, "is required: the address by which browsers and agents reach the server, such as https://backup.example.org")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		note(option, "must be https:// and a name, such as https://backup.example.org")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		note(option, "must be a scheme, a name and perhaps a port, nothing else: the server needs a name of its own")
	case u.Scheme == "http" && !isLoopback(u.Hostname()) && !s.InsecureHTTP: //guard:public-url-https
		note(option, "must begin with https://: passwords would travel openly")
	case u.Scheme == "http" && s.tls():
		note(option, "must begin with https://, since the server speaks TLS")
	default:
		u.Path = ""
		s.public = u
	}
}

func (s *settings) checkProxies(note noteFunc) {
	for _, text := range s.TrustedProxies {
		if addr, err := netip.ParseAddr(text); err == nil {
			s.proxies = append(s.proxies, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			note("trusted_proxies", "each must be an address or a network, such as 10.0.0.5 or 10.0.0.0/24")
			return
		}
		s.proxies = append(s.proxies, network.Masked())
	}
}

func (s *settings) checkPasswords(note noteFunc) {
	least := auth.LeastCost()
	s.cost = auth.Cost{MemoryKiB: s.PasswordMemory << 10, Iterations: s.PasswordRounds, Lanes: 1}
	if s.PasswordMemory > 4096 || s.cost.MemoryKiB < least.MemoryKiB {
		note("password_memory", "must be from %d to 4096 MiB", least.MemoryKiB>>10)
	}
	if s.PasswordRounds < least.Iterations || s.PasswordRounds > 100 {
		note("password_rounds", "must be from %d to 100", least.Iterations)
	}
	if s.PasswordParallel < 1 || s.PasswordParallel > 64 {
		note("password_parallel", "must be from 1 to 64")
	}
}

// leastHistory is what pages show by day, and more than an agent may be away for with
// its reports still being of use.
const leastHistory = 30

func (s *settings) checkHistory(note noteFunc) {
	const longest = 36500
	if s.HistoryDays != 0 && (s.HistoryDays < leastHistory || s.HistoryDays > longest) {
		note("history_days", "must be 0, for ever, or from %d to %d", leastHistory, longest)
	}
	if s.LogDays < 0 || s.LogDays > longest {
		note("log_days", "must be from 0 to %d", longest)
	}
}

func (s *settings) keep() job.Keep {
	const day = 24 * time.Hour
	return job.Keep{Jobs: time.Duration(s.HistoryDays) * day, Logs: time.Duration(s.LogDays) * day}
}
