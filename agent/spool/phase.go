package spool

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
)

// Kinds of events that are not phases.
const (
	eventNote = "note"
	eventGap  = "gap"
)

// OpenJob makes a job that the agent bears itself, with its values, in one write. It is
// idempotent by id: created is false when the job exists or existed, and the Job is
// empty when it was forgotten already. So it is for a slot that is older than anything
// that is remembered, since it may have had its job. Then the values are not written.
func (s *Spool) OpenJob(ctx context.Context, n NewJob) (j Job, created bool, err error) {
	if len(n.Params) > 0 && !json.Valid(n.Params) {
		return Job{}, false, fmt.Errorf("open job %s: params are not JSON", n.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.jobs[n.ID]; known != nil {
		return known.Job, false, nil
	}
	d := s.draft(stepOpen)
	if _, known, err := d.seen(ctx, n.ID, seenJob); err != nil || known {
		return Job{}, false, err
	}
	if old, err := s.beyondMemory(ctx, n.Slot); err != nil || old { //guard:slot-forgotten
		return Job{}, false, err
	}
	now := s.now()
	opened := newJob(Job{
		ID: n.ID, Epoch: 1, WriterID: uuid.NewString(),
		Operation: n.Operation, Trigger: n.Trigger, Params: n.Params,
		ScheduleID: n.ScheduleID, ScheduleVersion: n.ScheduleVersion, RepositoryID: n.RepositoryID, Slot: n.Slot,
		OpenedAt: now, Phase: Acked,
	})
	if err := opened.event(control.Event{At: now, Kind: string(Acked)}); err != nil {
		return Job{}, false, err
	}
	if n.Ended != nil {
		if err := opened.finish(now, *n.Ended, nil); err != nil {
			return Job{}, false, err
		}
	}
	d.add(opened)
	d.values(n.Values)
	d.pruneSeen()
	d.urgent = n.Ended != nil
	err = s.commit(ctx, d)
	return opened.Job, true, err
}

// Job returns the job with that id, or ErrUnknownJob.
func (s *Spool) Job(id string) (Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil {
		return Job{}, fmt.Errorf("job %s: %w", id, ErrUnknownJob)
	}
	return j.Job, nil
}

// Pending returns the jobs that wait to be started, oldest first. A job with
// CancelRequested, or one that is Overdue, is there too: its executor says so.
func (s *Spool) Pending() []Job {
	return s.list(func(j *job) bool { return j.Phase == Acked || j.Phase == Waiting })
}

// Interrupted returns the jobs that had started and not ended when the spool was
// opened, oldest first. A job leaves the list by Wait, Start or Finish.
func (s *Spool) Interrupted() []Job {
	return s.list(func(j *job) bool { return j.reopened })
}

func (s *Spool) list(wanted func(*job) bool) []Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	var jobs []Job
	for _, j := range s.ordered() {
		if wanted(j) {
			jobs = append(jobs, j.Job)
		}
	}
	return jobs
}

// ordered returns the jobs by age, oldest first.
func (s *Spool) ordered() []*job {
	jobs := make([]*job, 0, len(s.jobs))
	for _, j := range s.jobs {
		jobs = append(jobs, j)
	}
	slices.SortFunc(jobs, func(a, b *job) int {
		return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.ID, b.ID))
	})
	return jobs
}

// RequestCancel marks the job as to be cancelled; of a finished or unknown job it changes nothing.
func (s *Spool) RequestCancel(ctx context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[id]; j == nil || j.Phase == Finished || j.CancelRequested {
		return nil
	}
	d := s.draft(stepCancel)
	d.job(id).CancelRequested = true
	return s.commit(ctx, d)
}

// Wait says what the job waits for.
func (s *Spool) Wait(ctx context.Context, id, on string) error {
	return s.WaitUntil(ctx, id, on, time.Time{})
}

// WaitUntil is how a job goes back between two attempts: the next is due at that time.
func (s *Spool) WaitUntil(ctx context.Context, id, on string, retryAt time.Time) error {
	return s.advance(ctx, stepWait, id, func(j *job, now time.Time) error {
		j.Phase, j.Process, j.reopened, j.RetryAt = Waiting, nil, false, retryAt
		if err := s.cutChunk(j); err != nil {
			return err
		}
		return j.event(control.Event{At: now, Kind: string(Waiting), Message: on})
	})
}

// codeLocked is restic's code of a repository that another restic has locked, as the server
// knows it.
const codeLocked = "repo_locked"

// WaitLocked is how a job goes back that found its repository locked by another restic: the
// same attempt goes on at that time. It returns the job as it is then.
func (s *Spool) WaitLocked(ctx context.Context, id, on string, retryAt time.Time) (Job, error) {
	var waiting Job
	err := s.advance(ctx, stepWait, id, func(j *job, now time.Time) error {
		j.Phase, j.Process, j.reopened, j.RetryAt = Waiting, nil, false, retryAt
		j.GoesOn = true
		j.LockTries++
		if j.LockedSince.IsZero() {
			j.LockedSince = now
		}
		waiting = j.Job
		if err := s.cutChunk(j); err != nil {
			return err
		}
		return j.event(control.Event{At: now, Kind: string(Waiting), Code: codeLocked, Message: on})
	})
	return waiting, err
}

// Start begins the next attempt, or goes on with the one that a lock was in the way of, and returns the job as it is then. Only when the
// error is nil may a process be started.
func (s *Spool) Start(ctx context.Context, id string) (Job, error) {
	var started Job
	err := s.advance(ctx, stepStart, id, func(j *job, now time.Time) error {
		if err := s.cutChunk(j); err != nil {
			return err
		}
		j.Phase, j.StartedAt, j.Process, j.reopened, j.RetryAt = Running, now, nil, false, time.Time{}
		if !j.GoesOn { //guard:lock-attempt
			j.Attempt++
			j.LockedSince, j.LockTries = time.Time{}, 0
		}
		j.GoesOn = false
		started = j.Job
		return j.event(control.Event{At: now, Kind: string(Running)})
	})
	if err != nil {
		return Job{}, err
	}
	return started, nil
}

// Attach notes the process that now works for the job, as JSON; nil when it ended. When
// the disk fails it is noted in memory alone and the error is nil, so that a full disk
// does not keep backups from running: an agent that dies meanwhile does not find the
// process in its next life, and Health says so while it is so.
func (s *Spool) Attach(ctx context.Context, id string, process json.RawMessage) error {
	if len(process) > 0 && !json.Valid(process) {
		return fmt.Errorf("attach to job %s: process is not JSON", id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.draft(stepAttach)
	j := d.job(id)
	if j == nil {
		return fmt.Errorf("attach to job %s: %w", id, ErrUnknownJob)
	}
	j.Process, j.unrecorded = process, len(process) > 0
	return s.commit(ctx, d)
}

// Stop says that the job was told to end, and why. Repeated, it changes nothing.
func (s *Spool) Stop(ctx context.Context, id, why string) error {
	return s.advance(ctx, stepStop, id, func(j *job, now time.Time) error {
		if j.Phase == Stopping {
			return nil
		}
		j.Phase = Stopping
		return j.event(control.Event{At: now, Kind: string(Stopping), Message: why})
	})
}

// Note adds an event to the job; a snapshot may come with it. Finished jobs take notes too.
func (s *Spool) Note(ctx context.Context, id, message string, snapshot *Snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.draft(stepNote)
	j := d.job(id)
	if j == nil {
		return fmt.Errorf("note for job %s: %w", id, ErrUnknownJob)
	}
	if err := j.event(control.Event{At: s.now(), Kind: eventNote, Message: message, Snapshot: snapshot}); err != nil {
		return err
	}
	d.urgent = true
	return s.commit(ctx, d)
}

// Finish gives the job its result, after all of its log, and the snapshot that it
// made, if it did. ErrFinished says that the job had one.
func (s *Spool) Finish(ctx context.Context, id string, o Outcome, snapshot *Snapshot) error {
	return s.advance(ctx, stepFinish, id, func(j *job, now time.Time) error {
		if err := s.cutChunk(j); err != nil {
			return err
		}
		j.reopened = false
		o.LogNextSeq = j.Chunks.Next
		return j.finish(now, o, snapshot)
	})
}

// finish gives the job its result.
func (j *job) finish(now time.Time, o Outcome, snapshot *Snapshot) error {
	j.Phase, j.Result, j.Process, j.progress = Finished, o.Result, nil, nil
	return j.event(control.Event{At: now, Kind: string(Finished), Outcome: &o, Snapshot: snapshot})
}

// advance makes one change to one unfinished job. It holds on disk before advance
// returns. When the disk fails, a job that it does not know goes on in memory; one that
// it knows does so too, but for its start.
func (s *Spool) advance(ctx context.Context, write, id string, change func(*job, time.Time) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.draft(write)
	j := d.job(id)
	if j == nil {
		return fmt.Errorf("%s job %s: %w", write, id, ErrUnknownJob)
	}
	if j.Phase == Finished {
		return fmt.Errorf("%s job %s: %w", write, id, ErrFinished)
	}
	if err := change(j, s.now()); err != nil {
		return err
	}
	d.required = write == stepStart && j.onDisk
	d.urgent = true
	return s.commit(ctx, d)
}
