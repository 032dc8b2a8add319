package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"restic-manager/agent/control"
)

// modelServer takes reports by the contract's append rule and nothing else.
type modelServer struct {
	jobs map[string]*modelJob
}

// modelJob is what the server has of a job. Streams are dense by construction:
// what has another number than the next one is not taken.
type modelJob struct {
	writer string
	events []control.Event
	chunks int64 // number of the last log record, taken or declared missing
	log    logReader
	result Result
}

func (m *modelServer) report(item control.ReportItem, reject int64) control.ReportVerdict {
	j := m.jobs[item.JobId]
	if j == nil && item.Opened == nil {
		return control.ReportVerdict{JobId: item.JobId, Outcome: "unknown_job"}
	}
	if j == nil {
		j = &modelJob{writer: item.WriterId, log: logReader{holes: map[int64]control.Gap{}}}
		m.jobs[item.JobId] = j
	}
	v := control.ReportVerdict{JobId: item.JobId, Outcome: "ok"}
	overlaps := len(item.Events) > 0 && item.Events[0].Seq <= int64(len(j.events)) ||
		len(item.Log) > 0 && item.Log[0].Seq <= j.chunks
	if item.WriterId != j.writer && overlaps {
		v.Outcome = "diverged"
		return j.position(v)
	}
	j.writer = item.WriterId
	for _, e := range item.Events {
		switch next := int64(len(j.events)) + 1; {
		case e.Seq > next:
			v.Outcome = "gap"
			return j.position(v)
		case e.Seq == reject && e.Kind == eventNote:
			v.Outcome, v.RejectedStream, v.RejectedSeq = "rejected", events, e.Seq
			return j.position(v)
		case e.Seq == next:
			j.take(e)
		}
	}
	for _, c := range item.Log {
		switch next := j.chunks + 1; {
		case c.Seq > next:
			v.Outcome = "gap"
			return j.position(v)
		case c.Seq == reject:
			v.Outcome, v.RejectedStream, v.RejectedSeq = "rejected", logs, c.Seq
			return j.position(v)
		case c.Seq == next:
			j.chunks = c.Seq
			j.log.chunks = append(j.log.chunks, c)
		}
	}
	return j.position(v)
}

func (j *modelJob) take(e control.Event) {
	j.events = append(j.events, e)
	if e.Outcome != nil {
		j.result = e.Outcome.Result
	}
	if g := e.Gap; g != nil && g.Stream == control.Log {
		j.log.holes[g.FirstSeq] = *g
		if g.FirstSeq <= j.chunks+1 {
			j.chunks = max(j.chunks, g.LastSeq)
		}
	}
	for hole := j.log.holes[j.chunks+1]; hole.LastSeq > j.chunks; hole = j.log.holes[j.chunks+1] {
		j.chunks = hole.LastSeq
	}
}

func (j *modelJob) position(v control.ReportVerdict) control.ReportVerdict {
	for hole := j.log.holes[j.chunks+1]; hole.LastSeq > j.chunks; hole = j.log.holes[j.chunks+1] {
		j.chunks = hole.LastSeq
	}
	v.NextEventSeq, v.NextLogSeq = int64(len(j.events))+1, j.chunks+1
	return v
}

// world is an agent's spool, a server, and what a test remembers of both.
type world struct {
	t       *rapid.T
	s       *Spool
	server  modelServer
	next    int64               // command
	started map[string]int      // by job, how often restic would have been started
	notes   map[string][]string // by job, what the spool said it has
	setBack bool                // the server lost something
}

func TestStreamsStayDenseUnderRandomVerdictsAndCrashes(t *testing.T) {
	root := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		dir := fmt.Sprintf("%s/%d", root, runs)
		w := &world{
			t: rt, server: modelServer{jobs: map[string]*modelJob{}},
			started: map[string]int{}, notes: map[string][]string{},
		}
		w.open(dir)
		defer func() { w.s.db.Close(); os.RemoveAll(dir) }()
		rt.Repeat(map[string]func(*rapid.T){
			"take": func(*rapid.T) {
				w.next++
				w.ok(w.journal(runCommand(w.next, int(w.next))))
			},
			"repeat":  func(*rapid.T) { w.repeat() },
			"begin":   func(*rapid.T) { w.begin() },
			"log":     func(*rapid.T) { w.log() },
			"note":    func(*rapid.T) { w.note() },
			"end":     func(*rapid.T) { w.end() },
			"flush":   func(*rapid.T) { w.ok(w.s.Flush(t.Context())) },
			"report":  func(*rapid.T) { w.report(true) },
			"report ": func(*rapid.T) { w.report(true) },
			"crash":   func(*rapid.T) { w.crash() },
			"restore": func(*rapid.T) { w.restoreServer() },
		})
		w.drain()
	})
}

func (w *world) ok(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) open(dir string) {
	now := newClock()
	if w.s != nil {
		now.at = w.s.now()
	}
	s, err := Open(w.t.Context(), Options{
		Dir: dir, Now: now.now, FreeSpace: roomy, Budget: Budget{Total: 48 << 10, PerJob: 32 << 10},
	})
	w.ok(err)
	w.s = s
}

func (w *world) journal(c control.Command) error {
	_, err := w.s.Journal(w.t.Context(), []control.Command{c}, w.s.now())
	return err
}

// repeat sends an old command again, under its number or under a new one.
func (w *world) repeat() {
	if w.next == 0 {
		return
	}
	old := rapid.Int64Range(1, w.next).Draw(w.t, "old")
	c := runCommand(old, int(old))
	if rapid.Bool().Draw(w.t, "renumbered") {
		w.next++
		c.Seq = w.next
		c.JobId = id(int(old))
	}
	w.ok(w.journal(c))
}

// one draws a job in one of the phases.
func (w *world) one(phases ...Phase) (string, bool) {
	var ids []string
	for _, j := range w.s.ordered() {
		if slices.Contains(phases, j.Phase) {
			ids = append(ids, j.ID)
		}
	}
	if len(ids) == 0 {
		return "", false
	}
	return rapid.SampledFrom(ids).Draw(w.t, "job"), true
}

func (w *world) begin() {
	if pending := w.s.Pending(); len(pending) > 0 {
		job := rapid.SampledFrom(pending).Draw(w.t, "job").ID
		_, err := w.s.Start(w.t.Context(), job)
		w.ok(err)
		if w.started[job]++; w.started[job] > 1 {
			w.t.Fatalf("job %s was started twice", job)
		}
	}
}

func (w *world) log() {
	if job, ok := w.one(Running); ok {
		if rapid.IntRange(0, 9).Draw(w.t, "loud") == 0 {
			writeNoise(w.s, job, 40<<10)
			return
		}
		for range rapid.IntRange(1, 300).Draw(w.t, "lines") {
			w.s.Log(job, Line{Stream: Stdout, Text: "line"})
		}
	}
}

func (w *world) note() {
	if job, ok := w.one(Acked, Running); ok {
		text := fmt.Sprintf("note %d of %s", len(w.notes[job])+1, job)
		w.ok(w.s.Note(w.t.Context(), job, text, nil))
		w.notes[job] = append(w.notes[job], text)
	}
}

func (w *world) end() {
	if job, ok := w.one(Running, Stopping); ok {
		w.ok(w.s.Finish(w.t.Context(), job, Outcome{Result: Succeeded}, nil))
	}
}

// report makes one exchange. With faults, the request or the answer may get lost,
// the request may come twice, and the server may refuse a record.
func (w *world) report(faults bool) (said bool) {
	limits := DefaultBatchLimits()
	fault, reject := "none", int64(0)
	if faults {
		limits.Items = rapid.IntRange(1, 3).Draw(w.t, "items")
		limits.Records = rapid.IntRange(1, 20).Draw(w.t, "records")
		fault = rapid.SampledFrom([]string{"none", "none", "request", "answer", "twice"}).Draw(w.t, "fault")
		reject = rapid.Int64Range(-20, 6).Draw(w.t, "reject")
	}
	detail := func(string) bool { return true }
	if faults && rapid.Bool().Draw(w.t, "quiet") {
		detail = func(string) bool { return false }
	}
	items, err := w.s.Batch(w.t.Context(), limits, detail)
	w.ok(err)
	if fault == "request" {
		return len(items) > 0
	}
	verdicts := make([]control.ReportVerdict, len(items))
	for i, item := range items {
		verdicts[i] = w.server.report(w.wire(item), reject)
		if fault == "twice" {
			verdicts[i] = w.server.report(w.wire(item), reject)
		}
	}
	if fault != "answer" {
		w.ok(w.s.Applied(w.t.Context(), verdicts))
	}
	return len(items) > 0
}

// wire sends the item through JSON, as the network does.
func (w *world) wire(item control.ReportItem) (received control.ReportItem) {
	text, err := json.Marshal(item)
	w.ok(err)
	w.ok(json.Unmarshal(text, &received))
	return received
}

// crash ends the agent as kill -9 does and ends what it had started.
func (w *world) crash() {
	w.ok(w.s.db.Close())
	w.open(w.s.dir)
	for _, j := range w.s.Interrupted() {
		w.ok(w.s.Finish(w.t.Context(), j.ID, Outcome{Result: Interrupted}, nil))
	}
}

// restoreServer sets the server's database back: it loses the end of a job's
// streams, or all of the job.
func (w *world) restoreServer() {
	ids := slices.Sorted(maps.Keys(w.server.jobs))
	if len(ids) == 0 || rapid.IntRange(0, 3).Draw(w.t, "rarely") > 0 {
		return
	}
	w.setBack = true
	job := rapid.SampledFrom(ids).Draw(w.t, "job")
	j := w.server.jobs[job]
	keep := rapid.IntRange(0, len(j.events)).Draw(w.t, "keep")
	if keep == 0 {
		delete(w.server.jobs, job)
		return
	}
	kept := &modelJob{writer: j.writer, log: logReader{holes: map[int64]control.Gap{}}}
	for _, e := range j.events[:keep] {
		kept.take(e)
	}
	w.server.jobs[job] = kept
}

// drain ends all jobs, lets the network heal, and checks what the server has.
func (w *world) drain() {
	w.crash()
	for _, j := range w.s.Pending() {
		w.ok(w.s.Finish(w.t.Context(), j.ID, Outcome{Result: Cancelled}, nil))
	}
	for rounds := 0; w.report(false); rounds++ {
		if rounds > 200 {
			w.t.Fatalf("still something to report after %d rounds: %+v", rounds, w.s.AgentJobs())
		}
	}
	if left := w.s.AgentJobs(); len(left) > 0 {
		w.t.Fatalf("nothing more is reported and jobs are left: %+v", left)
	}
	if w.setBack {
		return // what was confirmed before is gone, and nobody has it
	}
	for n := int64(1); n <= w.next; n++ {
		if w.started[id(int(n))] > 0 {
			w.ok(w.check(id(int(n))))
		}
	}
}

func (w *world) check(job string) error {
	j := w.server.jobs[job]
	if j == nil || j.result == "" {
		return fmt.Errorf("the server has no result of job %s", job)
	}
	var texts []string
	rejected := 0
	for _, e := range j.events {
		if e.Kind == eventNote {
			texts = append(texts, e.Message)
		}
		if e.Gap != nil && e.Gap.Stream == control.Events {
			rejected++
		}
	}
	if len(texts)+rejected != len(w.notes[job]) {
		return fmt.Errorf("job %s: %d notes and %d refused, %d were made:\n%s",
			job, len(texts), rejected, len(w.notes[job]), strings.Join(texts, "\n"))
	}
	return errors.Join(j.log.follow(), inOrder(texts))
}

func inOrder(texts []string) error {
	last := 0
	for _, text := range texts {
		var n int
		if _, err := fmt.Sscanf(text, "note %d", &n); err != nil || n <= last {
			return fmt.Errorf("%q comes after note %d", text, last)
		}
		last = n
	}
	return nil
}
