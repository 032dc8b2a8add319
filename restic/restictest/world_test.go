//go:build !windows

package restictest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// password opens the repository that every situation begins with.
const password = "correct horse battery staple"

// world is what a situation plays in: a Runner, and a repository that is
// initialised and empty, on a rest-server. Where samples are replayed there is no
// server: the access is made up, and so is the Runner's restic.
type world struct {
	t      *testing.T
	bins   restictest.Binaries
	server *restictest.RestServer // nil where samples are replayed
	fake   *restictest.Fake       // nil with the real restic
	runner *restic.Runner
	access restic.Access
	dir    string

	mu    sync.Mutex
	lines []string
}

// config is the Runner's, with patience that suits a test.
func (w *world) config(binary string, base restic.Config) restic.Config {
	base.Binary, base.CacheDir, base.TempDir = binary, filepath.Join(w.dir, "cache"), filepath.Join(w.dir, "run")
	if base.ProbeDeadline == 0 {
		base.ProbeDeadline = 30 * time.Second
	}
	return base
}

// real reports whether restic and the storage are.
func (w *world) real() bool { return w.server != nil }

func (w *world) handlers() restic.Handlers {
	return restic.Handlers{
		Line: func(l restic.Line) { w.mu.Lock(); defer w.mu.Unlock(); w.lines = append(w.lines, l.Text) },
	}
}

// file makes a file with some content and returns its path.
func (w *world) file(name string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte("content of "+name), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// run runs an op with the world's access.
func run[T any](w *world, op restic.Op[T]) restic.Result[T] {
	w.t.Helper()
	return runWith(w.t.Context(), w, op, w.access, w.handlers())
}

func runWith[T any](ctx context.Context, w *world, op restic.Op[T], access restic.Access, h restic.Handlers) restic.Result[T] {
	w.t.Helper()
	result, err := restic.Run(ctx, w.runner, op, access, h)
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

// mustFail fails the test unless the result is a failure with that code, with
// words and a next step, and without the secrets.
func mustFail[T any](w *world, result restic.Result[T], want restic.Code) {
	w.t.Helper()
	if result.Outcome != restic.Failed || result.Failure == nil || result.Failure.Code != want {
		w.t.Fatalf("got %s %v, want %s; restic said:\n%s", result.Outcome, result.Failure, want, strings.Join(w.lines, "\n"))
	}
	if result.Failure.Next == "" || result.Failure.Detail == "" {
		w.t.Errorf("no next step or detail: %+v", *result.Failure)
	}
	if strings.Contains(result.Failure.Detail, password) {
		w.t.Error("the password is in the detail")
	}
}

func mustSucceed[T any](w *world, result restic.Result[T]) T {
	w.t.Helper()
	if result.Outcome != restic.Succeeded {
		w.t.Fatalf("got %s %v; restic said:\n%s", result.Outcome, result.Failure, strings.Join(w.lines, "\n"))
	}
	return result.Value
}

// plain runs restic as a person would, without our package.
func (w *world) plain(args ...string) []byte {
	w.t.Helper()
	cmd := w.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("restic %v: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}

func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), w.bins.Restic, args...)
	cmd.Env = []string{
		"HOME=" + w.dir, "TMPDIR=" + w.dir, "RESTIC_CACHE_DIR=" + filepath.Join(w.dir, "plain-cache"),
		"RESTIC_REPOSITORY=" + w.access.Location.String(), "RESTIC_PASSWORD=" + w.access.Password.Reveal(),
		"RESTIC_REST_USERNAME=" + w.access.Username, "RESTIC_REST_PASSWORD=" + w.access.RESTPassword.Reveal(),
	}
	return cmd
}

// newRealWorld makes the repository on a new rest-server.
func newRealWorld(t *testing.T, bins restictest.Binaries, base restic.Config, options ...restictest.RestOption) *world {
	t.Helper()
	w := &world{t: t, bins: bins, dir: t.TempDir()}
	data := filepath.Join(w.dir, "data")
	restictest.CheapRepository(t, bins.Restic, filepath.Join(data, "host1", "repo"), password)
	w.server = restictest.StartRestServer(t, bins, append(options, restictest.WithDataDir(data))...)
	w.access = w.server.Access("repo", password)
	binary := bins.Restic
	if *record {
		w.fake = restictest.NewFake(t, restictest.Script{Record: bins.Restic})
		binary = w.fake.Path()
	}
	w.runner = restic.New(w.config(binary, base))
	return w
}

// samplePath is where what restic said in a situation is kept.
func samplePath(suite, name string) string {
	return filepath.Join("testdata", suite, strings.ReplaceAll(name, " ", "-")+".json")
}

// newReplayedWorld makes a world in which a Fake says what restic said.
func newReplayedWorld(t *testing.T, suite, name string, base restic.Config) *world {
	t.Helper()
	raw, err := os.ReadFile(samplePath(suite, name))
	if err != nil {
		t.Fatalf("no sample; run: go test ./restic/restictest -run TestSituations -record (%v)", err)
	}
	var script restictest.Script
	if err := json.Unmarshal(raw, &script); err != nil {
		t.Fatal(err)
	}
	location, err := restic.ParseLocation("rest:https://nas.test/host1/repo/")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), fake: restictest.NewFake(t, script)}
	w.access = restic.Access{
		Location: location, Password: restic.NewSecret(password),
		Username: "host1", RESTPassword: restic.NewSecret("made up"),
	}
	w.runner = restic.New(w.config(w.fake.Path(), base))
	return w
}

var addressPattern = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)

// keep writes what restic said, with the folder and address of this run replaced.
func (w *world) keep(suite, name string) {
	w.t.Helper()
	version, err := restic.New(w.config(w.bins.Restic, restic.Config{})).Version(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := json.MarshalIndent(w.fake.Recorded(version.String()), "", " ")
	if err != nil {
		w.t.Fatal(err)
	}
	raw = bytes.ReplaceAll(raw, []byte(w.dir), []byte("/tmp/world"))
	raw = addressPattern.ReplaceAll(raw, []byte("127.0.0.1:8000"))
	path := samplePath(suite, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, append(raw, '\n'), 0o644); err != nil {
		w.t.Fatal(err)
	}
}
