package schedule

import (
	"slices"
	"time"

	"restic-manager/agent/control"
)

// Absences lists the times in which no slot could be fired, oldest first.
func (s *Scheduler) Absences() []control.Absence {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.absences)
}

// Claims tells how far each schedule is decided, as far as the server knows of all its
// jobs until then.
func (s *Scheduler) Claims() []control.SlotClaim {
	s.mu.Lock()
	defer s.mu.Unlock()
	unheard := s.spool.Unheard()
	var claims []control.SlotClaim
	for _, e := range s.entries {
		until := e.cursor.At
		if first, ok := unheard[e.ID.String()]; ok && !first.After(until) { //guard:claim-unheard
			until = first.Add(-time.Second)
		}
		if until.Before(e.cursor.From) {
			continue
		}
		claims = append(claims, control.SlotClaim{
			ScheduleId: e.ID.String(), ScheduleVersion: e.Version, From: e.cursor.From.UTC(), Until: until.UTC(),
		})
	}
	return claims
}

// Met is told which database the server has. What was claimed to another one is not
// claimed to this one, which may lack the jobs of it: it was set back to an older state.
func (s *Scheduler) Met(epoch string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var before string
	s.recall(keyEpoch, &before)
	if epoch == "" || before == epoch {
		return
	}
	values := map[string][]byte{keyEpoch: encoded(epoch)}
	for _, e := range s.entries {
		if before == "" {
			break
		}
		e.cursor.From = e.cursor.At
		values[keyCursor+e.ID.String()] = encoded(e.cursor)
	}
	s.keep(values)
}
