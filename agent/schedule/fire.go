package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/slot"
	"restic-manager/agent/spool"
)

// advance decides the slots of one schedule that are due, and reports whether there is
// a job to start.
func (s *Scheduler) advance(e *entry, now time.Time, ran time.Duration, locked bool) bool {
	at := e.cursor.At
	if !e.next.IsZero() && now.Before(e.next) && !isBack(at, now) {
		return false
	}
	v := decide(e.Slots, at, now, ran, e.CatchUp, locked)
	if v.at.Equal(at) && v.slot.IsZero() {
		e.next, _ = e.Slots.Next(at)
		if !e.next.After(now) { // it is due, and waits for the policy
			e.next = time.Time{}
		}
		return false
	}
	if isBack(at, now) {
		s.log.Warn("the clock was put back", "schedule", e.ID, "from", at, "to", v.at)
	}
	if locked { // so that the server can say why they are missed
		s.absent(control.Absence{From: s.lockedAt.UTC(), To: now.UTC(), Reason: reasonLocked})
	}
	born, err := s.fire(e, v)
	if err != nil {
		s.log.Error("slot not fired, trying again", "schedule", e.ID, "slot", v.slot, "err", err)
		return born
	}
	e.cursor.At = v.at
	e.next, _ = e.Slots.Next(v.at)
	if !e.next.After(now) {
		e.next = time.Time{}
	}
	return born
}

// fire makes the job of a slot and moves the cursor, in one write.
func (s *Scheduler) fire(e *entry, v verdict) (born bool, err error) {
	moved := e.cursor
	moved.At = v.at.UTC()
	values := s.signs()
	values[keyCursor+e.ID.String()] = encoded(moved)
	if v.slot.IsZero() {
		s.keep(values)
		return false, nil
	}
	job := spool.NewJob{
		ID: slot.JobID(e.ID, v.slot).String(), Operation: "backup", Trigger: v.trigger, Params: e.params(),
		ScheduleID: e.ID.String(), ScheduleVersion: e.Version, RepositoryID: e.RepositoryID, Slot: v.slot.UTC(), Values: values,
	}
	if busy, ok := s.spool.UnderWay(job.ScheduleID); ok && busy.ID != job.ID { //guard:slot-skipped
		job.Ended = skipped(busy)
	}
	_, created, err := s.spool.OpenJob(context.Background(), job)
	if err != nil {
		return true, fmt.Errorf("open job %s: %w", job.ID, err)
	}
	if !created { // it had its job
		s.keep(values)
		return false, nil
	}
	s.log.Info("slot fired", "schedule", e.ID, "slot", job.Slot, "job", job.ID, "trigger", v.trigger, "skipped", job.Ended != nil)
	return job.Ended == nil, nil
}

// params are those of a backup, as a person's run has them.
func (e *Entry) params() json.RawMessage {
	return encoded(map[string]any{"schedule_id": e.ID.String(), "schedule_version": e.Version})
}

// skipped is the outcome of a slot whose schedule is still busy.
func skipped(busy spool.Job) *spool.Outcome {
	doing := "still runs"
	if busy.Phase == spool.Acked || busy.Phase == spool.Waiting {
		doing = "still waits"
	}
	return &spool.Outcome{
		Result: spool.Skipped, Code: CodeSkipped,
		Message:  "the run before it " + doing + ": job " + busy.ID,
		NextStep: "if this happens often, let the schedule run less often, or find out why its runs take so long",
	}
}
