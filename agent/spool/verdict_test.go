package spool

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/agent/control"
)

// runningJob is a spool with one started job that has n log chunks of one line each.
func runningJob(t *testing.T, n int) *Spool {
	t.Helper()
	s := mustOpen(t, Options{Dir: t.TempDir()})
	mustJournal(t, s, runCommand(1, 1))
	mustStart(t, s, id(1))
	for i := 1; i <= n; i++ {
		s.Log(id(1), Line{Stream: Stdout, Text: fmt.Sprint("line ", i)})
		mustBatch(t, s) // cuts
	}
	return s
}

func apply(t *testing.T, s *Spool, v control.ReportVerdict) {
	t.Helper()
	v.JobId = id(1)
	must(t, s.Applied(t.Context(), []control.ReportVerdict{v}))
}

// chunks are the numbers of the log in a batch.
func chunks(items []control.ReportItem) string {
	var seqs []string
	for _, item := range items {
		for _, c := range item.Log {
			seqs = append(seqs, fmt.Sprint(c.Seq))
		}
	}
	return strings.Join(seqs, " ")
}

func TestAppliedTrimsToWhatTheServerHas(t *testing.T) {
	s := runningJob(t, 3)
	apply(t, s, control.ReportVerdict{Outcome: "ok", NextEventSeq: 2, NextLogSeq: 3})
	s = reopen(t, s)
	items := mustBatch(t, s)
	if got := kinds(items, id(1)); got != "2:running" {
		t.Errorf("events are %q", got)
	}
	if got := chunks(items); got != "3" {
		t.Errorf("chunks are %q", got)
	}
	if items[0].Opened != nil {
		t.Error("opened is sent although the server knows the job")
	}
	apply(t, s, control.ReportVerdict{Outcome: "ok", NextEventSeq: 3, NextLogSeq: 4})
	if items := mustBatch(t, s); len(items) != 0 {
		t.Errorf("still reporting %+v", items)
	}
}

func TestUnknownJobIsSentWithHowItBegan(t *testing.T) {
	s := runningJob(t, 0)
	apply(t, s, control.ReportVerdict{Outcome: "ok", NextEventSeq: 2, NextLogSeq: 1})
	apply(t, s, control.ReportVerdict{Outcome: "unknown_job"})
	items := mustBatch(t, s)
	if items[0].Opened == nil || items[0].Opened.Operation != "backup" || items[0].Opened.Trigger != "run-now" {
		t.Errorf("opened is %+v", items[0].Opened)
	}
}

func TestGapRewindsToWhatIsRetained(t *testing.T) {
	s := runningJob(t, 3)
	apply(t, s, control.ReportVerdict{Outcome: "gap", NextEventSeq: 1, NextLogSeq: 1})
	items := mustBatch(t, s)
	if got := kinds(items, id(1)) + " / " + chunks(items); got != "1:acked 2:running / 1 2 3" {
		t.Errorf("the batch holds %q", got)
	}
}

func TestServerSetBackGetsGapRecordsForWhatIsGone(t *testing.T) {
	s := runningJob(t, 4)
	must(t, s.Note(t.Context(), id(1), "third", nil))
	apply(t, s, control.ReportVerdict{Outcome: "ok", NextEventSeq: 4, NextLogSeq: 4})
	apply(t, s, control.ReportVerdict{Outcome: "gap", NextEventSeq: 2, NextLogSeq: 2})
	s = reopen(t, s)
	items := mustBatch(t, s)
	if got := kinds(items, id(1)); got != "2:gap 3:gap" {
		t.Errorf("events are %q", got)
	}
	for i, e := range items[0].Events {
		if e.Gap.Stream != control.Events || e.Gap.FirstSeq != int64(i+2) || e.Gap.LastSeq != e.Gap.FirstSeq {
			t.Errorf("gap record %d is %+v", e.Seq, e.Gap)
		}
	}
	apply(t, s, control.ReportVerdict{Outcome: "gap", NextEventSeq: 4, NextLogSeq: 2})
	items = mustBatch(t, s)
	want := &control.Gap{Stream: control.Log, FirstSeq: 2, LastSeq: 3, Reason: "The agent no longer has these records."}
	if got := kinds(items, id(1)); got != "4:gap" {
		t.Fatalf("events are %q", got)
	}
	if diff := cmp.Diff(want, items[0].Events[0].Gap); diff != "" {
		t.Errorf("gap differs (-want +got):\n%s", diff)
	}
	if got := chunks(items); got != "4" {
		t.Errorf("chunks are %q", got)
	}
	apply(t, s, control.ReportVerdict{Outcome: "ok", NextEventSeq: 5, NextLogSeq: 5})
	if items := mustBatch(t, s); len(items) != 0 {
		t.Errorf("still reporting %+v", items)
	}
}

func TestServerThatNeverTakesAGapLosesTheLogAndNothingElse(t *testing.T) {
	s := runningJob(t, 4)
	apply(t, s, control.ReportVerdict{Outcome: "ok", NextEventSeq: 3, NextLogSeq: 4})
	events := int64(3)
	for range 10 {
		apply(t, s, control.ReportVerdict{Outcome: "gap", NextEventSeq: events, NextLogSeq: 2})
		for _, item := range mustBatch(t, s) {
			events += int64(len(item.Events))
		}
	}
	if got := events - 3; got != announceMost+1 {
		t.Errorf("announced %d times, want %d", got, announceMost+1)
	}
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Succeeded}, nil))
	if got := kinds(mustBatch(t, s), id(1)); !strings.HasSuffix(got, ":finished") {
		t.Errorf("events are %q", got)
	}
}

func TestClosedAndFencedJobsAreNotReportedAnyMore(t *testing.T) {
	for _, outcome := range []string{"closed", "fenced"} {
		t.Run(outcome, func(t *testing.T) {
			s := runningJob(t, 2)
			apply(t, s, control.ReportVerdict{Outcome: outcome})
			s = reopen(t, s)
			s.Log(id(1), Line{Text: "more"})
			must(t, s.Note(t.Context(), id(1), "more", nil))
			if items := mustBatch(t, s); len(items) != 0 {
				t.Errorf("reported %+v", items)
			}
			if len(s.AgentJobs()) != 0 || len(s.Running()) != 1 {
				t.Errorf("%d jobs to reconcile and %d running, want 0 and 1", len(s.AgentJobs()), len(s.Running()))
			}
			must(t, s.Finish(t.Context(), id(1), Outcome{Result: Succeeded}, nil))
			if len(s.Running()) != 0 || s.Summary().Jobs != 0 {
				t.Error("the finished job is kept")
			}
		})
	}
}

func TestRejectedRecordIsReplacedAndKeptAside(t *testing.T) {
	s := runningJob(t, 3)
	must(t, s.Finish(t.Context(), id(1), Outcome{
		Result: Failed, Code: "wrong_password", Message: "odd", SnapshotId: "abc",
	}, nil))
	apply(t, s, control.ReportVerdict{
		Outcome: "rejected", NextEventSeq: 2, NextLogSeq: 1, RejectedStream: "events", RejectedSeq: 2, Message: "bad time",
	})
	apply(t, s, control.ReportVerdict{
		Outcome: "rejected", NextEventSeq: 2, NextLogSeq: 2, RejectedStream: "log", RejectedSeq: 2, Message: "bad chunk",
	})
	apply(t, s, control.ReportVerdict{
		Outcome: "rejected", NextEventSeq: 3, NextLogSeq: 2, RejectedStream: "events", RejectedSeq: 3, Message: "bad code",
	})
	s = reopen(t, s)
	items := mustBatch(t, s)
	if got := kinds(items, id(1)) + " / " + chunks(items); got != "3:finished 4:gap / 3" {
		t.Fatalf("the batch holds %q", got)
	}
	finished, gap := items[0].Events[0], items[0].Events[1].Gap
	if o := finished.Outcome; o.Result != Failed || o.Code != "record_refused" || o.SnapshotId != "abc" {
		t.Errorf("the bare result is %+v", o)
	}
	if gap.Stream != control.Log || gap.FirstSeq != 2 || gap.LastSeq != 2 || gap.Lines != 1 {
		t.Errorf("gap is %+v", gap)
	}
	must(t, s.Reject(t.Context(), id(1), control.Events, 3, "again"))
	if got := kinds(mustBatch(t, s), id(1)); got != "3:gap 4:gap" {
		t.Errorf("a result refused twice: events are %q", got)
	}
	must(t, s.Reject(t.Context(), id(1), control.Events, 99, "not there"))
	var aside int
	must(t, s.db.QueryRow(`SELECT COUNT(*) FROM quarantine`).Scan(&aside))
	if health := s.Health(); aside != 4 || len(health) != 1 || health[0].Code != "records_rejected" {
		t.Errorf("%d records aside, health %+v", aside, health)
	}
}

func TestDivergedJobGoesOnAsAnotherWriter(t *testing.T) {
	s := runningJob(t, 3)
	before, _ := s.Job(id(1))
	apply(t, s, control.ReportVerdict{Outcome: "diverged", NextEventSeq: 8, NextLogSeq: 2})
	s = reopen(t, s)
	after, _ := s.Job(id(1))
	if before.WriterID == after.WriterID {
		t.Error("the writer is the same")
	}
	items := mustBatch(t, s)
	if got := kinds(items, id(1)) + " / " + chunks(items); got != "8:note 9:acked 10:running / 2 3 4" {
		t.Errorf("the batch holds %q", got)
	}
	if got := strings.Join(logOf(t, items, id(1)), ","); got != "o line 1,o line 2,o line 3" {
		t.Errorf("the log is %q", got)
	}
}

func TestDivergedJobMovesItsGapRecords(t *testing.T) {
	s := runningJob(t, 3)
	must(t, s.Reject(t.Context(), id(1), control.Log, 2, "bad"))
	apply(t, s, control.ReportVerdict{Outcome: "diverged", NextEventSeq: 1, NextLogSeq: 11})
	items := mustBatch(t, s)
	gap := items[0].Events[len(items[0].Events)-1].Gap
	if gap == nil || gap.FirstSeq != 12 || gap.LastSeq != 12 || chunks(items) != "11" {
		t.Errorf("gap is %+v beside chunks %q, want one for 12 beside 11", gap, chunks(items))
	}
}

func TestServerThatHasMoreThanWasMadeMeansThisStateIsOld(t *testing.T) {
	s := runningJob(t, 1)
	must(t, s.Finish(t.Context(), id(1), Outcome{Result: Succeeded}, nil))
	stop, err := s.Reconcile(t.Context(), []control.JobVerdict{
		{JobId: id(1), Verdict: "continue", NextEventSeq: 9, NextLogSeq: 5},
	})
	must(t, err)
	if len(stop) != 0 {
		t.Errorf("told to stop %v", stop)
	}
	items := mustBatch(t, s)
	if got := kinds(items, id(1)) + " / " + chunks(items); got != "9:note 10:acked 11:running 12:finished / 5" {
		t.Errorf("the batch holds %q", got)
	}
}

func TestReconcileFollowsTheServersVerdicts(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	for n := 1; n <= 4; n++ {
		mustJournal(t, s, runCommand(int64(n), n))
		mustStart(t, s, id(n))
	}
	must(t, s.Applied(t.Context(), allTaken(mustBatch(t, s))))
	stop, err := s.Reconcile(t.Context(), []control.JobVerdict{
		{JobId: id(1), Verdict: "stop", NextEventSeq: 3, NextLogSeq: 1},
		{JobId: id(2), Verdict: "forget"},
		{JobId: id(3), Verdict: "send"},
		{JobId: id(4), Verdict: "something new"},
		{JobId: id(9), Verdict: "stop"},
	})
	must(t, err)
	if diff := cmp.Diff([]string{id(1)}, stop); diff != "" {
		t.Errorf("to stop (-want +got):\n%s", diff)
	}
	s = reopen(t, s)
	if j, _ := s.Job(id(1)); !j.CancelRequested {
		t.Error("the stop was forgotten")
	}
	must(t, s.Note(t.Context(), id(3), "here", nil))
	if items := mustBatch(t, s); len(items) != 1 || items[0].Opened == nil {
		t.Errorf("the batch is %+v, want the unknown job with how it began", items)
	}
	var jobs []string
	for _, j := range s.AgentJobs() {
		jobs = append(jobs, j.JobId)
	}
	if diff := cmp.Diff([]string{id(1), id(3), id(4)}, jobs); diff != "" {
		t.Errorf("jobs to reconcile (-want +got):\n%s", diff)
	}
}
