package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restic-manager/agent/control"
)

// fillDisk makes SQLite find no room from now on, until the function it returns is
// called. Reads go on, as on a full disk.
func fillDisk(t *testing.T, s *Spool) (makeRoom func()) {
	t.Helper()
	var full bool
	s.step = func(name string) error {
		if !full || strings.HasSuffix(name, ":after") {
			return nil
		}
		return errors.New("no space left on device")
	}
	full = true
	return func() { full = false }
}

func TestFullDiskStopsTheJournalAndNoBackup(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1), runCommand(2, 2))
	mustStart(t, s, id(1))
	makeRoom := fillDisk(t, s)

	if acked, err := s.Journal(t.Context(), []control.Command{runCommand(3, 3)}, s.now()); err == nil || acked != 2 {
		t.Errorf("journal on a full disk acked %d, %v", acked, err)
	}
	if _, err := s.Job(id(3)); !errors.Is(err, ErrUnknownJob) {
		t.Errorf("a command that is not on disk has a job: %v", err)
	}
	if health := s.Health(); len(health) != 1 || health[0].Code != "journal_failed" || health[0].NextStep == "" {
		t.Errorf("health is %+v", health)
	}
	if _, err := s.Start(t.Context(), id(2)); err == nil {
		t.Error("a job that the disk knows was started behind its back")
	}
	if j, _ := s.Job(id(2)); j.Phase != Acked {
		t.Errorf("the job that could not start is %s", j.Phase)
	}

	slot, created, err := s.OpenJob(t.Context(), NewJob{ID: id(4), Operation: "backup", Trigger: "schedule"})
	if err != nil || !created {
		t.Fatalf("a slot's job: created %t, %v", created, err)
	}
	mustStart(t, s, slot.ID)
	for _, job := range []string{id(1), id(4)} {
		s.Log(job, Line{Stream: Stdout, Text: "line of " + job})
		must(t, s.Finish(t.Context(), job, Outcome{Result: Succeeded}, nil))
	}
	items := mustBatch(t, s)
	if got := kinds(items, id(1)) + " / " + kinds(items, id(4)); got != "1:acked 2:running 3:finished / 1:acked 2:running 3:finished" {
		t.Errorf("reported from memory: %q", got)
	}

	mustBatch(t, s)
	if len(s.Health()) != 1 {
		t.Error("a batch that wrote nothing made the disk well")
	}
	makeRoom()
	must(t, s.Flush(t.Context()))
	if len(s.Health()) != 0 {
		t.Errorf("health is %+v after there was room", s.Health())
	}
	s = reopen(t, s)
	again := mustBatch(t, s)
	if got := kinds(again, id(1)) + " / " + kinds(again, id(4)); got != "1:acked 2:running 3:finished / 1:acked 2:running 3:finished" {
		t.Errorf("on disk afterwards: %q", got)
	}
	if got := strings.Join(logOf(t, again, id(4)), ","); got != "o line of "+id(4) {
		t.Errorf("log on disk afterwards: %q", got)
	}
}

func TestSpoolLivesInMemoryWhereTheDiskRefuses(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, databaseName), 0o700)) // cannot be opened as a file
	s := mustOpen(t, Options{Dir: dir})
	if _, err := s.Journal(t.Context(), []control.Command{runCommand(1, 1)}, s.now()); err == nil {
		t.Error("commands were journaled in memory")
	}
	if health := s.Health(); len(health) != 1 || !strings.Contains(health[0].NextStep, "by itself") {
		t.Errorf("health is %+v", health)
	}
	slot, created, err := s.OpenJob(t.Context(), NewJob{ID: id(4), Operation: "backup", Trigger: "schedule"})
	if err != nil || !created {
		t.Fatalf("a slot's job: created %t, %v", created, err)
	}
	mustStart(t, s, slot.ID)
	s.Log(slot.ID, Line{Text: "line"})
	must(t, s.Finish(t.Context(), slot.ID, Outcome{Result: Succeeded}, nil))
	if got := kinds(mustBatch(t, s), slot.ID); got != "1:acked 2:running 3:finished" {
		t.Errorf("events are %q", got)
	}
	if health := s.Health(); len(health) != 1 || health[0].Code != "journal_failed" {
		t.Errorf("health is %+v", health)
	}
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	if s.Summary().Jobs != 0 {
		t.Error("the reported job is kept")
	}
}

func TestWhatMemoryRemembersGoesHome(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Options{Dir: dir})
	must(t, s.SetValues(t.Context(), map[string][]byte{"slots:a": []byte("old"), "slots:b": []byte("kept")}))
	mustJournal(t, s, runCommand(1, 1))
	must(t, s.Close())
	state := filepath.Join(dir, databaseName)
	must(t, os.Rename(state, state+".kept"))
	must(t, os.Mkdir(state, 0o700))

	s = mustOpen(t, Options{Dir: dir})
	if !s.Homeless() || s.DiskTakes(t.Context()) == nil {
		t.Fatal("the disk takes it")
	}
	slot := NewJob{ID: id(4), Operation: "backup", Trigger: "schedule", Values: map[string][]byte{"slots:a": []byte("new")}}
	if _, created, err := s.OpenJob(t.Context(), slot); err != nil || !created {
		t.Fatalf("a slot's job: created %t, %v", created, err)
	}
	must(t, os.Remove(state))
	must(t, os.Rename(state+".kept", state))
	must(t, s.DiskTakes(t.Context()))
	if err := s.GoHome(t.Context()); s.Idle() || err == nil {
		t.Error("it left a job behind")
	}
	mustStart(t, s, slot.ID)
	must(t, s.Finish(t.Context(), slot.ID, Outcome{Result: Succeeded}, nil))
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	if !s.Idle() {
		t.Fatal("the reported job is kept")
	}
	must(t, s.GoHome(t.Context()))

	s = reopen(t, s)
	if _, created, err := s.OpenJob(t.Context(), slot); s.Homeless() || err != nil || created {
		t.Errorf("on disk %t: the slot's job is created again: %t, %v", !s.Homeless(), created, err)
	}
	for key, want := range map[string]string{"slots:a": "new", "slots:b": "kept"} {
		if got, ok := s.Value(key); !ok || string(got) != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if s.AckedSeq() != 1 || len(s.Pending()) != 1 {
		t.Errorf("what was on disk is gone: %d acknowledged, %d to do", s.AckedSeq(), len(s.Pending()))
	}
}

func TestSlotOfAFullDiskRunsOnceAllTheSame(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	makeRoom := fillDisk(t, s)
	slot := NewJob{ID: id(1), Operation: "backup", Trigger: "schedule"}
	if _, created, err := s.OpenJob(t.Context(), slot); err != nil || !created {
		t.Fatalf("created %t, %v", created, err)
	}
	mustStart(t, s, slot.ID)
	writeNoise(s, slot.ID, 2*volatileLog)
	must(t, s.Finish(t.Context(), slot.ID, Outcome{Result: Succeeded}, nil))
	for s.Summary().Jobs > 0 {
		must(t, s.Applied(t.Context(), allTakenWithin(s, mustBatch(t, s))))
	}
	dropped := s.Summary().DroppedLines
	if _, created, err := s.OpenJob(t.Context(), slot); err != nil || created {
		t.Errorf("while the disk is full: created %t, %v", created, err)
	}
	makeRoom()
	must(t, s.Flush(t.Context()))
	s = reopen(t, s)
	if _, created, err := s.OpenJob(t.Context(), slot); err != nil || created {
		t.Errorf("after a restart: created %t, %v", created, err)
	}
	if got := s.Summary().DroppedLines; got != dropped || got == 0 {
		t.Errorf("%d dropped lines after a restart, want %d", got, dropped)
	}
}

func TestReportFromMemoryIsNotTakenForWhatComesAfterACrash(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	onDisk, _ := s.Job(id(1))
	fillDisk(t, s)
	must(t, s.Note(t.Context(), id(1), "from memory", nil))
	items := mustBatch(t, s)
	if items[0].WriterId == onDisk.WriterID {
		t.Error("what is not on disk is reported under the name that the disk knows")
	}
	if again := mustBatch(t, s); again[0].WriterId != items[0].WriterId {
		t.Error("the writer changed between two reports from memory")
	}
	s = reopen(t, s)
	if j, _ := s.Job(id(1)); j.WriterID != onDisk.WriterID {
		t.Error("the disk knows the name that was used in memory alone")
	}
}

// TestSQLiteWithoutRoom uses SQLite's own limit instead of a step.
func TestSQLiteWithoutRoom(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	var pages int
	must(t, s.db.QueryRow(`PRAGMA page_count`).Scan(&pages))
	if _, err := s.db.Exec(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		s.Log(id(1), Line{Stream: Stdout, Text: fmt.Sprintf("%d %x", i, time.Duration(i*i*i*7919))})
	}
	if err := s.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("flush gave %v, want that the database is full", err)
	}
	if lines := logOf(t, mustBatch(t, s), id(1)); len(lines) != 500 {
		t.Errorf("%d lines can be reported, want 500", len(lines))
	}
	if _, err := s.db.Exec(`PRAGMA max_page_count = 1000000`); err != nil {
		t.Fatal(err)
	}
	must(t, s.Flush(t.Context()))
	s = reopen(t, s)
	if lines := logOf(t, mustBatch(t, s), id(1)); len(lines) != 500 {
		t.Errorf("%d lines are on disk, want 500", len(lines))
	}
}

func TestMemoryIsBoundedWhileTheDiskFails(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	makeRoom := fillDisk(t, s)
	written := writeNoise(s, id(1), 3*volatileLog)
	if waits := s.jobs[id(1)].Chunks.size; waits > volatileLog+chunkBytes {
		t.Errorf("%d bytes wait in memory, want at most %d", waits, volatileLog)
	}
	makeRoom()
	must(t, s.Flush(t.Context()))
	checkWhole(t, s, map[string]int64{id(1): written})
}

func TestBudgetDropsTheOldestLogAndCountsIt(t *testing.T) {
	budget := Budget{Total: 1 << 20, PerJob: 600 << 10}
	s := mustOpen(t, Options{Dir: t.TempDir(), Budget: budget})
	written := map[string]int64{}
	for n := 1; n <= 4; n++ {
		mustJournal(t, s, runCommand(int64(n), n))
		mustStart(t, s, id(n))
		written[id(n)] = writeNoise(s, id(n), 300<<10)
	}
	written[id(4)] += writeNoise(s, id(4), 500<<10)
	must(t, s.Flush(t.Context()))
	s = reopen(t, s)
	if sum := s.Summary(); sum.Bytes > budget.Total || sum.DroppedLines == 0 {
		t.Errorf("summary is %+v, want at most %d bytes", sum, budget.Total)
	}
	if size := s.jobs[id(4)].Chunks.size; size > budget.PerJob {
		t.Errorf("one job keeps %d bytes, want at most %d", size, budget.PerJob)
	}
	if s.jobs[id(1)].Chunks.First == 1 || s.jobs[id(3)].Chunks.First != 1 {
		t.Error("it is not the oldest log that was dropped")
	}
	checkWhole(t, s, written)
}

func TestSpoolDoesNotGrowOnATightDisk(t *testing.T) {
	free := uint64(1 << 40)
	space := func(string) (uint64, uint64, error) { return free, 1 << 41, nil }
	s := mustOpen(t, Options{Dir: t.TempDir(), FreeSpace: space})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	written := writeNoise(s, id(1), 2<<20)
	must(t, s.Flush(t.Context()))
	before := s.Summary().Bytes
	free = 512 << 20
	s.space.at = time.Time{}
	must(t, s.Flush(t.Context()))
	written += writeNoise(s, id(1), 3<<20)
	must(t, s.Flush(t.Context()))
	if after := s.Summary().Bytes; after > before+64<<10 {
		t.Errorf("%d bytes wait, %d before the disk was tight", after, before)
	}
	checkWhole(t, s, map[string]int64{id(1): written})
}

// writeNoise logs lines that do not compress, about size bytes of them, and
// returns how many.
func writeNoise(s *Spool, job string, size int) (lines int64) {
	x := uint64(88172645463325252)
	for written := 0; written < size; lines++ {
		var b strings.Builder
		for range 8 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			fmt.Fprintf(&b, "%016x", x)
		}
		s.Log(job, Line{Stream: Stdout, Text: b.String()})
		written += b.Len() / 2 // hex
	}
	return lines
}

// checkWhole compares what can be reported of the jobs' logs, and the gaps in them,
// with the number of lines that were written.
func checkWhole(t *testing.T, s *Spool, written map[string]int64) {
	t.Helper()
	readers := map[string]*logReader{}
	for s.Summary().Jobs > 0 {
		items := mustBatch(t, s)
		for _, item := range items {
			if readers[item.JobId] == nil {
				readers[item.JobId] = &logReader{holes: map[int64]control.Gap{}}
			}
			readers[item.JobId].read(item)
		}
		must(t, s.Applied(t.Context(), allTakenWithin(s, items)))
	}
	for job, want := range written {
		if err := readers[job].follow(); err != nil {
			t.Errorf("job %s: %v", job, err)
		}
		if got := readers[job].lines; got != want {
			t.Errorf("job %s: %d lines are accounted for, %d were written", job, got, want)
		}
	}
}

// logReader follows a log and the gaps in it.
type logReader struct {
	chunks      []control.LogChunk
	holes       map[int64]control.Gap // by the first number that is missing
	lines, last int64
}

func (r *logReader) read(item control.ReportItem) {
	for _, e := range item.Events {
		if e.Gap != nil && e.Gap.Stream == control.Log {
			r.holes[e.Gap.FirstSeq] = *e.Gap
		}
	}
	r.chunks = append(r.chunks, item.Log...)
}

// follow checks that every record and every line is there or counted as missing.
func (r *logReader) follow() error {
	r.skip()
	for _, c := range r.chunks {
		if c.Seq <= r.last && r.declared(c.Seq) {
			continue // the server had it before the agent, who was not told, gave it up
		}
		if c.Seq != r.last+1 {
			return fmt.Errorf("chunk %d comes after %d and no gap record says why", c.Seq, r.last)
		}
		if c.FirstLine != r.lines+1 {
			return fmt.Errorf("chunk %d begins with line %d, want %d", c.Seq, c.FirstLine, r.lines+1)
		}
		r.last, r.lines = c.Seq, r.lines+int64(c.Lines)
		r.skip()
	}
	return nil
}

// declared tells whether a gap record covers a chunk.
func (r *logReader) declared(seq int64) bool {
	for _, gap := range r.holes {
		if gap.FirstSeq <= seq && seq <= gap.LastSeq {
			return true
		}
	}
	return false
}

// skip passes over what is known to be missing.
func (r *logReader) skip() {
	for r.holes[r.last+1].LastSeq != 0 {
		gap := r.holes[r.last+1]
		r.lines, r.last = r.lines+gap.Lines, gap.LastSeq
	}
}

func TestRunWritesWhatWaitsOnceASecond(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	synctest.Test(t, func(t *testing.T) {
		writes := 0
		s.waiting = make(chan struct{}, 1) // of this bubble
		s.step = func(name string) error {
			if name == "log:after" {
				writes++
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		for range 100 {
			s.Log(id(1), Line{Stream: Stdout, Text: "line"})
			time.Sleep(50 * time.Millisecond) // virtual
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
		if writes < 4 || writes > 6 {
			t.Errorf("%d writes for 5 s of lines, want 5", writes)
		}
		s.step = nil
	})
}

func TestHealthEndsWithTheNextWriteThatHolds(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	makeRoom := fillDisk(t, s)
	if _, err := s.Journal(t.Context(), []control.Command{runCommand(1, 1)}, s.now()); err == nil {
		t.Fatal("commands were journaled on a full disk")
	}
	for range 2 {
		if err := s.Flush(t.Context()); err == nil || len(s.Health()) != 1 {
			t.Errorf("on a full disk flush gave %v, health %+v", err, s.Health())
		}
	}
	makeRoom()
	must(t, s.Flush(t.Context()))
	if len(s.Health()) != 0 {
		t.Errorf("health is %+v after a write that held", s.Health())
	}
}

// TestAProcessThatOnlyMemoryKnowsOfIsNamed starts one while the disk is full.
func TestAProcessThatOnlyMemoryKnowsOfIsNamed(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	codes := func() string {
		var list []string
		for _, p := range s.Health() {
			list = append(list, p.Code)
		}
		return strings.Join(list, " ")
	}
	makeRoom := fillDisk(t, s)
	must(t, s.Attach(t.Context(), id(1), []byte(`{"pid":7}`)))
	if got := codes(); got != "journal_failed process_not_recorded" {
		t.Errorf("on a full disk: %q", got)
	}
	if j, err := s.Job(id(1)); err != nil || string(j.Process) != `{"pid":7}` {
		t.Errorf("memory has %s, %v", j.Process, err)
	}
	makeRoom()
	must(t, s.Flush(t.Context()))
	if got := codes(); got != "" {
		t.Errorf("once there was room: %q", got)
	}
	if j, err := reopen(t, s).Job(id(1)); err != nil || string(j.Process) != `{"pid":7}` {
		t.Errorf("the disk has %s, %v", j.Process, err)
	}
}

func TestWhatAServerDidWrongIsForgottenAfterADay(t *testing.T) {
	clock := newClock()
	s := mustOpen(t, Options{Dir: t.TempDir(), Now: clock.now})
	wrong := func(seq int64) {
		t.Helper()
		c := runCommand(seq, int(seq))
		c.JobId = "no id"
		if _, err := s.Journal(t.Context(), []control.Command{c}, s.now()); err != nil {
			t.Fatal(err)
		}
	}
	told := func() string {
		var text []string
		for _, p := range s.Health() {
			text = append(text, p.Code+": "+p.Message)
		}
		return strings.Join(text, "\n")
	}
	wrong(1)
	wrong(2)
	s = reopen(t, s)
	if got := told(); !strings.Contains(got, "command_malformed: The server sent 2 commands") {
		t.Errorf("told %q", got)
	}
	clock.at = clock.at.Add(23 * time.Hour)
	if told() == "" {
		t.Error("forgotten within a day")
	}
	clock.at = clock.at.Add(2 * time.Hour)
	if got := told(); got != "" {
		t.Errorf("after a day: %q", got)
	}
	wrong(3)
	if got := told(); !strings.Contains(got, "The server sent 1 commands") {
		t.Errorf("counted on from what was forgotten: %q", got)
	}
}
