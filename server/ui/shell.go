package ui

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// plain is what every page has.
func (v *visit) plain(title string) web.Plain {
	theme := web.Auto
	if c, err := v.r.Cookie(web.ThemeCookie); err == nil {
		theme = web.ThemeOf(c.Value)
	}
	path := "/"
	if v.r.Method == http.MethodGet {
		path = v.r.URL.RequestURI()
	}
	return web.Plain{Title: title, Theme: theme, Path: path, Version: v.u.version}
}

// shell is what every page of somebody signed in has. The feed's position is read
// before anything else of the page, so that no change between the two is missed.
func (v *visit) shell(title string, crumbs ...web.Crumb) (web.Shell, error) {
	feed, err := get[api.ChangeList](v, "/api/v1/changes", nil)
	if err != nil {
		return web.Shell{}, err
	}
	me, err := get[api.User](v, "/api/v1/me", nil)
	if err != nil {
		return web.Shell{}, err
	}
	if v.counts, err = get[api.Overview](v, "/api/v1/overview", nil); err != nil {
		return web.Shell{}, err
	}
	s := web.Shell{
		Plain: v.plain(title), User: web.Account{Name: string(me.Name), Role: string(me.Role)},
		RenderedAt: v.u.now(), Cursor: feed.Cursor, Crumbs: crumbs, Flash: done[v.query("done")],
	}
	if v.counts.DiskFull {
		s.Flash = &web.Banner{
			State: web.State{Tone: web.Risk, Glyph: "risk", Word: "The server's disk is full"},
			Text:  "Nothing can be kept, so what you see may be old. Backups go on, and agents report them once there is room on the disk with the server's database.",
		}
	}
	s.Nav = v.nav(v.counts, me.Role == api.RoleAdmin)
	return s, nil
}

func (v *visit) nav(c api.Overview, admin bool) []web.NavItem {
	items := []web.NavItem{
		{Label: "Dashboard", Href: "/"},
		{Label: "Hosts", Href: "/hosts", Count: some(c.Hosts)},
		{Label: "Jobs", Href: "/jobs"},
		{Label: "Snapshots", Href: "/snapshots", Count: some(c.Snapshots)},
		{Label: "Repositories", Href: "/repositories", Count: some(c.Repositories)},
		{Label: "Alerts", Href: "/alerts"},
		{Label: "Channels", Href: "/channels"},
	}
	if c.ActiveJobs > 0 {
		items[2].Count, items[2].Tone = fmt.Sprintf("%d running", c.ActiveJobs), web.Run
	}
	if c.Alerts > 0 {
		items[5].Count, items[5].Tone = fmt.Sprintf("%d open", c.Alerts), web.Risk
	}
	if admin {
		items = append(items, web.NavItem{Label: "Audit", Href: "/audit"}, web.NavItem{Label: "Users", Href: "/users"})
	}
	items = append(items, web.NavItem{Label: "Settings", Href: "/settings"}, web.NavItem{Label: "Account", Href: "/account"})
	for i := range items {
		p := v.r.URL.Path
		items[i].Current = p == items[i].Href || (items[i].Href != "/" && strings.HasPrefix(p, items[i].Href+"/"))
	}
	return items
}

func some(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// done is what a form did, named in the address it leads to.
var done = map[string]*web.Banner{
	"host-saved":         said("The host was saved."),
	"host-deleted":       said("The host was deleted. Its snapshots are still in their repositories."),
	"schedule-created":   said("The schedule was made. The agent has it with its next request."),
	"schedule-saved":     said("The schedule was saved. The agent has it with its next request."),
	"schedule-deleted":   said("The schedule was deleted. Its jobs and snapshots stay."),
	"schedule-daily":     said("It runs every day at 02:00 from now on. The agent has it with its next request."),
	"alert-acknowledged": said("Acknowledged. It goes away when its cause does."),
	"alert-silenced":     said("The silence was changed."),
	"alert-resolved":     said("Resolved. A new fact raises it again."),
	"rules-saved":        said("The rules were saved."),
	"channel-created":    said("The channel was made. Send a test through it."),
	"channel-saved":      said("The channel was saved."),
	"channel-deleted":    said("The channel was deleted."),
	"repository-created": said("The repository was added. Save its recovery sheet now."),
	"repository-saved":   said("The repository was saved."),
	"repository-deleted": said("The repository is forgotten here. Its data stays where it is."),
	"sheet-saved":        said("Noted: the recovery sheet is in a safe place."),
	"credential-saved":   said("The credential was replaced. Agents fetch it with their next configuration."),
	"user-created":       said("The account was made."),
	"user-saved":         said("The account was changed; its sign-ins have ended."),
	"user-deleted":       said("The account was deleted."),
	"password-changed":   said("The password was changed; your other sign-ins have ended."),

	"reclaim-started":                said("Asked for. The snapshots are thinned out first, then space is reclaimed."),
	"password-exchanged":             said("Hosts fetch the other password with their next configuration. Save the recovery sheet anew: it holds the password."),
	"second-password-forgotten":      said("It is forgotten here. A key that was added with it still opens the repository."),
	"maintainer-saved":               said("Saved. That host's agent has it with its next request."),
	"maintenance-credential-saved":   said("The credential was saved. It is handed to the maintenance host for one job at a time."),
	"maintenance-credential-deleted": said("The credential was removed."),
	"plan-saved":                     said("The plan was saved."),
}

func said(text string) *web.Banner {
	return &web.Banner{State: web.State{Tone: web.OK, Glyph: "ok", Word: "Done"}, Text: text}
}
