package job

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// takeStatus writes what an agent tells of itself where it differs from what is
// known, and raises and clears the conditions that follow from it.
func (s *Service) takeStatus(ctx context.Context, here *store.Attendance, r *SyncRequest) error {
	next, err := r.Status.over(&here.Host, s.Store.Now())
	if err != nil {
		return err
	}
	next.ConfigInForce = r.ConfigRevision
	next.ConfigError = ""
	if r.ConfigError != nil {
		next.ConfigError = clip(r.ConfigError.Message, 2000)
	}
	next.ClockOffset = clockOffset(here.ClockOffset, r.AgentTime, s.Store.Now())
	changed := next != store.StatusOf(&here.Host)
	claimed, err := newClaims(ctx, s.Store.Queries, &here.Host, r.Claims, fleet.At(s.Store.Now()))
	if err != nil || !changed && !claimed {
		return err
	}
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		host, err := tx.LockHost(ctx, here.ID)
		if err != nil {
			return err
		}
		if err := takeClaims(ctx, tx, host.ID, r.Claims); err != nil || !changed {
			return err
		}
		return setStatus(ctx, tx, host, next)
	})
	if err != nil {
		return fmt.Errorf("take the status of host %s: %w", here.ID, err)
	}
	return nil
}

// setStatus writes a status with what follows from it.
func setStatus(ctx context.Context, tx *store.Tx, host *fleet.Host, next store.HostStatus) error {
	if err := tx.SetHostStatus(ctx, host.ID, next); err != nil {
		return err
	}
	if next.Policy != host.Policy || next.ConfigError != host.ConfigError { // they keep the next run from happening
		if err := tx.JudgeHost(ctx, host.ID); err != nil {
			return err
		}
	}
	if next.Policy != host.Policy {
		if err := judgeMaintained(ctx, tx, host.ID); err != nil {
			return err
		}
	}
	return statusConditions(ctx, tx, host, next)
}

// over puts what was told over what a host's row holds.
func (t Status) over(h *fleet.Host, now time.Time) (store.HostStatus, error) {
	next := store.StatusOf(h)
	var err error
	if t.Offers != nil {
		if next.Offers, err = fleet.NewDoc(t.Offers.bounded()); err != nil {
			return next, err
		}
	}
	if t.Absences != nil {
		if next.Absences, err = fleet.NewDoc(boundedAbsences(t.Absences, now)); err != nil {
			return next, err
		}
	}
	if t.Policy != nil {
		if next.Policy, err = fleet.NewDoc(t.Policy); err != nil {
			return next, err
		}
	}
	next.Health = ""
	if len(t.Health) > 0 {
		if next.Health, err = fleet.NewDoc(t.Health); err != nil {
			return next, err
		}
	}
	if t.Spool != nil {
		if next.Spool, err = fleet.NewDoc(t.Spool); err != nil {
			return next, err
		}
	}
	if t.LastExchange != nil {
		last := *t.LastExchange
		if last.Kind == exchangeOK { // how long an ordinary poll took changes with each
			last = LastExchange{Kind: exchangeOK}
		}
		next.LastExchange, err = fleet.NewDoc(last)
	}
	return next, err
}

// exchangeOK is the kind of an exchange without trouble.
const exchangeOK = "ok"

// clockOffset is an agent's clock minus ours, in milliseconds, or what was known of
// it where it moved no more than the way of a request explains.
func clockOffset(known int64, agent, now time.Time) int64 {
	if agent.IsZero() {
		return known
	}
	offset := agent.Sub(now)
	if (offset - time.Duration(known)*time.Millisecond).Abs() < clockStep {
		return known
	}
	return offset.Milliseconds()
}

// Codes of conditions of hosts that the server itself finds. What an agent reports
// as its health cannot take their names.
const (
	CodePolicyLocked   = "policy_locked" // where the agent gives no code of its own
	CodeConfigRefused  = "config_refused"
	CodeClockWrong     = "clock_wrong"
	CodeAgentCloned    = "agent_cloned"
	CodeJournalLost    = "agent_journal_lost"
	CodeServerSetBack  = "server_set_back"
	CodeBackupFailed   = "backup_failed"
	CodeUnconfirmed    = "backup_unconfirmed"
	CodeProtocolTooOld = "agent_too_old"
)

func reserved(code string) bool {
	switch code {
	case CodePolicyLocked, CodeConfigRefused, CodeClockWrong, CodeAgentCloned, CodeJournalLost, CodeServerSetBack,
		CodeBackupFailed, CodeUnconfirmed, CodeProtocolTooOld, CodeTooManyJobs:
		return true
	}
	return false
}

// maxSkew is how wrong an agent's clock may be: beyond it schedules fire at the
// wrong time.
const maxSkew = time.Minute

// statusConditions raises what holds by a host's status and clears what held by the
// one before and does not by this one.
func statusConditions(ctx context.Context, tx *store.Tx, before *fleet.Host, next store.HostStatus) error {
	held, err := conditionsOf(before.ID, store.StatusOf(before))
	if err != nil {
		return err
	}
	holds, err := conditionsOf(before.ID, next)
	if err != nil {
		return err
	}
	for code := range held {
		if _, still := holds[code]; !still {
			if _, err := tx.ClearCondition(ctx, store.ObjectHost, string(before.ID), code); err != nil {
				return err
			}
		}
	}
	for _, c := range holds {
		if _, err := tx.RaiseCondition(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// conditionsOf gives the conditions that follow from a status.
func conditionsOf(host fleet.HostID, st store.HostStatus) (map[string]fleet.Condition, error) {
	found := map[string]fleet.Condition{}
	add := func(code string, severity fleet.Severity, message, next string) {
		found[code] = fleet.Condition{
			ObjectType: store.ObjectHost, ObjectID: string(host), Code: code, Severity: severity, Message: message, NextStep: next,
		}
	}
	var policy PolicyReport
	if err := st.Policy.Read(&policy); err != nil {
		return nil, fmt.Errorf("read the policy of host %s: %w", host, err)
	}
	if policy.State == PolicyLocked {
		add(conditionCode(policy.Code, CodePolicyLocked), fleet.Critical,
			orElse(policy.Message, "The agent is locked by its policy file and executes nothing."), policy.NextStep)
	}
	var health []HealthProblem
	if err := st.Health.Read(&health); err != nil {
		return nil, fmt.Errorf("read the health of host %s: %w", host, err)
	}
	for _, p := range health {
		code := conditionCode(p.Code, "agent_unhealthy")
		if _, locked := found[code]; !locked {
			add(code, fleet.Warn, p.Message, p.NextStep)
		}
	}
	if st.ConfigError != "" {
		add(CodeConfigRefused, fleet.Warn, "The agent refused its configuration: "+st.ConfigError,
			"Correct what the agent refuses; until then it works by the configuration before.")
	}
	if skew := (time.Duration(st.ClockOffset) * time.Millisecond).Abs(); skew > maxSkew {
		add(CodeClockWrong, fleet.Warn, fmt.Sprintf("The machine's clock is wrong by %s.", skew.Round(time.Second)),
			"Set the clock: schedules fire by it.")
	}
	return found, nil
}

var plainCode = regexp.MustCompile(`^[a-z][a-z0-9_]{0,59}$`)

// conditionCode is a code from outside as a condition's; one that is no code, or is
// one of ours, becomes another.
func conditionCode(code, otherwise string) string {
	if !plainCode.MatchString(code) {
		return otherwise
	}
	if reserved(code) && code != otherwise {
		return "reported_" + code
	}
	return code
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// clip cuts a text from outside to a number of bytes, between characters.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && text[limit]&0xc0 == 0x80 {
		limit--
	}
	return text[:limit]
}
