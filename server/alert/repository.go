package alert

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"restic-manager/server/fleet"
)

// broken is what a failure says of its repository, by the code of the job and of the
// condition.
var broken = map[string]string{
	"repo_unreachable":          "cannot be reached",
	"repo_tls":                  "has a certificate that is not trusted",
	"repo_credentials_rejected": "rejects the credential",
	"repo_forbidden":            "forbids what restic needs to do",
	"repo_upload_refused":       "gets no large uploads",
	"repo_not_found":            "is not at its location",
	"repo_missing":              "is gone from its location",
	"repository_changed":        "was replaced by another one",
	"repo_damaged":              "is damaged",
	"repository_full":           "is full",
	MaintenanceFolder:           "cannot be maintained in its folder",
	MaintenanceFolderGone:       "is gone from the folder where it is maintained",
	"repo_locked":               "is locked",
	"wrong_password":            "does not open with its password",
	initFailed:                  "could not be made usable",
}

// alertCode is the code of the alert about a repository's trouble.
func alertCode(code string) string {
	if code == "repo_unreachable" {
		return RepositoryUnreachable
	}
	return code
}

// trouble is what is wrong with a repository.
type trouble struct {
	repository fleet.RepositoryID
	code       string
}

const initFailed = "repository_init_failed"

// foldInits has a repository that could not be made usable be told by what kept it from
// that, where it is known: it is one cause.
func foldInits(hit map[trouble][]*schedule) {
	for _, cause := range slices.SortedFunc(maps.Keys(hit), func(a, b trouble) int { return strings.Compare(a.code, b.code) }) {
		failed := trouble{cause.repository, initFailed}
		if schedules, both := hit[failed]; both && cause.code != initFailed {
			hit[cause] = append(hit[cause], schedules...)
			delete(hit, failed)
		}
	}
}

// brokenRepositories are the cause of all backups that fail on them: one alert for
// each repository and trouble, with the schedules that it keeps from backing up.
func (e *evaluation) brokenRepositories() {
	hit := map[trouble][]*schedule{}
	for i := range e.schedules {
		s := &e.schedules[i]
		if s.facts.Code == CredentialCanDelete && bad(s) && e.deletable(e.repos[s.RepositoryID]) {
			e.covered[s.ID] = true // the credential has an alert of its own
			continue
		}
		if _, known := broken[s.facts.Code]; known && bad(s) && e.repos[s.RepositoryID] != nil {
			t := trouble{s.RepositoryID, s.facts.Code}
			hit[t] = append(hit[t], s)
			e.covered[s.ID] = true
		}
	}
	for i := range e.Conditions {
		c := &e.Conditions[i]
		if _, known := broken[c.Code]; known && c.ObjectType == fleet.ObjectRepository {
			t := trouble{fleet.RepositoryID(c.ObjectID), c.Code}
			hit[t] = append(hit[t], nil...) // also without a backup that shows it
		}
	}
	foldInits(hit)
	for t, schedules := range hit {
		if r := e.repos[t.repository]; r != nil {
			e.brokenRepository(r, t.code, schedules)
		}
	}
}

// brokenRepository wants the alert of one repository and trouble.
func (e *evaluation) brokenRepository(r *fleet.Repository, code string, schedules []*schedule) {
	w := Wanted{
		Subject: subject(alertCode(code), fleet.ObjectRepository, string(r.ID)),
		Title:   fmt.Sprintf("Repository %s %s", r.Name, broken[code]),
	}
	// The title says what is wrong, so the rest is not that again: restic's own words are on
	// the repository's page and with the job.
	if condition := e.held[fleet.ObjectRepository+"/"+string(r.ID)][code]; condition != nil {
		w.Message, w.NextStep = sentence(plainly(condition.Message)), condition.NextStep
		w.Fact = fmt.Sprintf("since %d", condition.Since)
	}
	hit, enabled := e.ruled(&w, kindOf(alertCode(code), RepositoryTrouble), schedules)
	if !enabled {
		return
	}
	w.hits(hit)
	if w.NextStep == "" {
		w.NextStep = "Look at the repository's storage and the way there; backups try again with their next slot."
	}
	if len(w.Objects) == 0 {
		w.Objects = []fleet.AlertObject{{Type: fleet.ObjectRepository, ID: string(r.ID), Name: r.Name}}
	}
	e.troubles[string(r.ID)+"/"+code] = true
	e.add(w)
}

// ruled sets an alert's severity to the highest that the rules give it at the hosts of
// schedules, or in the fleet where there are none, and leaves the schedules where it is
// not switched off.
func (e *evaluation) ruled(w *Wanted, kind *Kind, schedules []*schedule) (hit []*schedule, enabled bool) {
	if len(schedules) == 0 {
		set := e.rules.of(kind, nil)
		w.Severity = set.severity
		return nil, set.enabled
	}
	for _, s := range schedules {
		set := e.rules.of(kind, s.host)
		if !set.enabled {
			continue
		}
		hit = append(hit, s)
		if set.severity.Order() > w.Severity.Order() {
			w.Severity = set.severity
		}
	}
	return hit, len(hit) > 0
}

// hits names the hosts that cannot back up by their schedules, an object each.
func (w *Wanted) hits(schedules []*schedule) {
	hosts := map[fleet.HostID]bool{}
	var facts, names []string
	for _, s := range schedules {
		facts = append(facts, string(s.ID))
		if hosts[s.HostID] {
			continue
		}
		hosts[s.HostID] = true
		names = append(names, s.host.Name)
		o := hostObject(s.host, "", s.facts.At)
		o.Job = s.facts.Job
		w.Objects = append(w.Objects, o)
		if w.NextStep == "" {
			w.NextStep = s.facts.NextStep
		}
	}
	switch n := len(names); n {
	case 0:
	case 1:
		w.Message = names[0] + " could not back up."
	default:
		w.Message = fmt.Sprintf("%d hosts could not back up: %s.", n, some(names))
	}
	if w.Fact == "" {
		w.Fact = fingerprint(facts)
	}
}

// plainly is a text without restic's own words.
func plainly(text string) string {
	text, _, _ = strings.Cut(text, " (restic: ")
	return text
}

// room is how much room the storage of a repository has, as somebody saw it.
type room struct {
	free, total int64
	at          fleet.Time
	host        *fleet.Host // who saw it; nil: not known
}

// rooms gathers what was last seen of each repository's storage: by a backup, or by the
// host that maintains it.
func (e *evaluation) rooms() map[fleet.RepositoryID]room {
	newest := map[fleet.RepositoryID]room{}
	see := func(id fleet.RepositoryID, r room) {
		if last, known := newest[id]; r.total > 0 && e.repos[id] != nil && (!known || r.at > last.at) {
			newest[id] = r
		}
	}
	for i := range e.schedules {
		s := &e.schedules[i]
		see(s.RepositoryID, room{s.facts.FreeBytes, s.facts.TotalBytes, s.facts.At, s.host})
	}
	for id, health := range e.health {
		see(id, room{health.FreeBytes, health.TotalBytes, health.MeasuredAt, e.hosts[e.repos[id].MaintenanceHost]})
	}
	return newest
}

// capacity looks at how much room the storage of each repository has.
func (e *evaluation) capacity() {
	newest := e.rooms()
	kind := kindOf(RepositoryNearlyFull, "")
	for _, id := range slices.Sorted(maps.Keys(newest)) {
		seen, r := newest[id], e.repos[id]
		set := e.rules.of(kind, seen.host)
		free := float64(seen.free) * 100 / float64(seen.total)
		if !set.enabled || free >= float64(set.threshold) || e.troubles[string(id)+"/repository_full"] {
			continue
		}
		o := fleet.AlertObject{Type: fleet.ObjectRepository, ID: string(id), Name: r.Name, Since: seen.at}
		message := fmt.Sprintf("%.0f %% of its storage are free", free)
		if seen.host != nil {
			message, o.Host = message+", as "+seen.host.Name+" saw it", seen.host.ID
		}
		if full := e.health[id].FullAt(); !full.IsZero() {
			message += "; at the rate at which it grows it is full on " + full.Time().Format(time.DateOnly)
		}
		e.add(Wanted{
			Subject:  subject(RepositoryNearlyFull, fleet.ObjectRepository, string(id)),
			Severity: set.severity, Title: fmt.Sprintf("Repository %s is nearly full", r.Name),
			Message: message + ".", NextStep: "Make room, add storage, or keep fewer snapshots. What a maintenance host keeps aside takes room until it goes.",
			Objects: []fleet.AlertObject{o},
			Fact:    fmt.Sprintf("%d", int(free)),
		})
	}
}

// checks that are to run and do not: bits that flip are found by nobody else.
func (e *evaluation) checks() {
	set := e.rules.of(kindOf(CheckOverdue, ""), nil)
	if !set.enabled {
		return
	}
	for i := range e.Repositories {
		r := &e.Repositories[i]
		var plan fleet.MaintenancePlan
		if r.State != fleet.RepositoryReady || r.Schedules == 0 || r.Plan.Read(&plan) != nil || plan.Check == "" {
			continue
		}
		good := e.health[r.ID].LastGoodCheck
		if e.Now < max(good, r.CreatedAt).Add(time.Duration(set.threshold)*24*time.Hour) {
			continue
		}
		e.add(Wanted{
			Subject:  subject(CheckOverdue, fleet.ObjectRepository, string(r.ID)),
			Severity: set.severity, Title: fmt.Sprintf("Repository %s was not checked", r.Name),
			Message:  "The last check that went well: " + when(good) + ".",
			NextStep: "Look why its checks do not run or fail, and start one.",
			Objects:  []fleet.AlertObject{{Type: fleet.ObjectRepository, ID: string(r.ID), Name: r.Name, Since: good}},
			Fact:     fmt.Sprintf("since %d", good),
		})
	}
}

// deletable tells whether there is an alert about a repository's credential.
func (e *evaluation) deletable(r *fleet.Repository) bool {
	if r == nil || r.AllowDeletingCredential || !e.rules.of(kindOf(CredentialCanDelete, ""), nil).enabled {
		return false
	}
	return r.CanDelete == "yes" || e.held[fleet.ObjectRepository+"/"+string(r.ID)][CredentialCanDelete] != nil
}

// credentials that can delete are a danger before anything happens.
func (e *evaluation) credentials() {
	kind := kindOf(CredentialCanDelete, "")
	set := e.rules.of(kind, nil)
	for i := range e.Repositories {
		r := &e.Repositories[i]
		c := e.held[fleet.ObjectRepository+"/"+string(r.ID)][CredentialCanDelete]
		if !e.deletable(r) {
			continue
		}
		w := Wanted{
			Subject:  subject(CredentialCanDelete, fleet.ObjectRepository, string(r.ID)),
			Severity: set.severity, Title: fmt.Sprintf("Repository %s: hosts could delete backups", r.Name),
			Message:  "The credential that hosts use could delete backups: whoever takes over a host could, too.",
			NextStep: "Let the storage accept only new data (rest-server --append-only), or let an admin allow it.",
			Objects:  []fleet.AlertObject{{Type: fleet.ObjectRepository, ID: string(r.ID), Name: r.Name}},
			Fact:     r.CanDelete,
		}
		if c != nil {
			w.Fact = fmt.Sprintf("since %d", c.Since)
		}
		e.add(w)
	}
}
