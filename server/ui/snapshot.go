package ui

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

type snapshotsView struct {
	web.Shell
	Snapshots []api.Snapshot
	Filter    []web.Field
	Refused   *web.Banner
	Empty     *web.Empty
	Pager     web.Pager
}

// snapshotList is a table of snapshots.
type snapshotList struct {
	Rows []api.Snapshot
	May  bool // pick two to compare
}

func (u *UI) snapshots(v *visit) error { return v.showSnapshots(http.StatusOK, nil) }

func (v *visit) showSnapshots(status int, refused *web.Banner) error {
	shell, err := v.shell("Snapshots")
	if err != nil {
		return err
	}
	q := url.Values{"page_size": {"50"}}
	for _, name := range []string{"host_id", "repository_id", "schedule_id", "page_token"} {
		if s := v.query(name); s != "" {
			q.Set(name, s)
		}
	}
	page, err := get[api.SnapshotPage](v, "/api/v1/snapshots", q)
	if err != nil {
		return err
	}
	view := snapshotsView{Shell: shell, Snapshots: page.Snapshots, Refused: refused, Pager: v.pager(page.NextPageToken)}
	if view.Filter, err = v.snapshotFilter(); err != nil {
		return err
	}
	switch {
	case len(page.Snapshots) > 0:
	case len(q) > 1:
		view.Empty = &web.Empty{Title: "No snapshot is like that", Text: "Change or clear the filter.", Action: web.Link{Label: "All snapshots", Href: "/snapshots"}}
	default:
		view.Empty = &web.Empty{Title: "No snapshots yet", Text: "The first backup makes one.", Action: web.Link{Label: "Hosts", Href: "/hosts"}}
	}
	return v.show(status, "snapshots", view)
}

// snapshotFilter offers the repositories. A repository has the snapshots of hosts that
// are gone too.
func (v *visit) snapshotFilter() ([]web.Field, error) {
	page, ok, err := part[api.RepositoryPage](v, "/api/v1/repositories", url.Values{"page_size": {"200"}})
	if err != nil || !ok {
		return nil, err
	}
	f := web.Field{Name: "repository_id", Label: "Repository", Value: v.query("repository_id"), Options: []web.Option{{Label: "any"}}}
	for _, r := range page.Repositories {
		f.Options = append(f.Options, web.Option{Value: string(r.Id), Label: visible(string(r.Name))})
	}
	return []web.Field{f}, nil
}

type snapshotView struct {
	web.Shell
	Snapshot api.Snapshot
	Index    indexView
	Tree     *tree
	Tags     []string // a person's own
	Gone     bool     // the host is not here any more
	Hosts    web.Field
	Others   web.Field  // to compare with
	Next     string     // further entries, without a script
	Orders   []web.Link // what else can be ordered of it
	MayOrder bool
	Refused  *web.Banner
	At       string
}

// indexView is how far a snapshot can be browsed.
type indexView struct {
	api.SnapshotIndex
	Repository, Snapshot string
	Version              int64
	Job                  *api.Job // that makes it
	Percent              float64
	Action               string // what has it made
	Back                 string // where that leads back to
}

func (u *UI) snapshot(v *visit) error { return v.showSnapshot(http.StatusOK, nil) }

func (v *visit) showSnapshot(status int, refused *web.Banner) error {
	repository, id := v.param("repository"), v.param("snapshot")
	d, err := get[api.SnapshotDetail](v, snapshotAPI(repository, id), nil)
	if err != nil {
		return err
	}
	s := d.Snapshot
	shell, err := v.shell("Snapshot "+short(s.Id), v.snapshotCrumbs(s)...)
	if err != nil {
		return err
	}
	at := snapshotHref(repository, id)
	view := snapshotView{Shell: shell, Snapshot: s, At: at, MayOrder: shell.User.May("operator"), Refused: refused, Tags: ownTags(s.Tags), Gone: s.HostId == ""}
	view.Address = v.r.URL.RequestURI()
	if v.r.Method != http.MethodGet {
		view.Address = at
	}
	if v.query("choose") != "" {
		view.Refused = refusal("Choose a host", "The host of this snapshot is not here any more. Choose the one that its files shall come back on.")
		view.Refused.State = web.State{Tone: web.Warn, Glyph: "warn", Word: "Choose a host"}
	}
	if view.Index, err = v.index(d, view.Address); err != nil {
		return err
	}
	if d.Index.State == api.SnapshotIndexStateReady {
		view.Tree = &tree{Repository: repository, Snapshot: id, Find: strings.TrimSpace(v.query("q"))}
		if p := v.query("path"); p != "" {
			view.Tree.Open = []string{p}
		}
		if err := v.plant(view.Tree, nil, v.query("page_token")); err != nil {
			return err
		}
		if view.Tree.Next != "" {
			view.Next = v.pager(view.Tree.Next).Next
		}
	}
	if view.Others, err = v.otherSnapshots(s); err != nil {
		return err
	}
	if view.Orders, err = v.ordersOf(s); err != nil {
		return err
	}
	if view.Hosts, err = v.restoreHosts("host_name", "Host", string(s.HostId)); err != nil {
		return err
	}
	return v.show(status, "snapshot", view)
}

// ordersOf leads to the forms of what takes a snapshot, with it filled in. Restoring and
// comparing have their place on the page.
func (v *visit) ordersOf(s api.Snapshot) (links []web.Link, err error) {
	list, ok, err := part[api.OperationList](v, "/api/v1/operations", nil)
	if err != nil || !ok {
		return nil, err
	}
	for _, o := range list.Operations {
		names := append(fieldsOf(o, "snapshot_id"), fieldsOf(o, "snapshot_id_list")...)
		if len(names) != 1 || o.Group == "automatic" || o.Name == "restore" || len(fieldsNamed(o, "from_repository_id")) > 0 {
			continue
		}
		links = append(links, web.Link{Label: o.Title, Href: "/repositories/" + string(s.RepositoryId) + "/run/" + url.PathEscape(o.Name) + "?" + url.Values{names[0]: {s.Id}}.Encode()})
	}
	return links, nil
}

func (v *visit) snapshotCrumbs(s api.Snapshot) []web.Crumb {
	crumbs := []web.Crumb{{Label: "Snapshots", Href: "/snapshots?" + url.Values{"repository_id": {string(s.RepositoryId)}}.Encode()}, {Label: short(s.Id), Mono: true}}
	if s.HostId != "" {
		at := "/hosts/" + string(s.HostId)
		crumbs = []web.Crumb{{Label: "Hosts", Href: "/hosts"}, {Label: visible(string(s.HostName)), Href: at}, {Label: "Snapshots", Href: at + "/snapshots"}, crumbs[1]}
	}
	return crumbs
}

// ownTags leaves out the tags by which we know whose a snapshot is.
func ownTags(tags []string) []string {
	return slices.DeleteFunc(slices.Clone(tags), func(t string) bool { return strings.HasPrefix(t, "rm:") })
}

// index tells how far a snapshot can be browsed, with the job that works on it.
func (v *visit) index(d api.SnapshotDetail, back string) (indexView, error) {
	s := d.Snapshot
	view := indexView{SnapshotIndex: d.Index, Repository: string(s.RepositoryId), Snapshot: s.Id, Version: d.Version, Back: back, Action: snapshotHref(string(s.RepositoryId), s.Id) + "/index"}
	if d.Index.State != api.SnapshotIndexStateBuilding || d.Index.JobId == "" {
		return view, nil
	}
	j, ok, err := part[api.Job](v, "/api/v1/jobs/"+string(d.Index.JobId), nil)
	if err != nil || !ok {
		return view, err
	}
	view.Job = &j
	if j.Progress != nil {
		view.Percent = j.Progress.Percent
	}
	return view, nil
}

// makeBrowsable has an agent list the snapshot; whoever reads may ask for it.
func (u *UI) makeBrowsable(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	_, err = send[api.SnapshotDetail](v, http.MethodPost, snapshotAPI(v.param("repository"), v.param("snapshot"))+"/index", nil)
	if err != nil {
		banner, err := f.refused(err)
		if err != nil {
			return err
		}
		banner.State.Word = "Cannot be browsed now"
		return v.showSnapshot(http.StatusConflict, banner)
	}
	if to := local(f.get("back")); to != "" {
		return v.goTo(to)
	}
	return v.goTo(snapshotHref(v.param("repository"), v.param("snapshot")))
}

// otherSnapshots are what a snapshot can be compared with: those of its repository, the
// ones of its host first.
func (v *visit) otherSnapshots(s api.Snapshot) (web.Field, error) {
	f := web.Field{Name: "s", Label: "Compare with", Options: []web.Option{}}
	q := url.Values{"repository_id": {string(s.RepositoryId)}, "page_size": {"100"}}
	if s.HostId != "" {
		q.Set("host_id", string(s.HostId))
	}
	page, ok, err := part[api.SnapshotPage](v, "/api/v1/snapshots", q)
	if err != nil || !ok {
		return f, err
	}
	for _, other := range page.Snapshots {
		if other.Id == s.Id {
			continue
		}
		f.Options = append(f.Options, web.Option{Value: snapshotKey(other), Label: v.snapshotLabel(other)})
		if f.Value == "" && other.Time.Before(s.Time) {
			f.Value = snapshotKey(other) // the one before
		}
	}
	return f, nil
}

// snapshotLabel tells a snapshot in a line.
func (v *visit) snapshotLabel(s api.Snapshot) string {
	name := string(s.HostName)
	if name == "" {
		name = s.Hostname
	}
	label := s.Time.UTC().Format("Mon 2 Jan 2006, 15:04 UTC") + " · " + visible(name) + " · " + short(s.Id)
	if s.Original != "" { // it has the time of that one
		label += ", made from " + short(s.Original)
	}
	return label
}

// snapshotKey names a snapshot with its repository in a form.
func snapshotKey(s api.Snapshot) string { return string(s.RepositoryId) + ":" + s.Id }

// compare starts the comparison of two snapshots that were picked in a list.
func (u *UI) compare(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	refuse := func(text string) error {
		return v.showSnapshots(http.StatusUnprocessableEntity, refusal("Not compared", text))
	}
	var picked []string
	for _, key := range f.values["s"] {
		if !slices.Contains(picked, key) {
			picked = append(picked, key)
		}
	}
	if len(picked) != 2 {
		return refuse(fmt.Sprintf("Pick two snapshots; %d were picked.", len(picked)))
	}
	repository, first, _ := strings.Cut(picked[0], ":")
	other, second, _ := strings.Cut(picked[1], ":")
	if repository != other {
		return refuse("The two are in different repositories. Pick two of one repository.")
	}
	job, err := v.orderDiff(repository, first, second)
	if err != nil {
		banner, err := f.refused(err)
		if err != nil {
			return err
		}
		banner.State.Word = "Not compared"
		return v.showSnapshots(http.StatusConflict, banner)
	}
	return v.goTo("/jobs/" + string(job.Id))
}

// orderDiff compares from the older to the newer, in whichever order they were picked.
func (v *visit) orderDiff(repository, first, second string) (api.Job, error) {
	o, err := v.operation("diff")
	if err != nil {
		return api.Job{}, err
	}
	fields := fieldsOf(o, "snapshot_id")
	if len(fields) != 2 {
		return api.Job{}, &problem{Status: http.StatusConflict, Code: "unknown_operation", Title: "Not compared", Detail: "This server cannot compare snapshots."}
	}
	var both [2]api.SnapshotDetail
	for i, id := range []string{first, second} {
		if both[i], err = get[api.SnapshotDetail](v, snapshotAPI(repository, id), nil); err != nil {
			return api.Job{}, err
		}
	}
	older, newer := both[0].Snapshot, both[1].Snapshot
	if newer.Time.Before(older.Time) {
		older, newer = newer, older
	}
	params, err := json.Marshal(map[string]string{fields[0]: older.Id, fields[1]: newer.Id})
	if err != nil {
		return api.Job{}, err
	}
	return send[api.Job](v, http.MethodPost, "/api/v1/repositories/"+url.PathEscape(repository)+"/jobs", api.RepositoryJobCreate{Operation: o.Name, Params: params})
}

// fieldsOf names the fields of a type.
func fieldsOf(o api.Operation, kind string) (names []string) {
	for _, f := range o.Fields {
		if f.Type == kind {
			names = append(names, f.Name)
		}
	}
	return names
}
