package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

func TestJobGoesThroughItsPhasesAndIsForgottenOnceReported(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	if acked := mustJournal(t, s, runCommand(1, 1)); acked != 1 {
		t.Fatalf("acked %d, want 1", acked)
	}
	pending := s.Pending()
	if len(pending) != 1 || pending[0].Phase != Acked || pending[0].ScheduleID != id(77) {
		t.Fatalf("pending is %+v", pending)
	}
	must(t, s.Wait(t.Context(), id(1), "another job"))
	if j := mustStart(t, s, id(1)); j.Attempt != 1 || j.Phase != Running {
		t.Fatalf("started as %+v", j)
	}
	must(t, s.Attach(t.Context(), id(1), json.RawMessage(`{"pid":7}`)))
	s.Log(id(1), Line{Stream: Stdout, Text: "first <line>"})
	s.Log(id(1), Line{Stream: Agent, Text: "second"})
	must(t, s.Note(t.Context(), id(1), "half-way", nil))
	must(t, s.Stop(t.Context(), id(1), "asked to"))
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Cancelled}, nil))
	if err := s.Finish(t.Context(), id(1), Outcome{Result: Failed}, nil); !errors.Is(err, ErrFinished) {
		t.Errorf("a second result gave %v, want ErrFinished", err)
	}

	items := mustBatch(t, s)
	const want = "1:acked 2:waiting 3:running 4:note 5:stopping 6:finished"
	if got := kinds(items, id(1)); got != want {
		t.Errorf("events are %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"o first <line>", "a second"}, logOf(t, items, id(1))); diff != "" {
		t.Errorf("log differs (-want +got):\n%s", diff)
	}
	if items[0].Opened == nil || items[0].Opened.ScheduleId != id(77) {
		t.Errorf("the first report says opened %+v", items[0].Opened)
	}
	if again := mustBatch(t, s); cmp.Diff(items, again) != "" {
		t.Errorf("before it was applied the batch differs:\n%s", cmp.Diff(items, again))
	}
	must(t, s.Applied(t.Context(), allTaken(items)))
	if _, err := s.Job(id(1)); !errors.Is(err, ErrUnknownJob) {
		t.Errorf("a reported job is still there: %v", err)
	}
	if sum := s.Summary(); sum != (control.SpoolSummary{}) {
		t.Errorf("summary is %+v, want nothing", sum)
	}
	s = reopen(t, s)
	mustJournal(t, s, control.Command{Seq: 2, Id: id(9), Kind: "run", JobId: id(1), Epoch: 1})
	if len(s.Pending()) != 0 {
		t.Error("a forgotten job was taken again")
	}
}

func TestJournalTakesEachCommandOnce(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	journal := s.JournalID()
	mustJournal(t, s, runCommand(3, 1), runCommand(1, 2), runCommand(3, 1)) // number 2 was withdrawn
	s = reopen(t, s)
	if s.JournalID() != journal || s.AckedSeq() != 3 {
		t.Fatalf("after a restart journal %s is at %d", s.JournalID(), s.AckedSeq())
	}
	if acked := mustJournal(t, s, runCommand(2, 3), runCommand(3, 4)); acked != 3 {
		t.Errorf("old numbers acked %d, want 3", acked)
	}
	same := runCommand(4, 5)
	same.Id = id(1001) // the id of command 1
	mustJournal(t, s, same)
	sameJob := runCommand(5, 1)
	mustJournal(t, s, sameJob)
	var got []string
	for _, j := range s.Pending() {
		got = append(got, j.ID)
	}
	if diff := cmp.Diff([]string{id(2), id(1)}, got); diff != "" && cmp.Diff([]string{id(1), id(2)}, got) != "" {
		t.Errorf("pending jobs differ:\n%s", diff)
	}
	if s.AckedSeq() != 5 {
		t.Errorf("acked %d, want 5", s.AckedSeq())
	}
}

func TestJournalCancelsWhicheverComesFirst(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, cancelCommand(1, 1))
	s = reopen(t, s)
	mustJournal(t, s, runCommand(2, 1), runCommand(3, 2), cancelCommand(4, 2), runCommand(5, 3))
	s = reopen(t, s)
	for n, want := range map[int]bool{1: true, 2: true, 3: false} {
		if j, err := s.Job(id(n)); err != nil || j.CancelRequested != want {
			t.Errorf("job %d: cancel requested %t (%v), want %t", n, j.CancelRequested, err, want)
		}
	}
	later := runCommand(6, 1)
	later.Epoch = 2
	mustJournal(t, s, later)
	if j, _ := s.Job(id(1)); j.Epoch != 2 {
		t.Errorf("a living job has epoch %d after a higher one came, want 2", j.Epoch)
	}
}

func TestJournalPermitsAForgottenJobUnderAHigherEpoch(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Failed}, nil))
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	again := runCommand(2, 1)
	again.Epoch = 2
	mustJournal(t, s, again)
	if pending := s.Pending(); len(pending) != 1 || pending[0].Epoch != 2 {
		t.Errorf("pending is %+v, want the job under epoch 2", pending)
	}
}

func TestJournalRejectsUnknownKindsWithoutTouchingLivingJobs(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	strange := runCommand(2, 2)
	strange.Kind = "levitate"
	nudge := runCommand(3, 1)
	nudge.Kind = "levitate"
	mustJournal(t, s, runCommand(1, 1), strange, nudge)
	items := mustBatch(t, s)
	if got, want := kinds(items, id(1)), "1:acked 2:note"; got != want {
		t.Errorf("the living job has events %q, want %q", got, want)
	}
	if got, want := kinds(items, id(2)), "1:acked 2:finished"; got != want {
		t.Errorf("the unknown command has events %q, want %q", got, want)
	}
	for _, item := range items {
		if o := item.Events[1].Outcome; item.JobId == id(2) && (o.Result != Rejected || o.Code != "unsupported") {
			t.Errorf("outcome is %+v", o)
		}
	}
	if len(s.Pending()) != 1 {
		t.Errorf("pending is %+v, want the living job alone", s.Pending())
	}
}

func TestJobKnowsWhenItIsTooLateToStart(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	received := s.now()
	c := runCommand(1, 1)
	c.StartWithinS = 900
	_, err := s.Journal(t.Context(), []control.Command{c}, received)
	must(t, err)
	s = reopen(t, s)
	j := s.Pending()[0]
	if j.Overdue(received.Add(15 * time.Minute)) {
		t.Error("overdue at the limit")
	}
	if !j.Overdue(received.Add(15*time.Minute + time.Second)) {
		t.Error("not overdue after the limit")
	}
}

func TestRestartTellsWhatWasInterrupted(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	for n := 1; n <= 4; n++ {
		_, created, err := s.OpenJob(t.Context(), NewJob{ID: id(n), Operation: "backup", Trigger: "schedule"})
		if err != nil || !created {
			t.Fatalf("job %d: created %t, %v", n, created, err)
		}
	}
	mustStart(t, s, id(2))
	must(t, s.Attach(t.Context(), id(2), json.RawMessage(`{"pid":7}`)))
	mustStart(t, s, id(3))
	must(t, s.Stop(t.Context(), id(3), "asked to"))
	mustStart(t, s, id(4))
	must(t, s.Wait(t.Context(), id(4), "the next attempt"))
	if len(s.Interrupted()) != 0 {
		t.Error("jobs of this process count as interrupted")
	}
	s = reopen(t, s)
	interrupted, pending := s.Interrupted(), s.Pending()
	if len(interrupted) != 2 || interrupted[0].ID != id(2) || string(interrupted[0].Process) != `{"pid":7}` || interrupted[1].ID != id(3) {
		t.Errorf("interrupted is %+v", interrupted)
	}
	if len(pending) != 2 || pending[0].ID != id(1) || pending[1].ID != id(4) {
		t.Errorf("pending is %+v", pending)
	}
	must(t, s.Interrupt(t.Context(), id(2), Outcome{Result: Interrupted}))
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	s = reopen(t, s)
	if again := s.Interrupted(); len(again) != 2 || !again[0].Provisional {
		t.Errorf("a provisional result is not looked after: %+v", again)
	}
	must(t, s.Finish(t.Context(), id(2), Outcome{Result: Succeeded}, &Snapshot{Id: strings.Repeat("a", 64)}))
	must(t, s.Finish(t.Context(), id(3), Outcome{Result: Interrupted}, nil))
	if len(s.Interrupted()) != 0 {
		t.Errorf("still interrupted: %+v", s.Interrupted())
	}
	items := mustBatch(t, s)
	if got, want := kinds(items, id(2)), "4:finished"; got != want {
		t.Errorf("the bettered job has events %q, want %q", got, want)
	}
}

func TestProvisionalResultThatStandsIsNotReportedTwice(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	must(t, s.Interrupt(t.Context(), id(1), Outcome{Result: Interrupted}))
	must(t, s.Interrupt(t.Context(), id(1), Outcome{Result: Interrupted}))
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Interrupted}, nil))
	if items := mustBatch(t, s); len(items) != 0 {
		t.Errorf("reported again: %+v", items)
	}
	if _, err := s.Job(id(1)); !errors.Is(err, ErrUnknownJob) {
		t.Errorf("the job is still there: %v", err)
	}
}

func TestOpenJobRunsASlotOnce(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	slot := NewJob{ID: id(1), Operation: "backup", Trigger: "schedule", ScheduleID: id(2), ScheduleVersion: 3}
	if _, created, err := s.OpenJob(t.Context(), slot); err != nil || !created {
		t.Fatalf("created %t, %v", created, err)
	}
	if j, created, err := s.OpenJob(t.Context(), slot); err != nil || created || j.ID != id(1) {
		t.Fatalf("again: %+v, created %t, %v", j, created, err)
	}
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Skipped}, nil))
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	s = reopen(t, s)
	if _, created, err := s.OpenJob(t.Context(), slot); err != nil || created {
		t.Errorf("after it was forgotten: created %t, %v", created, err)
	}
	if _, _, err := s.OpenJob(t.Context(), NewJob{ID: id(5), Params: json.RawMessage(`{`)}); err == nil {
		t.Error("params that are not JSON were taken")
	}
}

func TestDirectoryIsHeldByOneProcess(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	if _, err := Open(t.Context(), Options{Dir: s.dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second Open gave %v, want ErrInUse", err)
	}
}

func TestNewerDatabaseIsRefusedAndKept(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	if _, err := s.db.Exec(`PRAGMA user_version = 99`); err != nil {
		t.Fatal(err)
	}
	must(t, s.Close())
	if _, err := Open(t.Context(), Options{Dir: s.dir}); !errors.Is(err, ErrNewer) {
		t.Errorf("Open gave %v, want ErrNewer", err)
	}
	if len(movedAside(s.dir)) != 0 {
		t.Error("the newer database was moved aside")
	}
}

func TestDamagedDatabaseIsMovedAsideAndTheConfigurationSurvives(t *testing.T) {
	damages := map[string]func(t *testing.T, path string){
		"is not a database": func(t *testing.T, path string) { must(t, os.WriteFile(path, bytes.Repeat([]byte("x"), 8192), 0o600)) },
		"is cut short":      func(t *testing.T, path string) { must(t, os.Truncate(path, 5000)) },
		"has pages of noise": func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			must(t, err)
			for i := 4096; i < len(data); i++ {
				data[i] ^= 0xa5
			}
			must(t, os.WriteFile(path, data, 0o600))
		},
	}
	for name, damage := range damages {
		t.Run("it "+name, func(t *testing.T) {
			s := mustOpen(t, Options{Dir: t.TempDir()})
			must(t, s.SaveConfig(t.Context(), control.AgentConfig{Revision: 7}))
			mustJournal(t, s, runCommand(1, 1))
			journal := s.JournalID()
			must(t, s.Close())
			damage(t, filepath.Join(s.dir, databaseName))

			s = mustOpen(t, Options{Dir: s.dir})
			if s.JournalID() == journal || s.AckedSeq() != 0 || len(s.Pending()) != 0 {
				t.Errorf("the new journal is %s at %d with %d jobs", s.JournalID(), s.AckedSeq(), len(s.Pending()))
			}
			if health := s.Health(); len(health) != 1 || health[0].Code != "spool_damaged" {
				t.Errorf("health is %+v, want spool_damaged", health)
			}
			if c, err := LoadConfig(s.dir); err != nil || c.Revision != 7 {
				t.Errorf("configuration is %+v, %v", c, err)
			}
		})
	}
}

func TestConfigurationAndValuesOutlastARestart(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	if _, err := LoadConfig(s.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a configuration the error is %v, want ErrNotExist", err)
	}
	want := control.AgentConfig{
		Revision: 3, HostId: id(1), SnapshotHost: "web-1", Repositories: []control.AgentRepository{},
		Schedules: []control.AgentSchedule{{Id: id(2), Paths: []string{"/etc"}, Excludes: []string{}, Tags: []string{}}},
	}
	must(t, s.SaveConfig(t.Context(), control.AgentConfig{Revision: 2}))
	must(t, s.SaveConfig(t.Context(), want))
	must(t, s.SetValue(t.Context(), "hold:x", []byte("20")))
	must(t, s.SetValue(t.Context(), "gone", []byte("1")))
	must(t, s.SetValue(t.Context(), "gone", nil))
	s = reopen(t, s)
	got, err := LoadConfig(s.dir)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration differs (-want +got):\n%s", diff)
	}
	if v, ok := s.Value("hold:x"); !ok || string(v) != "20" {
		t.Errorf("value is %q, %t", v, ok)
	}
	if _, ok := s.Value("gone"); ok {
		t.Error("a deleted value is there")
	}
	must(t, os.WriteFile(filepath.Join(s.dir, configName), []byte("{"), 0o600))
	if _, err := LoadConfig(s.dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a broken configuration gave %v", err)
	}
}
