package schedule

import (
	"slices"
	"time"

	"restic-manager/agent/control"
)

// Reasons of absences, as the contract has them.
const (
	reasonOff     = "off"
	reasonStopped = "stopped"
	reasonAsleep  = "asleep"
	reasonLocked  = "locked"
	reasonClock   = "clock"
)

const (
	shortestAbsence = time.Minute
	absencesKept    = 50
	absencesFor     = 31 * 24 * time.Hour
)

// pulse is one look at the clocks.
type pulse struct {
	wall  time.Time     // without a monotonic reading
	ran   time.Duration // by a clock that nobody sets
	slept time.Duration // how long the machine has been suspended so far
	knows bool          // whether slept is known
}

// missing returns why the time between two looks was lost; "" if it was not.
func missing(before, now pulse) (reason string) {
	jumped := now.wall.Sub(before.wall) - (now.ran - before.ran)
	switch {
	case jumped >= shortestAbsence && now.knows && now.slept-before.slept < jumped/2:
		return reasonClock
	case jumped >= shortestAbsence:
		return reasonAsleep
	case now.ran-before.ran < lookEvery+shortestAbsence:
		return ""
	case now.knows:
		return reasonStopped // the process did not get to run
	}
	return reasonAsleep // here sleep counts as time that passes
}

// alive is the durable proof that the agent ran.
type alive struct {
	Boot string    `json:"boot"`
	At   time.Time `json:"at"`
}

// until returns the absence between a life of the agent and this one, if it was long
// enough to be told.
func (a alive) until(boot string, now time.Time) (control.Absence, bool) {
	if a.At.IsZero() || now.Sub(a.At) < shortestAbsence {
		return control.Absence{}, false
	}
	reason := reasonStopped
	if a.Boot != boot {
		reason = reasonOff
	}
	return control.Absence{From: a.At.UTC(), To: now.UTC(), Reason: reason}, true
}

// recent keeps the absences that are told: the last 50 of 31 days.
func recent(list []control.Absence, now time.Time) []control.Absence {
	kept := slices.DeleteFunc(slices.Clone(list), func(a control.Absence) bool { return now.Sub(a.To) > absencesFor })
	return kept[max(0, len(kept)-absencesKept):]
}
