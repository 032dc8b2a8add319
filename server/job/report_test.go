package job_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// running gives a job that its agent works on.
func (w *world) running() (*agent, *work) {
	w.Helper()
	a, s := w.ready()
	j := w.run(s)
	a.sync()
	a.sync()
	wk := a.jobs[j.ID]
	a.event(wk, job.Event{Kind: job.EventRunning})
	a.report(wk)
	return a, wk
}

func TestLostRepeatedAndReorderedReportsEndInTheSameState(t *testing.T) {
	clean := play(lite(t), nil)
	each(t, func(w *world) {
		seed := rand.Uint64()
		w.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		got := play(w, random)
		ignored := cmpopts.IgnoreFields(fleet.Job{}, "ID", "HostID", "RepositoryID", "ScheduleID", "Params", "WriterID", "Version",
			"LastReport", "FinishedAt", "StartedAt", "LeaseUntil", "CreatedAt", "ExpiresAt", "SnapshotID", "Outcome")
		if diff := cmp.Diff(clean.job, got.job, ignored); diff != "" {
			w.Errorf("seed %d: the job differs (-clean +faulty):\n%s", seed, diff)
		}
		if diff := cmp.Diff(clean.lines, got.lines); diff != "" {
			w.Errorf("seed %d: the log differs (-clean +faulty):\n%s", seed, diff)
		}
		if diff := cmp.Diff(clean.events, got.events); diff != "" {
			w.Errorf("seed %d: the events differ (-clean +faulty):\n%s", seed, diff)
		}
	})
}

// played is what a job came to.
type played struct {
	job    *fleet.Job
	events []string
	lines  []string
}

// play carries a job from its start to its end through a network that loses
// requests and answers and delivers old requests again, if random says so.
func play(w *world, random *rand.Rand) played {
	w.Helper()
	a, wk := w.running()
	chance := func(n int) bool { return random != nil && random.IntN(n) == 0 }
	var old []job.Item
	for step := range 30 {
		a.event(wk, job.Event{Kind: "note", Message: fmt.Sprint("step ", step)})
		a.say(wk, fmt.Sprint("line ", step), "and another")
		if step == 20 {
			a.event(wk, job.Event{Kind: job.EventStopping})
		}
		it := wk.item()
		old = append(old, it)
		if chance(4) {
			continue // the request was lost
		}
		if chance(4) {
			_, err := a.send(it) // the answer is lost
			w.must(err)
			continue
		}
		a.report(wk)
		for chance(2) {
			_, err := a.send(old[random.IntN(len(old))]) // a box in between repeats an old one
			w.must(err)
		}
	}
	a.event(wk, job.Event{Kind: job.EventFinished, Outcome: &job.Outcome{Result: "succeeded", SnapshotID: snapshotID("ab"), Confirmed: true}, Snapshot: a.snapshot(snapshotID("ab"))})
	for a.report(wk); wk.sentE < len(wk.events) || wk.sentL < len(wk.log); {
		a.report(wk)
	}
	for chance(2) {
		_, err := a.send(old[random.IntN(len(old))])
		w.must(err)
	}
	return w.played(wk.job)
}

func (w *world) played(id fleet.JobID) played {
	w.Helper()
	p := played{job: w.job(id)}
	events, err := w.store.Events(w.Context(), id, 0, 1000)
	w.must(err)
	for i, e := range events {
		var body job.Event
		w.must(e.Body.Read(&body))
		p.events = append(p.events, fmt.Sprintf("%d %s %s", e.Seq, e.Kind, body.Message))
		if e.Seq != int64(i+1) {
			w.Errorf("event %d has the number %d", i+1, e.Seq)
		}
	}
	page, err := w.jobs.Log(w.Context(), id, job.LogQuery{})
	w.must(err)
	for _, l := range page.Lines {
		p.lines = append(p.lines, fmt.Sprintf("%d %s", l.N, l.Text))
	}
	return p
}

func TestAHoleIsAnsweredWithTheNumberExpected(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		wk.sentE++ // one event is skipped
		a.event(wk, job.Event{Kind: "note"})
		a.event(wk, job.Event{Kind: "note"})
		if v := a.report(wk); v.Outcome != job.TakenGap || v.NextEventSeq != 3 {
			w.Errorf("got %+v, want gap with 3", v)
		}
		if v := a.report(wk); v.Outcome != job.TakenOK || v.NextEventSeq != 5 {
			w.Errorf("after rewinding got %+v, want ok with 5", v)
		}
	})
}

func TestAGapRecordMovesTheLogOn(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		for i := range 6 {
			a.say(wk, fmt.Sprint("line ", i))
		}
		// Chunks 3 and 4 were dropped before 1 and 2 could travel.
		gap := &job.Gap{Stream: "log", FirstSeq: 3, LastSeq: 4, Lines: 2, Reason: "no room"}
		a.event(wk, job.Event{Kind: job.EventGap, Gap: gap})
		it := wk.item()
		it.Log = it.Log[:2]
		v, err := a.send(it)
		w.must(err)
		if v[0].Outcome != job.TakenOK || v[0].NextLogSeq != 3 {
			w.Fatalf("got %+v, want ok with chunk 3 next", v[0])
		}
		it.Events, it.Log = nil, wk.log[4:]
		v, err = a.send(it)
		w.must(err)
		if v[0].Outcome != job.TakenOK || v[0].NextLogSeq != 7 {
			w.Fatalf("got %+v, want ok with chunk 7 next", v[0])
		}
		if diff := cmp.Diff([]string{"1 line 0", "2 line 1", "5 line 4", "6 line 5"}, w.played(wk.job).lines); diff != "" {
			w.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

func TestAnotherWriterOfTheSameNumbersDiverges(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		a.event(wk, job.Event{Kind: "note", Message: "the first of two"})
		a.report(wk)
		restored := wk.item()
		restored.Writer = fleet.NewID[string]()
		restored.Events = []job.Event{{Seq: 3, At: w.clock.now(), Kind: "note", Message: "the second"}}
		v, err := a.send(restored)
		w.must(err)
		if v[0].Outcome != job.TakenDiverged || v[0].NextEventSeq != 4 {
			w.Errorf("got %+v, want diverged with 4 next", v[0])
		}
		restored.Events[0].Seq = 4
		if v, err = a.send(restored); err != nil || v[0].Outcome != job.TakenOK {
			w.Errorf("as a new writer got %+v, %v; want ok", v, err)
		}
		same := wk.item() // the machine was set back: same writer, other content
		same.Writer = restored.Writer
		same.Events = []job.Event{{Seq: 4, At: w.clock.now(), Kind: "note", Message: "something else"}}
		if v, err = a.send(same); err != nil || v[0].Outcome != job.TakenDiverged {
			w.Errorf("other content under a known number got %+v, %v; want diverged", v, err)
		}
	})
}

func TestAnInvalidRecordIsPointedAtAndTheOnesBeforeAreTaken(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	good := job.Event{Seq: 3, At: w.clock.now(), Kind: "note"}
	for name, bad := range map[string]job.Event{
		"no kind":                    {Seq: 4, At: w.clock.now()},
		"a hole in the report":       {Seq: 6, At: w.clock.now(), Kind: "note"},
		"finished without a result":  {Seq: 4, At: w.clock.now(), Kind: job.EventFinished},
		"a result nobody knows":      {Seq: 4, At: w.clock.now(), Kind: job.EventFinished, Outcome: &job.Outcome{Result: "splendid"}},
		"a short snapshot id":        {Seq: 4, At: w.clock.now(), Kind: "note", Snapshot: &job.Snapshot{ID: "abc", Time: w.clock.now()}},
		"a gap that goes backwards":  {Seq: 4, At: w.clock.now(), Kind: job.EventGap, Gap: &job.Gap{Stream: "log", FirstSeq: 9, LastSeq: 3}},
		"a gap of an unknown stream": {Seq: 4, At: w.clock.now(), Kind: job.EventGap, Gap: &job.Gap{Stream: "x", FirstSeq: 1, LastSeq: 3}},
		"a time before all clocks":   {Seq: 4, Kind: "note"},
	} {
		t.Run(name, func(t *testing.T) {
			it := wk.item()
			it.Events = []job.Event{good, bad}
			v, err := a.send(it)
			w.must(err)
			if v[0].Outcome != job.TakenRejected || v[0].RejectedSeq != bad.Seq || v[0].RejectedStream != "events" || v[0].NextEventSeq != 4 {
				t.Errorf("got %+v, want event %d rejected and 4 next", v[0], bad.Seq)
			}
		})
	}
	for name, c := range map[string]fleet.LogChunk{
		"more lines than a chunk has": {Seq: 1, FirstLine: 1, Lines: 5001, Bytes: 10, Data: []byte("x")},
		"more bytes than a chunk has": {Seq: 1, FirstLine: 1, Lines: 1, Bytes: 2<<20 + 1, Data: []byte("x")},
		"more data than a chunk has":  {Seq: 1, FirstLine: 1, Lines: 1, Bytes: 10, Data: make([]byte, 512<<10+1)},
		"no data":                     {Seq: 1, FirstLine: 1, Lines: 1, Bytes: 10},
	} {
		t.Run(name, func(t *testing.T) {
			it := wk.item()
			it.Events, it.Log = nil, []fleet.LogChunk{c}
			v, err := a.send(it)
			w.must(err)
			if v[0].Outcome != job.TakenRejected || v[0].RejectedStream != "log" || v[0].RejectedSeq != 1 {
				t.Errorf("got %+v, want chunk 1 rejected", v[0])
			}
		})
	}
}

// An agent explains a hole in the log by a gap record, which it cannot hand over as long
// as a record that nobody can take stands before it.
func TestAnInvalidRecordIsPointedAtAlsoWhereTheLogHasAHole(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	it := wk.item()
	it.Events = []job.Event{
		{Seq: 3, At: w.clock.now(), Kind: "note", Snapshot: &job.Snapshot{ID: "abc", Time: w.clock.now()}},
		{Seq: 4, At: w.clock.now(), Kind: job.EventGap, Gap: &job.Gap{Stream: "log", FirstSeq: 1, LastSeq: 2, Reason: "full"}},
	}
	it.Log = []fleet.LogChunk{a.chunk(3, 9, "line 9")}
	v, err := a.send(it)
	w.must(err)
	if v[0].Outcome != job.TakenRejected || v[0].RejectedStream != "events" || v[0].RejectedSeq != 3 || v[0].NextLogSeq != 1 {
		t.Errorf("got %+v, want event 3 rejected", v[0])
	}
}

func TestAnUnknownKindOfEventIsKeptAsItIs(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	a.event(wk, job.Event{Kind: "rehydrated", Message: "of a newer agent"})
	a.report(wk)
	if got := w.played(wk.job).events; !slices.Contains(got, "3 rehydrated of a newer agent") {
		t.Errorf("got events %q", got)
	}
}

func TestAReportOfAnotherHostsJobIsRefused(t *testing.T) {
	each(t, func(w *world) {
		_, wk := w.running()
		b := w.host("web-2")
		b.open()
		_, err := b.send(wk.item())
		w.wantCode(err, fleet.AgentMismatch)
	})
}

func TestAnAgentCannotPutAJobToWhatIsNotItsHosts(t *testing.T) {
	each(t, func(w *world) {
		_, theirs := w.ready()
		b := w.host("web-2")
		b.open()
		for name, opened := range map[string]*job.Opened{
			"schedule":   {Operation: "backup", Trigger: fleet.BySchedule, Schedule: theirs.ID, At: w.clock.now()},
			"repository": {Operation: "backup", Trigger: fleet.BySchedule, Repository: theirs.RepositoryID, At: w.clock.now()},
		} {
			wk := b.bear(fleet.NewID[fleet.JobID](), opened)
			b.backup(wk)
			if j := w.job(wk.job); j.ScheduleID != "" || j.RepositoryID != "" {
				w.Errorf("a job with another host's %s belongs to %q and %q", name, j.ScheduleID, j.RepositoryID)
			}
		}
		if n := len(w.known(theirs.RepositoryID)); n != 0 {
			w.Errorf("a stranger put %d snapshots into the repository", n)
		}
		gone := b.bear(fleet.NewID[fleet.JobID](), &job.Opened{Operation: "backup", Trigger: fleet.BySchedule, Schedule: fleet.NewID[fleet.ScheduleID](), At: w.clock.now()})
		b.backup(gone)
		if j := w.job(gone.job); j.ScheduleID != gone.opened.Schedule {
			w.Errorf("a schedule that was deleted is not named any more: %q", j.ScheduleID)
		}
	})
}

func TestAnOldEpochIsFenced(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	w.write(func(tx *store.Tx) error {
		j, err := tx.LockJob(t.Context(), wk.job)
		if err != nil {
			return err
		}
		j.Epoch = 2
		return tx.SaveJob(t.Context(), j)
	})
	a.event(wk, job.Event{Kind: "note"})
	if v := a.report(wk); v.Outcome != job.TakenFenced || v.NextEventSeq != 3 {
		t.Errorf("got %+v, want fenced and nothing taken", v)
	}
}

func TestAReportOfASupersededSessionIsRefused(t *testing.T) {
	w := lite(t)
	a, wk := w.running()
	old := a.session
	a.open()
	_, err := w.jobs.Report(t.Context(), a.id, &job.Report{Session: old, Items: []job.Item{wk.item()}})
	w.wantCode(err, fleet.SessionSuperseded)
}

func TestALateResultReplacesTheServers(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		w.clock.advance(2 * time.Minute)
		w.must(w.jobs.Sweep(w.Context()))
		if got := w.job(wk.job).State; got != fleet.Unresponsive {
			w.Fatalf("after the lease the job is %s, want unresponsive", got)
		}
		a.running = []job.RunningJob{{ID: wk.job, Epoch: 1}}
		a.sync()
		if got := w.job(wk.job).State; got != fleet.Running {
			w.Fatalf("after its agent came back the job is %s, want running", got)
		}
		for range 3 {
			w.clock.advance(25 * time.Hour)
			w.must(w.jobs.Sweep(w.Context()))
		}
		if j := w.job(wk.job); j.State != fleet.Finished || j.Result != fleet.Lost || w.hostRow(a).ActiveJobs != 0 {
			w.Fatalf("after days of silence the job is %s %s", j.State, j.Result)
		}
		a.event(wk, job.Event{Kind: "note"})
		a.backup(wk)
		j := w.job(wk.job)
		if j.Result != fleet.Succeeded || !j.Late || w.hostRow(a).ActiveJobs != 0 {
			w.Errorf("the late result is %s, late %v, %d active", j.Result, j.Late, w.hostRow(a).ActiveJobs)
		}
		if got := w.codes(store.ObjectHost, string(a.id.Host)); got != "" {
			w.Errorf("conditions %q are left", got)
		}
	})
}

func TestABackupWithoutASnapshotInTheRepositoryProtectsNobody(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		a.finish(wk, job.Outcome{Result: "succeeded"}, nil)
		j := w.job(wk.job)
		if !j.Unconfirmed || !w.hostRow(a).LastGoodBackup.IsZero() {
			w.Errorf("unconfirmed is %v, last good backup %d", j.Unconfirmed, w.hostRow(a).LastGoodBackup)
		}
		if got := w.codes(store.ObjectHost, string(a.id.Host)); got != job.CodeUnconfirmed {
			w.Errorf("got conditions %q, want %q", got, job.CodeUnconfirmed)
		}
	})
}

func TestFailuresAreConditionsUntilASuccessDisprovesThem(t *testing.T) {
	each(t, func(w *world) {
		a, wk := w.running()
		s := w.job(wk.job)
		a.finish(wk, job.Outcome{Result: "failed", Code: "wrong_password", Message: "wrong password or no key found"}, nil)
		repository := string(s.RepositoryID)
		if got := w.codes(store.ObjectRepository, repository); got != "wrong_password" {
			w.Errorf("the repository has %q, want wrong_password", got)
		}
		if got := w.codes(store.ObjectHost, string(a.id.Host)); got != job.CodeBackupFailed {
			w.Errorf("the host has %q, want backup_failed", got)
		}
		again, _, err := w.jobs.RunSchedule(w.Context(), someone, a.id.Host, s.ScheduleID, 0)
		w.must(err)
		a.sync()
		a.backup(a.jobs[again.ID])
		if got := w.codes(store.ObjectRepository, repository) + w.codes(store.ObjectHost, string(a.id.Host)); got != "" {
			w.Errorf("after a success %q is left", got)
		}
	})
}
