package alert

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"restic-manager/server/fleet"
)

// silentHosts are those whose agents were not heard for too long. What they missed
// meanwhile follows from that and is not said.
func (e *evaluation) silentHosts() {
	kind := kindOf(HostSilent, "")
	for i := range e.Hosts {
		h := &e.Hosts[i]
		if h.Presence(e.Now.Time()) != fleet.Offline {
			continue
		}
		set := e.rules.of(kind, h)
		if e.Now < h.ContactDeadline.Add(time.Duration(set.threshold)*time.Minute) {
			continue
		}
		e.silent[h.ID] = true
		if !set.enabled {
			continue
		}
		late := e.lateHosts[h.ID]
		message := fmt.Sprintf("The agent of %s was last heard %s. Its backups go on by themselves while the machine runs; nobody here can see them.", h.Name, when(h.LastContact))
		if late {
			message += " An objective is missed."
		}
		e.add(Wanted{
			Subject:  subject(HostSilent, fleet.ObjectHost, string(h.ID)),
			Severity: set.raised(late), Title: h.Name + " is silent", Message: message,
			NextStep: "Look whether the machine runs and reaches this server, then at its agent: restic-manager-agent doctor.",
			Objects:  []fleet.AlertObject{hostObject(h, "", h.LastContact)},
			Fact:     fmt.Sprintf("%d", h.LastContact),
		})
	}
}

// bad tells whether the last backup did not succeed.
func bad(s *schedule) bool {
	switch s.facts.Result {
	case fleet.Failed, fleet.Interrupted, fleet.Rejected, fleet.Lost, fleet.Expired:
		return true
	}
	return false
}

// locked tells whether an alert about the host itself says why its jobs are rejected.
func (e *evaluation) locked(h *fleet.Host) bool {
	for code, c := range e.held[fleet.ObjectHost+"/"+string(h.ID)] {
		if c.Severity == fleet.Critical && strings.HasPrefix(code, "policy_") {
			return true
		}
	}
	return false
}

// failedBackups are those whose cause is not the repository's, one alert a host.
func (e *evaluation) failedBackups() {
	kind := kindOf(JobFailed, "")
	failed := e.pick(func(s *schedule) bool {
		if s.facts.Result == fleet.Rejected && e.locked(s.host) {
			e.covered[s.ID] = true
			return false
		}
		return bad(s)
	})
	for _, group := range ofHost(failed) {
		h := group[0].host
		set := e.rules.of(kind, h)
		w := Wanted{Subject: subject(JobFailed, fleet.ObjectHost, string(h.ID))}
		var names, facts, next []string
		late := false
		for i := range group {
			s := &group[i]
			e.covered[s.ID] = true
			late = late || e.late(s)
			names, next = append(names, s.Name), append(next, s.facts.NextStep)
			facts = append(facts, string(s.facts.Job)+string(s.facts.Result))
			w.Objects = append(w.Objects, s.object(orResult(&s.facts)))
		}
		if !set.enabled {
			continue
		}
		w.Severity, w.Fact, w.NextStep = set.raised(late), fingerprint(facts), fleet.NextOf(next)
		w.Title = fmt.Sprintf("%s: backup failed (%s)", h.Name, some(names))
		w.Message = sentence(orResult(&group[0].facts))
		if late {
			w.Message += " The objective is missed."
		}
		e.add(w)
	}
}

// orResult says why a backup ended badly.
func orResult(f *fleet.ScheduleFacts) string {
	if f.Message != "" {
		return f.Message
	}
	return "The last backup ended as " + string(f.Result)
}

// missedObjectives are those that nothing else explains, one alert a host.
func (e *evaluation) missedObjectives() {
	kind := kindOf(ObjectiveMissed, "")
	late := e.pick(func(s *schedule) bool { return !e.silent[s.HostID] && e.late(s) })
	for _, group := range ofHost(late) {
		h := group[0].host
		set := e.rules.of(kind, h)
		if !set.enabled {
			continue
		}
		w := Wanted{
			Subject:  subject(ObjectiveMissed, fleet.ObjectHost, string(h.ID)),
			Severity: set.severity, NextStep: "Look at the schedule's last jobs and run it now.",
		}
		var names, facts []string
		for i := range group {
			s := &group[i]
			e.covered[s.ID] = true
			names = append(names, s.Name)
			facts = append(facts, fmt.Sprintf("%s %d", s.ID, s.BreachAt))
			o := s.object("overdue since " + when(s.BreachAt))
			o.Since = s.BreachAt
			w.Objects = append(w.Objects, o)
		}
		w.Fact = fingerprint(facts)
		w.Title = fmt.Sprintf("%s: no good backup in time (%s)", h.Name, some(names))
		w.Message = fmt.Sprintf("The last good backup of %q is older than its objective: that is missed since %s.", group[0].Name, when(group[0].BreachAt))
		if group[0].LastGood.IsZero() {
			w.Message = fmt.Sprintf("%q has no good backup yet, and its objective is missed since %s.", group[0].Name, when(group[0].BreachAt))
		}
		e.add(w)
	}
}

// missedSlots are those of hosts that are expected to be there, one alert a host.
func (e *evaluation) missedSlots() {
	kind := kindOf(SlotMissed, "")
	missed := e.pick(func(s *schedule) bool {
		set := e.rules.of(kind, s.host)
		return set.enabled && s.Missed > 0 && s.Missed >= set.threshold && !e.silent[s.HostID] && s.host.Availability != fleet.ComeAndGo
	})
	for _, group := range ofHost(missed) {
		h := group[0].host
		w := Wanted{
			Subject:  subject(SlotMissed, fleet.ObjectHost, string(h.ID)),
			Severity: e.rules.of(kind, h).severity, NextStep: "Look why at the missed jobs; run the schedule now if it should not wait for its next slot.",
		}
		var names, facts []string
		var total int64
		for i := range group {
			s := &group[i]
			names, total = append(names, s.Name), total+s.Missed
			facts = append(facts, fmt.Sprintf("%s %d %d", s.ID, s.LastGood, s.Missed))
			w.Objects = append(w.Objects, s.object(fmt.Sprintf("%d missed", s.Missed)))
		}
		w.Fact = fingerprint(facts)
		w.Title = fmt.Sprintf("%s: slots missed (%s)", h.Name, some(names))
		w.Message = fmt.Sprintf("%d slots were missed since the last good backup.", total)
		if total == 1 {
			w.Message = "One slot was missed since the last good backup."
		}
		e.add(w)
	}
}

// sources says what the last backups saw of what they back up.
func (e *evaluation) sources() {
	e.perHost(SourceMissing, "a source was not there", "Mount or restore what is missing, or take it from the schedule.",
		func(s *schedule, _ setting) (string, string) {
			if bad(s) && s.facts.Code == SourceMissing && e.rules.of(kindOf(JobFailed, ""), s.host).enabled {
				return "", "" // that the backup failed says so
			}
			return seen(s, "missing", "was not there")
		})
	e.perHost(SourceEmpty, "a source was empty", "Look whether something was deleted or not mounted; older snapshots still have it.",
		func(s *schedule, _ setting) (string, string) { return seen(s, "empty", "was empty") })
	e.perHost(SourceShrank, "a source shrank", "Look whether something was deleted that should not be; older snapshots still have it.", shrank)
	e.perHost(WarningsShare, "files could not be read", "Look at the job: it lists the files. Give the agent the right to read them, or exclude them.", unread)
}

// seen tells which sources were so; the paths are the fact.
func seen(s *schedule, state, words string) (text, fact string) {
	var paths []string
	for _, source := range s.facts.Sources {
		if source.State == state {
			paths = append(paths, source.Path)
		}
	}
	if len(paths) == 0 {
		return "", ""
	}
	return some(paths) + " " + words, strings.Join(paths, "\n")
}

// shrank compares with what is usual. The fact is the size, roughly, so that the next
// backup of what stays small is no news.
func shrank(s *schedule, set setting) (text, fact string) {
	f := &s.facts
	for _, c := range []struct {
		now, usual int64
		what       string
	}{{f.Files, f.UsualFiles, "files"}, {f.Bytes, f.UsualBytes, "bytes"}} {
		if c.usual > 0 && c.now >= 0 && set.threshold > 0 && float64(c.usual-c.now)*100 >= float64(c.usual)*float64(set.threshold) {
			return fmt.Sprintf("%d %s instead of about %d", c.now, c.what, c.usual), roughly(c.now)
		}
	}
	return "", ""
}

// roughly is the same for numbers that differ little.
func roughly(n int64) string { return strconv.Itoa(bits.Len64(uint64(n))) }

// unread looks at the share of files that could not be read.
func unread(s *schedule, set setting) (text, fact string) {
	f := &s.facts
	if f.Warnings <= 0 || float64(f.Warnings)*100 < float64(f.Files+f.Warnings)*float64(set.threshold) {
		return "", ""
	}
	return fmt.Sprintf("%d files could not be read", f.Warnings), roughly(f.Warnings)
}

// perHost wants an alert for each host with schedules of which there is something to
// say.
func (e *evaluation) perHost(code, title, next string, say func(*schedule, setting) (text, fact string)) {
	kind := kindOf(code, "")
	said, seen := map[fleet.ScheduleID]string{}, map[fleet.ScheduleID]string{}
	var list []schedule
	for i := range e.schedules {
		s := &e.schedules[i]
		set := e.rules.of(kind, s.host)
		if text, fact := say(s, set); text != "" && set.enabled {
			said[s.ID], seen[s.ID] = text, fact
			list = append(list, *s)
		}
	}
	for _, group := range ofHost(list) {
		h := group[0].host
		w := Wanted{
			Subject:  subject(code, fleet.ObjectHost, string(h.ID)),
			Severity: e.rules.of(kind, h).severity, Title: h.Name + ": " + title, NextStep: next,
		}
		var facts, texts []string
		for i := range group {
			s := &group[i]
			facts = append(facts, string(s.ID)+" "+seen[s.ID])
			texts = append(texts, fmt.Sprintf("%s: %s", s.Name, said[s.ID]))
			w.Objects = append(w.Objects, s.object(said[s.ID]))
		}
		w.Fact, w.Message = fingerprint(facts), sentence(strings.Join(texts, "; "))
		e.add(w)
	}
}
