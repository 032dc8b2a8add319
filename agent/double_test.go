package agent

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
)

// double is a server in memory that keeps to the contract: dense command numbers,
// sessions that supersede each other, and streams that take an overlap and refuse a
// hole. What it loses, repeats or mangles on the way is up to fault.
type double struct {
	t *testing.T

	// fault, if set, says what becomes of a request.
	fault func(path string) fault

	mu       sync.Mutex
	changed  chan struct{} // closed at every change
	config   control.AgentConfig
	commands []control.Command
	acked    int64
	journal  string
	homeless bool     // the agent may come with another journal
	sessions []string // the last one is the current one
	opened   []control.SessionRequest
	jobs     map[string]*doubleJob
	wishes   map[string]control.JobDirective
	want     []string
	hints    *control.Hints
	limits   control.Limits
	secrets  map[string]control.SecretValue
	hashes   map[string]bool // of agent secrets that are let in
	lastSync control.SyncRequest
	offers   []control.Offers // of the syncs that had any
	claims   []control.SlotClaim
	absences []control.Absence // as last told
	requests map[string]int
	refuse   func(control.ReportItem) *control.ReportVerdict
	whole    func(control.ReportRequest) bool // reports that are refused as a whole
	narrow   int                              // bytes that a box on the way lets through, 0 for all
	listing  []byte
}

// doubleJob is a job as the server knows it.
type doubleJob struct {
	epoch    int64
	writer   string
	events   []control.Event
	chunks   []control.LogChunk
	phase    string
	progress int
}

// fault is what happens to one exchange.
type fault struct {
	delay     time.Duration
	loseAsk   bool // the request never arrives
	loseReply bool // it arrives, and the answer is lost
	twice     bool // it arrives twice
	status    int  // somebody else answers with this
	hang      bool // nothing answers, ever
}

const modelHost = "01936f0e-5c1a-7c3e-9a54-0d7d3b8f1c22"

func newDouble(t *testing.T) *double {
	return &double{
		t: t, changed: make(chan struct{}), jobs: map[string]*doubleJob{}, wishes: map[string]control.JobDirective{},
		secrets: map[string]control.SecretValue{}, hashes: map[string]bool{}, requests: map[string]int{},
		limits: control.Limits{MaxWaitS: 25, ReportBytes: 512 << 10, ReportItems: 20, ReportRecords: 500},
	}
}

// change makes a change under the lock and wakes what is parked.
func (d *double) change(do func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	do()
	close(d.changed)
	d.changed = make(chan struct{})
}

// look reads under the lock.
func (d *double) look(do func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	do()
}

// order queues a command, and knows its job from then on.
func (d *double) order(kind, operation, job string, params any) string {
	if job == "" {
		job = uuid.NewString()
	}
	raw, err := json.Marshal(params)
	if err != nil {
		d.t.Error(err)
	}
	d.change(func() {
		if d.jobs[job] == nil {
			d.jobs[job] = &doubleJob{epoch: 1}
		}
		d.commands = append(d.commands, control.Command{
			Seq: int64(len(d.commands) + 1), Id: uuid.NewString(), Kind: kind, JobId: job, Epoch: 1,
			Operation: operation, Trigger: "run-now", Params: raw, StartWithinS: 900, IssuedAt: time.Now(),
		})
	})
	return job
}

// finished returns the results that the server has heard for a job.
func (d *double) finished(job string) []control.Outcome {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []control.Outcome
	if j := d.jobs[job]; j != nil {
		for _, e := range j.events {
			if e.Kind == "finished" {
				list = append(list, *e.Outcome)
			}
		}
	}
	return list
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.narrow > 0 && r.ContentLength > int64(d.narrow) {
		http.Error(w, "<html>413</html>", http.StatusRequestEntityTooLarge)
		return
	}
	body, err := readBody(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	path := strings.TrimPrefix(r.URL.Path, "/agent/v1/")
	var f fault
	d.look(func() {
		d.requests[path]++
		if d.fault != nil {
			f = d.fault(path)
		}
	})
	switch {
	case f.hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case f.delay > 0:
		time.Sleep(f.delay)
	}
	switch {
	case f.loseAsk:
		panic(http.ErrAbortHandler)
	case f.status != 0:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(f.status)
		fmt.Fprint(w, "<html>a box on the way</html>")
		return
	case f.twice:
		d.route(r, path, body)
	}
	status, answer := d.route(r, path, body)
	if f.loseReply {
		panic(http.ErrAbortHandler)
	}
	media := "application/json"
	if status != http.StatusOK {
		media = "application/problem+json"
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func readBody(r *http.Request) ([]byte, error) {
	var from io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		from = zip
	}
	return io.ReadAll(from)
}

// route is the contract.
func (d *double) route(r *http.Request, path string, body []byte) (int, any) {
	if !d.letIn(r) {
		return refusal(http.StatusUnauthorized, "credential_unknown")
	}
	switch {
	case path == "sessions":
		return d.openSession(decodeAs[control.SessionRequest](d.t, body))
	case path == "sync":
		return d.sync(r, decodeAs[control.SyncRequest](d.t, body))
	case path == "reports":
		return d.report(decodeAs[control.ReportRequest](d.t, body))
	case path == "secrets":
		return d.giveSecrets(decodeAs[control.SecretsRequest](d.t, body))
	case path == "credentials":
		hash := decodeAs[control.CredentialRotation](d.t, body).NewSecretHash
		d.change(func() { d.hashes[hash] = true; d.hints = nil })
		return http.StatusOK, control.AgentAnswer{Protocol: control.ResticManager1, ServerTime: time.Now()}
	case strings.HasSuffix(path, "/close"):
		return http.StatusOK, control.AgentAnswer{Protocol: control.ResticManager1, ServerTime: time.Now()}
	case strings.Contains(path, "/artifacts/"):
		return d.artifact(r, body)
	}
	return refusal(http.StatusNotFound, "not_found")
}

func decodeAs[T any](t *testing.T, body []byte) T {
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		t.Errorf("the agent sent %T that is not understood: %v", v, err)
	}
	return v
}

func refusal(status int, code string) (int, any) {
	return status, control.Problem{Type: "urn:restic-manager:problem:" + code, Title: code, Status: status, Code: code}
}

func (d *double) letIn(r *http.Request) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	host, secret, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	return host == modelHost && d.hashes[hashOf(secret)]
}

func (d *double) openSession(r control.SessionRequest) (int, any) {
	answer := control.SessionAnswer{
		Protocol: control.ResticManager1, ServerTime: time.Now(), SessionId: uuid.NewString(), ProtocolVersion: 1,
		ServerEpoch: "1", Jobs: []control.JobVerdict{}, Limits: d.limits,
	}
	d.change(func() {
		d.sessions = append(d.sessions, answer.SessionId)
		d.opened = append(d.opened, r)
		d.want = nil
		answer.SessionNo = int64(len(d.sessions))
		d.note(r.JournalId, r.AckedSeq)
		for _, j := range r.Jobs {
			known := d.jobs[j.JobId]
			if known == nil {
				answer.Jobs = append(answer.Jobs, control.JobVerdict{JobId: j.JobId, Verdict: "send"})
				continue
			}
			answer.Jobs = append(answer.Jobs, control.JobVerdict{
				JobId: j.JobId, Verdict: "continue", NextEventSeq: known.nextEvent(), NextLogSeq: known.nextChunk(),
			})
		}
	})
	return http.StatusOK, answer
}

// note takes what the agent says to have on disk.
func (d *double) note(journal string, acked int64) {
	if d.journal != "" && d.journal != journal && !d.homeless {
		d.t.Errorf("the journal changed its name")
	}
	if acked > int64(len(d.commands)) {
		d.t.Errorf("the agent acknowledged %d of %d commands", acked, len(d.commands))
	}
	d.journal, d.acked = journal, max(d.acked, acked)
}

// current refuses a session that is not the last one.
func (d *double) current(session string) (int, any) {
	switch {
	case len(d.sessions) > 0 && d.sessions[len(d.sessions)-1] == session:
		return 0, nil
	case slices.Contains(d.sessions, session):
		return refusal(http.StatusConflict, "session_superseded")
	}
	return refusal(http.StatusConflict, "session_unknown")
}

func (d *double) sync(r *http.Request, q control.SyncRequest) (int, any) {
	end := time.NewTimer(time.Duration(q.WaitS) * time.Second * 9 / 10)
	defer end.Stop()
	for over := false; ; {
		d.mu.Lock()
		status, problem := d.current(q.SessionId)
		if status != 0 {
			d.mu.Unlock()
			return status, problem
		}
		d.note(q.JournalId, q.AckedSeq)
		d.lastSync = q
		if q.Offers.Hooks != nil {
			d.offers = append(d.offers, q.Offers)
		}
		d.claims = append(d.claims, q.Slots...)
		if q.Absences != nil {
			d.absences = q.Absences
		}
		answer, something := d.answer(q)
		wake := d.changed
		d.mu.Unlock()
		if something || over {
			return http.StatusOK, answer
		}
		select {
		case <-wake:
		case <-end.C:
			over = true
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// answer is what there is to say to an agent that stands where q says.
func (d *double) answer(q control.SyncRequest) (control.SyncAnswer, bool) {
	answer := control.SyncAnswer{
		Protocol: control.ResticManager1, ServerTime: time.Now(), Commands: []control.Command{}, Want: d.want, Hints: d.hints,
	}
	for _, c := range d.commands {
		if c.Seq > q.AckedSeq && len(answer.Commands) < 20 {
			answer.Commands = append(answer.Commands, c)
		}
	}
	refused := q.ConfigError != nil && q.ConfigError.Revision == d.config.Revision
	if d.config.Revision != q.ConfigRevision && !refused {
		config := d.config
		answer.Config = &config
	}
	for _, running := range q.Running {
		wish, ok := d.wishes[running.JobId]
		if ok && !slices.Contains(q.Directives, wish) {
			answer.Jobs = append(answer.Jobs, wish)
		}
	}
	something := len(answer.Commands)+len(answer.Jobs)+len(answer.Want) > 0 || answer.Config != nil || answer.Hints != nil
	return answer, something
}

func (d *double) report(q control.ReportRequest) (int, any) {
	answer := control.ReportAnswer{Protocol: control.ResticManager1, ServerTime: time.Now(), Items: []control.ReportVerdict{}}
	d.mu.Lock()
	defer d.mu.Unlock()
	if status, problem := d.current(q.SessionId); status != 0 {
		return status, problem
	}
	if d.whole != nil && d.whole(q) {
		return refusal(http.StatusUnprocessableEntity, "invalid_field")
	}
	for _, item := range q.Items {
		answer.Items = append(answer.Items, d.append(item))
	}
	close(d.changed)
	d.changed = make(chan struct{})
	return http.StatusOK, answer
}

// append is the rule of the streams.
func (d *double) append(item control.ReportItem) control.ReportVerdict {
	j := d.jobs[item.JobId]
	if j == nil {
		if item.Opened == nil {
			return control.ReportVerdict{JobId: item.JobId, Outcome: "unknown_job"}
		}
		j = &doubleJob{epoch: item.Epoch}
		d.jobs[item.JobId] = j
	}
	verdict := control.ReportVerdict{JobId: item.JobId, Outcome: "ok"}
	if d.refuse != nil {
		if v := d.refuse(item); v != nil {
			v.JobId, v.NextEventSeq, v.NextLogSeq = item.JobId, j.nextEvent(), j.nextChunk()
			return *v
		}
	}
	if j.writer == "" {
		j.writer = item.WriterId
	}
	if j.writer != item.WriterId {
		j.writer, verdict.Outcome = item.WriterId, "diverged"
		if len(item.Events) > 0 && item.Events[0].Seq == j.nextEvent() || len(item.Events) == 0 {
			verdict.Outcome = "ok"
		}
	}
	if verdict.Outcome == "ok" {
		verdict.Outcome = j.take(item)
	}
	verdict.NextEventSeq, verdict.NextLogSeq = j.nextEvent(), j.nextChunk()
	return verdict
}

func (j *doubleJob) nextEvent() int64 { return int64(len(j.events) + 1) }
func (j *doubleJob) nextChunk() int64 { return int64(len(j.chunks) + 1) }

func (j *doubleJob) take(item control.ReportItem) string {
	if len(item.Events) > 0 && item.Events[0].Seq > j.nextEvent() || len(item.Log) > 0 && item.Log[0].Seq > j.nextChunk() {
		return "gap"
	}
	for _, e := range item.Events {
		if e.Seq == j.nextEvent() {
			j.events = append(j.events, e)
		}
	}
	for _, c := range item.Log {
		if c.Seq == j.nextChunk() {
			j.chunks = append(j.chunks, c)
		}
	}
	if item.Progress != nil {
		j.progress++
	}
	j.phase = item.Phase
	return "ok"
}

func (d *double) giveSecrets(q control.SecretsRequest) (int, any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if status, problem := d.current(q.SessionId); status != 0 {
		return status, problem
	}
	answer := control.SecretsAnswer{Protocol: control.ResticManager1, ServerTime: time.Now(), Secrets: []control.SecretValue{}}
	for _, ref := range q.Refs {
		value, ok := d.secrets[ref.Id]
		if !ok || value.Version != ref.Version {
			return refusal(http.StatusNotFound, "secret_not_yours")
		}
		answer.Secrets = append(answer.Secrets, value)
	}
	return http.StatusOK, answer
}

func (d *double) artifact(r *http.Request, part []byte) (int, any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var offset int
	_, _ = fmt.Sscan(r.URL.Query().Get("offset"), &offset)
	if offset > len(d.listing) {
		p := control.Problem{
			Type: "urn:restic-manager:problem:artifact_offset", Title: "offset", Status: http.StatusConflict,
			Code: "artifact_offset", ExpectedOffset: int64(len(d.listing)),
		}
		return http.StatusConflict, p
	}
	if offset == len(d.listing) {
		d.listing = append(d.listing, part...)
	}
	return http.StatusOK, control.ArtifactAnswer{
		Protocol: control.ResticManager1, ServerTime: time.Now(), NextOffset: int64(len(d.listing)),
		Complete: r.URL.Query().Get("last") == "true",
	}
}
