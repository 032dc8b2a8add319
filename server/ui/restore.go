package ui

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// The wizard for restores: one page, one form. Everything that was chosen is in the form,
// or in a job that was ordered by it, from which the page can be made again.

// restoreParams are the params of a restore.
type restoreParams struct {
	SnapshotID string   `json:"snapshot_id"`
	Paths      []string `json:"paths,omitempty"`
	Target     string   `json:"target"`
	Overwrite  string   `json:"overwrite,omitempty"`
	Verify     bool     `json:"verify,omitempty"`
	DryRun     bool     `json:"dry_run,omitempty"`
}

// wish is what a person chose so far.
type wish struct {
	host                 string // the one whose page this is
	repository, snapshot string
	paths, open          []string
	find                 string
	to                   string // staging, in_place, other
	other                string // the name of another host
	overwrite            string
	verify               bool
	dry                  string // the job of the last dry run
}

type restoreView struct {
	web.Shell
	Host      api.Host
	Snapshot  *api.Snapshot // nil: the host has none
	Foreign   bool          // the snapshot is not of this host
	Snapshots []snapshotChoice
	Index     indexView
	Tree      *tree
	Picked    string // what was picked, in a line
	Paths     []string
	Total     total

	To        string
	Away      string // why the host cannot restore anything now
	Staging   string // the folder there, as the host told
	InPlace   inPlace
	Other     web.Field
	Overwrite web.Field
	Verify    web.Field
	Typed     web.Field
	Errors    map[string]string

	Dry     *dryRun
	Refused *web.Banner
	Action  string
	Plain   string // the same with plain restic
	May     bool
	More    web.Pager
}

type snapshotChoice struct {
	Snapshot api.Snapshot
	Current  bool
	Href     string
}

// inPlace is whether files can go where they were.
type inPlace struct {
	Known   bool
	Folders []string // where the host allows it; "/" is everywhere
	Command string   // what root types to allow more
}

// dryRun is what restic said that it would do.
type dryRun struct {
	Job     api.Job
	State   web.State
	Verdict *verdict
	Stale   bool // something else is chosen now
}

func (u *UI) restore(v *visit) error {
	w, err := v.wished(v.r.URL.Query(), v.param("host"))
	if err != nil {
		return err
	}
	return v.showRestore(http.StatusOK, w, filled(nil), nil)
}

// wished reads what was chosen, from the address or from the job of a dry run.
func (v *visit) wished(q url.Values, host string) (wish, error) {
	w := wish{host: host, repository: q.Get("repository"), snapshot: q.Get("snapshot"), paths: clean(q["path"]), open: clean(q["open"]), find: strings.TrimSpace(q.Get("find")),
		to: q.Get("to"), other: q.Get("other"), overwrite: q.Get("overwrite"), verify: q.Get("verify") != "", dry: q.Get("dry")}
	if w.dry == "" || w.snapshot != "" {
		return w, nil
	}
	j, err := get[api.Job](v, "/api/v1/jobs/"+url.PathEscape(w.dry), nil)
	if err != nil {
		return w, err
	}
	w.takes(j)
	return w, nil
}

// takes makes a wish of the job that was ordered by one.
func (w *wish) takes(j api.Job) {
	var p restoreParams
	_ = json.Unmarshal(j.Params, &p)
	w.repository, w.snapshot, w.paths, w.overwrite, w.verify, w.to = string(j.RepositoryId), p.SnapshotID, clean(p.Paths), p.Overwrite, p.Verify, p.Target
	if len(w.paths) == 0 {
		w.paths = []string{"/"}
	}
	if string(j.HostId) != w.host {
		w.to, w.other = "other", string(j.HostName)
	}
}

// clean leaves out what is no path in a snapshot and what is there twice.
func clean(paths []string) (list []string) {
	for _, p := range paths {
		if strings.HasPrefix(p, "/") && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// params are those of the job that does what was wished.
func (w wish) params(dry bool) restoreParams {
	p := restoreParams{SnapshotID: w.snapshot, Paths: outermost(w.paths), Target: "staging", Verify: w.verify, DryRun: dry}
	if slices.Contains(w.paths, "/") {
		p.Paths = nil // everything
	}
	if w.to == "in_place" {
		p.Target, p.Overwrite = "in_place", w.overwrite
	}
	return p
}

func (u *UI) restoreAct(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	decodePaths(v.r.PostForm)
	w, err := v.wished(v.r.PostForm, v.param("host"))
	if err != nil {
		return err
	}
	if folder := f.raw("toggle"); folder != "" {
		w.toggle(folder)
		return v.showRestore(http.StatusOK, w, f, nil)
	}
	switch f.get("do") {
	case "dry", "run":
		return v.orderRestore(w, f, f.get("do") == "dry")
	case "clear":
		w.find = ""
	}
	return v.showRestore(http.StatusOK, w, f, nil)
}

// toggle opens a folder or closes it, with what is open in it.
func (w *wish) toggle(folder string) {
	was := slices.Contains(w.open, folder)
	w.open = slices.DeleteFunc(w.open, func(s string) bool { return s == folder || below(s, folder) })
	if !was {
		w.open = append(w.open, folder)
	}
}

// orderRestore starts the job, or shows what is wrong at the fields.
func (v *visit) orderRestore(w wish, f *form, dry bool) error {
	target, err := v.targetOf(w, f)
	if err != nil {
		return err
	}
	if len(w.paths) == 0 {
		f.wrong("path", "Pick files or folders, or everything.")
	}
	if len(f.errors) > 0 {
		return v.showRestore(http.StatusUnprocessableEntity, w, f, refusal("Not started", "Look at the steps that are marked."))
	}
	params, err := json.Marshal(w.params(dry))
	if err != nil {
		return err
	}
	order := api.JobCreate{Operation: "restore", RepositoryId: api.Id(w.repository), Params: params}
	if !dry {
		order.Confirm = api.Confirm(f.raw("typed"))
	}
	job, err := send[api.Job](v, http.MethodPost, "/api/v1/hosts/"+url.PathEscape(target)+"/jobs", order)
	if err != nil {
		banner, err := f.refused(err, "paths", "target", "overwrite", "verify", "repository_id", "snapshot_id", "confirm")
		if err != nil {
			return err
		}
		banner.State.Word = "Not started"
		for from, to := range map[string]string{"paths": "path", "confirm": "typed", "target": "to"} {
			if m := f.errors[from]; m != "" {
				f.wrong(to, m)
			}
		}
		return v.showRestore(http.StatusUnprocessableEntity, w, f, banner)
	}
	if dry {
		return v.goTo("/hosts/" + url.PathEscape(w.host) + "/restore?dry=" + string(job.Id))
	}
	return v.goTo("/jobs/" + string(job.Id))
}

// targetOf gives the host that the files come back on.
func (v *visit) targetOf(w wish, f *form) (string, error) {
	if w.to != "other" {
		h, err := get[api.Host](v, "/api/v1/hosts/"+url.PathEscape(w.host), nil)
		if why := away(h); err == nil && why != "" {
			f.wrong("to", capital(why)+". Choose another host, or come back when its agent is here.")
		}
		return w.host, err
	}
	if w.other == "" {
		f.wrong("other", "Choose a host.")
		return "", nil
	}
	id, err := v.hostNamed(w.other)
	if err == nil && id == "" {
		f.wrong("other", "There is no host of this name.")
	}
	return string(id), err
}

// toRestore leads from the files of a snapshot to the wizard of the host that they
// shall come back on: the one that was named, else the snapshot's own.
func (u *UI) toRestore(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	if v.r.Method == http.MethodPost {
		q = v.r.PostForm
		decodePaths(q)
	}
	w, err := v.wished(q, "")
	if err != nil {
		return err
	}
	if name := q.Get("host_name"); name != "" {
		id, err := v.hostNamed(name)
		if err != nil {
			return err
		}
		w.host = string(id)
	} else {
		d, err := get[api.SnapshotDetail](v, snapshotAPI(w.repository, w.snapshot), nil)
		if err != nil {
			return err
		}
		w.host = string(d.Snapshot.HostId)
	}
	if w.host == "" { // gone, or called otherwise: the snapshot's page has the list
		return v.goTo(snapshotHref(w.repository, w.snapshot) + "?choose=1#restore")
	}
	if to := w.address(); len(to) < longAddress {
		return v.goTo(to)
	}
	return v.showRestore(http.StatusOK, w, f, nil)
}

// longAddress is where proxies begin to refuse.
const longAddress = 6000

// address is where the wizard shows the wish.
func (w wish) address() string {
	q := url.Values{"repository": {w.repository}, "snapshot": {w.snapshot}, "path": w.paths}
	return "/hosts/" + url.PathEscape(w.host) + "/restore?" + q.Encode()
}
