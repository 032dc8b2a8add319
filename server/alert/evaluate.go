package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Input is everything that alerts follow from.
type Input struct {
	*store.AlertFacts
	Rules         []fleet.AlertRule
	ServerVersion string // of the program; one that is no version compares with nothing
	AuditProblem  string // empty: the chain holds, as far as it was looked at
}

// Subject is what an alert is about; its key names the cause, of which one alert is open.
type Subject struct {
	Key         string
	Code        string
	SubjectType string
	SubjectID   string
}

// subject is a code about one object, which is its own cause.
func subject(code, objectType, id string) Subject {
	return Subject{code + "/" + id, code, objectType, id}
}

// Wanted is an alert that should be open.
type Wanted struct {
	Subject
	Severity fleet.Severity
	Title    string
	Message  string
	NextStep string
	Objects  []fleet.AlertObject
	Fact     string
	Delay    time.Duration
}

// Evaluate gives the alerts that should be open, by key, and the marks that changed.
// It depends on its input alone.
func Evaluate(in Input) ([]Wanted, map[string]store.AlertMark) {
	e := newEvaluation(in)
	// The order is that of causes: what comes first covers what follows from it.
	e.silentHosts()
	e.brokenRepositories()
	e.failedBackups()
	e.missedObjectives()
	e.missedSlots()
	e.sources()
	e.capacity()
	e.checks()
	e.credentials()
	e.clocks()
	e.versions()
	e.spools()
	e.carriedConditions()
	e.failingChannels()
	e.audit()
	slices.SortFunc(e.wanted, func(a, b Wanted) int { return strings.Compare(a.Key, b.Key) })
	return e.wanted, e.marks
}

// evaluation is one run of Evaluate.
type evaluation struct {
	Input
	rules     ruleBook
	hosts     map[fleet.HostID]*fleet.Host
	schedules []schedule
	repos     map[fleet.RepositoryID]*fleet.Repository
	health    map[fleet.RepositoryID]*fleet.RepositoryHealth
	held      map[string]map[string]*fleet.Condition // by object type and id, code
	silent    map[fleet.HostID]bool
	lateHosts map[fleet.HostID]bool
	covered   map[fleet.ScheduleID]bool // what is wrong with it has been said
	wanted    []Wanted
	marks     map[string]store.AlertMark
	troubles  map[string]bool // "repository/code" that an alert speaks of
}

// schedule is a schedule beside its host and what is known of its last backup.
type schedule struct {
	*fleet.Schedule
	host  *fleet.Host
	facts fleet.ScheduleFacts
}

func newEvaluation(in Input) *evaluation {
	e := &evaluation{
		Input: in, rules: newRuleBook(in.Rules),
		hosts: map[fleet.HostID]*fleet.Host{}, repos: map[fleet.RepositoryID]*fleet.Repository{},
		held: map[string]map[string]*fleet.Condition{}, silent: map[fleet.HostID]bool{}, lateHosts: map[fleet.HostID]bool{}, covered: map[fleet.ScheduleID]bool{},
		health: map[fleet.RepositoryID]*fleet.RepositoryHealth{},
		marks:  map[string]store.AlertMark{}, troubles: map[string]bool{},
	}
	for i := range in.Hosts {
		e.hosts[in.Hosts[i].ID] = &in.Hosts[i]
	}
	for i := range in.Repositories {
		r := &in.Repositories[i]
		e.repos[r.ID] = r
		var health fleet.RepositoryHealth
		_ = r.Health.Read(&health) // what cannot be read is not known
		e.health[r.ID] = &health
	}
	for i := range in.Schedules {
		s := schedule{Schedule: &in.Schedules[i], host: e.hosts[in.Schedules[i].HostID]}
		if s.host == nil || s.Facts.Read(&s.facts) != nil {
			continue
		}
		e.schedules = append(e.schedules, s)
		if e.late(&s) {
			e.lateHosts[s.HostID] = true
		}
	}
	for i := range in.Conditions {
		c := &in.Conditions[i]
		object := c.ObjectType + "/" + c.ObjectID
		if e.held[object] == nil {
			e.held[object] = map[string]*fleet.Condition{}
		}
		e.held[object][c.Code] = c
	}
	return e
}

// add wants an alert.
func (e *evaluation) add(w Wanted) { e.wanted = append(e.wanted, w) }

// object is a schedule as an alert's object.
func (s *schedule) object(message string) fleet.AlertObject {
	return fleet.AlertObject{
		Type: fleet.ObjectSchedule, ID: string(s.ID), Name: s.host.Name + ": " + s.Name, Message: message,
		Job: s.facts.Job, Since: s.facts.At, Host: s.HostID,
	}
}

func hostObject(h *fleet.Host, message string, since fleet.Time) fleet.AlertObject {
	return fleet.AlertObject{Type: fleet.ObjectHost, ID: string(h.ID), Name: h.Name, Message: message, Since: since, Host: h.ID}
}

// late tells whether a schedule's objective is missed. A host that comes and goes is
// asleep and not late while it is away for no longer than it may.
func (e *evaluation) late(s *schedule) bool {
	return !s.BreachAt.IsZero() && s.BreachAt < e.Now && s.host.Protection != fleet.Asleep
}

// raised gives the severity of what has become worse, unless a rule fixed it.
func (s setting) raised(worse bool) fleet.Severity {
	if worse && !s.fixed {
		return fleet.Critical
	}
	return s.severity
}

// ofHost gathers schedules by host in order.
func ofHost(list []schedule) [][]schedule {
	var groups [][]schedule
	for i, s := range list {
		if i > 0 && list[i-1].HostID == s.HostID {
			groups[len(groups)-1] = append(groups[len(groups)-1], s)
			continue
		}
		groups = append(groups, []schedule{s})
	}
	return groups
}

// pick gives the schedules that are so and that nothing has been said of.
func (e *evaluation) pick(holds func(*schedule) bool) []schedule {
	var list []schedule
	for i := range e.schedules {
		if s := &e.schedules[i]; !e.covered[s.ID] && holds(s) {
			list = append(list, *s)
		}
	}
	return list
}

// fingerprint is a short name of facts, whatever their order.
func fingerprint(facts []string) string {
	sorted := slices.Sorted(slices.Values(facts))
	sum := sha256.Sum256([]byte(strings.Join(sorted, "\n")))
	return hex.EncodeToString(sum[:12])
}

// some names the first few things of a list.
func some(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// span is a duration for people.
func span(d time.Duration) string {
	switch d = d.Abs(); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// when is a moment for people who are anywhere. Texts name moments rather than how
// long ago they were, so that they stay as they are.
func when(t fleet.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Time().Format("2006-01-02 15:04 UTC")
}

// sentence gives a text its stop.
func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}
