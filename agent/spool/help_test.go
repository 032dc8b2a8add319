package spool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"restic-manager/agent/control"
)

// testClock is a clock that goes on by a millisecond whenever it is read.
type testClock struct{ at time.Time }

func newClock() *testClock { return &testClock{time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)} }

func (c *testClock) now() time.Time {
	c.at = c.at.Add(time.Millisecond)
	return c.at
}

// roomy is a file system that never fills.
func roomy(string) (free, total uint64, err error) { return 1 << 40, 1 << 41, nil }

// mustOpen opens the spool in dir; the test's end closes it.
func mustOpen(t *testing.T, o Options) *Spool {
	t.Helper()
	if o.Now == nil {
		o.Now = newClock().now
	}
	if o.FreeSpace == nil {
		o.FreeSpace = roomy
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() }) // a second Close does nothing
	return s
}

// reopen ends s as a crash would, without writing what waits, and opens it anew.
func reopen(t *testing.T, s *Spool) *Spool {
	t.Helper()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, Options{Dir: s.dir, Now: s.now, Budget: s.budget, FreeSpace: s.freeSpace})
}

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func runCommand(seq int64, job int) control.Command {
	return control.Command{
		Seq: seq, Id: id(1000 + int(seq)), Kind: "run", JobId: id(job), Epoch: 1, Operation: "backup",
		Trigger: "run-now", Params: json.RawMessage(`{"schedule_id":"` + id(77) + `"}`),
	}
}

func cancelCommand(seq int64, job int) control.Command {
	return control.Command{Seq: seq, Id: id(1000 + int(seq)), Kind: "cancel", JobId: id(job), Epoch: 1}
}

func mustJournal(t *testing.T, s *Spool, commands ...control.Command) int64 {
	t.Helper()
	acked, err := s.Journal(t.Context(), commands, s.now())
	if err != nil {
		t.Fatal(err)
	}
	return acked
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustStart(t *testing.T, s *Spool, job string) Job {
	t.Helper()
	j, err := s.Start(t.Context(), job)
	must(t, err)
	return j
}

func mustBatch(t *testing.T, s *Spool) []control.ReportItem {
	t.Helper()
	items, err := s.Batch(t.Context(), DefaultBatchLimits(), func(string) bool { return true })
	must(t, err)
	return items
}

// kinds are the kinds of the events of the job's item in a batch.
func kinds(items []control.ReportItem, job string) string {
	var names []string
	for _, item := range items {
		if item.JobId == job {
			for _, e := range item.Events {
				names = append(names, fmt.Sprintf("%d:%s", e.Seq, e.Kind))
			}
		}
	}
	return strings.Join(names, " ")
}

// logOf decompresses the chunks of the job's item.
func logOf(t *testing.T, items []control.ReportItem, job string) (lines []string) {
	t.Helper()
	reader, err := zstd.NewReader(nil)
	must(t, err)
	defer reader.Close()
	for _, item := range items {
		if item.JobId != job {
			continue
		}
		for _, chunk := range item.Log {
			text, err := reader.DecodeAll(chunk.Data, nil)
			must(t, err)
			if int64(len(text)) != chunk.Bytes || bytes.Count(text, []byte("\n")) != chunk.Lines {
				t.Fatalf("chunk %d declares %d lines in %d bytes, holds %q", chunk.Seq, chunk.Lines, chunk.Bytes, text)
			}
			for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
				var l wireLine
				must(t, json.Unmarshal([]byte(line), &l))
				lines = append(lines, string(l.Stream)+" "+l.Text)
			}
		}
	}
	return lines
}

// taken is the verdict of a server that has all of the items.
func allTaken(items []control.ReportItem) (verdicts []control.ReportVerdict) {
	for _, item := range items {
		v := control.ReportVerdict{JobId: item.JobId, Outcome: outcomeOK}
		if n := len(item.Events); n > 0 {
			v.NextEventSeq = item.Events[n-1].Seq + 1
		}
		if n := len(item.Log); n > 0 {
			v.NextLogSeq = item.Log[n-1].Seq + 1
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}
