package restictest

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
	"restic-manager/restic"
)

// RestOption makes a rest-server differ from the usual one: append-only, private
// repositories, a new folder, a free port of 127.0.0.1, no TLS, one user "host1".
type RestOption func(*restOptions)

type restOptions struct {
	user    string
	maxSize int64
	deletes bool
	dataDir string
	listen  string
	cert    string
	key     string
}

// WithQuota limits the size of everything below the folder, in bytes.
func WithQuota(bytes int64) RestOption { return func(o *restOptions) { o.maxSize = bytes } }

// WithDeletes leaves out --append-only: the maintenance side of a folder.
func WithDeletes() RestOption { return func(o *restOptions) { o.deletes = true } }

// WithDataDir serves a folder that exists.
func WithDataDir(dir string) RestOption { return func(o *restOptions) { o.dataDir = dir } }

// WithTLS serves https with a certificate and key, both PEM files.
func WithTLS(cert, key string) RestOption { return func(o *restOptions) { o.cert, o.key = cert, key } }

// RestServer is a running rest-server with one user.
type RestServer struct {
	URL      string // http://127.0.0.1:port/
	Addr     string // 127.0.0.1:port
	User     string
	Password string
	DataDir  string

	t       testing.TB
	program string
	options restOptions
	cmd     *exec.Cmd
}

// StartRestServer starts the rest-server of bins, returns when it listens, and
// ends it with the test.
func StartRestServer(t testing.TB, bins Binaries, options ...RestOption) *RestServer {
	t.Helper()
	o := restOptions{user: "host1", listen: FreeAddr(t)}
	for _, option := range options {
		option(&o)
	}
	if o.dataDir == "" {
		o.dataDir = t.TempDir()
	}
	s := &RestServer{User: o.user, Password: rand.Text(), DataDir: o.dataDir, t: t, program: bins.RestServer, options: o}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Location is the text of a location on the server, of a repository of its user.
func (s *RestServer) Location(name string) string {
	return "rest:" + s.URL + s.User + "/" + name + "/"
}

// Access opens the repository of that name with the server's user.
func (s *RestServer) Access(name, password string) restic.Access {
	s.t.Helper()
	location, err := restic.ParseLocation(s.Location(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return restic.Access{
		Location: location, Password: restic.NewSecret(password),
		Username: s.User, RESTPassword: restic.NewSecret(s.Password),
	}
}

// RepositoryDir is where the server keeps the repository of that name.
func (s *RestServer) RepositoryDir(name string) string {
	return filepath.Join(s.DataDir, s.User, name)
}

var listening = regexp.MustCompile(`start server on (\S+)`)

// Start starts the server, or starts it again at the same address after Stop.
func (s *RestServer) Start() {
	s.t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(s.Password), bcrypt.MinCost)
	if err != nil {
		s.t.Fatal(err)
	}
	users := filepath.Join(s.t.TempDir(), "htpasswd")
	if err := os.WriteFile(users, fmt.Appendf(nil, "%s:%s\n", s.User, hash), 0o600); err != nil {
		s.t.Fatal(err)
	}
	args := []string{"--listen", s.options.listen, "--path", s.DataDir, "--private-repos", "--htpasswd-file", users}
	if !s.options.deletes {
		args = append(args, "--append-only")
	}
	if s.options.maxSize > 0 {
		args = append(args, "--max-size", fmt.Sprint(s.options.maxSize))
	}
	scheme := "http"
	if s.options.cert != "" {
		scheme = "https"
		args = append(args, "--tls", "--tls-cert", s.options.cert, "--tls-key", s.options.key)
	}
	s.cmd = exec.Command(s.program, args...)
	output, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Stderr = s.cmd.Stdout
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.Addr = s.address(output)
	s.options.listen = s.Addr
	s.URL = scheme + "://" + s.Addr + "/"
}

// address reads where the server listens, and drains the rest of its output.
func (s *RestServer) address(output io.Reader) string {
	s.t.Helper()
	found := make(chan string, 1)
	go func() {
		var said strings.Builder
		lines := bufio.NewScanner(output)
		var once sync.Once
		for lines.Scan() {
			said.WriteString(lines.Text() + "\n")
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				once.Do(func() { found <- m[1] })
				said.Reset()
			}
		}
		once.Do(func() { found <- "rest-server ended:\n" + said.String() })
	}()
	select {
	case addr := <-found:
		if _, _, err := net.SplitHostPort(addr); err != nil {
			s.t.Fatal(addr)
		}
		return addr
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		s.t.Fatal("rest-server does not listen after 20 s")
		return ""
	}
}

// Stop kills the server. It may be called twice.
func (s *RestServer) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}
