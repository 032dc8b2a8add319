package fleet

// JobState is how far a job has come.
type JobState string

const (
	Pending      JobState = "pending"      // its agent has not journaled it
	Acked        JobState = "acked"        // journaled
	Waiting      JobState = "waiting"      // for a hold; says on what
	Running      JobState = "running"      //
	Stopping     JobState = "stopping"     // asked to stop
	Unresponsive JobState = "unresponsive" // its agent is silent
	Finished     JobState = "finished"     // has a result
)

// JobStates is the whole list in order.
var JobStates = []JobState{Pending, Acked, Waiting, Running, Stopping, Unresponsive, Finished}

// Result is how a finished job ended.
type Result string

const (
	Succeeded   Result = "succeeded"
	Warning     Result = "warning"     // a snapshot exists, unreadable files are listed
	Failed      Result = "failed"      //
	Cancelled   Result = "cancelled"   //
	Interrupted Result = "interrupted" // agent or machine died under it
	Rejected    Result = "rejected"    // by the endpoint's policy, or unknown to it
	Skipped     Result = "skipped"     // the last one still ran
	Missed      Result = "missed"      // a slot that nobody ran
	Expired     Result = "expired"     // not picked up in time
	Lost        Result = "lost"        // silent for too long; gives way to a late report
)

// Results is the whole list in order.
var Results = []Result{Succeeded, Warning, Failed, Cancelled, Interrupted, Rejected, Skipped, Missed, Expired, Lost}

// Good tells whether a backup that ended so protects its host.
func (r Result) Good() bool { return r == Succeeded || r == Warning }

// OursToRevise tells the results that the server gives when an agent is silent:
// a late report of the agent replaces them.
func (r Result) OursToRevise() bool { return r == Lost || r == Expired || r == Missed }

// Trigger is why a job exists.
type Trigger string

const (
	BySchedule    Trigger = "schedule"
	ByCatchUp     Trigger = "catch-up"
	ByRunNow      Trigger = "run-now"
	ByMaintenance Trigger = "maintenance"
	ByDrill       Trigger = "drill"
)

// Triggers is the whole list.
var Triggers = []Trigger{BySchedule, ByCatchUp, ByRunNow, ByMaintenance, ByDrill}

// Job is one execution of one operation on one host. Only the agent ends a job it
// has acked.
type Job struct {
	ID           JobID        `db:"id"`
	HostID       HostID       `db:"host_id"`
	RepositoryID RepositoryID `db:"repository_id"` // empty: none
	ScheduleID   ScheduleID   `db:"schedule_id"`   // empty: none; stays when the schedule is deleted
	Operation    string       `db:"operation"`
	Params       Doc          `db:"params"`
	Trigger      Trigger      `db:"job_trigger"`
	Slot         Time         `db:"slot"`
	CreatedBy    string       `db:"created_by"` // user name; empty: the server or a schedule
	State        JobState     `db:"state"`
	WaitingOn    string       `db:"waiting_on"`
	Result       Result       `db:"result"`
	Outcome      Doc          `db:"outcome"` // the contract's Outcome
	SnapshotID   string       `db:"snapshot_id"`
	Epoch        int64        `db:"epoch"` // raised with each allowed execution
	Attempt      int          `db:"attempt"`
	Late         bool         `db:"late"`
	Unconfirmed  bool         `db:"unconfirmed"`
	Cancel       bool         `db:"cancel_requested"`
	Progress     Doc          `db:"progress"` // the contract's Progress: the last sample
	Version      int64        `db:"version"`
	WriterID     string       `db:"writer_id"`      // who writes the streams
	NextEventSeq int64        `db:"next_event_seq"` // from 1
	NextLogSeq   int64        `db:"next_log_seq"`   // from 1
	LogLines     int64        `db:"log_lines"`
	CreatedAt    Time         `db:"created_at"`
	ExpiresAt    Time         `db:"expires_at"` // while pending
	LeaseUntil   Time         `db:"lease_until"`
	LastReport   Time         `db:"last_report"`
	StartedAt    Time         `db:"started_at"`
	FinishedAt   Time         `db:"finished_at"`
}

// Active tells whether the job has not ended.
func (j *Job) Active() bool { return j.State != Finished }

// OnAgent tells whether the agent holds the job: from then on only the agent ends it.
func (j *Job) OnAgent() bool { return j.State != Pending && j.State != Finished }

// CommandState is how far a command has come.
type CommandState string

const (
	CommandQueued    CommandState = "queued"
	CommandAcked     CommandState = "acked"
	CommandWithdrawn CommandState = "withdrawn" // cancelled or expired before it was acked
)

// Command is an instruction queued for a host's agent.
type Command struct {
	HostID       HostID       `db:"host_id"`
	Seq          int64        `db:"seq"`
	ID           string       `db:"id"`
	Kind         string       `db:"kind"` // "run", "cancel"
	JobID        JobID        `db:"job_id"`
	Epoch        int64        `db:"epoch"`
	Operation    string       `db:"operation"`
	Trigger      Trigger      `db:"job_trigger"`
	Params       Doc          `db:"params"`
	State        CommandState `db:"state"`
	IssuedAt     Time         `db:"issued_at"`
	StartBy      Time         `db:"start_by"` // 0: no limit
	OfferedAt    Time         `db:"offered_at"`
	OfferedCount int64        `db:"offered_count"`
	AckedAt      Time         `db:"acked_at"`
}

// Event is one record of a job's events stream; Body is the contract's Event.
type Event struct {
	JobID      JobID  `db:"job_id"`
	Seq        int64  `db:"seq"`
	Kind       string `db:"kind"`
	Body       Doc    `db:"body"`
	ReceivedAt Time   `db:"received_at"`
}

// LogChunk is a piece of a job's log as its agent cut and compressed it.
type LogChunk struct {
	JobID     JobID  `db:"job_id"`
	Seq       int64  `db:"seq"`
	FirstLine int64  `db:"first_line"`
	Lines     int    `db:"lines"`
	Bytes     int64  `db:"bytes"`
	From      Time   `db:"from_at"`
	To        Time   `db:"to_at"`
	Data      []byte `db:"data"`
}
