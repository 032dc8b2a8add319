package job

import (
	"context"
	"fmt"
	"slices"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// The pace of agents.
const (
	MaxHold         = 25 * time.Second // how long a sync is parked at most; a large class of proxies cuts at 30 s
	leaseTime       = 90 * time.Second // of a job, three polls
	leaseSlack      = 30 * time.Second // of a lease that is not renewed yet
	watchedInterval = time.Second
	minInterval     = 15 * time.Second
	maxInterval     = 2 * time.Minute
	jobsPerSecond   = 200 // reports a second that unwatched jobs may make together
)

// How many commands an answer holds at most.
const (
	maxCommands     = 20
	maxCommandBytes = 256 << 10
)

// maxSeq is above any number that a counter reaches; an acknowledgement beyond it
// is a mistake and moves nothing.
const maxSeq = 1 << 53

// clockStep is how far an agent's clock must have moved to be written down again.
const clockStep = 2 * time.Second

// SyncRequest is what an agent tells with its parked request.
type SyncRequest struct {
	Session        fleet.SessionID
	JournalID      string
	AckedSeq       int64
	ConfigRevision int64 // in force
	ConfigError    *ConfigError
	Running        []RunningJob
	Directives     []Directive   // in force
	Holds          []fleet.JobID // for which its backups are held back
	AgentTime      time.Time     // zero: not told
	Status
}

// Status is what an agent tells of itself with a session and each sync; nil is "not
// told", and leaves what is known.
type Status struct {
	Policy       *PolicyReport
	Health       []HealthProblem // always told
	Spool        *SpoolSummary
	LastExchange *LastExchange
	Offers       *Offers
	Absences     []Absence // nil: not told
	Claims       []Claim
}

// ConfigError is why an agent refused a configuration.
type ConfigError struct {
	Revision int64
	Code     string
	Message  string
}

// RunningJob is a job that an agent works on.
type RunningJob struct {
	ID    fleet.JobID
	Epoch int64
	Phase string
}

// Directive says how an agent should treat a job.
type Directive struct {
	Job      fleet.JobID
	Desired  string        // DesiredRun or DesiredStop
	Interval time.Duration // between reports
	Detail   string        // DetailFull or DetailNone: whether log chunks travel now
}

// What directives say.
const (
	DesiredRun  = "run"
	DesiredStop = "stop"
	DetailFull  = "full"
	DetailNone  = "none"
)

// SyncAnswer is what an agent is told.
type SyncAnswer struct {
	Commands   []Command
	Config     *Config // nil: the one in force is the one wanted
	Directives []Directive

	// Holds are all that hold the agent's backups back; nil: none, and it knows. They
	// are told with every answer while they last, which renews them.
	Holds        []store.Hold
	HoldsChanged bool // the agent knows others

	// Pause is how long to wait before the commands that are queued may be offered
	// again: they were a moment ago, and the agent does not acknowledge them. It
	// cannot keep them, or the answer was lost; it is not hurried.
	Pause time.Duration
}

// Empty tells an answer that says nothing new.
func (a *SyncAnswer) Empty() bool {
	return len(a.Commands) == 0 && a.Config == nil && len(a.Directives) == 0 && !a.HoldsChanged
}

// Command is a command as it is sent.
type Command struct {
	fleet.Command
	StartWithin time.Duration     // from now; 0: no limit
	Repository  *ConfigRepository // of a job of a host that is not configured for it; nil: by its configuration
}

// Sync is Attend and, where that went well, the first Offer. An agent that says
// nothing new and is to be told nothing costs one read.
func (s *Service) Sync(ctx context.Context, a Agent, r *SyncRequest, hold time.Duration) (*SyncAnswer, error) {
	here, stale, err := s.attend(ctx, a, r, hold)
	switch {
	case err != nil:
		return nil, err
	case stale:
		return s.Offer(ctx, a, r)
	}
	return s.offer(ctx, here, r)
}

// Attend takes what an agent tells with a sync: acknowledgements, leases, and
// facts where they changed. A sync that says nothing new writes nothing but the
// contact, which the store gathers. hold is how long the request will be parked.
//
// It fails with SessionUnknown, SessionSuperseded, AgentMismatch, AgentDisabled.
func (s *Service) Attend(ctx context.Context, a Agent, r *SyncRequest, hold time.Duration) error {
	_, _, err := s.attend(ctx, a, r, hold)
	return err
}

// attend is Attend; stale tells that what was read may have changed by it.
func (s *Service) attend(ctx context.Context, a Agent, r *SyncRequest, hold time.Duration) (here *store.Attendance, stale bool, err error) {
	if here, err = s.attendance(ctx, a, r.Session); err != nil {
		return nil, false, err
	}
	if r.JournalID != here.JournalID {
		return nil, false, fleet.Errorf(fleet.SessionUnknown, "The agent's journal is another one than when this session began: open a new one.")
	}
	back := here.Presence(s.Store.Now()) != fleet.Online
	s.Store.TouchContact(a.Host, hold)
	if err := s.takeStatus(ctx, here, r); err != nil {
		return nil, false, err
	}
	acked := r.AckedSeq > here.AckedSeq
	if acked {
		if err := s.acknowledge(ctx, a.Host, r); err != nil {
			return nil, false, err
		}
	}
	if err := s.renew(ctx, a.Host, r.Running); err != nil {
		return nil, false, err
	}
	if back {
		s.prepareFor(ctx, a.Host)
	}
	return here, acked || back, nil
}

// attendance reads host and session and checks that the agent speaks for them.
func (s *Service) attendance(ctx context.Context, a Agent, session fleet.SessionID) (*store.Attendance, error) {
	here, err := s.Store.Attendance(ctx, session)
	if err != nil {
		return nil, err
	}
	switch {
	case here.ID != a.Host, here.InstallID != a.Install: //guard:agent-session
		return nil, fleet.Errorf(fleet.AgentMismatch, "This session is another agent's.")
	case here.Disabled:
		return nil, fleet.Errorf(fleet.AgentDisabled, "This host was disabled.")
	case !here.SupersededAt.IsZero(): //guard:session-superseded
		return nil, fleet.Errorf(fleet.SessionSuperseded, "Another process has opened a session for this host.")
	case !here.ClosedAt.IsZero():
		return nil, fleet.Errorf(fleet.SessionUnknown, "This session was closed: open a new one.")
	}
	return here, nil
}

// acknowledge takes the agent's word that it has journaled its commands up to a
// number.
//
// A queued command that no answer ever held cannot be in a journal. Where an
// acknowledgement covers one, it speaks of other commands: ours are older than the
// agent's memory, because the database was set back. Such commands get new numbers,
// and the session is closed: the agent opens another and tells everything again.
func (s *Service) acknowledge(ctx context.Context, host fleet.HostID, r *SyncRequest) error {
	if r.AckedSeq > maxSeq {
		return fleet.Errorf(fleet.Invalid, "No command has such a number.").At("/acked_seq")
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		setBack, err := takeAck(ctx, tx, host, r.AckedSeq)
		if err != nil || !setBack {
			return err
		}
		return tx.CloseSession(ctx, host, r.Session)
	})
}

// takeAck is acknowledge within a transaction. It tells whether the database turned
// out to be set back.
func takeAck(ctx context.Context, tx *store.Tx, host fleet.HostID, acked int64) (setBack bool, err error) {
	commands, err := tx.AckCommands(ctx, host, acked)
	if err != nil {
		return false, fmt.Errorf("acknowledge commands of host %s: %w", host, err)
	}
	slices.SortFunc(commands, func(a, b fleet.Command) int { return int(a.Seq - b.Seq) })
	for _, c := range commands {
		if c.Kind != commandRun {
			continue
		}
		if err := journaled(ctx, tx, c.JobID); err != nil {
			return false, err
		}
	}
	foreign, err := tx.NeverOffered(ctx, host, acked)
	if err != nil {
		return false, err
	}
	h, err := tx.LockHost(ctx, host)
	if err != nil {
		return false, err
	}
	if acked > h.CommandSeq || len(foreign) > 0 {
		setBack = true
		if err := moveCounter(ctx, tx, h, acked, foreign); err != nil {
			return false, err
		}
	}
	return setBack, tx.SetAcked(ctx, host, acked)
}

// journaled moves a job to acked. One that ended meanwhile, as it expired, waits for
// its agent's word.
func journaled(ctx context.Context, tx *store.Tx, id fleet.JobID) error {
	j, err := tx.LockJob(ctx, id)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err != nil || j.State != fleet.Pending {
		return err
	}
	j.State, j.LeaseUntil = fleet.Acked, tx.Now.Add(leaseTime)
	touch(tx, j)
	return tx.SaveJob(ctx, j)
}

func moveCounter(ctx context.Context, tx *store.Tx, h *fleet.Host, acked int64, foreign []fleet.Command) error {
	if err := tx.MoveCommandSeq(ctx, h.ID, acked); err != nil {
		return err
	}
	for _, c := range foreign {
		if err := tx.RenumberCommand(ctx, c); err != nil {
			return err
		}
	}
	if err := tx.RenewEpoch(ctx); err != nil {
		return err
	}
	tx.Wake(h.ID)
	_, err := tx.RaiseCondition(ctx, fleet.Condition{
		ObjectType: store.ObjectHost, ObjectID: string(h.ID), Code: CodeServerSetBack, Severity: fleet.Warn,
		Message:  "The agent knows commands that this server does not: the server's database was set back to an older state.",
		NextStep: "Look at what ran since then; what the agent still has of it is being reported again.",
	})
	return err
}

// renew moves the leases of jobs that the agent works on, and brings back those
// that were taken for unresponsive. It writes only where a lease comes near its end.
func (s *Service) renew(ctx context.Context, host fleet.HostID, running []RunningJob) error {
	if len(running) == 0 {
		return nil
	}
	ids := make([]fleet.JobID, len(running))
	for i, r := range running {
		ids[i] = r.ID
	}
	jobs, err := s.Store.JobsNamed(ctx, ids)
	if err != nil {
		return err
	}
	due := fleet.At(s.Store.Now().Add(leaseTime - leaseSlack))
	var renewed, returned []fleet.JobID
	for _, j := range jobs {
		switch {
		case j.HostID != host || !j.OnAgent():
		case j.State == fleet.Unresponsive:
			returned = append(returned, j.ID)
		case j.LeaseUntil < due:
			renewed = append(renewed, j.ID)
		}
	}
	if len(renewed) == 0 && len(returned) == 0 {
		return nil
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.RenewLeases(ctx, host, renewed, tx.Now.Add(leaseTime)); err != nil {
			return err
		}
		for _, id := range returned {
			if err := comeBack(ctx, tx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// comeBack takes a job that was unresponsive back to where its events left it.
func comeBack(ctx context.Context, tx *store.Tx, id fleet.JobID) error {
	j, err := tx.LockJob(ctx, id)
	if err != nil || j.State != fleet.Unresponsive {
		return err
	}
	if j.State, err = stateByEvents(ctx, tx.Queries, id); err != nil {
		return err
	}
	j.LeaseUntil = tx.Now.Add(leaseTime)
	touch(tx, j)
	return tx.SaveJob(ctx, j)
}
