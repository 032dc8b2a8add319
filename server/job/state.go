package job

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
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

// jobOf finds the job of an item, or makes it where the agent says how it began.
// A non-empty outcome says that there is none to append to.
func (s *Service) jobOf(ctx context.Context, tx *store.Tx, host *fleet.Host, it *Item) (j *fleet.Job, outcome string, err error) {
	j, err = tx.LockJob(ctx, it.Job)
	switch {
	case err == nil && j.HostID != host.ID: //guard:agent-job
		return nil, "", fleet.Errorf(fleet.AgentMismatch, "This job is another host's.")
	case err == nil || !fleet.Is(err, fleet.NotFound):
		return j, "", err
	case it.Opened == nil:
		return nil, TakenUnknown, nil
	case tx.Now.Time().Sub(it.Opened.At) > s.historyLimit(): //guard:report-closed
		return nil, TakenClosed, nil
	}
	j, err = open(ctx, tx, host, it)
	return j, "", err
}

// open makes the job that an agent bore itself.
func open(ctx context.Context, tx *store.Tx, host *fleet.Host, it *Item) (*fleet.Job, error) {
	o := it.Opened
	j := &fleet.Job{
		ID: it.Job, HostID: host.ID, Operation: clip(strings.ReplaceAll(o.Operation, "\x00", ""), maxKind), Trigger: o.Trigger, Slot: fleet.At(o.Slot),
		State: fleet.Acked, Epoch: max(it.Epoch, 1), Attempt: 1, Version: 1, NextEventSeq: 1, NextLogSeq: 1,
		CreatedAt: onOurClock(host, o.At, tx.Now), LeaseUntil: tx.Now.Add(leaseTime), LastReport: tx.Now,
	}
	if !slices.Contains(fleet.Triggers, j.Trigger) {
		j.Trigger = fleet.BySchedule
	}
	if err := place(ctx, tx, host, o, j); err != nil {
		return nil, err
	}
	created, err := tx.CreateJob(ctx, j)
	if err != nil {
		return nil, err
	}
	if !created { // by a report that runs beside this one
		return nil, fleet.Errorf(fleet.Unavailable, "The job is being made at this moment.")
	}
	if err := born(ctx, tx, j); err != nil {
		return nil, err
	}
	return j, settleBirth(ctx, tx, j)
}

// place fills in schedule and repository as far as they are the host's: an agent
// cannot put a job, or the snapshot that it makes, to what is another's. A schedule
// that was deleted meanwhile stays named.
func place(ctx context.Context, tx *store.Tx, host *fleet.Host, o *Opened, j *fleet.Job) error {
	list, err := tx.RepositoriesOfHost(ctx, host.ID)
	if err != nil {
		return err
	}
	j.ScheduleID, j.RepositoryID = o.Schedule, o.Repository
	schedule, err := tx.Schedule(ctx, host.ID, o.Schedule)
	switch {
	case err == nil:
		j.RepositoryID = cmp.Or(o.Repository, schedule.RepositoryID)
	case !fleet.Is(err, fleet.NotFound):
		return err
	default:
		names, err := tx.ScheduleNames(ctx, []fleet.ScheduleID{o.Schedule})
		if err != nil {
			return err
		}
		if _, another := names[o.Schedule]; another || !uuidForm.MatchString(string(o.Schedule)) {
			j.ScheduleID = ""
		}
	}
	isTheirs := slices.ContainsFunc(list, func(r fleet.Repository) bool { return r.ID == j.RepositoryID })
	if !isTheirs { //guard:agent-opened
		j.RepositoryID = ""
	}
	return nil
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
	j.State, j.WaitingOn = state, ""
	switch state {
	case fleet.Waiting:
		j.WaitingOn = clip(e.Message, 500)
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
