package job_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// clock is a time that a test moves.
type clock struct {
	micros atomic.Int64
	read   func() // if set, is called whenever somebody looks at the clock
}

func (c *clock) now() time.Time {
	if c.read != nil {
		c.read()
	}
	return time.UnixMicro(c.micros.Load()).UTC()
}

func (c *clock) advance(by time.Duration) { c.micros.Add(by.Microseconds()) }

// world is a server's database with its verbs, and a clock.
type world struct {
	testing.TB
	store *store.Store
	jobs  *job.Service
	clock *clock
}

// plainSeals opens what is not sealed; the binding must be right all the same.
type plainSeals struct{}

func (plainSeals) Open(table, id, column string, version int64, sealed string) (restic.Secret, error) {
	want := fmt.Sprintf("%s/%s/%s/%d:", table, id, column, version)
	text, ok := strings.CutPrefix(sealed, want)
	if !ok {
		return restic.Secret{}, fmt.Errorf("sealed for another place than %s", want)
	}
	return restic.NewSecret(text), nil
}

func newWorld(t testing.TB, url string) *world {
	t.Helper()
	c := &clock{}
	c.micros.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMicro())
	s := storetest.Open(t, url, store.Options{Now: c.now})
	w := &world{t, s, &job.Service{Store: s, Sealer: plainSeals{}, Logger: slog.New(slog.DiscardHandler)}, c}
	w.verifyAtEnd()
	return w
}

// verifyAtEnd verifies the rollups before the store is closed, unless another one was
// opened meanwhile.
func (w *world) verifyAtEnd() {
	s := w.store
	w.Cleanup(func() {
		if s != w.store {
			return
		}
		if err := s.VerifyRollups(context.Background()); err != nil {
			w.Errorf("after the test: %v", err)
		}
	})
}

// restart stops the server, lets time pass, and starts it on the same database.
func (w *world) restart(url string, away time.Duration) {
	w.Helper()
	w.must(w.store.Close())
	w.clock.advance(away)
	w.reopen(url)
}

// reopen starts the server on a database after it was stopped.
func (w *world) reopen(url string) {
	w.Helper()
	w.store = storetest.Open(w, url, store.Options{Now: w.clock.now})
	w.jobs = &job.Service{Store: w.store, Sealer: plainSeals{}, Logger: slog.New(slog.DiscardHandler)}
	w.verifyAtEnd()
}

// sweep does what the loops do, once.
func (w *world) sweep() {
	w.Helper()
	w.must(w.store.FlushContacts(w.Context()))
	w.must(w.jobs.CheckSlots(w.Context()))
	w.must(w.jobs.Judge(w.Context()))
}

// each runs a test on both databases.
func each(t *testing.T, test func(w *world)) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, url string) { test(newWorld(t, url)) })
}

func lite(t *testing.T) *world {
	t.Helper()
	return newWorld(t, storetest.SQLite(t))
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) write(fn func(*store.Tx) error) {
	w.Helper()
	w.must(w.store.Write(w.Context(), fn))
}

func (w *world) wantCode(err error, want fleet.Code) {
	w.Helper()
	if !fleet.Is(err, want) {
		w.Errorf("got error %v, want code %s", err, want)
	}
}

var someone = job.Actor{Name: "ana", Address: "127.0.0.1", RequestID: "r", Operates: true}

// host adds an enrolled host and gives its agent, which has opened no session.
func (w *world) host(name string) *agent {
	w.Helper()
	h := &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: name, Profile: fleet.Guarded}
	w.write(func(tx *store.Tx) error { return tx.CreateHost(w.Context(), h) })
	token := &fleet.EnrolmentToken{
		ID: fleet.NewID[fleet.TokenID](), HostID: h.ID, SecretHash: "token of " + name, ExpiresAt: fleet.At(w.clock.now().Add(time.Hour)),
	}
	w.write(func(tx *store.Tx) error { return tx.CreateEnrolmentToken(w.Context(), token) })
	a := &agent{
		world: w, id: job.Agent{Host: h.ID, Install: fleet.NewID[string]()}, journal: fleet.NewID[string](), boot: "boot of " + name,
		jobs: map[fleet.JobID]*work{},
	}
	_, err := w.jobs.Enrol(w.Context(), job.Actor{}, job.Enrolment{
		TokenHash: token.SecretHash, Install: a.id.Install, SecretHash: "secret of " + name, Hostname: name, OS: "linux", Arch: "amd64", AgentVersion: "1",
	})
	w.must(err)
	return a
}

// repository adds a repository in a state, with a password and a credential.
func (w *world) repository(name string, state fleet.RepositoryState) *fleet.Repository {
	w.Helper()
	r := &fleet.Repository{ID: fleet.NewID[fleet.RepositoryID](), Name: name, Location: "rest:https://nas.test/" + name + "/", State: state}
	w.write(func(tx *store.Tx) error {
		if err := tx.CreateRepository(w.Context(), r); err != nil {
			return err
		}
		for slot, secret := range map[fleet.Slot]string{fleet.PasswordSlot: "password", fleet.AppendSlot: "append"} {
			c := &fleet.Credential{ID: fleet.NewID[fleet.CredentialID](), RepositoryID: r.ID, Slot: slot, Username: "user", Version: 1}
			c.Sealed = fmt.Sprintf("credentials/%s/sealed/1:%s of %s", c.ID, secret, name)
			if err := tx.PutCredential(w.Context(), c); err != nil {
				return err
			}
		}
		return nil
	})
	return r
}

func (w *world) schedule(a *agent, r *fleet.Repository, name string) *fleet.Schedule {
	w.Helper()
	s := &fleet.Schedule{
		ID: fleet.NewID[fleet.ScheduleID](), HostID: a.id.Host, RepositoryID: r.ID, Name: name,
		Paths: fleet.NewList([]string{"/etc"}), Manual: true, Enabled: true,
	}
	w.write(func(tx *store.Tx) error { return tx.CreateSchedule(w.Context(), s) })
	return s
}

// ready is a host with one schedule into a repository that is ready, and its agent
// in a session.
func (w *world) ready() (*agent, *fleet.Schedule) {
	w.Helper()
	a := w.host("web-1")
	s := w.schedule(a, w.repository("main", fleet.RepositoryReady), "daily")
	a.open()
	a.sync() // takes the configuration
	return a, s
}

func (w *world) run(s *fleet.Schedule) *fleet.Job {
	w.Helper()
	j, _, err := w.jobs.RunSchedule(w.Context(), someone, s.HostID, s.ID, 0)
	w.must(err)
	return j
}

// runOf runs a host's only schedule.
func (w *world) runOf(a *agent) *fleet.Job {
	w.Helper()
	j, _, err := w.jobs.RunNow(w.Context(), someone, a.id.Host, 0)
	w.must(err)
	return j
}

func (w *world) job(id fleet.JobID) *fleet.Job {
	w.Helper()
	j, err := w.store.Job(w.Context(), id)
	w.must(err)
	return j
}

func (w *world) hostRow(a *agent) *fleet.Host {
	w.Helper()
	h, err := w.store.Host(w.Context(), a.id.Host)
	w.must(err)
	return h
}

// codes gives the conditions that hold for an object.
func (w *world) codes(objectType string, id string) string {
	w.Helper()
	list, err := w.store.Conditions(w.Context(), objectType, id)
	w.must(err)
	var codes []string
	for _, c := range list {
		codes = append(codes, c.Code)
	}
	return strings.Join(codes, " ")
}

// agent is a model of an agent: it keeps what it was told and has not reported.
type agent struct {
	*world
	id      job.Agent
	journal string
	boot    string
	session fleet.SessionID
	acked   int64
	config  *job.Config
	running []job.RunningJob
	inForce []job.Directive
	holds   []fleet.JobID
	told    job.Status // of schedules: claims, absences, offers
	spooled int        // jobs that it has to report
	jobs    map[fleet.JobID]*work
}

// work is a job at an agent.
type work struct {
	job    fleet.JobID
	epoch  int64
	writer string
	opened *job.Opened
	events []job.Event // all ever made
	log    []fleet.LogChunk
	lines  int64
	sentE  int // confirmed
	sentL  int
}

func (a *agent) open() *job.SessionAnswer {
	a.Helper()
	answer, err := a.world.jobs.OpenSession(a.Context(), a.id, a.sessionRequest())
	a.must(err)
	a.session = answer.Session
	return answer
}

func (a *agent) sessionRequest() *job.SessionRequest {
	r := &job.SessionRequest{
		JournalID: a.journal, AckedSeq: a.acked, BootID: a.boot, MinProtocol: 1, MaxProtocol: 1, ConfigRevision: a.revision(),
		AgentVersion: "1", ResticVersion: "0.18.0", OS: "linux", Arch: "amd64", AgentTime: a.clock.now(), Status: a.told,
	}
	r.Spool = &job.SpoolSummary{Jobs: a.spooled}
	for _, wk := range a.jobs {
		phase := job.EventAcked
		if n := len(wk.events); n > 0 {
			phase = wk.events[n-1].Kind
		}
		r.Jobs = append(r.Jobs, job.AgentJob{
			ID: wk.job, Epoch: wk.epoch, Phase: phase, Writer: wk.writer,
			NextEventSeq: int64(len(wk.events) + 1), NextLogSeq: int64(len(wk.log) + 1),
		})
	}
	return r
}

func (a *agent) revision() int64 {
	if a.config == nil {
		return 0
	}
	return a.config.Revision
}

func (a *agent) syncRequest() *job.SyncRequest {
	r := &job.SyncRequest{
		Session: a.session, JournalID: a.journal, AckedSeq: a.acked, ConfigRevision: a.revision(),
		Running: a.running, Directives: a.inForce, Holds: a.holds, AgentTime: a.clock.now(), Status: a.told,
	}
	r.Spool = &job.SpoolSummary{Jobs: a.spooled}
	r.LastExchange = &job.LastExchange{Kind: "ok", Status: 200, ElapsedMs: a.clock.micros.Load() % 999}
	return r
}

// ask makes one sync without wait and changes nothing at the agent.
func (a *agent) ask() (*job.SyncAnswer, error) {
	return a.world.jobs.Sync(a.Context(), a.id, a.syncRequest(), 20*time.Second)
}

// sync asks and takes what it is told: configuration, commands, directives.
func (a *agent) sync() *job.SyncAnswer {
	a.Helper()
	answer, err := a.ask()
	a.must(err)
	a.take(answer)
	return answer
}

func (a *agent) take(answer *job.SyncAnswer) {
	if answer.Config != nil {
		a.config = answer.Config
	}
	a.inForce = append(a.inForce, answer.Directives...)
	for _, c := range answer.Commands {
		if c.Seq <= a.acked {
			continue
		}
		a.acked = c.Seq
		if c.Kind == "run" && a.jobs[c.JobID] == nil {
			a.bear(c.JobID, nil)
		}
	}
}

// bear begins a job with its first event.
func (a *agent) bear(id fleet.JobID, opened *job.Opened) *work {
	wk := &work{job: id, epoch: 1, writer: fleet.NewID[string](), opened: opened}
	a.jobs[id] = wk
	a.event(wk, job.Event{Kind: job.EventAcked})
	return wk
}

func (a *agent) event(wk *work, e job.Event) {
	e.Seq, e.At, e.Attempt = int64(len(wk.events)+1), a.clock.now(), 1
	wk.events = append(wk.events, e)
}

// say adds a chunk with lines to the log.
func (a *agent) say(wk *work, lines ...string) {
	wk.log = append(wk.log, a.chunk(int64(len(wk.log)+1), wk.lines+1, lines...))
	wk.lines += int64(len(lines))
}

func (a *agent) chunk(seq, first int64, lines ...string) fleet.LogChunk {
	a.Helper()
	var plain bytes.Buffer
	for _, text := range lines {
		a.must(json.NewEncoder(&plain).Encode(map[string]any{"t": a.clock.micros.Load(), "s": "o", "m": text}))
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	a.must(err)
	return fleet.LogChunk{
		Seq: seq, FirstLine: first, Lines: len(lines), Bytes: int64(plain.Len()), From: fleet.At(a.clock.now()), To: fleet.At(a.clock.now()),
		Data: z.EncodeAll(plain.Bytes(), nil),
	}
}

// item is what the agent has not been confirmed of a job.
func (wk *work) item() job.Item {
	return job.Item{
		Job: wk.job, Epoch: wk.epoch, Writer: wk.writer, Opened: wk.opened, Phase: "running",
		Events: append([]job.Event{}, wk.events[wk.sentE:]...), Log: append([]fleet.LogChunk{}, wk.log[wk.sentL:]...),
	}
}

func (a *agent) send(items ...job.Item) ([]job.Verdict, error) {
	return a.world.jobs.Report(a.Context(), a.id, &job.Report{Session: a.session, Items: items})
}

// report sends what is left of a job and takes the verdict.
func (a *agent) report(wk *work) job.Verdict {
	a.Helper()
	verdicts, err := a.send(wk.item())
	a.must(err)
	wk.sentE, wk.sentL = int(verdicts[0].NextEventSeq-1), int(verdicts[0].NextLogSeq-1)
	return verdicts[0]
}

// finish ends a job with a result and reports it.
func (a *agent) finish(wk *work, o job.Outcome, snapshot *job.Snapshot) job.Verdict {
	a.Helper()
	a.event(wk, job.Event{Kind: job.EventFinished, Outcome: &o, Snapshot: snapshot})
	return a.report(wk)
}

// backup carries a backup through to a good end.
func (a *agent) backup(wk *work) string {
	a.Helper()
	a.event(wk, job.Event{Kind: job.EventRunning})
	id := snapshotID(string(wk.job))
	a.finish(wk, job.Outcome{Result: "succeeded", SnapshotID: id, Confirmed: true}, a.snapshot(id))
	return id
}

func (a *agent) snapshot(id string) *job.Snapshot {
	return &job.Snapshot{ID: id, Time: a.clock.now(), Hostname: "web-1", Paths: []string{"/etc"}}
}

// snapshotID makes a full id of a text.
func snapshotID(text string) string {
	id := strings.ReplaceAll(text, "-", "") + strings.Repeat("0", 64)
	return id[:64]
}
