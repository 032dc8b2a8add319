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

// undone puts absences right when the clock is behind the end of one: it had been ahead
// and was put back. Then it is not known what was behind it but that the clock jumped,
// and the slots up to now are the ones that it jumped over; what lies ahead as a whole
// has not happened. It reports whether it changed any.
func undone(list []control.Absence, now time.Time) (kept []control.Absence, changed bool) {
	for _, a := range list {
		if isBack(a.To, now) {
			changed = true
			if !a.From.Before(now) {
				continue
			}
			a.To, a.Reason = now.UTC(), reasonClock
		}
		kept = append(kept, a)
	}
	return kept, changed
}

// recent keeps the absences that are told: the last 50 of 31 days.
func recent(list []control.Absence, now time.Time) []control.Absence {
	kept := slices.DeleteFunc(slices.Clone(list), func(a control.Absence) bool { return now.Sub(a.To) > absencesFor })
	return kept[max(0, len(kept)-absencesKept):]
}

// notice looks whether time was lost since the last look, and whether the policy locks.
// It reports whether there is another absence.
func (s *Scheduler) notice(now pulse) bool {
	before := s.last
	s.last = now
	var changed bool
	s.absences, changed = undone(s.absences, now.wall)
	if isBack(s.lockedAt, now.wall) {
		s.lockedAt = now.wall
	}
	if reason := missing(before, now); reason != "" {
		s.absent(control.Absence{From: before.wall.UTC(), To: now.wall.UTC(), Reason: reason})
		changed = true
	}
	switch locked := s.locked(); {
	case locked && s.lockedAt.IsZero():
		s.lockedAt = now.wall
	case !locked && !s.lockedAt.IsZero():
		if now.wall.Sub(s.lockedAt) >= shortestAbsence {
			s.absent(control.Absence{From: s.lockedAt.UTC(), To: now.wall.UTC(), Reason: reasonLocked})
			changed = true
		}
		s.lockedAt = time.Time{}
	}
	return changed
}

// absent adds an absence, or prolongs the one that it goes on with.
func (s *Scheduler) absent(a control.Absence) {
	for i := range s.absences {
		if s.absences[i].Reason == a.Reason && s.absences[i].From.Equal(a.From) {
			s.absences[i].To = a.To
			return
		}
	}
	s.log.Info("slots could not be fired", "from", a.From, "to", a.To, "reason", a.Reason)
	s.absences = recent(append(s.absences, a), a.To)
}
