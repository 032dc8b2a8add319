package ui

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// alertList is a page of alerts as the pages show them.
type alertList struct {
	Rows  []alertRow
	Known bool // the contract could tell
	More  bool // there are more than these
	Plain bool // without objects' messages
}

type alertRow struct {
	Alert   api.Alert
	Look    web.State // by its severity
	Stage   web.State // raised, acknowledged, silenced, resolved
	Objects []alertObject
	Others  int // objects that are not shown
	MayAct  bool
}

type alertObject struct {
	api.AlertObject
	Href string
}

func severityLook(s api.Severity) web.State {
	switch s {
	case api.SeverityCritical:
		return web.State{Tone: web.Risk, Glyph: "risk", Word: "Critical"}
	case api.SeverityWarning:
		return web.State{Tone: web.Warn, Glyph: "warn", Word: "Warning"}
	}
	return web.State{Tone: web.Idle, Glyph: "idle", Word: "Note"}
}

func stageLook(s api.AlertState) web.State {
	switch s {
	case api.AlertStateAcknowledged:
		return web.State{Tone: web.Idle, Glyph: "wait", Word: "Acknowledged"}
	case api.AlertStateSilenced:
		return web.State{Tone: web.Idle, Glyph: "stop", Word: "Silenced"}
	case api.AlertStateResolved:
		return web.State{Tone: web.OK, Glyph: "ok", Word: "Resolved"}
	}
	return web.State{Tone: web.Risk, Glyph: "risk", Word: "Open"}
}

func alertRowOf(a api.Alert, viewer web.Account, most int) alertRow {
	row := alertRow{Alert: a, Look: severityLook(a.Severity), Stage: stageLook(a.State), MayAct: viewer.May("operator") && a.State != api.AlertStateResolved}
	for _, o := range a.Objects {
		if len(row.Objects) < most {
			row.Objects = append(row.Objects, alertObject{o, objectHref(o)})
		}
	}
	row.Others = max(a.ObjectsTotal, len(a.Objects)) - len(row.Objects)
	return row
}

// objectHref is where an object of an alert is looked at; empty where it has no page.
func objectHref(o api.AlertObject) string {
	switch o.ObjectType {
	case api.AlertObjectObjectTypeHost:
		return "/hosts/" + url.PathEscape(o.ObjectId)
	case api.AlertObjectObjectTypeRepository:
		return "/repositories/" + url.PathEscape(o.ObjectId)
	case api.AlertObjectObjectTypeChannel:
		return "/channels/" + url.PathEscape(o.ObjectId)
	}
	if o.JobId != "" {
		return "/jobs/" + string(o.JobId)
	}
	return ""
}

// openAlerts reads alerts that are not resolved.
func (v *visit) openAlerts(q url.Values, viewer web.Account) (alertList, error) {
	page, ok, err := part[api.AlertPage](v, "/api/v1/alerts", q)
	list := alertList{Known: ok, More: page.NextPageToken != ""}
	for _, a := range page.Alerts {
		list.Rows = append(list.Rows, alertRowOf(a, viewer, 5))
	}
	return list, err
}

// waiting keeps the alerts that nobody looks after yet.
func (l alertList) waiting() alertList {
	l.Rows = slices.DeleteFunc(slices.Clone(l.Rows), func(r alertRow) bool { return r.Alert.State != api.AlertStateRaised })
	return l
}

// objects are the ids of all that the alerts name.
func (l alertList) objects() map[string]bool {
	ids := map[string]bool{}
	for _, r := range l.Rows {
		for _, o := range r.Alert.Objects {
			ids[o.ObjectId] = true
		}
	}
	return ids
}

type alertsView struct {
	web.Shell
	Tabs   []web.Tab
	Filter []web.Field
	Hidden []web.Hidden // of the filter: which alerts
	Rows   []alertRow
	Known  bool
	Empty  *web.Empty
	Pager  web.Pager
}

func (u *UI) alerts(v *visit) error {
	shell, err := v.shell("Alerts")
	if err != nil {
		return err
	}
	state := v.query("state")
	if state != "resolved" && state != "all" {
		state = "open"
	}
	q := url.Values{"page_size": {"50"}, "state": {state}}
	filtered := false
	for _, name := range []string{"severity", "code", "tag", "host_id", "repository_id", "page_token"} {
		if s := v.query(name); s != "" {
			q.Set(name, s)
			filtered = filtered || name != "page_token"
		}
	}
	page, ok, err := part[api.AlertPage](v, "/api/v1/alerts", q)
	if err != nil {
		return err
	}
	rules, _, err := part[api.AlertRules](v, "/api/v1/alert-rules", nil)
	if err != nil {
		return err
	}
	view := alertsView{Shell: shell, Known: ok, Pager: v.pager(page.NextPageToken), Tabs: alertTabs(state, shell), Hidden: []web.Hidden{{Name: "state", Value: state}}}
	kinds := web.Field{Name: "code", Label: "Kind", Value: v.query("code"), Options: []web.Option{{Label: "any"}}}
	for _, k := range rules.Kinds {
		kinds.Options = append(kinds.Options, web.Option{Value: k.Code, Label: k.Title})
	}
	view.Filter = []web.Field{choice("severity", "Severity", v.query("severity"), "critical", "warning", "info"), kinds, {Name: "tag", Label: "Tag", Value: v.query("tag")}}
	for _, a := range page.Alerts {
		view.Rows = append(view.Rows, alertRowOf(a, shell.User, 6))
	}
	view.Empty = noAlerts(state, filtered)
	if len(view.Rows) > 0 || !ok {
		view.Empty = nil
	}
	return v.show(http.StatusOK, "alerts", view)
}

func noAlerts(state string, filtered bool) *web.Empty {
	switch {
	case filtered:
		return &web.Empty{Title: "No alert is like that", Text: "Change or clear the filter.", Action: web.Link{Label: "All open alerts", Href: "/alerts"}}
	case state == "open":
		return &web.Empty{Title: "Nothing needs you", Text: "An alert is raised when a backup fails or is missed, a host is silent, a repository cannot be reached and more; each goes away when its cause does."}
	}
	return &web.Empty{Title: "Nothing yet", Text: "Alerts that were resolved stay here."}
}

// alertTabs are the pages about alerts.
func alertTabs(at string, shell web.Shell) []web.Tab {
	tabs := []web.Tab{{Label: "Open", Href: "/alerts"}, {Label: "Resolved", Href: "/alerts?state=resolved"}, {Label: "All", Href: "/alerts?state=all"}, {Label: "Thresholds", Href: "/alerts/rules"}, {Label: "Channels", Href: "/channels"}}
	for i, name := range []string{"open", "resolved", "all", "rules", "channels"} {
		tabs[i].Current = name == at
	}
	for _, n := range shell.Nav {
		if n.Href == "/alerts" {
			tabs[0].Count = strings.TrimSuffix(n.Count, " open")
		}
	}
	return tabs
}

type alertView struct {
	web.Shell
	Row                    alertRow
	Refused                *web.Banner
	Note, Silence, Because web.Field
	Prefix                 string
}

func (u *UI) alert(v *visit) error { return v.showAlert(http.StatusOK, filled(nil), nil) }

func (v *visit) alertPath() string { return "/api/v1/alerts/" + url.PathEscape(v.param("alert")) }

func (v *visit) showAlert(status int, f *form, refused *web.Banner) error {
	a, err := get[api.Alert](v, v.alertPath(), nil)
	if err != nil {
		return err
	}
	shell, err := v.shell(visible(a.Title), web.Crumb{Label: "Alerts", Href: "/alerts"}, web.Crumb{Label: visible(a.Title)})
	if err != nil {
		return err
	}
	shell.Address = "/alerts/" + string(a.Id)
	note, because := f.with(web.Field{Name: "note", Label: "Note", Hint: "Optional. Others see it here.", Autocomplete: "off"}), web.Field{Name: "because", Label: "Note", Autocomplete: "off"}
	silence := f.with(web.Field{Name: "for", Label: "For", Options: silences})
	return v.show(status, "alert", alertView{Shell: shell, Row: alertRowOf(a, shell.User, len(a.Objects)), Refused: refused, Note: note, Because: f.with(because), Silence: silence, Prefix: "/alerts/" + string(a.Id)})
}

// silences are how long an alert can be silenced, in minutes.
var silences = []web.Option{{Value: "60", Label: "1 hour"}, {Value: "240", Label: "4 hours"}, {Value: "720", Label: "12 hours"}, {Value: "1440", Label: "1 day"}, {Value: "4320", Label: "3 days"}, {Value: "10080", Label: "1 week"}, {Value: "43200", Label: "30 days"}}

func (u *UI) acknowledgeAlert(v *visit) error {
	return v.actOnAlert("acknowledge", "alert-acknowledged", func(f *form) any { return api.AlertNote{Note: f.get("note")} })
}

func (u *UI) resolveAlert(v *visit) error {
	return v.actOnAlert("resolve", "alert-resolved", func(f *form) any { return api.AlertNote{Note: f.get("note")} })
}

// silenceAlert is quiet for as long as was chosen; for no time at all, it ends the
// silence.
func (u *UI) silenceAlert(v *visit) error {
	return v.actOnAlert("silence", "alert-silenced", func(f *form) any {
		minutes, err := strconv.Atoi(f.raw("for"))
		if err != nil || minutes < 0 || minutes > 527040 {
			f.wrong("for", "Choose how long.")
		}
		return api.AlertSilence{Until: u.now().Add(time.Duration(minutes) * time.Minute).UTC().Truncate(time.Second), Note: f.get("because")}
	})
}

// actOnAlert does one thing to an alert, and leads back to where it was done.
func (v *visit) actOnAlert(verb, did string, body func(*form) any) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	b := body(f)
	if len(f.errors) > 0 {
		return v.showAlert(http.StatusUnprocessableEntity, f, nil)
	}
	if _, err = send[api.Alert](v, http.MethodPost, v.alertPath()+"/"+verb, b); err != nil {
		banner, err := f.refused(err, "note", "until")
		if err != nil {
			return err
		}
		return v.showAlert(http.StatusConflict, f, banner)
	}
	if local(f.raw("back")) == "/" {
		return v.goTo("/?done=" + did)
	}
	return v.goTo("/alerts/" + v.param("alert") + "?done=" + did)
}
