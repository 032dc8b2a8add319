//go:build !windows

// Package e2e_test runs the product as its users do: the built programs, the real
// restic and rest-server, PostgreSQL, proxies and a browser, all as processes on
// loopback. It holds tests alone.
package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"restic-manager/restic/restictest"
	"restic-manager/server/store/storetest"
)

// programs is the directory of the two built programs.
var programs string

func TestMain(m *testing.M) {
	if restictest.IsFake() {
		os.Exit(restictest.Main(m))
	}
	dir, err := os.MkdirTemp("", "rm-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	flag.Parse()
	_ = flag.Set("test.parallel", "100") // places are what limits them
	code := 1
	if err := buildPrograms(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = storetest.Main(m) // ends the PostgreSQL of the tests that have one
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// places are for the tests that work. Those that wait nearly all of the time, for minutes
// of a cron or for the patience of restic, run beside them from the beginning.
var (
	places = make(chan struct{}, 8)
	placed sync.Map // tests that have one
)

// work waits for a place, and has it until the test ends. A test that has one goes on.
func work(t *testing.T) {
	if _, has := placed.LoadOrStore(t, true); has {
		return
	}
	places <- struct{}{}
	t.Cleanup(func() { <-places })
}

func buildPrograms(dir string) error {
	for name, pkg := range map[string]string{
		"restic-manager": "restic-manager/cmd/server", "restic-manager-agent": "restic-manager/cmd/agent", "demo": "restic-manager/cmd/demo",
	} {
		cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, name), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return nil
}

// process is a child whose output goes to a log that a failed test shows.
type process struct {
	t    *testing.T
	name string
	argv []string
	env  []string
	log  *tail
	cmd  *exec.Cmd
	done chan struct{}
}

// start runs a program until the test ends; stop and kill end it sooner, again
// starts it anew with the same arguments.
func start(t *testing.T, name string, env []string, argv ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, argv: argv, env: env, log: &tail{}}
	p.again()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("---- %s\n%s", name, p.log)
		}
	})
	return p
}

func (p *process) again() {
	p.t.Helper()
	p.cmd = exec.Command(p.argv[0], p.argv[1:]...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
	p.done = make(chan struct{})
	go func(c *exec.Cmd, done chan struct{}) { c.Wait(); close(done) }(p.cmd, p.done)
}

// stop asks the process to end and waits for it.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.t.Errorf("%s did not end within 20 s of SIGTERM", p.name)
		p.kill()
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// tail keeps the last part of what a process prints.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, b...)
	if over := len(l.buf) - 256<<10; over > 0 {
		l.buf = l.buf[over:]
	}
	return len(b), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf)
}

// eventually polls until ok, and fails the test when the limit is over.
func eventually(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	end := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// world is a server with an admin signed in, a rest-server and the restic to use.
type world struct {
	t      *testing.T
	bins   restictest.Binaries
	rest   *restictest.RestServer
	server *process
	addr   string
	data   string
	api    *client
}

// password is the admin's.
const password = "correct horse battery staple"

type worldOption func(*worldConfig)

type worldConfig struct {
	suite  string
	args   []string
	rest   []restictest.RestOption
	addr   string       // to listen on; a free one when empty
	public string       // what the server says it is reached at; its own address when empty
	http   *http.Client // that reaches it there
	waits  bool         // needs no place
}

// waiting is of a test that waits more than it works.
func waiting(c *worldConfig) { c.waits = true }

// withAddr makes the server listen at an address that something in front of it knows.
func withAddr(addr string) worldOption { return func(w *worldConfig) { w.addr = addr } }

// withPublicURL tells the server where people and agents reach it, and the test how.
func withPublicURL(url string, c *http.Client) worldOption {
	return func(w *worldConfig) { w.public, w.http = url, c }
}

// withSuite takes restic and rest-server of another Debian suite than trixie.
func withSuite(s string) worldOption { return func(c *worldConfig) { c.suite = s } }

// withRest changes the world's rest-server.
func withRest(o ...restictest.RestOption) worldOption {
	return func(c *worldConfig) { c.rest = append(c.rest, o...) }
}

// withServerArgs passes arguments on to the server.
func withServerArgs(a ...string) worldOption {
	return func(c *worldConfig) { c.args = append(c.args, a...) }
}

// newWorld starts everything and makes the admin's account.
func newWorld(t *testing.T, opts ...worldOption) *world {
	t.Helper()
	w := newWorldBeforeSetUp(t, opts...)
	w.api.must("POST", "/api/v1/setup", obj{"code": w.setupCode(), "name": "admin", "password": password}, nil)
	return w
}

// newWorldBeforeSetUp starts everything and leaves the set-up to the test.
func newWorldBeforeSetUp(t *testing.T, opts ...worldOption) *world {
	t.Helper()
	c := worldConfig{suite: "trixie"}
	for _, o := range opts {
		o(&c)
	}
	if !c.waits {
		work(t)
	}
	w := &world{t: t, bins: restictest.Find(t, c.suite), addr: c.addr, data: filepath.Join(t.TempDir(), "server")}
	if w.addr == "" {
		w.addr = restictest.FreeAddr(t)
	}
	if c.public == "" {
		c.public = "http://" + w.addr
	}
	w.rest = restictest.StartRestServer(t, w.bins, c.rest...)
	args := append([]string{filepath.Join(programs, "restic-manager"), "serve", "--listen", w.addr,
		"--public-url", c.public, "--data-dir", w.data}, c.args...)
	w.server = start(t, "server", nil, args...)
	w.api = newClient(t, c.public)
	if c.http != nil {
		w.api.http.Transport = c.http.Transport
	}
	w.waitReady()
	return w
}

// setupCode reads the one-time code where the server has put it.
func (w *world) setupCode() string {
	w.t.Helper()
	code, err := os.ReadFile(filepath.Join(w.data, "setup-code"))
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(string(code))
}

func (w *world) waitReady() {
	w.t.Helper()
	eventually(w.t, "the server is ready", time.Minute, func() bool {
		res, err := w.api.http.Get(w.api.base + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	})
}

// obj is a JSON object.
type obj map[string]any

// client speaks openapi.yaml.
type client struct {
	t    *testing.T
	base string
	http *http.Client
}

func newClient(t *testing.T, base string) *client {
	jar, _ := cookiejar.New(nil)
	return &client{t: t, base: base, http: &http.Client{Jar: jar, Timeout: 60 * time.Second}}
}

// problem is an error answer.
type problem struct {
	Status       int
	Code, Detail string
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// call sends body and reads the answer into out; a problem is a *problem.
func (c *client) call(method, path string, body, out any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, c.base+path, r)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		p := &problem{Status: res.StatusCode}
		json.Unmarshal(answer, p)
		return p
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	return json.Unmarshal(answer, out)
}

func (c *client) must(method, path string, body, out any) {
	c.t.Helper()
	if err := c.call(method, path, body, out); err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// wantProblem demands a refusal with the code.
func (c *client) wantProblem(code, method, path string, body any) {
	c.t.Helper()
	err := c.call(method, path, body, nil)
	var p *problem
	if !errors.As(err, &p) || p.Code != code {
		c.t.Errorf("%s %s: got %v, want problem %s", method, path, err, code)
	}
}

// job is what the tests look at of the contract's Job.
type job struct {
	ID, State   string
	HostID      string `json:"host_id"`
	Operation   string
	Version     int64
	Late        bool
	Unconfirmed bool
	Attempt     int
	Events      int64
	LogSeq      int64  `json:"log_seq"`
	LogLines    int64  `json:"log_lines"`
	WaitingOn   string `json:"waiting_on"`
	Progress    *struct {
		Percent float64
	}
	Outcome struct {
		Result, Code, Message string
		NextStep              string `json:"next_step"`
		SnapshotID            string `json:"snapshot_id"`
		Confirmed             bool
		WarningsTotal         int64 `json:"warnings_total"`
		Warnings              []struct{ Path, Message string }
		Stats                 struct {
			Files int64 `json:"files_processed"`
		}
	}
}

// host is an enrolled machine: its ids here and its agent's process.
type host struct {
	w          *world
	id         string
	repository string
	schedule   string
	dir        string
	env        []string
	agent      *process
}

type repositorySpec struct {
	location, user, secret, password string
	existing                         bool
	fresh                            bool // to be initialised by the product
}

// addRepository makes one. The zero spec is an empty one on the world's rest-server that
// was made before, because restic takes seconds to make one and a second to open it.
func (w *world) addRepository(name string, s repositorySpec) string {
	w.t.Helper()
	if s.location == "" && !s.existing && !s.fresh && s.password == "" {
		s.existing, s.password = true, "the password of "+name
		restictest.CheapRepository(w.t, w.bins.Restic, w.rest.RepositoryDir(name), s.password)
	}
	if s.location == "" {
		s.location = w.rest.Location(name)
	}
	if s.user == "" {
		s.user, s.secret = w.rest.User, w.rest.Password
	}
	body := obj{"name": name, "location": s.location, "username": s.user, "append_secret": s.secret, "existing": s.existing}
	if s.password != "" {
		body["password"] = s.password
	}
	var made struct{ ID string }
	w.api.must("POST", "/api/v1/repositories", body, &made)
	return made.ID
}

type hostOption func(*hostConfig)

type hostConfig struct {
	serverURL string   // another way to the server, such as a proxy
	env       []string // for enrolment and agent
	restic    string
	profile   string
	prefixes  []string
}

// through makes the agent reach the server at another address.
func through(url string) hostOption { return func(c *hostConfig) { c.serverURL = url } }

func withAgentEnv(e ...string) hostOption { return func(c *hostConfig) { c.env = append(c.env, e...) } }

// addHost makes a host with an initial schedule of the paths, pastes its line into
// a shell and starts its agent.
func (w *world) addHost(name, repository string, paths []string, opts ...hostOption) *host {
	w.t.Helper()
	h, line := w.makeHost(name, repository, paths, opts...)
	h.paste(line)
	h.startAgent()
	return h
}

func (w *world) makeHost(name, repository string, paths []string, opts ...hostOption) (*host, string) {
	w.t.Helper()
	c := hostConfig{restic: w.bins.Restic, profile: "guarded"}
	for _, o := range opts {
		o(&c)
	}
	body := obj{"name": name, "repository_id": repository, "paths": paths, "profile": c.profile}
	if c.prefixes != nil {
		body["repository_prefixes"] = c.prefixes
	}
	var made struct {
		Host, Schedule struct{ ID string }
		Enrolment      struct {
			Line string `json:"enroll_linux"`
		}
	}
	w.api.must("POST", "/api/v1/hosts", body, &made)
	h := &host{w: w, id: made.Host.ID, schedule: made.Schedule.ID, repository: repository, dir: filepath.Join(w.t.TempDir(), name)}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	h.env = append(agentEnv(h.dir, c.restic), c.env...)
	line := made.Enrolment.Line
	if c.serverURL != "" {
		line = strings.ReplaceAll(line, "http://"+w.addr, c.serverURL)
	}
	return h, line
}

// agentEnv keeps everything of an agent below dir.
func agentEnv(dir, restic string) []string {
	return []string{
		"RM_AGENT_CONFIG=" + filepath.Join(dir, "agent.yaml"),
		"RM_AGENT_STATE_DIR=" + filepath.Join(dir, "state"),
		"RM_AGENT_POLICY=" + filepath.Join(dir, "policy.yaml"),
		"RM_AGENT_CACHE_DIR=" + filepath.Join(dir, "cache"),
		"RM_AGENT_RESTIC=" + restic,
	}
}

// paste runs the enrolment line in a shell, as a person would.
func (h *host) paste(line string) {
	h.w.t.Helper()
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Env = append(append(os.Environ(), h.env...), "PATH="+programs+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		h.w.t.Fatalf("enrol: %v\n%s", err, out)
	}
}

func (h *host) startAgent() {
	h.w.t.Helper()
	h.launch()
	h.waitOnline()
}

// launch starts the host's agent and waits for nothing.
func (h *host) launch() {
	h.w.t.Helper()
	h.agent = start(h.w.t, "agent "+filepath.Base(h.dir), h.env, filepath.Join(programs, "restic-manager-agent"), "run", "--first-contact", "0s")
}

func (h *host) waitOnline() {
	h.w.t.Helper()
	eventually(h.w.t, "the host is online", 60*time.Second, func() bool {
		var seen struct{ Presence string }
		return h.w.api.call("GET", "/api/v1/hosts/"+h.id, nil, &seen) == nil && seen.Presence == "online"
	})
}

// runNow starts the initial schedule.
func (h *host) runNow() job {
	h.w.t.Helper()
	var j job
	h.w.api.must("POST", "/api/v1/hosts/"+h.id+"/schedules/"+h.schedule+"/run", obj{}, &j)
	return j
}

// finished waits until the job has a result.
func (w *world) finished(id string, limit time.Duration) job {
	w.t.Helper()
	var j job
	eventually(w.t, "job "+id+" is finished", limit, func() bool {
		return w.api.call("GET", fmt.Sprintf("/api/v1/jobs/%s?wait=5&if_version=%d", id, j.Version), nil, &j) == nil && j.State == "finished"
	})
	return j
}

// backUp runs the schedule and demands a result.
func (h *host) backUp(want string) job {
	h.w.t.Helper()
	j := h.w.finished(h.runNow().ID, 3*time.Minute)
	if j.Outcome.Result != want {
		h.w.t.Fatalf("the backup ended as %s (%s: %s), want %s", j.Outcome.Result, j.Outcome.Code, j.Outcome.Message, want)
	}
	return j
}

// log gives the job's whole log as text.
func (w *world) log(id string) string {
	w.t.Helper()
	res, err := w.api.http.Get(w.api.base + "/api/v1/jobs/" + id + "/log/download")
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// sheet shows a repository's recovery sheet.
func (w *world) sheet(repository string) (s struct{ Location, Password, Text string }) {
	w.t.Helper()
	w.api.must("POST", "/api/v1/repositories/"+repository+"/recovery-sheet", obj{}, &s)
	return s
}

// restic runs plain restic against a repository with what its sheet says.
func (w *world) restic(repository string, args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	out, err := w.plainRestic(ctx, repository, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("restic %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// plainRestic is such a restic that has not been started.
func (w *world) plainRestic(ctx context.Context, repository string, args ...string) *exec.Cmd {
	w.t.Helper()
	s := w.sheet(repository)
	cmd := exec.CommandContext(ctx, w.bins.Restic, args...)
	cmd.Env = []string{"HOME=" + w.t.TempDir(), "PATH=/usr/bin:/bin", "RESTIC_REPOSITORY=" + s.Location, "RESTIC_PASSWORD=" + s.Password,
		"RESTIC_REST_USERNAME=" + w.rest.User, "RESTIC_REST_PASSWORD=" + w.rest.Password}
	return cmd
}

// files writes n small files of known content into a new directory.
func files(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	for i := range n {
		p := filepath.Join(dir, fmt.Sprintf("d%02d", i%20), fmt.Sprintf("file %d.txt", i))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, bytes.Repeat(fmt.Appendf(nil, "line of file %d\n", i), i%50+1), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// sameTree compares two directories byte by byte.
func sameTree(t *testing.T, got, want string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(want, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(want, p)
		a, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(got, rel))
		if err != nil {
			return err
		}
		if !bytes.Equal(a, b) {
			return fmt.Errorf("%q differs", rel)
		}
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Fatal("nothing was compared")
	}
}
