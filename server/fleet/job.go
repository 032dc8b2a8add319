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
	MoreSlots    int64        `db:"more_slots"` // a missed job may stand for so many further slots of its day
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

	Held       bool   `db:"held"`        // waits at the server for its turn on the repository, and has no command yet
	AccessHost HostID `db:"access_host"` // whose append credential is used; empty: the job's own host's
	Rows       int64  `db:"row_count"`   // of its result, once all have come

	WaitingCode string `db:"waiting_code"` // why it waits at its agent, where the agent says so by a name
}

// Active tells whether the job has not ended.
func (j *Job) Active() bool { return j.State != Finished }

// OnAgent tells whether the agent holds the job: from then on only the agent ends it.
func (j *Job) OnAgent() bool { return j.State != Pending && j.State != Finished && !j.Held }

// Day is what came of a host's backups on a day of UTC.
type Day struct {
	HostID     HostID `db:"host_id"`
	Day        int64  `db:"day"` // since 1970
	Succeeded  int64  `db:"succeeded"`
	Warning    int64  `db:"warning"`
	Failed     int64  `db:"failed"` // also interrupted, rejected and lost
	Missed     int64  `db:"missed"` // also expired
	Skipped    int64  `db:"skipped"`
	Other      int64  `db:"other"` // cancelled
	BytesAdded int64  `db:"bytes_added"`
}

// microsecondsOfDay is a day as Time counts.
const microsecondsOfDay = 24 * 60 * 60 * 1_000_000

// DayOf is the day of UTC of a moment, since 1970.
func DayOf(t Time) int64 { return int64(t) / microsecondsOfDay }

// Day is what the job counts for on its day: nothing unless it is a backup that has
// ended. bytesAdded is what its outcome tells.
func (j *Job) Day(bytesAdded int64) Day {
	d := Day{HostID: j.HostID, Day: DayOf(j.FinishedAt)}
	if j.State != Finished || j.Operation != "backup" {
		return d
	}
	d.BytesAdded = bytesAdded
	switch j.Result {
	case Succeeded:
		d.Succeeded = 1
	case Warning:
		d.Warning = 1
	case Failed, Interrupted, Rejected, Lost:
		d.Failed = 1
	case Missed, Expired:
		d.Missed = 1 + j.MoreSlots
	case Skipped:
		d.Skipped = 1
	case Cancelled:
		d.Other = 1
	}
	return d
}

// Less is the day with its numbers taken away.
func (d Day) Less() Day {
	return Day{d.HostID, d.Day, -d.Succeeded, -d.Warning, -d.Failed, -d.Missed, -d.Skipped, -d.Other, -d.BytesAdded}
}

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
