package fleet

import (
	"sync"
	"time"

	"restic-manager/agent/slot"
)

// plan is what a cron text and its zone mean. ok is false where they cannot be read.
type plan struct {
	slot.Schedule
	gap time.Duration
	ok  bool
}

// plans remembers what cron texts mean: reading one and its zone takes longer than all
// that is asked of it. What does not fit any more is read again.
var plans struct {
	sync.Mutex
	known map[[2]string]plan
}

const maxPlans = 4096

func planOf(cron, zone string) plan {
	key := [2]string{cron, zone}
	plans.Lock()
	p, known := plans.known[key]
	plans.Unlock()
	if known {
		return p
	}
	if s, err := slot.Parse(cron, zone); err == nil {
		p = plan{s, s.LongestGap(), true}
	}
	plans.Lock()
	defer plans.Unlock()
	if plans.known == nil || len(plans.known) >= maxPlans {
		plans.known = map[[2]string]plan{}
	}
	plans.known[key] = p
	return p
}

// Timed tells whether the schedule fires by itself.
func (s *Schedule) Timed() bool { return s.Enabled && !s.Manual }

// SlotAfter gives the first slot after a moment, 0 where there is none. Whether the
// schedule is switched on does not matter.
func (s *Schedule) SlotAfter(t Time) Time {
	if s.Manual {
		return 0
	}
	p := planOf(s.Cron, s.Zone)
	if !p.ok {
		return 0
	}
	next, ok := p.Next(t.Time())
	if !ok {
		return 0
	}
	return At(next)
}

// Words says in plain words when the schedule fires; empty for a manual one.
func (s *Schedule) Words() string {
	if s.Manual {
		return ""
	}
	return CronWords(s.Cron, s.Zone)
}

// CronWords says in plain words when a cron text fires; empty where it cannot be read.
func CronWords(cron, zone string) string {
	p := planOf(cron, zone)
	if !p.ok {
		return ""
	}
	return p.Words()
}

// What an objective that nobody gave adds to the longest gap between two slots.
const (
	minGrace       = time.Hour
	maxGrace       = 24 * time.Hour
	comeAndGoGrace = 7 * 24 * time.Hour
)

// DefaultObjective is how old the last good backup may be if nobody says: the longest
// gap between two slots, and a quarter of it, at least an hour and at most a day; at
// hosts that come and go at least a week. 0 where the cron cannot be read.
func DefaultObjective(cron, zone string, a Availability) time.Duration {
	p := planOf(cron, zone)
	if !p.ok {
		return 0
	}
	grace := min(max(p.gap/4, minGrace), maxGrace)
	if a == ComeAndGo {
		grace = max(grace, comeAndGoGrace)
	}
	return p.gap + grace
}

// EffectiveObjective is the objective in force; 0 for a manual schedule.
func (s *Schedule) EffectiveObjective(a Availability) time.Duration {
	switch {
	case s.Manual:
		return 0
	case s.Objective > 0:
		return time.Duration(s.Objective) * time.Second
	}
	return DefaultObjective(s.Cron, s.Zone, a)
}

// Retime begins to count the schedule's slots anew, from a moment on: its times were
// changed, it was switched on or off, or its host was in or out of service.
func (s *Schedule) Retime(now Time) {
	s.TimingSince, s.TimingVersion = now, s.Version
	s.ClaimFrom, s.ClaimUntil, s.SilentFrom = 0, 0, 0
	s.CheckedUntil = now
}

// Foretell fills in what follows from the schedule's times and its last good backup:
// NextSlot, Unchecked, OverdueAt, BreachAt. The store calls it before it writes a
// schedule.
func (s *Schedule) Foretell(now Time, a Availability) {
	s.NextSlot, s.Unchecked, s.OverdueAt, s.BreachAt = 0, 0, 0, 0
	if !s.Timed() {
		return
	}
	s.NextSlot = s.SlotAfter(now)
	s.Unchecked = s.SlotAfter(s.CheckedUntil)
	s.OverdueAt = s.Overdue(s.Unchecked)
	if objective := s.EffectiveObjective(a); objective > 0 {
		since := s.LastGood
		if since.IsZero() {
			since = s.TimingSince
		}
		s.BreachAt = since.Add(objective)
	}
}

// wanted is the first slot of which a word of the agent is wanted: nothing is known of
// it, or it was given up.
func (s *Schedule) wanted() Time {
	if s.SilentFrom > s.ClaimUntil {
		return earlier(s.SilentFrom, s.Unchecked)
	}
	return s.Unchecked
}

// minSilence is how long after a slot nobody gives it up.
const minSilence = 30 * time.Minute

// Overdue is when a slot is given up of which no agent has said anything: after half an
// hour or a quarter of the time to the slot after it, and what the run may be put off.
func (s *Schedule) Overdue(at Time) Time {
	if at.IsZero() {
		return 0
	}
	wait := minSilence
	if next := s.SlotAfter(at); !next.IsZero() {
		wait = max(wait, next.Time().Sub(at.Time())/4)
	}
	var o ScheduleOptions
	if s.Options.Read(&o) == nil {
		wait += time.Duration(o.Jitter) * time.Second
	}
	return at.Add(wait)
}
