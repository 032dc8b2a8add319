package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// hostRow is a host in a list.
type hostRow struct {
	Host   api.Host
	Size   web.Fact
	State  web.State
	Away   *web.State // shown beside a state that does not tell it
	Breach *due
	Run    runButton
}

func (v *visit) rowOf(h api.Host, viewer web.Account) hostRow {
	row := hostRow{Host: h, Size: sizeFact(h.Size), State: hostState(h), Breach: v.breach(h.Protection.BreachAt), Run: runOf(h, viewer)}
	if h.Presence == api.PresenceOffline && h.Protection.State != api.ProtectionStateAsleep {
		away := presenceState(h.Presence)
		row.Away = &away
	}
	return row
}

// runButton is "Run now", or why it is off.
type runButton struct {
	Action  string
	Why     string // empty: it is on
	Hidden  bool   // the viewer's role does not run anything
	Primary bool   // the page's first action
	What    string // the schedule that it runs, where that is known
	Pick    bool   // which one, a person must say first
}

// runOf is run now of a host; which schedule that means the contract decides.
func runOf(h api.Host, viewer web.Account) runButton {
	b := runButton{Action: "/hosts/" + string(h.Id) + "/run", Why: away(h), Hidden: !viewer.May("operator")}
	if b.Why == "" && h.Counts.EnabledSchedules == 0 {
		b.Why = "no enabled schedule"
	}
	return b
}

// away says why a host cannot start anything now.
func away(h api.Host) string {
	switch h.Presence {
	case api.PresenceNever:
		return "no agent yet"
	case api.PresenceOffline:
		return "the host is offline"
	case api.PresenceDisabled:
		return "the host is disabled"
	}
	return ""
}

type hostsView struct {
	web.Shell
	Rows   []hostRow
	Filter []web.Field
	Empty  *web.Empty
	Pager  web.Pager
}

func (u *UI) hosts(v *visit) error {
	shell, err := v.shell("Hosts")
	if err != nil {
		return err
	}
	q := url.Values{"page_size": {"50"}}
	for _, name := range []string{"q", "tag", "protection", "presence", "attention", "page_token"} {
		if s := v.query(name); s != "" {
			q.Set(name, s)
		}
	}
	page, err := get[api.HostPage](v, "/api/v1/hosts", q)
	if err != nil {
		return err
	}
	shell.Search = v.query("q")
	view := hostsView{Shell: shell, Pager: v.pager(page.NextPageToken), Filter: []web.Field{
		{Name: "q", Label: "Name", Value: v.query("q"), Type: "search"},
		{Name: "tag", Label: "Tag", Value: v.query("tag")},
		protectionFilter(v.query("protection")),
		{Name: "presence", Label: "Presence", Value: v.query("presence"), Options: []web.Option{
			{Label: "any"}, {Value: "online", Label: "online"}, {Value: "offline", Label: "offline"}, {Value: "never", Label: "waiting for its agent"}, {Value: "disabled", Label: "disabled"}}},
	}}
	for _, h := range page.Hosts {
		view.Rows = append(view.Rows, v.rowOf(h, shell.User))
	}
	switch {
	case len(view.Rows) > 0:
	case len(q) > 1:
		view.Empty = &web.Empty{Title: "No host is like that", Text: "Change or clear the filter.", Action: web.Link{Label: "All hosts", Href: "/hosts"}}
	default:
		view.Empty = &web.Empty{Title: "No hosts yet", Text: "Add one and paste its line on the machine.", Action: web.Link{Label: "Add a host", Href: "/hosts/new"}}
	}
	return v.show(http.StatusOK, "hosts", view)
}

func protectionFilter(value string) web.Field {
	f := web.Field{Name: "protection", Label: "Protection", Value: value, Options: []web.Option{{Label: "any"}}}
	for _, p := range protections {
		f.Options = append(f.Options, web.Option{Value: string(p.state), Label: lower(p.look.Word)})
	}
	return f
}

func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// pager leads on through a list that keeps its filters.
func (v *visit) pager(next string) web.Pager {
	q := v.r.URL.Query()
	q.Del("done")
	at := func(token string) string {
		q.Del("page_token")
		if token != "" {
			q.Set("page_token", token)
		}
		if len(q) == 0 {
			return v.r.URL.Path
		}
		return v.r.URL.Path + "?" + q.Encode()
	}
	var p web.Pager
	if v.query("page_token") != "" {
		p.First = at("")
	}
	if next != "" {
		p.Next = at(next)
	}
	return p
}

// hostFrame is what every tab of a host has.
type hostFrame struct {
	web.Shell
	Host     api.Host
	State    web.State
	Presence web.State
	Run      runButton
	Tabs     []web.Tab
	Prefix   string // /hosts/ID
	// Schedules are the host's, for what run now means; nil where they are not known.
	Schedules []api.Schedule
}

func (v *visit) hostFrame(tab string) (hostFrame, error) { return v.hostFrameOf(v.param("host"), tab) }

func (v *visit) hostFrameOf(id, tab string) (hostFrame, error) {
	h, err := get[api.Host](v, "/api/v1/hosts/"+url.PathEscape(id), nil)
	if err != nil {
		return hostFrame{}, err
	}
	shell, err := v.shell(string(h.Name), web.Crumb{Label: "Hosts", Href: "/hosts"}, web.Crumb{Label: string(h.Name)})
	if err != nil {
		return hostFrame{}, err
	}
	f := hostFrame{Shell: shell, Host: h, State: hostState(h), Presence: presenceState(h.Presence), Run: runOf(h, shell.User), Prefix: "/hosts/" + string(h.Id)}
	f.Run.Primary = tab == "Overview"
	if list, err := v.schedulesOf(string(h.Id)); err == nil {
		f.Schedules = list
		f.Run.choose(list, f.Prefix)
	}
	for _, t := range []web.Tab{
		{Label: "Overview", Href: f.Prefix},
		{Label: "Schedules", Href: f.Prefix + "/schedules", Count: some(h.Counts.Schedules)},
		{Label: "Snapshots", Href: f.Prefix + "/snapshots", Count: some(h.Counts.Snapshots)},
		{Label: "Jobs", Href: f.Prefix + "/jobs"},
		{Label: "Policy", Href: f.Prefix + "/policy"},
		{Label: "Settings", Href: f.Prefix + "/settings"},
	} {
		t.Current = t.Label == tab
		if t.Label != "Settings" || shell.User.May("admin") {
			f.Tabs = append(f.Tabs, t)
		}
	}
	return f, nil
}

// choose says which schedule run now means, by the contract's rule: the only enabled
// manual one, else the only enabled one, else a person must say.
func (b *runButton) choose(schedules []api.Schedule, prefix string) {
	var manual, enabled []string
	for _, s := range schedules {
		if s.Enabled {
			enabled = append(enabled, string(s.Name))
			if s.Manual {
				manual = append(manual, string(s.Name))
			}
		}
	}
	switch {
	case len(manual) == 1:
		b.What = manual[0]
	case len(enabled) == 1:
		b.What = enabled[0]
	case len(enabled) > 1:
		b.Pick, b.Action = true, prefix+"/schedules?pick=1"
	}
}

type hostView struct {
	hostFrame
	Repositories []repositoryRow // where its backups are
	Attention    []attention
	Breach       *due
	Facts        []web.Fact
	Running      []api.Job
	Jobs         []api.Job
	Strip        *strip
	Daily        *daily
}

func (u *UI) host(v *visit) error {
	frame, err := v.hostFrame("Overview")
	if err != nil {
		return err
	}
	jobs, err := get[api.JobPage](v, "/api/v1/jobs", url.Values{"host_id": {string(frame.Host.Id)}, "page_size": {"8"}})
	if err != nil {
		return err
	}
	h := frame.Host
	view := hostView{hostFrame: frame, Attention: attentions(string(h.Name), frame.Prefix, h.Conditions), Facts: hostFacts(h, v.u)}
	for _, j := range jobs.Jobs {
		if j.State == api.JobStateFinished {
			view.Jobs = append(view.Jobs, j)
		} else {
			view.Running = append(view.Running, j)
		}
	}
	if view.Repositories, err = v.repositoriesOf(frame.Schedules); err != nil {
		return err
	}
	view.Breach, view.Daily = v.breach(h.Protection.BreachAt), dailyOffer(frame, frame.Schedules)
	view.Run.Primary = view.Daily == nil
	if view.Strip, err = v.strip(string(h.Id)); err != nil {
		return err
	}
	return v.show(http.StatusOK, "host", view)
}

func hostFacts(h api.Host, u *UI) []web.Fact {
	last := web.Fact{Term: "Last good backup", Big: "never"}
	if !h.LastGoodBackupAt.IsZero() {
		last.Big = web.Relative(h.LastGoodBackupAt, u.now())
	}
	agent := web.Fact{Term: "Agent", Big: h.AgentVersion, Note: strings.TrimSpace(h.Os + " " + h.Arch)}
	restic := web.Fact{Term: "restic", Big: h.ResticVersion}
	for _, f := range []*web.Fact{&agent, &restic} {
		if f.Big == "" {
			f.Big = "unknown"
		}
	}
	config := web.Fact{Term: "Configuration", Big: "in force", Note: fmt.Sprintf("revision %d", h.Config.InForceRevision)}
	if h.Config.Drift {
		config.Big, config.Note = "not yet in force", fmt.Sprintf("agent has revision %d, wanted is %d", h.Config.InForceRevision, h.Config.WantedRevision)
	}
	if h.Config.Error != "" {
		config.Big, config.Note = "refused by the agent", visible(h.Config.Error)
	}
	next := web.Fact{Term: "Next run", Big: "none"}
	if !h.NextSlotAt.IsZero() {
		next.Big = web.Due(h.NextSlotAt, u.now())
	}
	return []web.Fact{last, next, {Term: "Snapshots", Big: web.Count(int64(h.Counts.Snapshots))}, sizeFact(h.Size), agent, restic, config}
}

// sizeFact tells how much a host's backups are, and what is stored of them.
func sizeFact(s *api.HostSize) web.Fact {
	f := web.Fact{Term: "Backed up", Big: "–"}
	if s == nil || s.SourceBytes == 0 {
		return f
	}
	f.Big = web.Bytes(s.SourceBytes)
	switch {
	case s.StoredBytes == 0:
		f.Note = "not measured"
	case s.Shared:
		f.Note = web.Bytes(s.StoredBytes) + " stored, shared"
	default:
		f.Note = web.Bytes(s.StoredBytes) + " stored"
	}
	return f
}

// repositoriesOf reads the repositories of schedules, each once.
func (v *visit) repositoriesOf(schedules []api.Schedule) (rows []repositoryRow, err error) {
	var seen []api.Id
	for _, s := range schedules {
		if slices.Contains(seen, s.RepositoryId) {
			continue
		}
		seen = append(seen, s.RepositoryId)
		r, ok, err := part[api.Repository](v, "/api/v1/repositories/"+url.PathEscape(string(s.RepositoryId)), nil)
		if err != nil {
			return nil, err
		}
		if ok {
			rows = append(rows, repositoryRowOf(r, v.u.now()))
		}
	}
	return rows, nil
}

type hostListView struct {
	hostFrame
	Jobs      []api.Job
	Snapshots []api.Snapshot
	Pager     web.Pager
}

func (u *UI) hostJobs(v *visit) error {
	frame, err := v.hostFrame("Jobs")
	if err != nil {
		return err
	}
	page, err := get[api.JobPage](v, "/api/v1/jobs", v.paged("host_id", string(frame.Host.Id)))
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "host-jobs", hostListView{hostFrame: frame, Jobs: page.Jobs, Pager: v.pager(page.NextPageToken)})
}

func (u *UI) hostSnapshots(v *visit) error {
	frame, err := v.hostFrame("Snapshots")
	if err != nil {
		return err
	}
	page, err := get[api.SnapshotPage](v, "/api/v1/snapshots", v.paged("host_id", string(frame.Host.Id)))
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "host-snapshots", hostListView{hostFrame: frame, Snapshots: page.Snapshots, Pager: v.pager(page.NextPageToken)})
}

// paged is a list's query with the page that is looked at.
func (v *visit) paged(name, value string) url.Values {
	q := url.Values{name: {value}, "page_size": {"50"}}
	if t := v.query("page_token"); t != "" {
		q.Set("page_token", t)
	}
	return q
}

func (u *UI) hostPolicy(v *visit) error {
	frame, err := v.hostFrame("Policy")
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "host-policy", frame)
}

func (u *UI) runHost(v *visit) error {
	job, err := send[api.Job](v, http.MethodPost, "/api/v1/hosts/"+url.PathEscape(v.param("host"))+"/jobs", api.JobCreate{Operation: "backup"})
	if is(err, "pick_a_schedule") {
		return v.goTo("/hosts/" + v.param("host") + "/schedules?pick=1")
	}
	if err != nil {
		return err
	}
	return v.goTo("/jobs/" + string(job.Id))
}
