package fleet

import (
	"fmt"
	"strings"
	"time"
)

// Standing is what is true of a host's protection, with its reason in plain words.
type Standing struct {
	State     ProtectionState
	Reason    string
	Schedule  ScheduleID // that the reason is about; may be empty
	BreachAt  Time       // of the first objective that is or will be missed; 0: none
	NextSlot  Time
	Unchecked Time
}

// Judge sums up what is known of a host's backups. Whether the host is silent is told
// by Away, which is written when it was noticed. While we are quiet, see
// store.QuietUntil, an objective that has just been missed counts as met: what would
// disprove it may be on its way.
func Judge(h *Host, schedules []Schedule, now Time, quiet bool) Standing {
	j := judgement{host: h, now: now, trusting: quiet && h.Protection != Unprotected}
	for i := range schedules {
		if schedules[i].Timed() && !h.Disabled {
			j.timed = append(j.timed, &schedules[i])
		}
	}
	st := j.state(len(schedules))
	for _, s := range j.timed {
		st.BreachAt = earlier(st.BreachAt, s.BreachAt)
		st.NextSlot = earlier(st.NextSlot, s.NextSlot)
		st.Unchecked = earlier(st.Unchecked, s.wanted())
	}
	return st
}

type judgement struct {
	host     *Host
	timed    []*Schedule
	now      Time
	trusting bool
}

// state finds the first thing that is true, worst first.
func (j *judgement) state(schedules int) Standing {
	h := j.host
	switch {
	case h.Disabled:
		return Standing{State: NotScheduled, Reason: "The host is out of service."}
	case len(j.timed) == 0 && schedules == 0:
		return Standing{State: NotScheduled, Reason: "It has no schedule."}
	case len(j.timed) == 0:
		return Standing{State: NotScheduled, Reason: "None of its schedules fires by itself."}
	}
	for _, find := range []func() (Standing, bool){j.breached, j.never, j.absent, j.wentWrong, j.incomplete, j.asleep, j.held, j.missed, j.unseen} {
		if st, found := find(); found {
			return st
		}
	}
	return Standing{State: Protected}
}

func (j *judgement) breached() (Standing, bool) {
	var worst *Schedule
	for _, s := range j.timed {
		if s.BreachAt.IsZero() || s.BreachAt > j.now || j.trusting {
			continue
		}
		if worst == nil || s.BreachAt < worst.BreachAt {
			worst = s
		}
	}
	if worst == nil {
		return Standing{}, false
	}
	objective := inWords(worst.EffectiveObjective(j.host.Availability))
	if worst.LastGood.IsZero() {
		return about(worst, Unprotected, "no good backup since it was set up on %s; its objective is one within %s", moment(worst.TimingSince), objective), true
	}
	return about(worst, Unprotected, "no good backup since %s; its objective is one within %s", moment(worst.LastGood), objective), true
}

func (j *judgement) never() (Standing, bool) {
	for _, s := range j.timed {
		if !s.LastGood.IsZero() {
			return Standing{}, false
		}
	}
	if j.host.EnrolledAt.IsZero() {
		return Standing{State: NeverBacked, Reason: "No agent has enrolled yet."}, true
	}
	if st, bad := j.wentWrong(); bad {
		if j.host.LastGoodBackup.IsZero() {
			st.State = NeverBacked
		}
		return st, true
	}
	if !j.host.LastGoodBackup.IsZero() { // by a person, or by a schedule that is no more
		return Standing{State: AtRisk, Reason: "None of its schedules with a time has made a good backup yet."}, true
	}
	return Standing{State: NeverBacked, Reason: "No backup has been made yet."}, true
}

func (j *judgement) absent() (Standing, bool) {
	if !j.host.Away || j.host.Availability == ComeAndGo {
		return Standing{}, false
	}
	return Standing{State: AtRisk, Reason: fmt.Sprintf("No word from the host since %s.", moment(j.host.LastContact))}, true
}

func (j *judgement) asleep() (Standing, bool) {
	if !j.host.Away {
		return Standing{}, false
	}
	return Standing{State: Asleep, Reason: fmt.Sprintf("Away since %s, as hosts that come and go are.", moment(j.host.LastContact))}, true
}

func (j *judgement) wentWrong() (Standing, bool) {
	for _, s := range j.timed {
		var f ScheduleFacts
		if s.Facts.Read(&f) != nil || f.Result == "" || f.Result.Good() {
			continue
		}
		if f.Message != "" {
			return about(s, AtRisk, "the last run ended as %s: %s", f.Result, brief(f.Message)), true
		}
		return about(s, AtRisk, "the last run ended as %s", f.Result), true
	}
	return Standing{}, false
}

// incomplete finds a last backup that lacks a source: what is good of it is not all
// that the host wants kept.
func (j *judgement) incomplete() (Standing, bool) {
	for _, s := range j.timed {
		var f ScheduleFacts
		if s.Facts.Read(&f) != nil {
			continue
		}
		for _, source := range f.Sources {
			if source.State == "missing" { //guard:source-missing
				return about(s, AtRisk, "the last backup is without %s, which was not there", brief(source.Path)), true
			}
		}
	}
	return Standing{}, false
}

// held finds what keeps the next run from happening.
func (j *judgement) held() (Standing, bool) {
	var policy struct{ State, Message string }
	if j.host.Policy.Read(&policy) == nil && policy.State == "locked" {
		return Standing{State: AtRisk, Reason: "The agent is locked by its policy file and runs nothing. " + brief(policy.Message)}, true
	}
	if j.host.ConfigError != "" {
		return Standing{State: AtRisk, Reason: "The agent refused its configuration: " + brief(j.host.ConfigError)}, true
	}
	return Standing{}, false
}

func (j *judgement) missed() (Standing, bool) {
	for _, s := range j.timed {
		switch {
		case s.Missed == 1:
			return about(s, AtRisk, "one slot was missed since the last good backup"), true
		case s.Missed > 1:
			return about(s, AtRisk, "%d slots were missed since the last good backup", s.Missed), true
		}
	}
	return Standing{}, false
}

func (j *judgement) unseen() (Standing, bool) {
	for _, s := range j.timed {
		var f ScheduleFacts
		if s.Facts.Read(&f) == nil && f.Unconfirmed {
			return about(s, AtRisk, "nobody has seen the last backup in the repository"), true
		}
	}
	return Standing{}, false
}

func about(s *Schedule, state ProtectionState, format string, args ...any) Standing {
	return Standing{State: state, Schedule: s.ID, Reason: fmt.Sprintf("Schedule %q: ", s.Name) + fmt.Sprintf(format, args...)}
}

// brief is the first line of a text, at most 300 characters of it.
func brief(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if runes := []rune(text); len(runes) > 300 {
		return string(runes[:299]) + "…"
	}
	return text
}

// earlier is the earlier of two moments, of which 0 is none.
func earlier(a, b Time) Time {
	if a.IsZero() || !b.IsZero() && b < a {
		return b
	}
	return a
}

func moment(t Time) string {
	if t.IsZero() {
		return "its enrolment"
	}
	return t.Time().Format("2 January 2006 15:04 UTC")
}

// inWords tells a duration by its two largest units: "1 day 6 hours".
func inWords(d time.Duration) string {
	units := []struct {
		name string
		size time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}}
	text, left := "", 2
	for _, u := range units {
		n := d / u.size
		d -= n * u.size
		if n == 0 || left == 0 {
			if text != "" {
				left = 0
			}
			continue
		}
		if text != "" {
			text += " "
		}
		text += fmt.Sprintf("%d %s", n, u.name)
		if n > 1 {
			text += "s"
		}
		left--
	}
	return text
}
