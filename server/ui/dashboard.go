package ui

import (
	"fmt"
	"net/http"
	"net/url"

	"restic-manager/server/api"
	"restic-manager/web"
)

type dashboardView struct {
	web.Shell
	Sentence  string
	Tally     []web.State
	Attention []attention
	Running   []api.Job
	Recent    []api.Job
	Hosts     []hostRow
	Empty     *web.Empty // the first step, while there is no host
}

func (u *UI) dashboard(v *visit) error {
	if _, err := get[api.Setup](v, "/api/v1/setup", nil); err == nil {
		return v.goTo("/setup")
	}
	shell, err := v.shell("Dashboard")
	if err != nil {
		return err
	}
	counts, err := get[api.Overview](v, "/api/v1/overview", nil)
	if err != nil {
		return err
	}
	running, err := get[api.JobPage](v, "/api/v1/jobs", url.Values{"active": {"true"}, "page_size": {"20"}})
	if err != nil {
		return err
	}
	recent, err := get[api.JobPage](v, "/api/v1/jobs", url.Values{"state": {"finished"}, "page_size": {"8"}})
	if err != nil {
		return err
	}
	hosts, err := get[api.HostPage](v, "/api/v1/hosts", url.Values{"page_size": {"200"}})
	if err != nil {
		return err
	}
	repositories, err := get[api.RepositoryPage](v, "/api/v1/repositories", url.Values{"page_size": {"200"}})
	if err != nil {
		return err
	}
	view := dashboardView{Shell: shell, Running: running.Jobs, Recent: recent.Jobs, Empty: firstStep(counts)}
	if view.Empty != nil && !shell.User.May("admin") {
		view.Empty.Action = web.Link{}
	}
	for _, h := range hosts.Hosts {
		view.Hosts = append(view.Hosts, rowOf(h, shell.User))
	}
	view.Sentence = sentence(counts, view.Hosts)
	view.Tally = tally(view.Hosts)
	view.Attention = needsAttention(hosts.Hosts, repositories.Repositories)
	return v.show(http.StatusOK, "dashboard", view)
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

// sentence says how the fleet stands, and only what is known: whether a host is
// protected is told once schedules have times and objectives.
func sentence(c api.Overview, rows []hostRow) string {
	if c.Hosts == 0 {
		return "No hosts yet."
	}
	good := 0
	for _, r := range rows {
		if !r.Host.LastGoodBackupAt.IsZero() {
			good++
		}
	}
	s := fmt.Sprintf("%d of %s a good backup", good, plural(c.Hosts, "host has", "hosts have"))
	if c.Hosts == 1 && good == 1 {
		s = "The host has a good backup"
	} else if c.Hosts == 1 {
		s = "The host has no good backup yet"
	}
	if away := c.Offline; away > 0 {
		s += fmt.Sprintf("; %d offline", away)
	}
	return s + "."
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// tally counts the hosts by their state, in the order that they need a person.
func tally(rows []hostRow) []web.State {
	var order []web.State
	counts := map[string]int{}
	for _, tone := range []web.Tone{web.Risk, web.Warn, web.Run, web.OK, web.Idle} {
		for _, r := range rows {
			if r.State.Tone != tone {
				continue
			}
			if counts[r.State.Word]++; counts[r.State.Word] == 1 {
				order = append(order, r.State)
			}
		}
	}
	for i, s := range order {
		order[i].Word = fmt.Sprintf("%d %s", counts[s.Word], s.Word)
	}
	return order
}

func needsAttention(hosts []api.Host, repositories []api.Repository) []attention {
	var all []attention
	for _, r := range repositories {
		href := "/repositories/" + string(r.Id)
		all = append(all, attentions(string(r.Name), href, r.Conditions)...)
		if !r.SheetSaved {
			all = append(all, attention{
				State: web.State{Tone: web.Warn, Glyph: "warn", Word: "Not saved"}, Object: string(r.Name), Href: href,
				Message: "Its recovery sheet was not saved yet. Without the password in it nobody can read these backups when this server is lost.",
			})
		}
	}
	for _, h := range hosts {
		all = append(all, attentions(string(h.Name), "/hosts/"+string(h.Id), h.Conditions)...)
	}
	return all
}
