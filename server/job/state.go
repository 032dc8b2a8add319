package job

import (
	"context"
	"fmt"
	"slices"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// A job's state follows from its events alone, since those are in order; the phase
// beside them may be of an older report that comes late.

// stateOf is the state that an event brings a job to; empty for kinds that move
// nothing.
func stateOf(kind string) fleet.JobState {
	switch kind {
	case EventAcked:
		return fleet.Acked
	case EventWaiting:
		return fleet.Waiting
	case EventRunning:
		return fleet.Running
	case EventStopping:
		return fleet.Stopping
	}
	return ""
}

// stateByEvents is where a job's events left it.
func stateByEvents(ctx context.Context, q store.Queries, id fleet.JobID) (fleet.JobState, error) {
	e, err := q.LastEventOf(ctx, id, EventAcked, EventWaiting, EventRunning, EventStopping)
	if fleet.Is(err, fleet.NotFound) {
		return fleet.Acked, nil
	}
	if err != nil {
		return "", err
	}
	return stateOf(e.Kind), nil
}

// onOurClock is a moment by an agent's clock as one by ours: moved where that clock
// is known to be wrong, and never in the future.
func onOurClock(host *fleet.Host, at time.Time, now fleet.Time) fleet.Time {
	if at.IsZero() {
		return now
	}
	if offset := time.Duration(host.ClockOffset) * time.Millisecond; offset.Abs() > maxSkew {
		at = at.Add(-offset)
	}
	return min(fleet.At(at), now)
}

// takeEvents appends an item's new events and moves the job by each.
func (s *Service) takeEvents(ctx context.Context, tx *store.Tx, host *fleet.Host, j *fleet.Job, it *Item, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := appendEvents(ctx, tx, j, events); err != nil {
		return err
	}
	j.WriterID = it.Writer
	for i := range events {
		if err := s.follow(ctx, tx, host, j, &events[i]); err != nil {
			return fmt.Errorf("follow event %d: %w", events[i].Seq, err)
		}
	}
	return nil
}

// follow moves a job by one event. A result of the agent stands; one that the server
// gave to a job whose agent was silent gives way to any word of the agent.
func (s *Service) follow(ctx context.Context, tx *store.Tx, host *fleet.Host, j *fleet.Job, e *Event) error {
	j.Attempt = max(j.Attempt, e.Attempt)
	if e.Kind == EventFinished {
		return s.finish(ctx, tx, host, j, e)
	}
	state := stateOf(e.Kind)
	if state == "" {
		if e.Snapshot != nil {
			return seeSnapshot(ctx, tx, j, e.Snapshot)
		}
		return nil
	}
	if j.State == fleet.Finished {
		if !j.Result.OursToRevise() {
			return nil
		}
		if err := revive(ctx, tx, j); err != nil {
			return err
		}
	}
	j.State, j.WaitingOn, j.WaitingCode, j.Held = state, "", "", false // an agent that speaks of it has it
	switch state {
	case fleet.Waiting:
		j.WaitingOn, j.WaitingCode = clip(e.Message, 500), clip(e.Code, maxCode)
	case fleet.Running:
		if j.StartedAt.IsZero() {
			j.StartedAt = onOurClock(host, e.At, tx.Now)
		}
	}
	return nil
}

// revive takes back a result that the server gave.
func revive(ctx context.Context, tx *store.Tx, j *fleet.Job) error {
	day, err := counted(j)
	if err != nil {
		return err
	}
	j.State, j.Result, j.Outcome, j.FinishedAt, j.Late = fleet.Acked, "", "", 0, true
	if err := tx.CountActiveJob(ctx, j.HostID, 1); err != nil {
		return err
	}
	if j.Operation != OperationBackup {
		return nil
	}
	if err := tx.AddDay(ctx, day.Less()); err != nil {
		return err
	}
	return settleEnd(ctx, tx, j, Outcome{})
}

// takeProgress keeps the newest sample of a job's progress.
func takeProgress(j *fleet.Job, p *Progress) error {
	if p == nil {
		return nil
	}
	var last struct {
		At time.Time `json:"at"`
	}
	if err := j.Progress.Read(&last); err != nil {
		return fmt.Errorf("read the progress of job %s: %w", j.ID, err)
	}
	if !p.At.After(last.At) {
		return nil
	}
	sample := *p
	sample.Percent = min(100, max(0, sample.Percent))
	sample.Phase = clip(sample.Phase, 100)
	sample.CurrentFiles = slices.Clone(sample.CurrentFiles[:min(len(sample.CurrentFiles), 20)])
	for i := range sample.CurrentFiles {
		sample.CurrentFiles[i] = clip(sample.CurrentFiles[i], 4096)
	}
	doc, err := fleet.NewDoc(sample)
	if err != nil {
		return fmt.Errorf("encode the progress of job %s: %w", j.ID, err)
	}
	j.Progress = doc
	return nil
}
