package spool

import (
	"fmt"
	"strings"
	"testing"

	"restic-manager/agent/control"
)

func TestLogIsCutByLinesAndBytes(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	for i := range chunkLines + 1 {
		s.Log(id(1), Line{Stream: Stdout, Text: fmt.Sprint(i)})
	}
	for range 3 {
		s.Log(id(1), Line{Stream: Stderr, Text: strings.Repeat("é", 15_000)})
	}
	items := mustBatch(t, s)
	next := int64(1)
	for i, c := range items[0].Log {
		if c.Seq != int64(i+1) || c.FirstLine != next || c.Bytes > chunkBytes || c.Attempt != 1 || c.To.Before(c.From) {
			t.Errorf("chunk %d is %+v, want first line %d", i+1, c, next)
		}
		next += int64(c.Lines)
	}
	if next != chunkLines+5 || len(items[0].Log) != 3 {
		t.Errorf("%d lines in %d chunks, want %d in 3", next-1, len(items[0].Log), chunkLines+4)
	}
}

func TestAResultTellsWhereItsLogEnds(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	for i := range chunkLines + 1 {
		s.Log(id(1), Line{Stream: Stdout, Text: fmt.Sprint(i)})
	}
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Succeeded}, nil))
	item := mustBatch(t, s)[0]
	last := item.Events[len(item.Events)-1]
	if last.Outcome == nil || last.Outcome.LogNextSeq != int64(len(item.Log))+1 || len(item.Log) != 2 {
		t.Errorf("%d chunks travel, and the result says %+v", len(item.Log), last.Outcome)
	}
}

func TestLongLineGoesOnAsAnother(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	long := "x" + strings.Repeat("é", longestLine)
	s.Log(id(1), Line{Stream: Stdout, Text: long})
	lines := logOf(t, mustBatch(t, s), id(1))
	var joined strings.Builder
	for _, l := range lines {
		joined.WriteString(strings.TrimPrefix(l, "o "))
	}
	if joined.String() != long || len(lines) != 3 {
		t.Errorf("%d lines of %d bytes in all, want 3 of %d", len(lines), joined.Len(), len(long))
	}
}

func TestUncutLinesOutlastACrashOnceFlushed(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	s.Log(id(1), Line{Stream: Stdout, Text: "one"})
	must(t, s.Flush(t.Context()))
	s.Log(id(1), Line{Stream: Stdout, Text: "two"})
	must(t, s.Flush(t.Context()))
	s.Log(id(1), Line{Stream: Stdout, Text: "lost"})
	s = reopen(t, s)
	s.Log(id(1), Line{Stream: Stdout, Text: "three"})
	items := mustBatch(t, s)
	if got := strings.Join(logOf(t, items, id(1)), ","); got != "o one,o two,o three" {
		t.Errorf("the log is %q", got)
	}
	if c := items[0].Log[0]; !c.From.Before(c.To) {
		t.Errorf("the chunk is from %s to %s", c.From, c.To)
	}
	s = reopen(t, s)
	again := mustBatch(t, s)
	if len(again[0].Log) != 1 || string(again[0].Log[0].Data) != string(items[0].Log[0].Data) {
		t.Errorf("over a restart the log became %q", logOf(t, again, id(1)))
	}
}

func TestLogStaysUntilItIsWanted(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1), runCommand(2, 2))
	for n := 1; n <= 2; n++ {
		mustStart(t, s, id(n))
		s.Log(id(n), Line{Stream: Stdout, Text: "line"})
	}
	items, err := s.Batch(t.Context(), DefaultBatchLimits(), func(job string) bool { return job == id(2) })
	must(t, err)
	for _, item := range items {
		if want := item.JobId == id(2); (len(item.Log) > 0) != want {
			t.Errorf("job %s: log travels %t, want %t", item.JobId, !want, want)
		}
	}
}

func TestBatchSendsEventsOfAllJobsBeforeAnyLog(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	for n := 1; n <= 5; n++ {
		mustJournal(t, s, runCommand(int64(n), n))
		mustStart(t, s, id(n))
		s.Log(id(n), Line{Stream: Stdout, Text: "line"})
		must(t, s.Finish(t.Context(), id(n), Outcome{Result: Succeeded}, nil))
	}
	limits := DefaultBatchLimits()
	limits.Records = 7
	var order []string
	for range 10 {
		items, err := s.Batch(t.Context(), limits, func(string) bool { return true })
		must(t, err)
		records := 0
		for _, item := range items {
			records += len(item.Events) + len(item.Log)
			for range item.Events {
				order = append(order, "e")
			}
		}
		for range chunks(items) {
			order = append(order, "l")
		}
		if records > limits.Records {
			t.Fatalf("%d records in a batch, want at most %d", records, limits.Records)
		}
		must(t, s.Applied(t.Context(), allTakenWithin(s, items)))
	}
	if got := strings.ReplaceAll(strings.Join(order, ""), "l l", "l"); !strings.HasPrefix(got, strings.Repeat("e", 15)) || strings.Count(got, "l") < 5 {
		t.Errorf("the order was %q", got)
	}
	if s.Summary().Jobs != 0 {
		t.Errorf("%d jobs are left", s.Summary().Jobs)
	}
}

// allTakenWithin is allTaken for batches that hold parts of jobs: what is not in
// the batch stays where it was.
func allTakenWithin(s *Spool, items []control.ReportItem) []control.ReportVerdict {
	verdicts := allTaken(items)
	for i, v := range verdicts {
		j := s.jobs[v.JobId]
		verdicts[i].NextEventSeq = max(v.NextEventSeq, j.Events.First)
		verdicts[i].NextLogSeq = max(v.NextLogSeq, j.Chunks.First)
	}
	return verdicts
}

func TestBatchHoldsOneRecordHoweverTightTheLimits(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1), runCommand(2, 2))
	items, err := s.Batch(t.Context(), BatchLimits{Items: 1, Records: 1, Bytes: 1, Plain: 1}, func(string) bool { return true })
	must(t, err)
	if len(items) != 1 || len(items[0].Events) != 1 {
		t.Errorf("the batch is %+v, want one record", items)
	}
}

func TestProgressIsReportedOnceAndNeverKept(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	s.Progress(id(1), Progress{Percent: 10})
	s.Progress(id(1), Progress{Percent: 20})
	items := mustBatch(t, s)
	if len(items) != 1 || items[0].Progress == nil || items[0].Progress.Percent != 20 {
		t.Errorf("the batch is %+v, want the last sample", items)
	}
	if items := mustBatch(t, s); len(items) != 0 {
		t.Errorf("the sample came again: %+v", items)
	}
}

func TestEventsAreCutToTheContractsBounds(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	warnings := make([]FileWarning, 500)
	for i := range warnings {
		warnings[i] = FileWarning{Path: strings.Repeat("é", 10_000), Message: strings.Repeat("m", 3000)}
	}
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Warning, Message: strings.Repeat("x", 5000), Warnings: warnings}, nil))
	o := mustBatch(t, s)[0].Events[2].Outcome
	if n := len([]rune(o.Message)); n != 4000 || len(o.Warnings) != 28 {
		t.Errorf("%d characters and %d warnings, want 4000 and 28", n, len(o.Warnings))
	}
	if w := o.Warnings[0]; len([]rune(w.Path)) != 8192 || len([]rune(w.Message)) != 2000 {
		t.Errorf("a warning has %d and %d characters", len([]rune(w.Path)), len(w.Message))
	}
	if len(warnings[0].Message) != 3000 {
		t.Error("the caller's warnings were changed")
	}
}
