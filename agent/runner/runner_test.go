package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"restic-manager/agent/control"
	"restic-manager/agent/policy"
	"restic-manager/agent/secret"
	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

func TestMain(m *testing.M) { os.Exit(restictest.Main(m)) }

// place is a host of its own: spool, policy file, configuration, and a restic.
type place struct {
	program string // the restic
	storage string // the folder of the repository, wherever it is reached
	t       *testing.T
	spool   *spool.Spool
	runner  *Runner
	options Options
	config  Config
	source  string
	policy  string
	seq     int64
	log     *bytes.Buffer

	mu        sync.Mutex
	secrets   map[string]restic.Secret
	listings  map[string][]byte
	usernames map[string]string // of credentials, where it is not host1
	once      []secret.Ref      // asked for by Once
}

const (
	password   = "correct horse battery staple"
	restSecret = "rest-credential-canary"
)

var (
	passwordRef   = secret.Ref{ID: uuid.NewString(), Version: 1}
	credentialRef = secret.Ref{ID: uuid.NewString(), Version: 1}
	repositoryID  = uuid.NewString()
	scheduleID    = uuid.NewString()
)

// newPlace makes a host whose one repository is in a local folder, and which uses the
// restic at binary.
func newPlace(t *testing.T, binary string) *place {
	t.Helper()
	dir := t.TempDir()
	p := &place{
		t: t, source: filepath.Join(dir, "source"), policy: filepath.Join(dir, "etc", "policy.yaml"), log: &bytes.Buffer{},
		secrets:  map[string]restic.Secret{passwordRef.ID: restic.NewSecret(password), credentialRef.ID: restic.NewSecret(restSecret)},
		listings: map[string][]byte{},
	}
	repository := filepath.Join(dir, "repository")
	p.program, p.storage = binary, repository
	for name, text := range map[string]string{"a.txt": "one", "b.txt": "two"} {
		writeFile(t, filepath.Join(p.source, name), text)
	}
	p.writePolicy("version: 1\nprofile: guarded\nrepos:\n  allow: [" + repository + "]\n")
	location, err := restic.ParseLocation(repository)
	if err != nil {
		t.Fatal(err)
	}
	p.config = Config{
		SnapshotHost: "web-1",
		Repositories: map[string]Repository{repositoryID: {ID: repositoryID, Name: "nas", Location: location, Password: passwordRef}},
		Schedules: map[string]Schedule{scheduleID: {
			ID: scheduleID, Name: "etc", Version: 3, RepositoryID: repositoryID, Paths: []string{p.source}, Tags: []string{"nightly"},
		}},
	}
	p.spool, err = spool.Open(t.Context(), spool.Options{Dir: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.spool.Close() })
	p.options = Options{
		Spool: p.spool,
		Restic: restic.New(restic.Config{
			Binary: binary, CacheDir: filepath.Join(dir, "cache"), TempDir: filepath.Join(dir, "tmp"), Grace: 2 * time.Second,
		}),
		Policy: func() (*policy.Policy, error) {
			rules, err := policy.Load(p.policy)
			if err == nil {
				rules.StageIn(filepath.Join(dir, "restore"))
			}
			return rules, err
		},
		Config:  func() Config { p.mu.Lock(); defer p.mu.Unlock(); return p.config },
		Secrets: p, Listings: p, Upkeep: filepath.Join(dir, "upkeep"),
		Log: slog.New(slog.NewTextHandler(p.log, nil)),
	}
	p.runner = New(p.options)
	return p
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *place) writePolicy(text string) { p.t.Helper(); writeFile(p.t, p.policy, text) }

// repository changes the one repository of the configuration.
func (p *place) repository(change func(*Repository)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.config.Repositories[repositoryID]
	change(&r)
	p.config.Repositories = map[string]Repository{repositoryID: r}
}

func (p *place) Once(ctx context.Context, ref secret.Ref) (secret.Value, error) {
	p.mu.Lock()
	p.once = append(p.once, ref)
	p.mu.Unlock()
	return p.Secret(ctx, ref)
}

func (p *place) Secret(_ context.Context, ref secret.Ref) (secret.Value, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	value, ok := p.secrets[ref.ID]
	if !ok {
		return secret.Value{}, errors.New("the server is away")
	}
	if name := p.usernames[ref.ID]; name != "" {
		return secret.Value{Username: name, Secret: value}, nil
	}
	if ref.ID == credentialRef.ID {
		return secret.Value{Username: "host1", Secret: value}, nil
	}
	return secret.Value{Secret: value}, nil
}

func (p *place) Put(_ context.Context, jobID, _ string, offset int64, part []byte, last bool) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.listings[jobID]
	if offset == int64(len(have)) {
		have = append(have, part...)
		p.listings[jobID] = have
	}
	return int64(len(have)), nil
}

func backupParams() map[string]any {
	return map[string]any{"schedule_id": scheduleID, "schedule_version": 3}
}

func repositoryParams() map[string]any { return map[string]any{"repository_id": repositoryID} }

// command puts a command into the journal and returns its job.
func (p *place) command(operation string, params any, change ...func(*control.Command)) spool.Job {
	p.t.Helper()
	raw, err := json.Marshal(params)
	if err != nil {
		p.t.Fatal(err)
	}
	p.seq++
	c := control.Command{
		Seq: p.seq, Id: uuid.NewString(), Kind: "run", JobId: uuid.NewString(), Epoch: 1,
		Operation: operation, Trigger: "run-now", Params: raw, StartWithinS: 900, IssuedAt: time.Now(),
	}
	for _, ch := range change {
		ch(&c)
	}
	if _, err := p.spool.Journal(p.t.Context(), []control.Command{c}, time.Now()); err != nil {
		p.t.Fatal(err)
	}
	job, err := p.spool.Job(c.JobId)
	if err != nil {
		p.t.Fatal(err)
	}
	return job
}

// do runs a job to its end and returns what the spool would report of it.
func (p *place) do(operation string, params any) recorded {
	p.t.Helper()
	job := p.command(operation, params)
	p.runner.Run(p.t.Context(), job)
	return p.recorded(job.ID)
}

// everything is more than any test records.
var everything = spool.BatchLimits{Items: 10_000, Records: 100_000, Bytes: 1 << 30, Plain: 1 << 30}

// recorded is what the spool holds of a job.
type recorded struct {
	t        *testing.T
	events   []control.Event
	finished []control.Event
	log      []control.LogChunk
}

func (p *place) recorded(id string) recorded {
	p.t.Helper()
	items, err := p.spool.Batch(p.t.Context(), everything, func(job string) bool { return job == id })
	if err != nil {
		p.t.Fatal(err)
	}
	r := recorded{t: p.t}
	for _, item := range items {
		if item.JobId != id {
			continue
		}
		r.events, r.log = item.Events, item.Log
		for _, e := range item.Events {
			if e.Kind == "finished" {
				r.finished = append(r.finished, e)
			}
		}
	}
	return r
}

// outcome is the one result of the job.
func (r recorded) outcome() control.Outcome {
	r.t.Helper()
	if len(r.finished) != 1 {
		r.t.Fatalf("the job has %d results, want one", len(r.finished))
	}
	return *r.finished[0].Outcome
}

func (r recorded) kinds() []string {
	var kinds []string
	for _, e := range r.events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// want fails unless the job ended so.
func (r recorded) want(result spool.Result, code string) control.Outcome {
	r.t.Helper()
	got := r.outcome()
	if got.Result != result || got.Code != code {
		r.t.Errorf("the job ended as %s %q (%s), want %s %q", got.Result, got.Code, got.Message, result, code)
	}
	return got
}

// all is the text of everything recorded, to look for what must not be there.
func (p *place) all() string {
	p.t.Helper()
	items, err := p.spool.Batch(p.t.Context(), everything, func(string) bool { return true })
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := json.Marshal(items)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, item := range items {
		text = append(text, recorded{t: p.t, log: item.Log}.lines()...)
	}
	return string(text) + p.log.String()
}

// lines is the job's log as it was before it was compressed.
func (r recorded) lines() string {
	r.t.Helper()
	reader, err := zstd.NewReader(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer reader.Close()
	var all []byte
	for _, chunk := range r.log {
		if all, err = reader.DecodeAll(chunk.Data, all); err != nil {
			r.t.Fatal(err)
		}
	}
	return string(all)
}
