package spool

import (
	"encoding/json"
	"time"
)

// Phase says how far a job is at the agent.
type Phase string

// The phases in the order they come; stopping is skipped by jobs that end by themselves.
const (
	Acked    Phase = "acked"    // on disk, nothing done yet
	Waiting  Phase = "waiting"  // for a hold, a window or the next attempt
	Running  Phase = "running"  // restic may be alive
	Stopping Phase = "stopping" // told to end
	Finished Phase = "finished" // has its result
)

// Job is the durable record of one execution. Values of it are copies: they do
// not change when the job does.
type Job struct {
	ID        string `json:"id"`
	Epoch     int64  `json:"epoch"`
	WriterID  string `json:"writer_id"`
	CommandID string `json:"command_id,omitempty"` // empty for jobs that the agent bore

	Operation       string          `json:"operation"`
	Trigger         string          `json:"trigger"`
	Params          json.RawMessage `json:"params,omitempty"`
	ScheduleID      string          `json:"schedule_id,omitempty"`
	ScheduleVersion int64           `json:"schedule_version,omitempty"`
	RepositoryID    string          `json:"repository_id,omitempty"`
	// Repository came along with the command of a job that goes to a repository which this
	// host is not configured for.
	Repository *Repository `json:"repository,omitempty"`

	Slot time.Time `json:"slot,omitzero"` // nominal fire time

	OpenedAt time.Time `json:"opened_at"`
	// StartBy is when a job that has not started is too old to start; zero for
	// never. Within a process life it is held against the monotonic clock.
	StartBy time.Time `json:"start_by,omitzero"`

	Phase     Phase     `json:"phase"`
	Attempt   int       `json:"attempt"`           // 0 before the first Start
	RetryAt   time.Time `json:"retry_at,omitzero"` // when a job that waits for its next attempt, or for a lock, goes on
	StartedAt time.Time `json:"started_at,omitzero"`
	// LockedSince is since when this attempt has found its repository locked, LockTries
	// how often; GoesOn says that the next Start is no further attempt.
	LockedSince time.Time `json:"locked_since,omitzero"`
	LockTries   int       `json:"lock_tries,omitempty"`
	GoesOn      bool      `json:"goes_on,omitempty"`
	// Process is what Attach noted of the process that may be alive.
	Process         json.RawMessage `json:"process,omitempty"`
	CancelRequested bool            `json:"cancel_requested,omitempty"`
	// Result is set once the job is finished.
	Result Result `json:"result,omitempty"`
}

// Overdue reports whether the job came too late to be started at now.
func (j Job) Overdue(now time.Time) bool { return !j.StartBy.IsZero() && now.After(j.StartBy) }

// NewJob is what OpenJob needs to know of a job that the agent bears itself.
type NewJob struct {
	ID              string // UUIDv5 of schedule and slot
	Operation       string
	Trigger         string
	Params          json.RawMessage
	ScheduleID      string
	ScheduleVersion int64
	RepositoryID    string
	Slot            time.Time

	Ended  *Outcome          // what became of it at once; nil for a job that is to run
	Values map[string][]byte // kept with it, in the same write; see SetValues
}

// Stream says where a log line comes from.
type Stream string

// The sources of log lines as the contract abbreviates them.
const (
	Stdout Stream = "o"
	Stderr Stream = "e"
	Agent  Stream = "a"
)

// Line is a line of a job's log.
type Line struct {
	At     time.Time // zero for now
	Stream Stream
	Text   string
}
