package job

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Report is a batch of records of several jobs.
type Report struct {
	Session fleet.SessionID
	Items   []Item
}

// Item is what a report holds of one job.
type Item struct {
	Job      fleet.JobID
	Epoch    int64
	Writer   string // who numbers the streams
	Phase    string
	Opened   *Opened
	Events   []Event
	Log      []fleet.LogChunk // without JobID
	Progress *Progress
}

// Opened is how a job began that its agent bore itself, or proof of one that it was
// sent.
type Opened struct {
	Operation  string
	Trigger    fleet.Trigger
	Schedule   fleet.ScheduleID
	Repository fleet.RepositoryID
	Slot       time.Time
	At         time.Time
}

// Verdict is what became of an item.
type Verdict struct {
	Job            fleet.JobID
	Outcome        string
	NextEventSeq   int64
	NextLogSeq     int64
	RejectedStream string
	RejectedSeq    int64
	Message        string
	Desired        string
	Detail         string
	Interval       time.Duration
	Lease          time.Duration
}

// What becomes of an item.
const (
	TakenOK       = "ok"          // appended, or there before
	TakenGap      = "gap"         // records before it are missing
	TakenFenced   = "fenced"      // the epoch is old
	TakenDiverged = "diverged"    // another writer has these numbers
	TakenClosed   = "closed"      // the job is older than what is kept
	TakenRejected = "rejected"    // a record is invalid
	TakenUnknown  = "unknown_job" // not known, and not said how it was opened
)

// itemsAtOnce is how many items of one report are in the database at a time; the
// store commits them together.
const itemsAtOnce = 4

// Finishes tells whether a report brings a result, so that it can be let in first.
func (r *Report) Finishes() bool {
	for i := range r.Items {
		for j := range r.Items[i].Events {
			if r.Items[i].Events[j].Kind == EventFinished {
				return true
			}
		}
	}
	return false
}

// Report takes an agent's records, one transaction an item. Repeating it is
// harmless: what is here already is skipped. Verdicts come in the order of the
// items.
//
// It fails with SessionUnknown, SessionSuperseded, AgentMismatch (also where an item
// is about another host's job), AgentDisabled, Invalid and BodyTooLarge; items before
// and beside the one that failed may have been taken.
func (s *Service) Report(ctx context.Context, a Agent, r *Report) ([]Verdict, error) {
	if err := checkReport(r); err != nil {
		return nil, err
	}
	here, err := s.attendance(ctx, a, r.Session)
	if err != nil {
		return nil, err
	}
	interval, err := s.unwatchedInterval(ctx)
	if err != nil {
		return nil, err
	}
	verdicts := make([]Verdict, len(r.Items))
	var group errgroup.Group
	group.SetLimit(itemsAtOnce)
	for i := range r.Items {
		group.Go(func() error {
			var err error
			verdicts[i], err = s.takeItem(ctx, &here.Host, &r.Items[i], interval)
			return err
		})
	}
	return verdicts, group.Wait()
}

// takeItem checks an item and takes it in one transaction.
func (s *Service) takeItem(ctx context.Context, host *fleet.Host, it *Item, interval time.Duration) (Verdict, error) {
	bad := it.cutAtBad()
	var v Verdict
	err := s.Store.Write(ctx, func(tx *store.Tx) error {
		var err error
		v, err = s.take(ctx, tx, host, it)
		return err
	})
	if err != nil {
		return v, fmt.Errorf("take a report of job %s: %w", it.Job, err)
	}
	if bad != nil && (v.Outcome == TakenOK || v.Outcome == TakenGap && bad.isNext(v)) {
		v.Outcome, v.RejectedStream, v.RejectedSeq, v.Message = TakenRejected, bad.stream, bad.seq, bad.message
	}
	v.Detail, v.Interval, v.Lease = DetailFull, interval, leaseTime
	until, err := s.Store.Interest(ctx, it.Job)
	if err == nil && until > fleet.At(s.Store.Now()) {
		v.Interval = watchedInterval
	}
	return v, err
}

// take is the append rule.
func (s *Service) take(ctx context.Context, tx *store.Tx, host *fleet.Host, it *Item) (Verdict, error) {
	j, refused, err := s.jobOf(ctx, tx, host, it)
	if err != nil {
		return Verdict{}, err
	}
	if refused != nil {
		return *refused, nil
	}
	if it.Epoch < j.Epoch { //guard:report-epoch
		return verdict(j, TakenFenced), nil
	}
	oldEvents, eventHole := fit(j.NextEventSeq, eventSpans(it.Events))
	oldChunks, logHole := fit(j.NextLogSeq, logSpans(it.Log))
	diverged, err := it.overlaps(ctx, tx, j, oldEvents, oldChunks)
	if err != nil {
		return Verdict{}, err
	}
	if diverged { //guard:report-diverged
		return verdict(j, TakenDiverged), nil
	}
	if eventHole { //guard:report-hole
		return verdict(j, TakenGap), nil
	}
	if err := s.takeEvents(ctx, tx, host, j, it, it.Events[oldEvents:]); err != nil {
		return Verdict{}, err
	}
	outcome, err := takeLog(ctx, tx, j, it, it.Log[oldChunks:], logHole)
	if err != nil {
		return Verdict{}, err
	}
	j.Epoch = it.Epoch
	if err := s.settle(ctx, tx, j, it); err != nil {
		return Verdict{}, err
	}
	return verdict(j, outcome), nil
}

func verdict(j *fleet.Job, outcome string) Verdict {
	v := Verdict{Job: j.ID, Outcome: outcome, NextEventSeq: j.NextEventSeq, NextLogSeq: j.NextLogSeq, Desired: DesiredRun}
	if j.Cancel && j.Active() {
		v.Desired = DesiredStop
	}
	return v
}

// takeLog appends chunks. Where records before them are missing, it looks whether
// gaps explain that.
func takeLog(ctx context.Context, tx *store.Tx, j *fleet.Job, it *Item, chunks []fleet.LogChunk, hole bool) (string, error) {
	gapsCame := false
	for i := range it.Events {
		gapsCame = gapsCame || it.Events[i].Kind == EventGap
	}
	if hole || gapsCame {
		if err := bridge(ctx, tx, j); err != nil {
			return "", err
		}
		var skip int
		if skip, hole = fit(j.NextLogSeq, logSpans(chunks)); !hole {
			chunks = chunks[skip:]
		}
	}
	if hole {
		return TakenGap, nil
	}
	if len(chunks) > 0 {
		j.WriterID = it.Writer
	}
	return TakenOK, appendLog(ctx, tx, j, chunks)
}

// settle writes the job after an item.
func (s *Service) settle(ctx context.Context, tx *store.Tx, j *fleet.Job, it *Item) error {
	j.LastReport = tx.Now
	if j.OnAgent() {
		j.LeaseUntil = tx.Now.Add(leaseTime)
		if err := takeProgress(j, it.Progress); err != nil {
			return err
		}
	}
	if j.State == fleet.Unresponsive {
		state, err := stateByEvents(ctx, tx.Queries, j.ID)
		if err != nil {
			return err
		}
		j.State = state
	}
	touch(tx, j)
	return tx.SaveJob(ctx, j)
}
