package spool

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"restic-manager/agent/control"
)

// Outcomes of a report's item.
const (
	outcomeOK       = "ok"
	outcomeFenced   = "fenced"
	outcomeDiverged = "diverged"
	outcomeClosed   = "closed"
	outcomeRejected = "rejected"
	outcomeUnknown  = "unknown_job"
)

// Verdicts on a job at a session's opening.
const (
	verdictContinue = "continue"
	verdictStop     = "stop"
	verdictForget   = "forget"
	verdictSend     = "send"
)

// Applied takes the server's verdicts on a report: what it has is dropped, what it
// cannot take is replaced, a finished job that it has whole is forgotten. Verdicts
// on unknown jobs, and outcomes of a newer server, change nothing but positions.
//
// The wishes in a verdict (desired, detail, interval_ms) are the caller's.
func (s *Spool) Applied(ctx context.Context, verdicts []control.ReportVerdict) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	d := s.draft(stepApplied)
	for _, v := range verdicts {
		if known := s.jobs[v.JobId]; known == nil || known.agrees(v) {
			continue
		}
		j := d.job(v.JobId)
		if err := s.apply(ctx, d, j, v); err != nil {
			return fmt.Errorf("apply verdict %s on job %s: %w", v.Outcome, v.JobId, err)
		}
	}
	return s.commit(ctx, d)
}

// agrees reports whether the verdict says nothing new.
func (j *job) agrees(v control.ReportVerdict) bool {
	return v.Outcome == outcomeOK && j.Known && v.NextEventSeq == j.Events.First && v.NextLogSeq == j.Chunks.First
}

func (s *Spool) apply(ctx context.Context, d *draft, j *job, v control.ReportVerdict) error {
	v.NextEventSeq, v.NextLogSeq = plausible(v.NextEventSeq), plausible(v.NextLogSeq)
	switch v.Outcome {
	case outcomeFenced, outcomeClosed:
		j.mute()
		return nil
	case outcomeUnknown:
		d.urgent = d.urgent || j.Known // asked again in vain is asked at the usual pace
		j.Known = false
		return nil
	case outcomeDiverged:
		j.Known = true
		return s.diverge(ctx, d, j, v.NextEventSeq, v.NextLogSeq)
	case outcomeRejected:
		d.urgent = true
		// Rows are rewritten below; what waits in memory must be rows by then.
		if len(j.Events.unsaved)+len(j.Chunks.unsaved) > 0 {
			return nil
		}
		if err := s.position(ctx, d, j, v.NextEventSeq, v.NextLogSeq); err != nil {
			return err
		}
		if v.RejectedStream != events && v.RejectedStream != logs {
			return nil
		}
		return s.reject(ctx, d, j, v.RejectedStream, v.RejectedSeq, v.Message)
	default:
		return s.position(ctx, d, j, v.NextEventSeq, v.NextLogSeq)
	}
}

// position takes the numbers that the server expects next. Numbers below 1 say nothing.
func (s *Spool) position(ctx context.Context, d *draft, j *job, nextEvent, nextChunk int64) error {
	j.Known = true
	if nextEvent > j.Events.Next || nextChunk > j.Chunks.Next {
		// The server has more than this spool ever made: its disk was set back.
		return s.diverge(ctx, d, j, nextEvent, nextChunk)
	}
	if nextEvent >= 1 && j.Events.First-nextEvent > mostFilled { //guard:verdict-fill
		return s.diverge(ctx, d, j, nextEvent, nextChunk)
	}
	j.trim(nextEvent, nextChunk)
	if nextEvent >= 1 && nextEvent < j.Events.First {
		d.required = true
		if err := s.fillEvents(j, nextEvent); err != nil {
			return err
		}
	}
	if nextChunk < 1 {
		return nil
	}
	return s.bridgeLog(ctx, d, j, nextChunk)
}

// diverge makes the job go on as a new writer at the numbers that the server
// expects, at its own where none are named. What was not confirmed is numbered
// anew, after a note that says so.
func (s *Spool) diverge(ctx context.Context, d *draft, j *job, nextEvent, nextChunk int64) error {
	nextEvent = cmp.Or(nextEvent, j.Events.First)
	nextChunk = cmp.Or(nextChunk, j.Chunks.First)
	waiting, err := s.unconfirmed(ctx, j)
	if err != nil {
		return err
	}
	d.required = true
	j.WriterID = uuid.NewString()
	j.statements = append(j.statements, statement{
		`DELETE FROM records WHERE job_id = ? AND stream = ?`, []any{j.ID, events},
	})
	j.Events = track{Next: nextEvent, First: nextEvent}
	note := control.Event{
		At: s.now(), Kind: eventNote,
		Message: "The agent's state was set back or copied; it reports on as another writer.",
	}
	if err := j.event(note); err != nil {
		return err
	}
	by := nextChunk - j.Chunks.First
	for _, r := range waiting {
		if err := r.moveGap(by, nextChunk); err != nil {
			return fmt.Errorf("renumber event %d: %w", r.seq, err)
		}
		j.Events.append(r)
	}
	j.moveLog(by)
	return nil
}

// unconfirmed returns the retained events.
func (s *Spool) unconfirmed(ctx context.Context, j *job) ([]record, error) {
	var waiting []record
	err := s.retained(ctx, j, events, int(j.Events.Next-j.Events.First), func(r record) (bool, error) {
		waiting = append(waiting, r)
		return true, nil
	})
	return waiting, err
}

// moveGap moves the numbers of a gap record for the log, as the log itself moves.
// One for numbers that the other writer has used becomes a note.
func (r *record) moveGap(by, next int64) error {
	var e control.Event
	if err := json.Unmarshal(r.doc, &e); err != nil {
		return err
	}
	if e.Gap == nil || e.Gap.Stream != control.Log {
		return nil
	}
	e.Gap.FirstSeq += by
	e.Gap.LastSeq += by
	if e.Gap.FirstSeq < next {
		e.Kind, e.Message = eventNote, fmt.Sprintf("%d lines of the log are missing. %s", e.Gap.Lines, e.Gap.Reason)
		e.Gap = nil
	}
	doc, err := json.Marshal(e)
	r.doc = doc
	return err
}

// moveLog adds to the numbers of the retained chunks. Rows move by way of negative
// numbers, since no two may meet.
func (j *job) moveLog(by int64) {
	j.statements = append(j.statements,
		statement{`DELETE FROM records WHERE job_id = ? AND stream = ? AND seq < ?`, []any{j.ID, logs, j.Chunks.First}},
		statement{`UPDATE records SET seq = -(seq + ?) WHERE job_id = ? AND stream = ?`, []any{by, j.ID, logs}},
		statement{`UPDATE records SET seq = -seq WHERE job_id = ? AND stream = ?`, []any{j.ID, logs}},
	)
	j.Chunks.unsaved = slices.Clone(j.Chunks.unsaved)
	for i := range j.Chunks.unsaved {
		j.Chunks.unsaved[i].seq += by
	}
	j.Chunks.First += by
	j.Chunks.Next += by
}

// Reconcile takes the verdicts of a session's opening and returns the unfinished
// jobs that the server wants stopped; they are marked as to be cancelled.
func (s *Spool) Reconcile(ctx context.Context, verdicts []control.JobVerdict) (stop []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	d := s.draft(stepReconcile)
	for _, v := range verdicts {
		j := d.job(v.JobId)
		if j == nil {
			continue
		}
		switch v.Verdict {
		case verdictForget:
			j.mute()
		case verdictSend:
			j.Known = false
		case verdictStop, verdictContinue:
			if v.Verdict == verdictStop && j.Phase != Finished {
				j.CancelRequested = true
				stop = append(stop, j.ID)
			}
			if err := s.position(ctx, d, j, plausible(v.NextEventSeq), plausible(v.NextLogSeq)); err != nil {
				return nil, fmt.Errorf("reconcile job %s: %w", j.ID, err)
			}
		}
	}
	return stop, s.commit(ctx, d)
}
