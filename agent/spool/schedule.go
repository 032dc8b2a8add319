package spool

import "time"

// UnderWay returns the oldest job of a schedule that still waits or runs; false if
// there is none. A job that an earlier process of the agent died under is over,
// although its result is not known yet.
func (s *Spool) UnderWay(scheduleID string) (Job, bool) {
	jobs := s.list(func(j *job) bool {
		return j.ScheduleID == scheduleID && j.Phase != Finished && !j.reopened
	})
	if len(jobs) == 0 {
		return Job{}, false
	}
	return jobs[0], true
}

// Unheard returns, by schedule, the earliest slot of which the server does not know
// that its job was opened.
func (s *Spool) Unheard() map[string]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	earliest := map[string]time.Time{}
	for _, j := range s.jobs {
		if j.Known || j.Muted || j.Slot.IsZero() {
			continue
		}
		if known, ok := earliest[j.ScheduleID]; !ok || j.Slot.Before(known) {
			earliest[j.ScheduleID] = j.Slot
		}
	}
	return earliest
}
