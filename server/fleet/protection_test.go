package fleet

import (
	"testing"
	"time"
)

func TestAnObjectiveThatNobodyGaveFollowsFromTheCron(t *testing.T) {
	const day = 24 * time.Hour
	for cron, want := range map[string]time.Duration{
		"*/15 * * * *": 15*time.Minute + time.Hour,
		"0 * * * *":    2 * time.Hour,
		"0 2 * * *":    day + 6*time.Hour,
		"0 2 * * 1-5":  3*day + 18*time.Hour,
		"0 2 1 * *":    32 * day,
		"nonsense":     0,
	} {
		if got := DefaultObjective(cron, "UTC", AlwaysOn); got != want {
			t.Errorf("%s: got %s, want %s", cron, got, want)
		}
	}
	if got, want := DefaultObjective("0 2 * * *", "UTC", ComeAndGo), 8*day; got != want {
		t.Errorf("of a host that comes and goes: got %s, want %s", got, want)
	}
	s := Schedule{Cron: "0 2 * * *", Zone: "UTC", Objective: 100000, Enabled: true}
	if got := s.EffectiveObjective(AlwaysOn); got != 100000*time.Second {
		t.Errorf("the one that was given: %s", got)
	}
	if s.Manual = true; s.EffectiveObjective(AlwaysOn) != 0 {
		t.Error("a manual schedule has an objective")
	}
}

func TestASlotIsGivenUpAfterAQuarterOfTheTimeToTheNext(t *testing.T) {
	at := At(time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC))
	for name, c := range map[string]struct {
		s    Schedule
		want time.Duration
	}{
		"each minute": {Schedule{Cron: "* * * * *", Zone: "UTC"}, 30 * time.Minute},
		"each day":    {Schedule{Cron: "0 2 * * *", Zone: "UTC"}, 6 * time.Hour},
		"with jitter": {Schedule{Cron: "0 * * * *", Zone: "UTC", Options: `{"jitter_s": 600}`}, 40 * time.Minute},
	} {
		if got := c.s.Overdue(at).Time().Sub(at.Time()); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestDurationsAreToldByTheirTwoLargestUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Hour:               "1 day 6 hours",
		2 * time.Hour:                "2 hours",
		75 * time.Minute:             "1 hour 15 minutes",
		24*time.Hour + time.Minute:   "1 day",
		90 * time.Second:             "1 minute 30 seconds",
		49*time.Hour + 3*time.Minute: "2 days 1 hour",
	} {
		if got := inWords(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}

func TestTheWorstThatIsTrueOfAHostIsItsStanding(t *testing.T) {
	now := At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	good := Schedule{ID: "a", Name: "a", Cron: "0 * * * *", Zone: "UTC", Enabled: true, LastGood: now - 1, BreachAt: now + 1}
	with := func(edit func(*Schedule)) []Schedule {
		s := good
		edit(&s)
		return []Schedule{good, s}
	}
	up := Host{EnrolledAt: 1, Availability: AlwaysOn}
	away := up
	away.Away = true
	laptop := away
	laptop.Availability = ComeAndGo
	locked := up
	locked.Policy = `{"state": "locked", "message": "it is others' to write"}`
	byHand := up
	byHand.LastGoodBackup = now - 1
	disabled := up
	disabled.Disabled = true
	failed := Doc(`{"result": "failed", "message": "storage full"}`)
	for name, c := range map[string]struct {
		host      Host
		schedules []Schedule
		want      ProtectionState
	}{
		"all is well":                   {up, []Schedule{good}, Protected},
		"none":                          {up, nil, NotScheduled},
		"only manual":                   {up, with(func(s *Schedule) { s.Manual = true })[1:], NotScheduled},
		"out of service":                {disabled, []Schedule{good}, NotScheduled},
		"breached beside a good one":    {up, with(func(s *Schedule) { s.BreachAt = now }), Unprotected},
		"breached and away":             {laptop, with(func(s *Schedule) { s.BreachAt = now }), Unprotected},
		"no backup yet":                 {up, with(func(s *Schedule) { s.LastGood = 0 })[1:], NeverBacked},
		"none by itself, one by hand":   {byHand, with(func(s *Schedule) { s.LastGood = 0 })[1:], AtRisk},
		"one of two has none yet":       {up, with(func(s *Schedule) { s.LastGood = 0 }), Protected},
		"silent":                        {away, []Schedule{good}, AtRisk},
		"silent, but it comes and goes": {laptop, []Schedule{good}, Asleep},
		"away after a failure":          {laptop, with(func(s *Schedule) { s.Facts = failed }), AtRisk},
		"away with missed slots":        {laptop, with(func(s *Schedule) { s.Missed = 3 }), Asleep},
		"the last run failed":           {up, with(func(s *Schedule) { s.Facts = failed }), AtRisk},
		"a source was missing": {up, with(func(s *Schedule) {
			s.Facts = `{"result": "warning", "sources": [{"path": "/srv", "state": "missing"}]}`
		}), AtRisk},
		"slots missed":                      {up, with(func(s *Schedule) { s.Missed = 1 }), AtRisk},
		"a disabled schedule with a breach": {up, with(func(s *Schedule) { s.BreachAt, s.Enabled = now, false }), Protected},
		"locked":                            {locked, []Schedule{good}, AtRisk},
	} {
		if got := Judge(&c.host, c.schedules, now, false); got.State != c.want || got.State != Protected && got.Reason == "" {
			t.Errorf("%s: got %s (%s), want %s", name, got.State, got.Reason, c.want)
		}
	}
	if got := Judge(&up, with(func(s *Schedule) { s.BreachAt = now }), now, true); got.State != Protected {
		t.Errorf("while we are quiet: %s", got.State)
	}
}
