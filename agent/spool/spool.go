package spool

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"restic-manager/agent/control"
)

// Errors to test for with errors.Is.
var (
	// ErrUnknownJob says that no such job is kept: it never was, or was forgotten.
	ErrUnknownJob = errors.New("job is not in the spool")
	// ErrFinished says that the job has its result.
	ErrFinished = errors.New("job is finished")
	// ErrInUse says that another process has the state directory.
	ErrInUse = errors.New("state directory is in use by another process")
	// ErrNewer says that a newer agent wrote the state database.
	ErrNewer = errors.New("state database was written by a newer agent")
)

// Options tell Open where and how to keep things.
type Options struct {
	Dir    string           // state directory, made private when missing
	Now    func() time.Time // nil for time.Now
	Budget Budget           // zero for DefaultBudget
	// FreeSpace tells the free and total bytes of dir's file system; nil asks it.
	FreeSpace func(dir string) (free, total uint64, err error)
	// Step is called before and after every point where the disk is made to
	// remember, by the names of Steps. An error from a before-step fails the write
	// like a disk would; from an after-step it is returned although the write
	// holds. Nil in production.
	Step func(name string) error
}

// Budget bounds what waits for the server.
type Budget struct {
	Total  int64 // bytes of records, all jobs
	PerJob int64 // bytes of records, one job
	// The spool does not grow while less is free than both of these.
	MinFree        int64
	MinFreePercent int
}

// DefaultBudget returns 256 MiB in all, 64 MiB a job, and the smaller of 1 GiB and 5 % left free.
func DefaultBudget() Budget {
	return Budget{Total: 256 << 20, PerJob: 64 << 20, MinFree: 1 << 30, MinFreePercent: 5}
}

// Spool is an open state directory. Its methods may be called at the same time.
type Spool struct{}

// Open opens or makes the state directory's database. A damaged one is moved
// aside, see Health. It returns ErrInUse or ErrNewer, or why the disk refused.
func Open(ctx context.Context, o Options) (*Spool, error) { panic("todo") }

// Close writes what waits and closes the file.
func (s *Spool) Close() error { panic("todo") }

// Run writes log lines that wait, once a second, until ctx ends.
func (s *Spool) Run(ctx context.Context) error { panic("todo") }

// JournalID names the life of this journal.
func (s *Spool) JournalID() string { panic("todo") }

// AckedSeq is the number up to which every command is on disk.
func (s *Spool) AckedSeq() int64 { panic("todo") }

// Journal makes commands durable, all or none, and returns the number to
// acknowledge. received is when the answer that brought them came. Commands that
// are known by number, id or job are skipped. A cancel marks its job, whatever
// comes first. Kinds other than run and cancel end at once as rejected.
func (s *Spool) Journal(ctx context.Context, commands []control.Command, received time.Time) (acked int64, err error) {
	panic("todo")
}

// OpenJob makes a job that the agent bears itself. It is idempotent by id: created
// is false when the job exists or existed, and the Job is empty when it was
// forgotten already.
func (s *Spool) OpenJob(ctx context.Context, n NewJob) (j Job, created bool, err error) {
	panic("todo")
}

// Job returns the job with that id, or ErrUnknownJob.
func (s *Spool) Job(id string) (Job, error) { panic("todo") }

// Pending returns the jobs that were never started, oldest first. A job with
// CancelRequested, or one that is Overdue, is there too: its executor says so.
func (s *Spool) Pending() []Job { panic("todo") }

// Interrupted returns the jobs that had started and not ended when the spool was
// opened, and finished ones whose result is still provisional; oldest first.
func (s *Spool) Interrupted() []Job { panic("todo") }

// RequestCancel marks the job as to be cancelled; of a finished or unknown job it changes nothing.
func (s *Spool) RequestCancel(ctx context.Context, id string) error { panic("todo") }

// Wait says what the job waits for.
func (s *Spool) Wait(ctx context.Context, id, on string) error { panic("todo") }

// Start begins the next attempt. Only when it returned nil may a process be started.
func (s *Spool) Start(ctx context.Context, id string) (Job, error) { panic("todo") }

// Attach notes the process that now works for the job, nil when it ended.
func (s *Spool) Attach(ctx context.Context, id string, process json.RawMessage) error { panic("todo") }

// Stop says that the job was told to end, and why.
func (s *Spool) Stop(ctx context.Context, id, why string) error { panic("todo") }

// Note adds an event to the job; a snapshot may come with it.
func (s *Spool) Note(ctx context.Context, id, message string, snapshot *Snapshot) error {
	panic("todo")
}

// Interrupt finishes the job with a result that may still be bettered: the server
// is told, and the job is kept until Finish.
func (s *Spool) Interrupt(ctx context.Context, id string, o Outcome) error { panic("todo") }

// Finish gives the job its result, after all of its log. ErrFinished says that it
// had one that is not provisional.
func (s *Spool) Finish(ctx context.Context, id string, o Outcome, snapshot *Snapshot) error {
	panic("todo")
}

// Log adds a line to the job's log. It blocks at most for a commit a second, and
// says nothing about the disk: see Health. Lines of unknown and finished jobs are dropped.
func (s *Spool) Log(id string, l Line) { panic("todo") }

// Progress replaces the job's last sample, which lives in memory only.
func (s *Spool) Progress(id string, p Progress) { panic("todo") }

// Changed is signalled when there is something that should be reported at once.
func (s *Spool) Changed() <-chan struct{} { panic("todo") }

// BatchLimits bound a report.
type BatchLimits struct {
	Items   int
	Records int
	Bytes   int64 // compressed, estimated
	Plain   int64
}

// DefaultBatchLimits returns the contract's.
func DefaultBatchLimits() BatchLimits {
	return BatchLimits{Items: 20, Records: 500, Bytes: 512 << 10, Plain: 4 << 20}
}

// Batch returns what to report next: the events of all jobs, and when they all
// fit, log chunks of the jobs for which detail says so, oldest first. Nothing is
// handed out that is not on disk, unless the disk fails. The same is returned
// again until Applied; so one report at a time.
func (s *Spool) Batch(ctx context.Context, limits BatchLimits, detail func(jobID string) bool) ([]control.ReportItem, error) {
	panic("todo")
}

// Applied takes the server's verdicts on a report.
func (s *Spool) Applied(ctx context.Context, verdicts []control.ReportVerdict) error { panic("todo") }

// Reject replaces a record that the server cannot take by a gap record and keeps a copy aside.
func (s *Spool) Reject(ctx context.Context, jobID string, stream control.GapStream, seq int64, reason string) error {
	panic("todo")
}

// AgentJobs returns the jobs for a session's opening, at most 1000, oldest first.
func (s *Spool) AgentJobs() []control.AgentJob { panic("todo") }

// Running returns the unfinished jobs for a sync, at most 1000.
func (s *Spool) Running() []control.RunningJob { panic("todo") }

// Reconcile takes the verdicts of a session's opening and returns the jobs to stop.
func (s *Spool) Reconcile(ctx context.Context, verdicts []control.JobVerdict) (stop []string, err error) {
	panic("todo")
}

// Summary says what waits.
func (s *Spool) Summary() control.SpoolSummary { panic("todo") }

// Health names what is wrong with the disk or was lost: `journal_failed`,
// `spool_damaged`, `records_rejected`.
func (s *Spool) Health() []control.HealthProblem { panic("todo") }

// Value returns a small value that SetValue kept; false if there is none.
func (s *Spool) Value(key string) ([]byte, bool) { panic("todo") }

// SetValue keeps a small value; nil deletes it.
func (s *Spool) SetValue(ctx context.Context, key string, value []byte) error { panic("todo") }

// SaveConfig makes c the configuration in force.
func (s *Spool) SaveConfig(ctx context.Context, c control.AgentConfig) error { panic("todo") }

// LoadConfig reads the configuration in force from a state directory. It needs no
// database. Where there is none yet the error is fs.ErrNotExist.
func LoadConfig(dir string) (control.AgentConfig, error) { panic("todo") }

// Steps lists the names that Options.Step is called with.
func Steps() []string { panic("todo") }
