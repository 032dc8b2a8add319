//go:build linux

package bench_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/gzip"

	"restic-manager/agent/control"
)

// reporters are agents that each run one job and have its log to hand over.
type reporters struct {
	b     *testing.B
	plane *plane
	logs  *logs
	lines []*line
	all   []*reporter
}

type reporter struct {
	seat   seat
	agent  agent
	job    string
	writer string
	seq    int64 // of the next chunk
}

// report is a request that is ready to be sent, and what is in it.
type report struct {
	from *reporter
	body []byte
	data []byte // of its chunks
}

// newReporters signs agents in; each tells of a job that its schedule has begun.
func newReporters(b *testing.B, p *plane, logs *logs, seats []seat) *reporters {
	b.Helper()
	r := &reporters{b: b, plane: p, logs: logs, lines: dialLines(b, p.addr, p.tls)}
	for _, s := range seats {
		r.all = append(r.all, &reporter{seat: s, job: uuid.NewString(), writer: uuid.NewString(), seq: 1})
	}
	r.parallel(func(connection int) error {
		for i := connection; i < len(r.all); i += connections {
			if err := r.all[i].begin(r.lines[connection]); err != nil {
				return err
			}
		}
		return nil
	})
	return r
}

func dialLines(b *testing.B, addr string, secure bool) []*line {
	b.Helper()
	var lines []*line
	for range connections {
		l, err := dialLine(b.Context(), addr, secure)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(l.close)
		lines = append(lines, l)
	}
	return lines
}

// parallel does something on each connection.
func (r *reporters) parallel(do func(connection int) error) {
	r.b.Helper()
	errs := make([]error, connections)
	var group sync.WaitGroup
	for i := range connections {
		group.Go(func() { errs[i] = do(i) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		r.b.Fatal(err)
	}
}

func (r *reporter) begin(l *line) error {
	if err := r.agent.open(l, r.seat); err != nil {
		return err
	}
	now := time.Now().UTC()
	item := r.item()
	item.Opened = &control.Opened{
		Operation: "backup", Trigger: "schedule", ScheduleId: r.seat.Schedule, RepositoryId: r.seat.Repository, Slot: now, At: now,
	}
	item.Events = []control.Event{{Seq: 1, At: now, Attempt: 1, Kind: "running"}}
	var taken control.ReportAnswer
	if err := r.agent.call(l, r.seat, "/agent/v1/reports", r.request(item), nil, &taken); err != nil {
		return err
	}
	return allTaken(taken)
}

func (r *reporter) item() control.ReportItem {
	return control.ReportItem{JobId: r.job, Epoch: 1, WriterId: r.writer, Phase: "running"}
}

func (r *reporter) request(item control.ReportItem) control.ReportRequest {
	return control.ReportRequest{SessionId: r.agent.session, Items: []control.ReportItem{item}}
}

func allTaken(a control.ReportAnswer) error {
	for _, v := range a.Items {
		if v.Outcome != "ok" {
			return fmt.Errorf("a report was answered %s: %s", v.Outcome, v.Message)
		}
	}
	return nil
}

// prepare makes reports of so many chunks, spread evenly over the agents, for each
// connection in the order in which it must send them. They are compressed as an
// agent does, which is not what is measured.
func (r *reporters) prepare(reports, chunks int) [][]report {
	r.b.Helper()
	batch := make([][]report, connections)
	var group sync.WaitGroup
	for c := range connections {
		var theirs []*reporter
		for i := c; i < len(r.all); i += connections {
			theirs = append(theirs, r.all[i])
		}
		share := reports / connections
		if c < reports%connections {
			share++
		}
		group.Go(func() {
			for k := range share {
				batch[c] = append(batch[c], theirs[k%len(theirs)].next(r.logs, chunks))
			}
		})
	}
	group.Wait()
	return batch
}

func (r *reporter) next(logs *logs, chunks int) report {
	out := report{from: r}
	item := r.item()
	now := time.Now().UTC()
	for range chunks {
		c := logs.chunks[(int(r.seq)*7919+int(r.job[0])*31)%len(logs.chunks)]
		item.Log = append(item.Log, control.LogChunk{
			Seq: r.seq, FirstLine: (r.seq-1)*chunkLines + 1, Lines: chunkLines, Bytes: c.bytes, From: now, To: now, Attempt: 1, Data: c.data,
		})
		out.data = append(out.data, c.data...)
		r.seq++
	}
	var body bytes.Buffer
	w := gzip.NewWriter(&body)
	if err := errors.Join(json.NewEncoder(w).Encode(r.request(item)), w.Close()); err != nil {
		panic(err) // into memory
	}
	out.body = body.Bytes()
	return out
}

// send returns when everything was taken by the server behind these lines.
func (r *reporters) send(lines []*line, batch [][]report) {
	r.b.Helper()
	r.parallel(func(connection int) error {
		for _, report := range batch[connection] {
			answer, err := lines[connection].post("/agent/v1/reports", bearer(report.from.seat)+"Content-Encoding: gzip\r\n", report.body, nil)
			if err != nil {
				return err
			}
			if err := answer.err(); err != nil {
				return err
			}
			var taken control.ReportAnswer
			if err := json.Unmarshal(answer.body, &taken); err != nil {
				return err
			}
			if err := allTaken(taken); err != nil {
				return err
			}
		}
		return nil
	})
}
