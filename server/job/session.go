package job

import (
	"context"
	"fmt"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// The protocol's minor versions that this server speaks.
const (
	minProtocol = 1
	maxProtocol = 1
)

// How often a host's sessions may go to another machine and come back, in what
// time, before the host is taken for cloned.
const (
	maxAlternations   = 3
	alternationWindow = time.Hour
)

// maxAgentJobs is how many jobs an agent lists at most, by the contract.
const maxAgentJobs = 1000

// SessionRequest is what an agent tells at the start of its process life.
type SessionRequest struct {
	JournalID      string
	AckedSeq       int64
	BootID         string
	MinProtocol    int
	MaxProtocol    int
	ConfigRevision int64
	AgentTime      time.Time
	AgentVersion   string
	ResticVersion  string
	OS, Arch       string
	Jobs           []AgentJob // all that it has not fully reported
	Status
}

// AgentJob is a job as its agent has it.
type AgentJob struct {
	ID           fleet.JobID
	Epoch        int64
	Phase        string
	Writer       string
	NextEventSeq int64
	NextLogSeq   int64
}

// SessionAnswer is what an agent is told at the start of its process life.
type SessionAnswer struct {
	Session  fleet.SessionID
	No       int64
	Protocol int
	Epoch    string // of the database, see store.Epoch
	Jobs     []JobVerdict
}

// JobVerdict is what an agent does with a job that it has.
type JobVerdict struct {
	Job          fleet.JobID
	Verdict      string
	NextEventSeq int64
	NextLogSeq   int64
}

// The verdicts.
const (
	VerdictContinue = "continue"
	VerdictStop     = "stop"   // cancel it
	VerdictForget   = "forget" // all of it is here, or nobody wants it
	VerdictSend     = "send"   // it is not known here; begin with how it was opened
)

// OpenSession begins a process life of an agent and supersedes the one before. What
// the agent has and what is known here is compared: each of its jobs gets a verdict,
// and a job that it should have and does not know is lost.
//
// It fails with AgentMismatch, AgentDisabled, AgentDeleted, and with
// ProtocolUnsupported where the agent is newer than this server understands. An
// agent that is too old gets its session, so that it can report, and a condition.
func (s *Service) OpenSession(ctx context.Context, a Agent, r *SessionRequest) (*SessionAnswer, error) {
	if r.MinProtocol > maxProtocol || r.MinProtocol > r.MaxProtocol {
		e := fleet.Errorf(fleet.ProtocolUnsupported, "This server is older than the agent: update the server.")
		e.Extra = map[string]int64{"min_protocol": minProtocol, "max_protocol": maxProtocol}
		return nil, e
	}
	if r.AckedSeq > maxSeq {
		return nil, fleet.Errorf(fleet.Invalid, "No command has such a number.").At("/acked_seq")
	}
	answer := &SessionAnswer{Protocol: min(r.MaxProtocol, maxProtocol)}
	err := s.Store.Write(ctx, func(tx *store.Tx) error {
		session, err := tx.OpenSession(ctx, a.Host, a.Install, r.BootID)
		if fleet.Is(err, fleet.NotFound) {
			return fleet.Wrap(fleet.AgentDeleted, err, "This host was deleted.")
		}
		if err != nil {
			return err
		}
		answer.Session, answer.No = session.ID, session.No
		return s.greet(ctx, tx, a, r, answer)
	})
	if err != nil {
		return nil, fmt.Errorf("open a session of host %s: %w", a.Host, err)
	}
	if answer.Epoch, err = s.Store.Epoch(ctx); err != nil {
		return nil, err
	}
	s.Store.TouchContact(a.Host, 0)
	s.prepareFor(ctx, a.Host)
	return answer, nil
}

// greet takes what the agent tells, in the transaction that opens its session.
func (s *Service) greet(ctx context.Context, tx *store.Tx, a Agent, r *SessionRequest, answer *SessionAnswer) error {
	host, err := tx.LockHost(ctx, a.Host)
	if err != nil {
		return err
	}
	if err := journalConditions(ctx, tx, host, r); err != nil {
		return err
	}
	if err := tx.SetJournal(ctx, host.ID, r.JournalID); err != nil {
		return err
	}
	if _, err := takeAck(ctx, tx, host.ID, r.AckedSeq); err != nil {
		return err
	}
	if err := s.takeFacts(ctx, tx, host, r); err != nil {
		return err
	}
	if err := identityConditions(ctx, tx, host, r); err != nil {
		return err
	}
	if err := birthsSettled(ctx, tx, host.ID); err != nil {
		return err
	}
	if answer.Jobs, err = reconcile(ctx, tx, host.ID, r.Jobs); err != nil {
		return err
	}
	return s.loseUnknown(ctx, tx, host, r.Jobs)
}

// journalConditions says when an agent came back with less than it had acknowledged.
func journalConditions(ctx context.Context, tx *store.Tx, host *fleet.Host, r *SessionRequest) error {
	other := host.JournalID != "" && host.JournalID != r.JournalID
	if !other && r.AckedSeq >= host.AckedSeq {
		_, err := tx.ClearCondition(ctx, store.ObjectHost, string(host.ID), CodeJournalLost)
		return err
	}
	c := fleet.Condition{
		ObjectType: store.ObjectHost, ObjectID: string(host.ID), Code: CodeJournalLost, Severity: fleet.Warn,
		Message:  "The agent's state was set back to an older one, as when a machine is restored.",
		NextStep: "Jobs that it had taken and does not know any more are shown as lost; run again what you need.",
	}
	if other {
		if host.AckedSeq == 0 && r.AckedSeq == 0 {
			return nil // nothing was in the old journal: a new installation, or the first
		}
		c.Message = "The agent has another state than before: that was lost or damaged, or its disk refused it for a while."
	}
	_, err := tx.RaiseCondition(ctx, c)
	return err
}

// takeFacts writes what the agent tells of its machine and itself.
func (s *Service) takeFacts(ctx context.Context, tx *store.Tx, host *fleet.Host, r *SessionRequest) error {
	next, err := r.Status.over(host, tx.Now.Time())
	if err != nil {
		return err
	}
	next.ConfigInForce = r.ConfigRevision
	next.ClockOffset = clockOffset(host.ClockOffset, r.AgentTime, tx.Now.Time())
	err = tx.SetHostFacts(ctx, host.ID, store.HostFacts{
		OS: r.OS, Arch: r.Arch, AgentVersion: r.AgentVersion, ResticVersion: r.ResticVersion, Policy: next.Policy,
	})
	if err != nil {
		return err
	}
	if err := takeClaims(ctx, tx, host.ID, r.Claims); err != nil {
		return err
	}
	if next == store.StatusOf(host) {
		return statusConditions(ctx, tx, host, next)
	}
	return setStatus(ctx, tx, host, next)
}

// identityConditions notices clones of a machine and agents that are too old.
func identityConditions(ctx context.Context, tx *store.Tx, host *fleet.Host, r *SessionRequest) error {
	n, err := tx.Alternations(ctx, host.ID, tx.Now.Add(-alternationWindow))
	if err != nil {
		return err
	}
	err = hold(ctx, tx, n > maxAlternations, fleet.Condition{
		ObjectType: store.ObjectHost, ObjectID: string(host.ID), Code: CodeAgentCloned, Severity: fleet.Critical,
		Message:  "Two machines take turns as this host: it was cloned. Neither is given commands.",
		NextStep: "Enrol one of them as a host of its own; the other goes on within an hour.",
	})
	if err != nil {
		return err
	}
	return hold(ctx, tx, r.MaxProtocol < minProtocol, fleet.Condition{
		ObjectType: store.ObjectHost, ObjectID: string(host.ID), Code: CodeProtocolTooOld, Severity: fleet.Warn,
		Message: "The agent is older than this server supports; it still reports.", NextStep: "Update the agent.",
	})
}

// hold raises or clears a condition of a host or repository.
func hold(ctx context.Context, tx *store.Tx, holds bool, c fleet.Condition) error {
	if holds {
		_, err := tx.RaiseCondition(ctx, c)
		return err
	}
	_, err := tx.ClearCondition(ctx, c.ObjectType, c.ObjectID, c.Code)
	return err
}

// reconcile gives each of the agent's jobs its verdict and renews its lease.
func reconcile(ctx context.Context, tx *store.Tx, host fleet.HostID, theirs []AgentJob) ([]JobVerdict, error) {
	verdicts := make([]JobVerdict, 0, len(theirs))
	for i := range theirs {
		t := &theirs[i]
		j, err := tx.LockJob(ctx, t.ID)
		if fleet.Is(err, fleet.NotFound) {
			verdicts = append(verdicts, JobVerdict{Job: t.ID, Verdict: VerdictSend, NextEventSeq: 1, NextLogSeq: 1})
			continue
		}
		if err != nil {
			return nil, err
		}
		v := JobVerdict{Job: t.ID, Verdict: verdictOn(j, t, host), NextEventSeq: j.NextEventSeq, NextLogSeq: j.NextLogSeq}
		verdicts = append(verdicts, v)
		if v.Verdict == VerdictForget || !j.OnAgent() {
			continue
		}
		j.LeaseUntil = tx.Now.Add(leaseTime)
		if j.State == fleet.Unresponsive {
			if j.State, err = stateByEvents(ctx, tx.Queries, j.ID); err != nil {
				return nil, err
			}
		}
		if err := tx.SaveJob(ctx, j); err != nil {
			return nil, err
		}
		touch(tx, j)
	}
	return verdicts, nil
}

func verdictOn(j *fleet.Job, t *AgentJob, host fleet.HostID) string {
	ended := j.State == fleet.Finished && !j.Result.OursToRevise()
	switch {
	case j.HostID != host:
		return VerdictForget
	case ended && t.Phase == EventFinished && j.NextEventSeq >= t.NextEventSeq && j.NextLogSeq >= t.NextLogSeq:
		return VerdictForget
	case t.Epoch < j.Epoch && t.Phase == EventFinished:
		return VerdictForget
	case t.Epoch < j.Epoch, j.Cancel && !ended:
		return VerdictStop
	}
	return VerdictContinue
}

// loseUnknown ends the jobs that a host's agent had taken and does not know any
// more. A report that comes after all replaces that.
func (s *Service) loseUnknown(ctx context.Context, tx *store.Tx, host *fleet.Host, theirs []AgentJob) error {
	if host.ActiveJobs == 0 || len(theirs) >= maxAgentJobs { // a list that is full may not be all
		return nil
	}
	known := make(map[fleet.JobID]bool, len(theirs))
	for i := range theirs {
		known[theirs[i].ID] = true
	}
	active, err := tx.ActiveJobs(ctx, host.ID)
	if err != nil {
		return err
	}
	for i := range active {
		if !active[i].OnAgent() || known[active[i].ID] {
			continue
		}
		j, err := tx.LockJob(ctx, active[i].ID)
		if err != nil {
			return err
		}
		if !j.OnAgent() {
			continue
		}
		o := Outcome{
			Result: string(fleet.Lost), Code: "agent_forgot",
			Message:  "The agent does not know this job any more: its state, or the server's, was lost or set back.",
			NextStep: "Run it again.",
		}
		if err := s.end(ctx, tx, j, o); err != nil {
			return err
		}
	}
	return nil
}

// CloseSession ends a session in order: a request that is parked in it is answered.
// It is idempotent. It fails with SessionUnknown and AgentMismatch.
func (s *Service) CloseSession(ctx context.Context, a Agent, id fleet.SessionID) error {
	session, err := s.Store.Session(ctx, id)
	if err != nil {
		return err
	}
	if session.HostID != a.Host || session.InstallID != a.Install {
		return fleet.Errorf(fleet.AgentMismatch, "This session is another agent's.")
	}
	if !session.ClosedAt.IsZero() || !session.SupersededAt.IsZero() {
		return nil
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error { return tx.CloseSession(ctx, a.Host, id) })
}
