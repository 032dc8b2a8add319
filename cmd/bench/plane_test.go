//go:build linux

package bench_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"restic-manager/restic/restictest"
	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// plane is a running server with an admin signed in.
type plane struct {
	b    *testing.B
	addr string
	data string
	tls  bool
	*process
	http *http.Client
}

// planeOptions say how the server runs.
type planeOptions struct {
	data     string // with a database in it that seed made, or empty
	tls      bool
	database string // PostgreSQL; empty: SQLite
}

const password = "correct horse battery staple"

func startPlane(b *testing.B, o planeOptions) *plane {
	b.Helper()
	p := &plane{b: b, addr: restictest.FreeAddr(b), data: o.data, tls: o.tls}
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 4}
	p.http = &http.Client{Jar: jar, Timeout: time.Minute, Transport: transport}
	b.Cleanup(transport.CloseIdleConnections)
	p.start(o)
	code, err := os.ReadFile(filepath.Join(o.data, "setup-code"))
	if err != nil {
		b.Fatal(err)
	}
	p.must("POST", "/api/v1/setup", object{"code": strings.TrimSpace(string(code)), "name": "admin", "password": password}, nil)
	// What hashing a password takes, 64 MiB, is to be gone from the memory that is
	// measured. The sign-in stays good.
	p.stop()
	p.start(o)
	return p
}

func (p *plane) start(o planeOptions) {
	p.b.Helper()
	p.process = p.run(p.b, o)
	eventually(p.b, "the server is ready", time.Minute, func() bool { return p.call("GET", "/readyz", nil, nil) == nil })
}

func (p *plane) base() string {
	if p.tls {
		return "https://" + p.addr
	}
	return "http://" + p.addr
}

// run starts the built program, or this one in its place when profiles are wanted.
func (p *plane) run(b *testing.B, o planeOptions) *process {
	b.Helper()
	if *profileFlag != "" {
		dir := filepath.Join(*profileFlag, strings.ReplaceAll(b.Name(), "/", "-"))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		return startPart(b, partServer, input(serverInput{
			Listen: p.addr, URL: p.base(), Data: o.data, Database: o.database, TLS: o.tls, Profiles: dir,
		}))
	}
	args := []string{filepath.Join(programs, "restic-manager"), "serve", "--listen", p.addr, "--public-url", p.base(), "--data-dir", o.data}
	if o.tls {
		args = append(args, "--tls-self-made")
	}
	var env []string
	if o.database != "" {
		env = append(env, "RM_DATABASE="+o.database)
	}
	return start(b, "server", env, args...)
}

// profile begins another part of the server's profiles, when those are wanted.
func (p *plane) profile() {
	if *profileFlag != "" {
		_ = p.cmd.Process.Signal(syscall.SIGUSR1)
		time.Sleep(2 * time.Second)
	}
}

// object is a JSON object.
type object map[string]any

func (p *plane) call(method, path string, body, out any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, p.base()+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := p.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

func (p *plane) must(method, path string, body, out any) {
	p.b.Helper()
	if err := p.call(method, path, body, out); err != nil {
		p.b.Fatal(err)
	}
}

// seed makes a database with n hosts whose agents have enrolled, each with a ready
// repository and a manual schedule. It gives the file of their seats.
func seed(b *testing.B, database string, n int) (seats string) {
	b.Helper()
	st, err := store.Open(b.Context(), database, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	list := make([]seat, 0, n)
	for len(list) < n {
		err := st.Write(b.Context(), func(tx *store.Tx) error {
			for range min(500, n-len(list)) {
				s, err := seedHost(b.Context(), tx, len(list))
				if err != nil {
					return err
				}
				list = append(list, s)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	text, err := json.Marshal(list)
	if err != nil {
		b.Fatal(err)
	}
	seats = filepath.Join(b.TempDir(), "seats.json")
	if err := os.WriteFile(seats, text, 0o600); err != nil {
		b.Fatal(err)
	}
	return seats
}

func seedHost(ctx context.Context, tx *store.Tx, no int) (seat, error) {
	h := &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: fmt.Sprintf("host-%05d", no), Profile: fleet.Guarded}
	r := &fleet.Repository{
		ID: fleet.NewID[fleet.RepositoryID](), Name: fmt.Sprintf("repository-%05d", no),
		Location: fmt.Sprintf("rest:https://nas.test/host-%05d/", no), State: fleet.RepositoryReady,
	}
	s := &fleet.Schedule{
		ID: fleet.NewID[fleet.ScheduleID](), HostID: h.ID, RepositoryID: r.ID, Name: "daily",
		Paths: fleet.NewList([]string{"/etc", "/home"}), Manual: true, Enabled: true,
	}
	secret := fmt.Sprintf("%x", sha256.Sum256([]byte(h.ID)))
	e := store.Enrolment{
		TokenHash: auth.HashSecret("token of " + h.Name), InstallID: fleet.NewID[string](), SecretHash: auth.HashSecret(secret),
		Hostname: h.Name, OS: "linux", Arch: "amd64", AgentVersion: "1.0.0",
	}
	token := &fleet.EnrolmentToken{ID: fleet.NewID[fleet.TokenID](), HostID: h.ID, SecretHash: e.TokenHash, ExpiresAt: tx.Now.Add(time.Hour)}
	for _, step := range []func() error{
		func() error { return tx.CreateHost(ctx, h) },
		func() error { return tx.CreateEnrolmentToken(ctx, token) },
		func() error { _, _, err := tx.Enrol(ctx, e); return err },
		func() error { return tx.CreateRepository(ctx, r) },
		func() error { return seedCredentials(ctx, tx, r.ID) },
		func() error { return tx.CreateSchedule(ctx, s) },
	} {
		if err := step(); err != nil {
			return seat{}, err
		}
	}
	return seat{string(h.ID), e.InstallID, secret, string(s.ID), string(r.ID)}, nil
}

// seedCredentials are never opened: no agent here fetches its secrets.
func seedCredentials(ctx context.Context, tx *store.Tx, id fleet.RepositoryID) error {
	for _, slot := range []fleet.Slot{fleet.PasswordSlot, fleet.AppendSlot} {
		c := &fleet.Credential{ID: fleet.NewID[fleet.CredentialID](), RepositoryID: id, Slot: slot, Username: "user", Version: 1, Sealed: "-"}
		if err := tx.PutCredential(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
