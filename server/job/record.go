package job

import (
	"encoding/json"
	"time"

	"restic-manager/server/fleet"
)

// What agents write and what is stored of it as JSON: the contract's documents of
// the same names. Pages and API read them back from fleet.Doc columns.

// Event is one record of a job's events stream.
type Event struct {
	Seq      int64     `json:"seq"`
	At       time.Time `json:"at"` // by the agent's clock
	Attempt  int       `json:"attempt"`
	Kind     string    `json:"kind"`
	Code     string    `json:"code,omitempty"` // of EventWaiting: why, as restic's codes name it
	Message  string    `json:"message,omitempty"`
	Outcome  *Outcome  `json:"outcome,omitempty"`
	Snapshot *Snapshot `json:"snapshot,omitempty"`
	Gap      *Gap      `json:"gap,omitempty"`
}

// The kinds of events that move a job's state. Others are stored and shown as they
// are.
const (
	EventAcked    = "acked"
	EventWaiting  = "waiting" // the message says on what
	EventRunning  = "running"
	EventStopping = "stopping"
	EventFinished = "finished" // has an Outcome
	EventGap      = "gap"      // has a Gap
)

// Gap stands for records that will never come.
type Gap struct {
	Stream   string `json:"stream"` // "events" or "log"
	FirstSeq int64  `json:"first_seq"`
	LastSeq  int64  `json:"last_seq"`
	Lines    int64  `json:"lines,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	Reason   string `json:"reason"`
}

// Outcome is what came out of a job, by facts.
type Outcome struct {
	Result         string        `json:"result"`
	Code           string        `json:"code,omitempty"`
	Message        string        `json:"message,omitempty"`
	NextStep       string        `json:"next_step,omitempty"`
	ResticExitCode int           `json:"restic_exit_code,omitempty"`
	SnapshotID     string        `json:"snapshot_id,omitempty"`
	Confirmed      bool          `json:"confirmed,omitempty"`
	Stats          *BackupStats  `json:"stats,omitempty"`
	Warnings       []FileWarning `json:"warnings,omitempty"`
	WarningsTotal  int64         `json:"warnings_total,omitempty"`
	Repository     *Identity     `json:"repository,omitempty"`
	Locks          []Lock        `json:"locks,omitempty"`
	CanDelete      string        `json:"can_delete,omitempty"`      // "yes", "no" or "unknown"
	RepositorySeen string        `json:"repository_seen,omitempty"` // the id that the repository told, once it was opened
	Sources        []SourceSeen  `json:"sources,omitempty"`
	Storage        *StorageSpace `json:"storage,omitempty"`
	DurationMs     int64         `json:"duration_ms,omitempty"`
	LogNextSeq     int64         `json:"log_next_seq,omitempty"` // behind the log's last chunk; 0: not told

	Facts json.RawMessage `json:"facts,omitempty"` // one object, members as the operation's Facts name them
	Rows  int64           `json:"rows,omitempty"`  // how many the result has, as the agent counted
}

// BackupStats is what restic counted.
type BackupStats struct {
	FilesNew         int64 `json:"files_new,omitempty"`
	FilesChanged     int64 `json:"files_changed,omitempty"`
	FilesUnmodified  int64 `json:"files_unmodified,omitempty"`
	DirsNew          int64 `json:"dirs_new,omitempty"`
	DirsChanged      int64 `json:"dirs_changed,omitempty"`
	DirsUnmodified   int64 `json:"dirs_unmodified,omitempty"`
	FilesProcessed   int64 `json:"files_processed,omitempty"`
	BytesProcessed   int64 `json:"bytes_processed,omitempty"`
	DataAdded        int64 `json:"data_added,omitempty"`
	DataAddedPacked  int64 `json:"data_added_packed,omitempty"`
	ResticDurationMs int64 `json:"restic_duration_ms,omitempty"`
}

// FileWarning is a file that could not be read.
type FileWarning struct {
	Path    string `json:"path"`
	Message string `json:"message"`
	During  string `json:"during,omitempty"`
}

// Identity is what a repository says of itself.
type Identity struct {
	ResticID      string `json:"restic_id"`
	KeyID         string `json:"key_id,omitempty"`
	FormatVersion int    `json:"format_version,omitempty"`
	KeyCount      int    `json:"key_count,omitempty"`
}

// SourceSeen is what an agent saw of a source before the backup.
type SourceSeen struct {
	Path  string `json:"path"`
	State string `json:"state"` // "ok", "missing" or "empty"
}

// StorageSpace is that of a repository that is a path on the host.
type StorageSpace struct {
	FreeBytes  int64 `json:"free_bytes"`
	TotalBytes int64 `json:"total_bytes"`
}

// Lock is a lock in a repository.
type Lock struct {
	ID        string    `json:"id"`
	Hostname  string    `json:"hostname,omitempty"`
	Username  string    `json:"username,omitempty"`
	PID       int       `json:"pid,omitempty"`
	Exclusive bool      `json:"exclusive,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"` // made or last refreshed
	Alive     string    `json:"alive,omitempty"`     // LockAlive, LockDead or "unknown"
}

// What an agent says of the process behind a lock of its own machine.
const (
	LockAlive   = "yes"
	LockDead    = "no"
	LockUnknown = "unknown"
)

// Snapshot is a snapshot as restic lists it.
type Snapshot struct {
	ID             string    `json:"id"`
	Time           time.Time `json:"time"`
	Hostname       string    `json:"hostname"`
	Username       string    `json:"username,omitempty"`
	Paths          []string  `json:"paths"`
	Tags           []string  `json:"tags,omitempty"`
	Tree           string    `json:"tree,omitempty"`
	Parent         string    `json:"parent,omitempty"`
	Original       string    `json:"original,omitempty"`
	ProgramVersion string    `json:"program_version,omitempty"`
	Files          int64     `json:"files,omitempty"`
	Bytes          int64     `json:"bytes,omitempty"`
	BytesAdded     int64     `json:"bytes_added,omitempty"`
}

// Progress is the last sample of a running job; never history.
type Progress struct {
	At           time.Time `json:"at"`
	Percent      float64   `json:"percent"`
	Phase        string    `json:"phase,omitempty"`
	FilesDone    int64     `json:"files_done,omitempty"`
	FilesTotal   int64     `json:"files_total,omitempty"`
	BytesDone    int64     `json:"bytes_done,omitempty"`
	BytesTotal   int64     `json:"bytes_total,omitempty"`
	Errors       int64     `json:"errors,omitempty"`
	BytesPerS    int64     `json:"bytes_per_s,omitempty"`
	ETAS         int64     `json:"eta_s,omitempty"`
	CurrentFiles []string  `json:"current_files,omitempty"`
}

// PolicyReport is what an endpoint's own policy file allows, as its agent read it.
type PolicyReport struct {
	State    string       `json:"state"` // PolicyOK or PolicyLocked
	Code     string       `json:"code,omitempty"`
	Message  string       `json:"message,omitempty"`
	NextStep string       `json:"next_step,omitempty"`
	Profile  string       `json:"profile,omitempty"`
	Digest   string       `json:"digest,omitempty"`
	Rules    []PolicyRule `json:"rules,omitempty"`

	Maintenance []fleet.MaintenanceRule `json:"maintenance,omitempty"` // what it lets the agent maintain
	Restore     *RestoreRule            `json:"restore,omitempty"`
}

// RestoreRule is what a host lets restores write.
type RestoreRule struct {
	StagingDir         string   `json:"staging_dir"`
	InPlace            []string `json:"in_place,omitempty"` // folders; "/" is everywhere
	PreservePrivileged bool     `json:"preserve_privileged,omitempty"`
	MaxBytes           int64    `json:"max_bytes,omitempty"`
}

// The states of a policy file.
const (
	PolicyOK     = "ok"
	PolicyLocked = "locked"
)

// PolicyRule is one line of a policy as it is shown.
type PolicyRule struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// HealthProblem is something an agent finds wrong with itself or its machine.
type HealthProblem struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	NextStep string `json:"next_step,omitempty"`
}

// SpoolSummary is what an agent has not reported yet.
type SpoolSummary struct {
	Bytes        int64     `json:"bytes"`
	Jobs         int       `json:"jobs"`
	OldestAt     time.Time `json:"oldest_at,omitzero"`
	DroppedLines int64     `json:"dropped_lines"`
}

// LastExchange is how an agent's request before this one ended.
type LastExchange struct {
	Kind      string `json:"kind"`
	Status    int    `json:"status,omitempty"`
	ElapsedMs int64  `json:"elapsed_ms,omitempty"`
	HoldS     int    `json:"hold_s,omitempty"`
	Message   string `json:"message,omitempty"`
}
