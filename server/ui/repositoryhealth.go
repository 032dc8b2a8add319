package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// What makes a repository healthy: somebody maintains it, checks read its data, space
// comes back, and nothing odd lies in it.

// stale is how old a check or a prune may be: within it all data should have been read.
const stale = 35 * 24 * time.Hour

// finding is something about a repository that a person may want to do something
// about, with the one thing that helps.
type finding struct {
	Code    string // of the condition that says the same; empty: none does
	State   web.State
	Text    string // a sentence
	Note    string
	Command string // for root on a machine
	Do      *doing
}

// doing is a button or a link.
type doing struct {
	Label   string
	Href    string // a link
	Action  string // else where a form is posted
	Hidden  []web.Hidden
	Dialog  string // else the dialog that asks first
	Need    string // the role that may
	Primary bool
}

// health is how a repository stands, in words.
type health struct {
	State    web.State
	Sentence string
	Findings []finding // the worst first
	Open     int       // of them, those that make it not healthy
}

func riskLook(word string) web.State {
	return web.State{Tone: web.Risk, Glyph: "risk", Word: word}
}
func warnLook(word string) web.State {
	return web.State{Tone: web.Warn, Glyph: "warn", Word: word}
}
func noteLook(word string) web.State {
	return web.State{Tone: web.Idle, Glyph: "idle", Word: word}
}

// healthOf judges a repository by what the contract tells of it. Only what is known
// speaks against it; what is not known yet is said.
func healthOf(r api.Repository, locks []api.RepositoryLock, now time.Time) health {
	h := health{State: repositoryState(r)}
	if r.State != api.RepositoryStateReady {
		h.Findings = append(troubles(r), sheetSaved(r)...)
		slices.SortStableFunc(h.Findings, func(a, b finding) int { return rank(a) - rank(b) })
		h.Open = len(h.Findings)
		h.Sentence = map[api.RepositoryState]string{
			api.RepositoryStateNew:          "Not made yet: it waits for a host.",
			api.RepositoryStateInitialising: "A host prepares it now.",
			api.RepositoryStateFailed:       "It cannot be used: preparing it failed.",
		}[r.State]
		return h
	}
	all := troubles(r)
	for _, list := range [][]finding{maintained(r), checked(r, now), reclaimed(r, now), odd(r, locks), roomLeft(r, now)} {
		all = append(all, list...)
	}
	all = once(all)
	for _, tone := range []web.Tone{web.Risk, web.Warn, web.Idle} {
		for _, f := range all {
			if f.State.Tone != tone {
				continue
			}
			h.Findings = append(h.Findings, f)
			if tone != web.Idle {
				h.Open++
			}
		}
	}
	h.sum(r, now)
	return h
}

// rank is where a finding stands in a list: the worst first.
func rank(f finding) int {
	switch f.State.Tone {
	case web.Risk:
		return 0
	case web.Warn:
		return 1
	}
	return 2
}

// once leaves of what is said twice, by a condition and by what is looked at here, the
// second, which can be acted on, as grave as the first.
func once(all []finding) (left []finding) {
	for i, f := range all {
		said := slices.IndexFunc(all[i+1:], func(other finding) bool { return f.Code != "" && other.Code == f.Code })
		if said < 0 {
			left = append(left, f)
			continue
		}
		if again := &all[i+1+said]; f.State.Tone == web.Risk {
			again.State.Tone, again.State.Glyph = web.Risk, "risk"
		}
	}
	return left
}

// sum says the whole in one sentence.
func (h *health) sum(r api.Repository, now time.Time) {
	if h.Open == 0 {
		h.State = web.State{Tone: web.OK, Glyph: "ok", Word: "Healthy"}
		h.Sentence = "Healthy: " + healthyWords(r, now)
		return
	}
	first := h.Findings[0]
	h.State, h.Sentence = warnLook("Needs care"), "Not quite healthy: "
	if first.State.Tone == web.Risk {
		h.State, h.Sentence = riskLook("Needs attention"), "Not healthy: "
	}
	if first.Do != nil {
		first.Do.Primary = true
	}
	h.Sentence += lower(first.Text)
	if n := h.Open - 1; n > 0 {
		h.Sentence += " Then " + plural(n, "more thing", "more things") + "."
	}
}

func healthyWords(r api.Repository, now time.Time) string {
	var parts []string
	if share := r.Health.ReadShare; share >= whole {
		parts = append(parts, "checks have read all of its data within 35 days")
	} else if at := r.Health.LastGoodCheckAt; !at.IsZero() {
		parts = append(parts, "its last good check was "+web.Relative(at, now))
	}
	if p := r.Health.LastPrune; p != nil {
		parts = append(parts, "space was reclaimed "+web.Relative(p.At, now))
	}
	if name := string(r.Maintenance.HostName); name != "" {
		parts = append(parts, visible(name)+" maintains it")
	}
	if len(parts) == 0 {
		return "nothing needs you."
	}
	return strings.Join(parts, ", ") + "."
}

// whole is a share of the data that counts as all of it.
const whole = 0.995

func troubles(r api.Repository) (list []finding) {
	for _, c := range r.Conditions {
		f := finding{Code: c.Code, State: severityLook(c.Severity), Text: c.Message, Note: c.NextStep}
		switch {
		case ofFolder(c.Code):
			f.Do = &doing{Label: "Who maintains it", Href: at(r, "/maintenance#who")}
		case c.Code == "repo_credentials_rejected":
			f.Do = &doing{Label: "Set the credential", Href: at(r, "/settings"), Need: "admin"}
		case c.JobId != "":
			f.Do = &doing{Label: "Show the job", Href: "/jobs/" + string(c.JobId)}
		}
		list = append(list, f)
	}
	return list
}

func at(r api.Repository, rest string) string { return "/repositories/" + string(r.Id) + rest }

// start is the button of an operation that nobody has to type for.
func start(r api.Repository, label, what string) *doing {
	return &doing{Label: label, Action: at(r, "/start"), Hidden: []web.Hidden{{Name: "what", Value: what}}, Need: "operator"}
}

func maintained(r api.Repository) (list []finding) {
	m := r.Maintenance
	who := string(m.HostName)
	switch {
	case m.Mode == api.RepositoryMaintenanceModeNone || m.HostId == "":
		return []finding{{State: warnLook("Unmaintained"), Text: "Nobody maintains it.", Note: "Old snapshots are never removed and space never comes back. Choose the machine with the storage; hosts stay unable to delete.",
			Do: &doing{Label: "Choose who maintains it", Href: at(r, "/maintenance#who"), Need: "admin"}}}
	case m.Allowed == api.RepositoryMaintenanceAllowedNo:
		return []finding{{Code: "maintenance_not_allowed", State: warnLook("Not allowed"), Text: who + " does not allow it yet.", Note: m.NextStep, Do: &doing{Label: "How to allow it", Href: at(r, "/maintenance#who")}}}
	case m.NextStep != "":
		list = append(list, finding{State: warnLook("Not ready"), Text: who + " cannot maintain it yet.", Note: m.NextStep, Do: &doing{Label: "Who maintains it", Href: at(r, "/maintenance#who")}})
	}
	if p := r.Plan; p.Retention == "" && p.Prune == "" {
		list = append(list, finding{State: warnLook("No plan"), Text: "Nothing is thinned out or reclaimed by itself.", Note: "A plan says when. Until then only somebody who presses the button does it.",
			Do: &doing{Label: "Make a plan", Href: at(r, "/maintenance#plan"), Need: "operator"}})
	}
	return list
}

func checked(r api.Repository, now time.Time) (list []finding) {
	h := r.Health
	if f, bad := failed(h.LastCheck, "check"); bad {
		f.State, f.Code = riskLook("Check failed"), "check_failed"
		f.Note = strings.TrimSpace(f.Note + " Some of its data may be damaged.")
		if i := slices.IndexFunc(r.Conditions, func(c api.Condition) bool { return c.Code == f.Code && c.JobId == h.LastCheck.Id }); i >= 0 {
			f.State.Word, f.Text, f.Note = "Damaged", "The last check found damage.", "Next: "+r.Conditions[i].NextStep+"."
		}
		list = append(list, f)
	}
	switch {
	case h.LastGoodCheckAt.IsZero():
		list = append(list, finding{Code: "check_overdue", State: warnLook("Never checked"), Text: "No check has gone well yet.", Note: "A check looks whether everything is there; one that reads all data also finds flipped bits.", Do: start(r, "Check now", "check")})
	case now.Sub(h.LastGoodCheckAt) > stale:
		list = append(list, finding{Code: "check_overdue", State: warnLook("Check is old"), Text: "The last good check was " + web.Relative(h.LastGoodCheckAt, now) + ".", Do: start(r, "Check now", "check")})
	case h.ReadShare < whole && r.Plan.Check == "":
		list = append(list, finding{State: warnLook("Not all read"), Text: "Checks have read " + percent(h.ReadShare) + " of its data, and no further check is planned.",
			Do: &doing{Label: "Plan checks", Href: at(r, "/maintenance#plan"), Need: "operator"}})
	case h.ReadShare < whole:
		list = append(list, finding{State: noteLook("Being read"), Text: "Checks have read " + percent(h.ReadShare) + " of its data within 35 days.", Note: "Each planned check reads another part."})
	}
	return list
}

func reclaimed(r api.Repository, now time.Time) (list []finding) {
	h := r.Health
	if r.Maintenance.HostId == "" {
		return nil
	}
	if f, bad := failed(h.LastRetention, "retention"); bad {
		list = append(list, f)
	}
	switch f, bad := failed(h.LastPrune, "prune"); {
	case bad:
		f.Code = "prune_blocked"
		list = append(list, f)
	case h.LastPrune == nil && r.Plan.Prune == "":
		list = append(list, finding{State: warnLook("Never pruned"), Text: "Space was never reclaimed.", Do: &doing{Label: "Reclaim now…", Dialog: "reclaim", Need: "operator"}})
	case h.LastPrune == nil:
		list = append(list, finding{State: noteLook("Not yet pruned"), Text: "Space was not reclaimed yet; it is planned " + planned(h.NextPruneAt, now) + "."})
	case now.Sub(h.LastPrune.At) > stale:
		list = append(list, finding{State: warnLook("Prune is old"), Text: "Space was last reclaimed " + web.Relative(h.LastPrune.At, now) + ".", Do: &doing{Label: "Reclaim now…", Dialog: "reclaim", Need: "operator"}})
	}
	return list
}

// failed tells of a job that ended badly; one that was put off or cancelled says
// nothing about the repository.
func failed(job *api.JobBrief, what string) (f finding, bad bool) {
	if job == nil || job.State != api.JobStateFinished {
		return f, false
	}
	switch s := jobState(string(job.State), string(job.Result)); {
	case s.Tone == web.Risk:
		return finding{State: warnLook(capital(what) + " failed"), Text: "The last " + what + ": " + lower(s.Word) + ".", Note: job.Message, Do: &doing{Label: "Show the job", Href: "/jobs/" + string(job.Id)}}, true
	case s.Tone == web.Warn:
		return finding{State: warnLook("Warning"), Text: "The last " + what + " ended with a warning.", Note: job.Message, Do: &doing{Label: "Show the job", Href: "/jobs/" + string(job.Id)}}, true
	}
	return f, false
}

// odd is what should not be there.
func odd(r api.Repository, locks []api.RepositoryLock) (list []finding) {
	h := r.Health
	dead, doubtful := 0, 0
	for _, l := range locks {
		switch l.Removable {
		case api.ByRule:
			dead++
		case api.Typed:
			doubtful++
		}
	}
	if dead > 0 {
		list = append(list, finding{State: noteLook("Dead lock"), Text: plural(dead, "lock", "locks") + " of dead processes.", Note: "The agent there removes such locks by itself.", Do: &doing{Label: "Look at the locks", Href: "#locks"}})
	}
	if doubtful > 0 {
		list = append(list, finding{State: warnLook("Locked"), Text: plural(doubtful, "lock", "locks") + " whose owner is not known to be alive.", Note: "Nothing exclusive can run until it is gone.", Do: &doing{Label: "Look at the locks", Href: "#locks"}})
	}
	if h.Suspects > 0 {
		list = append(list, finding{Code: "suspect_snapshots", State: warnLook("Odd snapshots"), Text: plural(int(h.Suspects), "snapshot that is odd in itself, such as of another time than it claims.", "snapshots that are odd in themselves, such as of another time than they claim."),
			Note: "Odd snapshots are kept, and fill no place of a good one. Those that no host has told of are not counted here; a preview of retention counts them too. Look which they are; somebody may have tried to push good ones out.",
			Do:   &doing{Label: "Look at them", Href: at(r, "/retention?show=suspect")}})
	}
	if h.ForeignObjects > 0 {
		f := finding{Code: "foreign_objects", State: warnLook("Foreign files"), Text: plural(int(h.ForeignObjects), "file", "files") + " in the folder that restic did not make or that cannot be read.", Note: "They are passed over, and nothing deletes them."}
		if h.InspectJobId != "" {
			f.Do = &doing{Label: "Which they are", Href: "/jobs/" + string(h.InspectJobId)}
		}
		list = append(list, f)
	}
	list = append(list, sheetSaved(r)...)
	if !sizeKnown(r) {
		list = append(list, finding{State: noteLook("Not measured"), Text: "How large it is was not measured yet.", Do: start(r, "Measure now", "measure")})
	}
	return list
}

// sheetSaved tells of a recovery sheet that nobody has.
func sheetSaved(r api.Repository) []finding {
	if r.SheetSaved {
		return nil
	}
	text := "Its recovery sheet was not saved."
	if !r.PasswordExchangedAt.IsZero() {
		text = "Its recovery sheet was not saved since the password was exchanged."
	}
	return []finding{{State: warnLook("Not saved"), Text: text, Note: "Without the password in it nobody can read these backups when this server is lost.", Do: &doing{Label: "Go to the sheet", Href: at(r, "#sheet"), Need: "admin"}}}
}

func roomLeft(r api.Repository, now time.Time) []finding {
	left := r.Health.FullAt.Sub(now)
	if r.Health.FullAt.IsZero() || left > 90*24*time.Hour {
		return nil
	}
	f := finding{State: warnLook("Fills up"), Text: "Its storage is " + fullIn(r.Health.FullAt, now) + ".", Note: "Add room, keep less, or reclaim space.", Do: &doing{Label: "Reclaim now…", Dialog: "reclaim", Need: "operator"}}
	if undo := r.Maintenance.Floors.UndoDays; undo > 0 && r.Maintenance.Mode == api.RepositoryMaintenanceModeFolder {
		f.Note += " What is reclaimed is free " + plural(undo, "day", "days") + " later."
	}
	if left < 14*24*time.Hour {
		f.State = riskLook("Nearly full")
	}
	if r.Maintenance.HostId == "" {
		f.Do = nil
	}
	return []finding{f}
}

// fullIn tells when storage is full: "full in about 5 months".
func fullIn(full, now time.Time) string {
	days := int(full.Sub(now) / (24 * time.Hour))
	switch {
	case days < 1:
		return "full now"
	case days < 14:
		return "full in about " + plural(days, "day", "days")
	case days < 60:
		return fmt.Sprintf("full in about %d weeks", (days+3)/7)
	case days < 700:
		return fmt.Sprintf("full in about %d months", (days+15)/30)
	}
	return fmt.Sprintf("full in about %d years", (days+180)/365)
}

// planned tells when something is to begin.
func planned(t, now time.Time) string {
	if t.IsZero() {
		return "not yet"
	}
	return web.Due(t, now)
}

// percent tells a share without saying "all" of what is not.
func percent(share float64) string {
	if share > 0.99 && share < whole {
		share = 0.99
	}
	return fmt.Sprintf("%.0f\u00a0%%", 100*share)
}

// times tells how many times smaller something is: "3.2 ×".
func times(large, small int64) string {
	return fmt.Sprintf("%.1f\u00a0×", float64(large)/float64(small))
}
