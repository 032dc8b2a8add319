package alert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"restic-manager/server/fleet"
)

// clocks that are wrong make schedules fire at the wrong time. A silent host's is not
// known.
func (e *evaluation) clocks() {
	kind := kindOf(ClockWrong, "")
	for i := range e.Hosts {
		h := &e.Hosts[i]
		set := e.rules.of(kind, h)
		offset := (time.Duration(h.ClockOffset) * time.Millisecond).Abs()
		if !set.enabled || e.silent[h.ID] || h.EnrolledAt.IsZero() || offset <= time.Duration(set.threshold)*time.Second {
			continue
		}
		way := "ahead"
		if h.ClockOffset < 0 {
			way = "behind"
		}
		e.add(Wanted{
			Subject:  subject(ClockWrong, fleet.ObjectHost, string(h.ID)),
			Severity: set.severity, Title: h.Name + ": the clock is wrong",
			Message:  fmt.Sprintf("The machine's clock is %s %s of the server's.", span(offset), way),
			NextStep: "Set the clock and turn on time synchronisation: schedules fire by it.",
			Objects:  []fleet.AlertObject{hostObject(h, "", 0)},
			Fact:     way,
		})
	}
}

// versions that are too old are one alert for all hosts: they come with an update of
// the server.
func (e *evaluation) versions() {
	server, known := version(e.ServerVersion)
	e.gather(AgentTooOld, "Agents are older than the server", "Install the agent of this server on these hosts.",
		func(h *fleet.Host) (string, bool) {
			if c := e.held[fleet.ObjectHost+"/"+string(h.ID)][AgentTooOld]; c != nil {
				return c.Message, true
			}
			if agent, ok := version(h.AgentVersion); known && ok && slices.Compare(agent[:2], server[:2]) < 0 {
				return "version " + h.AgentVersion, false
			}
			return "", false
		})
	e.gather(ResticTooOld, "restic is too old", "Install a newer restic on these hosts.",
		func(h *fleet.Host) (string, bool) {
			if c := e.held[fleet.ObjectHost+"/"+string(h.ID)][ResticTooOld]; c != nil {
				return c.Message, false
			}
			if fleet.ResticTooOld(h.ResticVersion) {
				return "restic " + h.ResticVersion, false
			}
			return "", false
		})
}

// gather wants one alert for all hosts of which there is something to say.
func (e *evaluation) gather(code, title, next string, say func(*fleet.Host) (text string, worse bool)) {
	kind := kindOf(code, "")
	w := Wanted{Subject: Subject{Key: code, Code: code, SubjectType: fleet.ObjectFleet}, NextStep: next}
	var names, facts []string
	for i := range e.Hosts {
		h := &e.Hosts[i]
		set := e.rules.of(kind, h)
		text, worse := say(h)
		if text == "" || !set.enabled {
			continue
		}
		severity := set.severity
		if worse && !set.fixed {
			severity = fleet.Warn
		}
		if severity.Order() > w.Severity.Order() {
			w.Severity = severity
		}
		names, facts = append(names, h.Name), append(facts, string(h.ID)+" "+text)
		w.Objects = append(w.Objects, hostObject(h, text, 0))
	}
	if len(names) == 0 {
		return
	}
	w.Title = title + ": " + some(names)
	w.Message = fmt.Sprintf("This is so on %d hosts: %s.", len(names), some(names))
	w.Fact = fingerprint(facts)
	e.add(w)
}

// version reads the numbers of a version; pre-releases count as what they precede.
func version(text string) ([]int, bool) {
	text, _, _ = strings.Cut(strings.TrimPrefix(text, "v"), "-")
	text, _, _ = strings.Cut(text, "+")
	parts := strings.Split(text, ".")
	if len(parts) < 2 || len(parts) > 4 {
		return nil, false
	}
	numbers := make([]int, len(parts))
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return nil, false
		}
		numbers[i] = n
	}
	return numbers, true
}

// droppingFor is how long dropped lines are spoken of.
const droppingFor = 24 * time.Hour

// spools that drop have lost log lines for good. The agent's count only rises, so it
// is its rise that matters.
func (e *evaluation) spools() {
	kind := kindOf(SpoolDropping, "")
	for i := range e.Hosts {
		h := &e.Hosts[i]
		var spool struct {
			Dropped int64 `json:"dropped_lines"`
		}
		if h.Spool.Read(&spool) != nil {
			continue
		}
		name := "spool/" + string(h.ID)
		mark, known := e.Marks[name]
		if spool.Dropped != mark.Value { // a new journal begins to count anew
			if spool.Dropped > mark.Value || !known {
				mark.RisenAt = e.Now
			}
			mark.Value = spool.Dropped
			e.marks[name] = mark
		}
		set := e.rules.of(kind, h)
		if !set.enabled || mark.Value == 0 || mark.RisenAt.Add(droppingFor) < e.Now {
			continue
		}
		e.add(Wanted{
			Subject:  subject(SpoolDropping, fleet.ObjectHost, string(h.ID)),
			Severity: set.severity, Title: h.Name + ": log lines were dropped",
			Message:  fmt.Sprintf("The agent had no room for %d lines of its jobs' logs. Results are never dropped.", mark.Value),
			NextStep: "Make room on the disk of the agent's state, or look why it could not reach the server.",
			Objects:  []fleet.AlertObject{hostObject(h, "", mark.RisenAt)},
			Fact:     strconv.FormatInt(mark.Value, 10),
		})
	}
}

// said are the conditions of hosts that other alerts speak of.
func said(code string, all map[string]*fleet.Condition) bool {
	switch code {
	case "backup_failed", "clock_skew", ClockWrong, AgentTooOld, ResticTooOld:
		return true
	case "config_refused": // the agent's own word for it is better
		for other := range all {
			if strings.HasPrefix(other, "config_") && other != code {
				return true
			}
		}
	}
	return false
}

// ownAlert are the codes of conditions of hosts that are alerts by themselves: those that
// the server finds and those that our agents are known to tell.
var ownAlert = []string{
	"agent_cloned", "agent_journal_lost", "server_set_back", "backup_unconfirmed", "too_many_jobs",
	"policy_locked", "policy_file_missing", "policy_file_insecure", "policy_file_invalid",
	"config_refused", "config_invalid", "config_not_saved",
	"journal_failed", "spool_damaged", "process_not_recorded", "records_rejected", "command_malformed",
	"secret_store_problem", "restic_left_running", "restic_missing", "restic_binary_insecure", "restic_not_started",
}

// otherTrouble is one alert a host for all codes that are not known here: an agent may
// be newer, or invent a code a minute.
func (e *evaluation) otherTrouble(h *fleet.Host, held []*fleet.Condition) {
	set := e.rules.of(kindOf(HostTrouble, ""), h)
	if !set.enabled {
		return
	}
	slices.SortFunc(held, func(a, b *fleet.Condition) int { return strings.Compare(a.Code, b.Code) })
	w := Wanted{
		Subject: subject(HostTrouble, fleet.ObjectHost, string(h.ID)), Severity: set.severity,
		NextStep: held[0].NextStep,
	}
	var codes, texts, facts []string
	for _, c := range held {
		if !set.fixed && c.Severity.Order() > w.Severity.Order() {
			w.Severity, w.NextStep = c.Severity, c.NextStep
		}
		codes, facts = append(codes, plain(c.Code)), append(facts, fmt.Sprintf("%s since %d", c.Code, c.Since))
		if len(texts) < 3 {
			texts = append(texts, sentence(c.Message))
		}
		if o := hostObject(h, c.Message, c.Since); len(w.Objects) == 0 {
			w.Objects = []fleet.AlertObject{o}
		}
	}
	w.Title, w.Message, w.Fact = h.Name+": "+some(codes), strings.Join(texts, " "), fingerprint(facts)
	e.add(w)
}

// carriedConditions are all others that need a person, each by itself where its code is
// known.
func (e *evaluation) carriedConditions() {
	others := map[fleet.HostID][]*fleet.Condition{}
	for i := range e.Conditions {
		c := &e.Conditions[i]
		object := c.ObjectType + "/" + c.ObjectID
		w := Wanted{
			Subject: subject(c.Code, c.ObjectType, c.ObjectID),
			Message: sentence(c.Message), NextStep: c.NextStep, Fact: fmt.Sprintf("since %d", c.Since),
		}
		set := setting{}
		switch c.ObjectType {
		case fleet.ObjectHost:
			h := e.hosts[fleet.HostID(c.ObjectID)]
			if h == nil || said(c.Code, e.held[object]) {
				continue
			}
			if !slices.Contains(ownAlert, c.Code) { //guard:alert-codes
				if c.Severity.Order() >= fleet.Warn.Order() {
					others[h.ID] = append(others[h.ID], c)
				}
				continue
			}
			set = e.rules.of(kindOf(c.Code, HostTrouble), h)
			o := hostObject(h, "", c.Since)
			o.Job = c.JobID
			w.Title, w.Objects = h.Name+": "+plain(c.Code), []fleet.AlertObject{o}
		case fleet.ObjectRepository:
			r := e.repos[fleet.RepositoryID(c.ObjectID)]
			if _, spoken := broken[c.Code]; r == nil || spoken || c.Code == CredentialCanDelete {
				continue
			}
			set = e.rules.of(kindOf(c.Code, RepositoryTrouble), nil)
			w.Title = "Repository " + r.Name + ": " + plain(c.Code)
			w.Objects = []fleet.AlertObject{{Type: fleet.ObjectRepository, ID: c.ObjectID, Name: r.Name, Job: c.JobID, Since: c.Since}}
		default:
			continue
		}
		w.Severity = c.Severity
		if set.fixed {
			w.Severity = set.severity
		}
		if set.enabled && w.Severity.Order() >= fleet.Warn.Order() {
			e.add(w)
		}
	}
	for id, held := range others {
		e.otherTrouble(e.hosts[id], held)
	}
}

// plain is a code as words.
func plain(code string) string { return strings.ReplaceAll(code, "_", " ") }

// failingChannels are those that cannot tell anybody.
func (e *evaluation) failingChannels() {
	set := e.rules.of(kindOf(NotificationFailing, ""), nil)
	for i := range e.Channels {
		c := &e.Channels[i]
		if !set.enabled || !c.Enabled || c.FailingSince.IsZero() || e.Now < c.FailingSince.Add(time.Duration(set.threshold)*time.Minute) {
			continue
		}
		e.add(Wanted{
			Subject:  subject(NotificationFailing, fleet.ObjectChannel, string(c.ID)),
			Severity: set.severity, Title: fmt.Sprintf("Channel %s does not get through", c.Name),
			Message:  fmt.Sprintf("Nothing could be sent through it since %s.", when(c.FailingSince)),
			NextStep: "Look at the channel's deliveries, correct what they name, and send a test.",
			Objects:  []fleet.AlertObject{{Type: fleet.ObjectChannel, ID: string(c.ID), Name: c.Name, Since: c.FailingSince}},
			Fact:     fmt.Sprintf("since %d", c.FailingSince),
		})
	}
}

// audit speaks of the chain of the audit log.
func (e *evaluation) audit() {
	set := e.rules.of(kindOf(AuditBroken, ""), nil)
	if e.AuditProblem == "" || !set.enabled {
		return
	}
	e.add(Wanted{
		Subject: Subject{Key: AuditBroken, Code: AuditBroken, SubjectType: fleet.ObjectFleet}, Severity: set.severity,
		Title: "The audit log was altered", Message: sentence(e.AuditProblem),
		NextStep: "Find out who could write the database; compare with a backup of it.",
		Objects:  []fleet.AlertObject{{Type: fleet.ObjectFleet, Name: "audit log"}},
		Fact:     e.AuditProblem,
	})
}
