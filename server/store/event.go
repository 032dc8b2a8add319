package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const eventCols = "job_id, seq, kind, body, received_at"

// Events reads events of a job after a number, in order.
func (q Queries) Events(ctx context.Context, id fleet.JobID, after int64, limit int) ([]fleet.Event, error) {
	var events []fleet.Event
	err := q.all(ctx, &events, `SELECT `+eventCols+` FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?`, id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the events of job %s: %w", id, err)
	}
	return events, nil
}

// Event reads one event. NotFound when there is none of that number.
func (q Queries) Event(ctx context.Context, id fleet.JobID, seq int64) (*fleet.Event, error) {
	var e fleet.Event
	err := q.get(ctx, &e, `SELECT `+eventCols+` FROM events WHERE job_id = ? AND seq = ?`, id, seq)
	return one(&e, err, "event %d of job %s", seq, id)
}

// EventsOf reads the events of a job that are of a kind, in order.
func (q Queries) EventsOf(ctx context.Context, id fleet.JobID, kind string) ([]fleet.Event, error) {
	var events []fleet.Event
	err := q.all(ctx, &events, `SELECT `+eventCols+` FROM events WHERE job_id = ? AND kind = ? ORDER BY seq`, id, kind)
	if err != nil {
		return nil, fmt.Errorf("read the %s events of job %s: %w", kind, id, err)
	}
	return events, nil
}

// LastEventOf reads the newest event of a job that is of one of the kinds. NotFound
// when there is none.
func (q Queries) LastEventOf(ctx context.Context, id fleet.JobID, kinds ...string) (*fleet.Event, error) {
	var events []fleet.Event
	err := q.allIn(ctx, &events, `SELECT `+eventCols+` FROM events WHERE job_id = ? AND kind IN (?) ORDER BY seq DESC LIMIT 1`, id, kinds)
	if err != nil {
		return nil, fmt.Errorf("read the last event of job %s: %w", id, err)
	}
	if len(events) == 0 {
		return nil, fleet.Errorf(fleet.NotFound, "Job %s has no such event.", id)
	}
	return &events[0], nil
}

// AppendEvents writes events of jobs that are locked.
func (tx *Tx) AppendEvents(ctx context.Context, events []fleet.Event) error {
	const rows = 200 // of a statement: five values each, and PostgreSQL takes 65 535
	for len(events) > 0 {
		n := min(rows, len(events))
		if _, err := tx.named(ctx, insert("events", eventCols), events[:n]); err != nil {
			return fmt.Errorf("append events of job %s: %w", events[0].JobID, err)
		}
		events = events[n:]
	}
	return nil
}
