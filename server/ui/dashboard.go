package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

type dashboardView struct {
	web.Shell
	Sentence  headline
	Tally     []tallied
	Score     int
	Scored    bool // the score says something
	NextDue   *dueAt
	Alerts    alertList
	Attention []attention
	Pressing  []pressing
	Calm      bool // nothing needs a person
	Strip     *strip
	Running   []api.Job
	MoreRuns  bool
	Recent    []api.Job
	Due       []dueAt
	Storage   []web.Fact // nil while nothing was measured
	Held      string     // repositories that an exclusive job has, or waits for
	Caring    []repositoryRow
	CareNote  string     // how many repositories need care, and of how many
	Empty     *web.Empty // the first step, while there is no host
}

// dueAt is a slot or a breach to come.
type dueAt struct {
	api.Due
	Past bool
}

func (u *UI) dashboard(v *visit) error {
	if _, err := get[api.Setup](v, "/api/v1/setup", nil); err == nil {
		return v.goTo("/setup")
	}
	shell, err := v.shell("Dashboard")
	if err != nil {
		return err
	}
	counts := v.counts
	view := dashboardView{Shell: shell, Tally: tally(counts), Empty: firstStep(counts)}
	if view.Empty != nil && !shell.User.May("admin") {
		view.Empty.Action = web.Link{}
	}
	p := counts.Protection
	view.Score, view.Scored = counts.Score, counted(p) > p.NotScheduled
	view.Due, view.NextDue = dueNext(counts, u.now())
	view.Storage = storageFacts(counts)
	if n := counts.RepositoriesHeld; n > 0 {
		view.Held = plural(n, "repository", "repositories") + ": an exclusive job, such as a prune, runs there or waits for its turn."
	}
	if err := v.fillAttention(&view, counts); err != nil {
		return err
	}
	if err := v.fillCare(&view, counts); err != nil {
		return err
	}
	if counts.Hosts == 0 {
		if err := v.allDisabled(&view); err != nil {
			return err
		}
	}
	if err := v.fillJobs(&view); err != nil {
		return err
	}
	if counts.Hosts > 0 {
		if view.Strip, err = v.strip(""); err != nil {
			return err
		}
	}
	return v.show(http.StatusOK, "dashboard", view)
}

func dueNext(c api.Overview, now time.Time) (list []dueAt, breach *dueAt) {
	for _, d := range c.DueNext {
		list = append(list, dueAt{d, !d.At.After(now)})
	}
	if !c.NextBreach.At.IsZero() {
		breach = &dueAt{c.NextBreach, !c.NextBreach.At.After(now)}
	}
	return list, breach
}

// storageFacts are what all repositories take together, as far as they were measured.
func storageFacts(c api.Overview) []web.Fact {
	if c.RepositoriesMeasured == 0 {
		return nil
	}
	stored := web.Fact{Term: "Stored", Big: web.Bytes(c.StoredBytes), Note: "in " + plural(c.RepositoriesMeasured, "repository", "repositories")}
	if n := c.Repositories - c.RepositoriesMeasured; n > 0 {
		stored.Note += fmt.Sprintf(", %d not measured", n)
	}
	if c.SourceBytes > 0 && c.StoredBytes > 0 {
		stored.Note += ", " + times(c.SourceBytes, c.StoredBytes) + " smaller than its source"
	}
	growth := web.Fact{Term: "Growth a day", Big: web.Bytes(c.GrowthBytesPerDay), Note: "over the last 30 days"}
	if c.GrowthBytesPerDay == 0 {
		growth.Big, growth.Note = "–", "none, or not known yet"
	}
	return []web.Fact{stored, growth}
}

// Bounds of what the dashboard reads and shows of repositories.
const (
	repositoriesJudged = 100
	repositoriesShown  = 4
)

// fillCare names repositories that are not healthy, the worst first, although no backup is at
// risk by it yet.
func (v *visit) fillCare(view *dashboardView, c api.Overview) error {
	if c.Repositories == 0 {
		return nil
	}
	page, ok, err := part[api.RepositoryPage](v, "/api/v1/repositories", url.Values{"page_size": {strconv.Itoa(repositoriesJudged)}})
	if err != nil || !ok {
		return err
	}
	for _, r := range page.Repositories {
		if row := repositoryRowOf(r, v.u.now()); row.Next != "" {
			view.Caring = append(view.Caring, row)
		}
	}
	slices.SortStableFunc(view.Caring, func(a, b repositoryRow) int { return urgency(a) - urgency(b) })
	n, of := len(view.Caring), plural(len(page.Repositories), "repository", "repositories")
	view.CareNote = fmt.Sprintf("%d of %s need care.", n, of)
	switch {
	case n == 0:
		view.CareNote = "Each repository is healthy."
	case n == 1:
		view.CareNote = fmt.Sprintf("1 of %s needs care.", of)
	}
	if page.NextPageToken != "" {
		view.CareNote = strings.Replace(view.CareNote, of, "the first "+of, 1)
		if n == 0 {
			view.CareNote = "None of the first " + of + " needs care."
		}
	}
	view.Caring = view.Caring[:min(n, repositoriesShown)]
	return nil
}

func urgency(r repositoryRow) int {
	if r.State.Tone == web.Risk {
		return 0
	}
	return 1
}

// fillAttention adds what needs a person: alerts by their cause, then what no alert
// speaks of, then hosts by how they stand.
func (v *visit) fillAttention(view *dashboardView, counts api.Overview) error {
	alerts, err := v.openAlerts(url.Values{"page_size": {"50"}}, view.User)
	if err != nil {
		return err
	}
	view.Alerts = alerts.waiting()
	view.Alerts.Plain = true
	told := alerts.objects()
	if view.Attention, err = v.conditions(alerts.Known); err != nil {
		return err
	}
	pressing, worst, err := v.needing(counts, view.User, told)
	if err != nil {
		return err
	}
	view.Pressing, view.Sentence = pressing, sentence(counts, worst)
	view.Calm = counts.Hosts > 0 && alerts.Known && len(view.Alerts.Rows) == 0 && len(view.Attention) == 0 && len(view.Pressing) == 0
	return nil
}

// allDisabled says so where there are hosts and none is in service.
func (v *visit) allDisabled(view *dashboardView) error {
	page, err := get[api.HostPage](v, "/api/v1/hosts", url.Values{"presence": {"disabled"}, "page_size": {"1"}})
	if err == nil && len(page.Hosts) > 0 {
		view.Empty, view.Sentence = nil, headline{Start: "No host is in service: all are disabled."}
	}
	return err
}

func (v *visit) fillJobs(view *dashboardView) error {
	running, err := get[api.JobPage](v, "/api/v1/jobs", url.Values{"active": {"true"}, "page_size": {"10"}})
	if err != nil {
		return err
	}
	recent, err := get[api.JobPage](v, "/api/v1/jobs", url.Values{"state": {"finished"}, "page_size": {"6"}})
	if err != nil {
		return err
	}
	view.Running, view.MoreRuns, view.Recent = running.Jobs, running.NextPageToken != "", recent.Jobs
	return nil
}

// firstStep is what to do while something is missing.
func firstStep(c api.Overview) *web.Empty {
	switch {
	case c.Repositories == 0:
		return &web.Empty{Title: "First, a place for backups", Text: "Add a repository: where backups go, normally a rest-server of yours. Nothing is written there until a host backs up.", Action: web.Link{Label: "Add a repository", Href: "/repositories/new"}}
	case c.Hosts == 0:
		return &web.Empty{Title: "Now, a machine to back up", Text: "Add a host and say what to back up. You get one line to paste on that machine.", Action: web.Link{Label: "Add a host", Href: "/hosts/new"}}
	}
	return nil
}

// conditions reads what holds for repositories and hosts and is told by no alert. An
// alert is raised for every condition from a warning on, so where alerts are known
// only recovery sheets are left.
func (v *visit) conditions(alerted bool) ([]attention, error) {
	var all []attention
	err := everything(url.Values{"attention": {"true"}}, func(q url.Values) (string, error) {
		page, err := get[api.RepositoryPage](v, "/api/v1/repositories", q)
		for _, r := range page.Repositories {
			href := "/repositories/" + string(r.Id)
			if !alerted {
				all = append(all, attentions(string(r.Name), href, r.Conditions)...)
			}
			if !r.SheetSaved {
				since := "yet"
				if !r.PasswordExchangedAt.IsZero() {
					since = "since its password was exchanged"
				}
				all = append(all, attention{
					State: web.State{Tone: web.Warn, Glyph: "warn", Word: "Not saved"}, Object: string(r.Name), Href: href,
					Message: "has a recovery sheet that was not saved " + since + ". Without the password in it nobody can read these backups when this server is lost.",
				})
			}
		}
		return page.NextPageToken, err
	})
	if err != nil || alerted {
		return all, err
	}
	err = everything(url.Values{"attention": {"true"}}, func(q url.Values) (string, error) {
		page, err := get[api.HostPage](v, "/api/v1/hosts", q)
		for _, h := range page.Hosts {
			all = append(all, attentions(string(h.Name), "/hosts/"+string(h.Id), h.Conditions)...)
		}
		return page.NextPageToken, err
	})
	return all, err
}
