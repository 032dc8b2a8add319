package job

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Codes of missed slots.
const (
	CodeHostOff             = "host_off"
	CodeHostAsleep          = "host_asleep"
	CodeAgentStopped        = "agent_stopped"
	CodeAgentLocked         = "agent_locked"
	CodeClockJumped         = "clock_jumped"
	CodeAgentAbsent         = "agent_absent" // for a reason that is not known here
	CodeScheduleNotReceived = "schedule_not_received"
	CodeCatchUpTookLater    = "catch_up_took_a_later_slot"
	CodeNotFired            = "not_fired"
	CodeClocksDiffer        = "clocks_differ"
	CodeNoWord              = "no_word" // the agent is there and says nothing of the slot
	CodeHostSilent          = "host_silent"
)

// why says what kept a slot from being run. told is false where that is not known to
// have happened at all.
func (c *check) why(at fleet.Time) (why Outcome, told bool) {
	why = Outcome{Result: string(fleet.Missed)}
	s := &c.schedule
	switch absence := c.absent(at); {
	case absence != nil && c.byClaim && !absence.Ahead.IsZero():
		why.Code = CodeClockJumped
		why.Message = fmt.Sprintf("The machine's clock was put forward over the slot, from %s to %s.", moment(fleet.At(absence.From)), moment(fleet.At(absence.Ahead)))
		why.NextStep = "See that the machine sets its clock by a time server."
	case absence != nil:
		why.Code, why.Message = absenceWords(absence)
		why.NextStep = "Nothing, if the machine was meant to be away; else see that it is on when its schedules fire."
		if !c.caughtUp.IsZero() && c.caughtUp > at {
			why.Message += fmt.Sprintf(" A catch-up ran at %s.", moment(c.caughtUp))
		}
	case c.wereAway(at): //guard:missed-outage
		return why, false
	case c.byClaim && at <= s.ClaimFrom && s.ClaimFrom < s.TimingSince.Add(promptly):
		return why, false
	case c.byClaim && at <= s.ClaimFrom:
		why.Code = CodeScheduleNotReceived
		why.Message = fmt.Sprintf("The agent did not have these times then; it took them on at %s.", moment(s.ClaimFrom))
	case c.byClaim && !c.caughtUp.IsZero() && c.caughtUp > at:
		why.Code = CodeCatchUpTookLater
		why.Message = fmt.Sprintf("The agent did not run this slot; a catch-up ran at %s in its place.", moment(c.caughtUp))
	case c.byClaim && c.skew() > maxSkew:
		why.Code = CodeClocksDiffer
		why.Message = fmt.Sprintf("The agent did not run this slot, and its clock and ours differ by %s.", c.skew().Round(time.Second))
		why.NextStep = "See that the host and the server set their clocks by a time server."
	case c.byClaim:
		why.Code, why.Message = CodeNotFired, "The agent did not run this slot and tells no reason."
		why.NextStep = "Look at the agent's log on the host."
	case c.host.Presence(c.now.Time()) != fleet.Online:
		why.Code = CodeHostSilent
		why.Message = fmt.Sprintf("No word from the host since %s. If it ran, its report will replace this.", moment(c.host.LastContact))
		why.NextStep = "Look after the host."
	case s.Drift(&c.host):
		why.Code, why.Message = CodeScheduleNotReceived, "The agent has not taken the schedule over."
		why.NextStep = "See at the host why it refuses its configuration."
	default:
		why.Code, why.Message = CodeNoWord, "The agent is there and says nothing of this slot. If it ran, its report will replace this."
		why.NextStep = "Look at the agent's log on the host, or update it."
	}
	return why, true
}

// skew is how far the host's clock is from ours.
func (c *check) skew() time.Duration {
	return (time.Duration(c.host.ClockOffset) * time.Millisecond).Abs()
}

// absent finds the absence that a slot falls into; by the agent's word also one that
// has reached further than our clock.
func (c *check) absent(at fleet.Time) *Absence {
	for i := range c.absences {
		a := &c.absences[i]
		until := fleet.At(a.To)
		if c.byClaim && !a.Ahead.IsZero() {
			until = fleet.At(a.Ahead)
		}
		if fleet.At(a.From) <= at && at <= until {
			return a
		}
	}
	return nil
}

// wereAway tells whether none of us was there at a slot, or after a slot that no claim
// had covered before: whoever ran it may have told a database that is gone since.
func (c *check) wereAway(at fleet.Time) bool {
	return slices.ContainsFunc(c.outages, func(o store.Outage) bool {
		return at <= o.Until.Add(outageEdge) && (c.byClaim || at >= o.From.Add(-outageEdge))
	})
}

func absenceWords(a *Absence) (code, message string) {
	words := map[string][2]string{
		"off":     {CodeHostOff, "The machine was off"},
		"asleep":  {CodeHostAsleep, "The machine was asleep"},
		"stopped": {CodeAgentStopped, "The agent was not running"},
		"locked":  {CodeAgentLocked, "The agent was locked by its policy file"},
		"clock":   {CodeClockJumped, "The machine's clock jumped over the slot"},
	}
	w, known := words[a.Reason]
	if !known {
		w = [2]string{CodeAgentAbsent, strings.TrimSpace("The agent could not fire " + a.Reason)}
	}
	return w[0], fmt.Sprintf("%s from %s to %s.", w[1], moment(fleet.At(a.From)), moment(fleet.At(a.To)))
}

func moment(t fleet.Time) string {
	if t.IsZero() {
		return "its enrolment"
	}
	return t.Time().Format("2 January 2006 15:04 UTC")
}
