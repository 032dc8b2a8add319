//go:build !windows

package e2e_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
)

// evil is a server in the wrong hands. It keeps to openapi.yaml as far as an agent
// needs to go on listening, and puts into it whatever a test wants. Commands and
// configurations are loose objects, so that they can be wrong in their types too.
type evil struct {
	t    *testing.T
	http *httptest.Server
	host string

	mu       sync.Mutex
	changed  chan struct{} // closed at every change
	seq      int64         // of the last command
	acked    int64
	commands []obj // offered until they are acknowledged
	once     []obj // offered once
	config   obj
	revision int64
	spoil    func(answer obj) // once, changes an answer to a sync
	session  string
	sessions int
	reported map[string]*heard
	secrets  map[string]obj
	verdict  func(v obj) // if set, changes the verdicts on reports
	lastSync control.SyncRequest
	opened   control.SessionRequest
	all      bytes.Buffer // everything that the agent ever sent
}

// heard is what the agent has told of a job.
type heard struct {
	events   int64
	log      int64
	finished []control.Outcome
}

func newEvil(t *testing.T) *evil {
	e := &evil{
		t: t, host: uuid.NewString(), changed: make(chan struct{}), revision: 1,
		reported: map[string]*heard{}, secrets: map[string]obj{},
	}
	e.http = httptest.NewServer(e)
	t.Cleanup(e.http.Close)
	return e
}

// secretMark begins every secret that the evil server gives.
const secretMark = "d4fe86d3-secret-"

// change makes a change under the lock and answers what is parked.
func (e *evil) change(do func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	do()
	close(e.changed)
	e.changed = make(chan struct{})
}

// look reads under the lock.
func (e *evil) look(do func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	do()
}

// command makes the next command, of which any member can be replaced. The caller
// has the lock.
func (e *evil) command(with obj) obj {
	e.seq++
	c := obj{
		"seq": e.seq, "id": uuid.NewString(), "kind": "run", "job_id": uuid.NewString(), "epoch": 1, "operation": "backup",
		"trigger": "run-now", "params": obj{}, "start_within_s": 900, "issued_at": time.Now(),
	}
	for name, value := range with {
		c[name] = value
	}
	return c
}

// outcome is the one result of a job, once it is there.
func (e *evil) outcome(job string) (o control.Outcome, known bool) {
	e.look(func() {
		if h := e.reported[job]; h != nil && len(h.finished) > 0 {
			o, known = h.finished[0], true
		}
	})
	return o, known
}

func (e *evil) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var from io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		from = zip
	}
	body, err := io.ReadAll(from)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	e.look(func() { e.all.Write(body) })
	status, answer := e.route(r, body)
	media := "application/json"
	if status != http.StatusOK {
		media = "application/problem+json"
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (e *evil) route(r *http.Request, body []byte) (int, any) {
	switch path := strings.TrimPrefix(r.URL.Path, "/agent/v1/"); {
	case path == "enrolments":
		return http.StatusOK, e.answer(obj{"host_id": e.host, "host_name": "web-1"})
	case path == "sessions":
		return http.StatusOK, e.openSession(decoded[control.SessionRequest](e.t, body))
	case path == "sync":
		return e.sync(r, decoded[control.SyncRequest](e.t, body))
	case path == "reports":
		return http.StatusOK, e.report(decoded[control.ReportRequest](e.t, body))
	case path == "secrets":
		return http.StatusOK, e.giveSecrets(decoded[control.SecretsRequest](e.t, body))
	case strings.Contains(path, "/artifacts/"):
		return http.StatusOK, e.answer(obj{"next_offset": len(body), "complete": true})
	}
	return http.StatusOK, e.answer(obj{})
}

func decoded[T any](t *testing.T, body []byte) T {
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		t.Errorf("the agent sent what is no %T: %v", v, err)
	}
	return v
}

// answer adds the marker, without which an agent believes nothing.
func (e *evil) answer(o obj) obj {
	o["protocol"], o["server_time"] = "restic-manager/1", time.Now()
	return o
}

func (e *evil) openSession(r control.SessionRequest) obj {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.session, e.opened = uuid.NewString(), r
	e.sessions++
	return e.answer(obj{
		"session_id": e.session, "session_no": e.sessions, "protocol_version": 1, "server_epoch": "1", "jobs": []obj{},
		"limits": obj{"max_wait_s": 25, "report_bytes": 512 << 10, "report_items": 20, "report_records": 500},
	})
}

func (e *evil) sync(r *http.Request, q control.SyncRequest) (int, any) {
	over := time.After(5 * time.Second)
	for {
		e.mu.Lock()
		if q.SessionId != e.session {
			e.mu.Unlock()
			return http.StatusConflict, obj{"type": "urn:restic-manager:problem:session_unknown", "code": "session_unknown", "title": "x", "status": 409}
		}
		e.lastSync, e.acked = q, q.AckedSeq
		answer, something := e.offer(q)
		wake := e.changed
		e.mu.Unlock()
		if something {
			return http.StatusOK, answer
		}
		select {
		case <-wake:
		case <-over:
			return http.StatusOK, answer
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// offer is what there is to say. The caller has the lock.
func (e *evil) offer(q control.SyncRequest) (obj, bool) {
	commands := e.once
	e.once = nil
	e.commands = slices.DeleteFunc(e.commands, func(c obj) bool {
		seq, known := c["seq"].(int64)
		return known && seq <= q.AckedSeq
	})
	commands = append(commands, e.commands[:min(20, len(e.commands))]...)
	answer := e.answer(obj{"commands": append([]obj{}, commands...)})
	refused := q.ConfigError != nil && q.ConfigError.Revision == e.revision
	wants := e.config != nil && q.ConfigRevision != e.revision && !refused
	if wants {
		answer["config"] = e.config
	}
	spoil := e.spoil
	if e.spoil = nil; spoil != nil {
		spoil(answer)
	}
	return answer, len(commands) > 0 || wants || spoil != nil
}

func (e *evil) report(q control.ReportRequest) obj {
	e.mu.Lock()
	defer e.mu.Unlock()
	verdicts := []obj{}
	for _, item := range q.Items {
		h := e.reported[item.JobId]
		if h == nil {
			h = &heard{events: 1, log: 1}
			e.reported[item.JobId] = h
		}
		v := obj{"job_id": item.JobId, "outcome": h.take(item), "next_event_seq": h.events, "next_log_seq": h.log}
		if e.verdict != nil {
			e.verdict(v)
		}
		verdicts = append(verdicts, v)
	}
	return e.answer(obj{"items": verdicts})
}

// take appends what fits, and bridges what gaps say will never come.
func (h *heard) take(item control.ReportItem) string {
	outcome := "ok"
	for _, event := range item.Events {
		last := event.Seq
		if g := event.Gap; g != nil && g.Stream == control.Events {
			last = g.LastSeq
		}
		if event.Seq > h.events {
			return "gap"
		}
		if last < h.events {
			continue
		}
		h.events = last + 1
		if event.Outcome != nil {
			h.finished = append(h.finished, *event.Outcome)
		}
		if g := event.Gap; g != nil && g.Stream == control.Log && g.FirstSeq <= h.log {
			h.log = max(h.log, g.LastSeq+1)
		}
	}
	for _, chunk := range item.Log {
		if chunk.Seq > h.log {
			outcome = "gap"
		}
		if chunk.Seq == h.log {
			h.log++
		}
	}
	return outcome
}

func (e *evil) giveSecrets(q control.SecretsRequest) obj {
	e.mu.Lock()
	defer e.mu.Unlock()
	values := []obj{}
	for _, ref := range q.Refs {
		value := obj{"id": ref.Id, "version": ref.Version, "value": secretMark + ref.Id}
		for name, v := range e.secrets[ref.Id] {
			value[name] = v
		}
		values = append(values, value)
	}
	return e.answer(obj{"secrets": values})
}
