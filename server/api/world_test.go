package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/jmoiron/sqlx"

	"restic-manager/restic"
	"restic-manager/server/alert"
	"restic-manager/server/api"
	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/notify"
	"restic-manager/server/secret"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
	"restic-manager/server/wake"
)

const password = "a long password"

// world is everything of a server but its sockets, with a clock that can be moved.
type world struct {
	t        testing.TB
	store    *store.Store
	waker    *wake.Waker
	lot      *api.Lot
	auth     *auth.Auth
	jobs     *job.Service
	alerts   *alert.Service
	notify   *notify.Service
	http     *httptest.Server
	contract routers.Router
	code     string // of the set-up
	file     string // of the database

	mu    sync.Mutex
	ahead time.Duration
}

// seals is server/secret with the types of the verbs, as package server has it.
type seals struct{ keys *secret.Keys }

func (s seals) Seal(table, id, column string, version int64, value restic.Secret) (string, error) {
	return s.keys.Seal(secret.Binding{Table: table, Row: id, Column: column, Version: version}, []byte(value.Reveal()))
}

func (s seals) Open(table, id, column string, version int64, sealed string) (restic.Secret, error) {
	plain, err := s.keys.Open(secret.Binding{Table: table, Row: id, Column: column, Version: version}, sealed)
	return restic.NewSecret(string(plain)), err
}

// newWorld starts a server whose set-up is open.
func newWorld(t testing.TB, change ...func(*api.Options)) *world {
	t.Helper()
	return newWorldOn(t, storetest.SQLite(t), change...)
}

// newWorldOn is newWorld with a database.
func newWorldOn(t testing.TB, database string, change ...func(*api.Options)) *world {
	t.Helper()
	w := &world{t: t, file: database}
	w.store = storetest.Open(t, w.file, store.Options{Now: w.now})
	keys, _, err := secret.Load(filepath.Join(t.TempDir(), "sealing.key"), "")
	if err != nil {
		t.Fatal(err)
	}
	hasher, err := auth.NewHasher(auth.LeastCost(), 2)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	w.auth = auth.New(auth.Options{Store: w.store, Hasher: hasher, Log: log, SetupFile: filepath.Join(t.TempDir(), "setup-code")})
	if w.code, err = w.auth.OpenSetup(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.waker = wake.New(w.store, log)
	ctx, stop := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	loops.Go(func() { w.waker.Run(ctx) })
	w.jobs = &job.Service{Store: w.store, Sealer: seals{keys}, Logger: log}
	w.notify = &notify.Service{Store: w.store, Seals: keys, Log: log, Out: notify.NewEgress(true, false, nil)}
	w.alerts = &alert.Service{Store: w.store, Log: log, Tells: notify.Tells}
	public := &url.URL{Scheme: "http", Host: "127.0.0.1:8080"}
	w.lot = api.NewLot()
	options := api.Options{
		Store: w.store, Jobs: w.jobs, Auth: w.auth, Waker: w.waker, Seals: seals{keys}, Log: log, PublicURL: public, Alerts: w.alerts, Notify: w.notify, Lot: w.lot,
	}
	for _, c := range change {
		c(&options)
	}
	routes, err := api.New(options).Routes()
	if err != nil {
		t.Fatal(err)
	}
	proxies := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	handler := auth.Observe(log, proxies, time.Now)(routes)
	w.http = httptest.NewServer(handler)
	returned := &http.Server{Handler: handler}
	loops.Go(func() { _ = returned.Serve(w.lot) })
	t.Cleanup(func() {
		w.waker.Close()
		w.http.Close()
		_ = returned.Shutdown(ctx)
		w.lot.Drain(ctx)
		stop()
		loops.Wait()
	})
	w.contract = readContract(t)
	return w
}

// openFile opens the database file beside the server.
func (w *world) openFile() *sqlx.DB {
	w.t.Helper()
	db, err := sqlx.Open("sqlite", "file:"+w.file+"?mode=ro")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = db.Close() })
	return db
}

// written is the contract, and a router of it that checks it as a whole; both are read
// once, since that takes as long as many a test.
var written = sync.OnceValues(func() (*openapi3.T, error) {
	spec, err := api.GetSpec()
	if err == nil {
		spec.Servers = nil
	}
	return spec, err
})

var router = sync.OnceValues(func() (routers.Router, error) {
	spec, err := written()
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(spec, openapi3.DisableExamplesValidation())
})

func readContract(t testing.TB) routers.Router {
	t.Helper()
	r, err := router()
	if err != nil {
		t.Fatalf("the contract is not valid: %v", err)
	}
	return r
}

func readSpec(t testing.TB) *openapi3.T {
	t.Helper()
	spec, err := written()
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

// pass moves the server's clock.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

// newAdmin starts a server and signs its first admin in.
func newAdmin(t testing.TB, change ...func(*api.Options)) (*world, *client) {
	t.Helper()
	w := newWorld(t, change...)
	return w, w.setUp()
}

// setUp makes the first account, and gives its client.
func (w *world) setUp() *client {
	w.t.Helper()
	c := w.client()
	c.must(http.StatusCreated, "POST", "/api/v1/setup", obj{"code": w.code, "name": "admin", "password": password})
	return c
}

// client is a browser or a script; it keeps its cookie.
type client struct {
	w      *world
	cookie string
	header http.Header
}

func (w *world) client() *client { return &client{w: w, header: http.Header{}} }

// with gives the same client with another header.
func (c *client) with(name, value string) *client {
	other := *c
	other.header = maps.Clone(c.header)
	other.header.Set(name, value)
	return &other
}

// user makes an account of a role and signs it in.
func (c *client) user(name string, role fleet.Role) *client {
	c.w.t.Helper()
	c.must(http.StatusCreated, "POST", "/api/v1/users", obj{"name": name, "password": password, "role": string(role)})
	return c.w.signIn(name)
}

func (w *world) signIn(name string) *client {
	w.t.Helper()
	c := w.client()
	c.must(http.StatusOK, "POST", "/api/v1/sign-in", obj{"name": name, "password": password})
	return c
}

type obj map[string]any

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	text   []byte
}

// into decodes an answer.
func into[T any](a *answer) T {
	a.t.Helper()
	var v T
	if err := json.Unmarshal(a.text, &v); err != nil {
		a.t.Fatalf("decode %s: %v", a.text, err)
	}
	return v
}

func (a *answer) code() string { return into[api.Problem](a).Code }

// do sends a request and checks the answer against the contract. A body that is no
// string is sent as JSON.
func (c *client) do(method, path string, body any) *answer {
	c.w.t.Helper()
	a, err := c.try(c.w.t.Context(), method, path, body)
	if err != nil {
		c.w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (c *client) try(ctx context.Context, method, path string, body any) (*answer, error) {
	c.w.t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, c.w.http.URL+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if text != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(r.Header, c.header)
	if c.cookie != "" {
		r.Header.Set("Cookie", c.cookie)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	a := &answer{t: c.w.t, status: res.StatusCode, header: res.Header}
	if a.text, err = io.ReadAll(res.Body); err != nil {
		return nil, err
	}
	for _, set := range res.Cookies() {
		c.cookie = set.Name + "=" + set.Value
	}
	c.w.checkAnswer(r, a)
	return a, nil
}

// checkAnswer compares an answer with what the contract says of its operation.
func (w *world) checkAnswer(r *http.Request, a *answer) {
	w.t.Helper()
	plain := r.Clone(r.Context())
	plain.URL = &url.URL{Path: r.URL.Path}
	route, params, err := w.contract.FindRoute(plain)
	if err != nil {
		return // no operation: answered by the router
	}
	err = openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.text)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		w.t.Errorf("%s: the answer %d is not the contract's: %v\n%s", route.Operation.OperationID, a.status, err, a.text)
	}
	if a.status >= 400 {
		if got := a.header.Get("Content-Type"); got != "application/problem+json" {
			w.t.Errorf("%s: a refusal of type %q", route.Operation.OperationID, got)
		}
	}
}

// must is do for a status that is known.
func (c *client) must(status int, method, path string, body any) *answer {
	c.w.t.Helper()
	a := c.do(method, path, body)
	if a.status != status {
		c.w.t.Fatalf("%s %s: got %d, want %d: %s", method, path, a.status, status, a.text)
	}
	return a
}

// refused is do for a refusal that is known.
func (c *client) refused(status int, code fleet.Code, method, path string, body any) api.Problem {
	c.w.t.Helper()
	a := c.must(status, method, path, body)
	p := into[api.Problem](a)
	if p.Code != string(code) || p.Type != "urn:restic-manager:problem:"+p.Code || p.RequestId == "" {
		c.w.t.Fatalf("%s %s: got %s, want %s", method, path, a.text, code)
	}
	return p
}

// get reads.
func get[T any](c *client, path string) T {
	c.w.t.Helper()
	return into[T](c.must(http.StatusOK, "GET", path, nil))
}

// repository adds a repository and gives its id.
func (c *client) repository(name string) string {
	c.w.t.Helper()
	a := c.must(http.StatusCreated, "POST", "/api/v1/repositories", obj{
		"name": name, "location": "rest:https://nas.test:8000/" + name + "/", "username": "u", "append_secret": "append-secret",
	})
	return into[api.Repository](a).Id
}

// host adds a host with a manual schedule.
func (c *client) host(name, repository string) api.HostCreated {
	c.w.t.Helper()
	return into[api.HostCreated](c.must(http.StatusCreated, "POST", "/api/v1/hosts", obj{
		"name": name, "repository_id": repository, "paths": []string{"/etc"},
	}))
}

// enrolled makes an agent of a host that was just added, and gives what it signs in
// with.
func (w *world) enrolled(h api.HostCreated) *client {
	w.t.Helper()
	token := strings.Split(h.Enrolment.LineLinux, "'")[1]
	install, own := fleet.NewID[string](), strings.Repeat("s", 43)
	agent := w.client()
	agent.must(http.StatusOK, "POST", "/agent/v1/enrolments", obj{
		"token": token, "install_id": install, "secret_hash": auth.HashSecret(own),
		"hostname": "h", "os": "linux", "arch": "amd64", "agent_version": "1",
	})
	return agent.with("Authorization", "Bearer "+h.Host.Id+"."+own)
}

// eventually polls, since nothing tells when the condition becomes true.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("in vain: %s", what)
		}
	}
}

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
