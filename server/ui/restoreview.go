package ui

import (
	"net/url"
	"reflect"

	"restic-manager/server/api"
	"restic-manager/web"
)

func (v *visit) showRestore(status int, w wish, f *form, refused *web.Banner) error {
	h, err := get[api.Host](v, "/api/v1/hosts/"+url.PathEscape(w.host), nil)
	if err != nil {
		return err
	}
	at := "/hosts/" + string(h.Id)
	name := visible(string(h.Name))
	shell, err := v.shell("Restore files of "+name, web.Crumb{Label: "Hosts", Href: "/hosts"}, web.Crumb{Label: name, Href: at}, web.Crumb{Label: "Restore"})
	if err != nil {
		return err
	}
	view := restoreView{Shell: shell, Host: h, Action: at + "/restore", May: shell.User.May("operator"), Refused: refused, Errors: f.errors}
	if err := v.chooseSnapshot(&view, &w); err != nil {
		return err
	}
	if view.Snapshot == nil {
		return v.show(status, "restore", view)
	}
	if view.Foreign {
		view.Title = "Restore onto " + name
	}
	view.Address = w.address()
	if w.dry != "" {
		view.Address = view.Action + "?dry=" + url.QueryEscape(w.dry)
	}
	if err := v.chooseFiles(&view, w, f); err != nil {
		return err
	}
	if err := v.chooseTarget(&view, w, f); err != nil {
		return err
	}
	if view.Dry, err = v.dryRun(w); err != nil {
		return err
	}
	view.Plain = plainRestic(w, view.Staging, view.Host.Os, view.Snapshot.Paths)
	return v.show(status, "restore", view)
}

// chooseSnapshot lists the host's snapshots and takes the newest where none was chosen.
func (v *visit) chooseSnapshot(view *restoreView, w *wish) error {
	q := url.Values{"host_id": {string(view.Host.Id)}, "page_size": {"6"}}
	if t := v.query("page_token"); t != "" {
		q.Set("page_token", t)
	}
	page, ok, err := part[api.SnapshotPage](v, "/api/v1/snapshots", q)
	if err != nil {
		return err
	}
	if w.snapshot == "" && ok && len(page.Snapshots) > 0 {
		w.repository, w.snapshot = string(page.Snapshots[0].RepositoryId), page.Snapshots[0].Id
	}
	if w.snapshot == "" {
		return nil
	}
	d, err := get[api.SnapshotDetail](v, snapshotAPI(w.repository, w.snapshot), nil)
	if is(err, "not_found") && ok && len(page.Snapshots) > 0 && page.Snapshots[0].Id != w.snapshot {
		view.Refused = refusal("Snapshot "+short(w.snapshot)+" is not there any more", "It was removed meanwhile. The newest one is chosen instead; what you picked is looked for in it.")
		w.repository, w.snapshot, w.dry = string(page.Snapshots[0].RepositoryId), page.Snapshots[0].Id, ""
		d, err = get[api.SnapshotDetail](v, snapshotAPI(w.repository, w.snapshot), nil)
	}
	if err != nil {
		return err
	}
	view.Snapshot = &d.Snapshot
	view.Foreign = d.Snapshot.HostId != view.Host.Id
	list := page.Snapshots
	if view.Foreign {
		list = nil
	}
	listed := false
	for _, s := range list {
		listed = listed || s.Id == w.snapshot
	}
	if !listed {
		list = append([]api.Snapshot{d.Snapshot}, list...)
	}
	for _, s := range list {
		other := *w
		other.repository, other.snapshot = string(s.RepositoryId), s.Id
		view.Snapshots = append(view.Snapshots, snapshotChoice{Snapshot: s, Current: s.Id == w.snapshot, Href: other.address()})
	}
	view.Index, err = v.index(d, w.address())
	return err
}

func (v *visit) chooseFiles(view *restoreView, w wish, f *form) error {
	view.Paths = outermost(w.paths)
	if view.Index.State == api.SnapshotIndexStateReady {
		view.Tree = &tree{Repository: w.repository, Snapshot: w.snapshot, Buttons: true, Open: w.open, Find: w.find}
		if err := v.plant(view.Tree, w.paths, ""); err != nil {
			return err
		}
		view.Total = totalOf(view.Tree, w.paths)
	} else {
		view.Total = total{More: true}
	}
	view.Picked = view.Total.words(len(view.Paths))
	return nil
}

func (v *visit) chooseTarget(view *restoreView, w wish, f *form) error {
	view.To = w.to
	if view.To == "" {
		view.To = "staging"
	}
	if why := away(view.Host); why != "" {
		view.Away = capital(why) + ". Nothing can be restored on it now: choose another host below, or come back when its agent is here."
	}
	if p := view.Host.Policy; p != nil && p.State == "ok" && p.Restore.StagingDir != "" {
		view.Staging = p.Restore.StagingDir
		paths := view.Paths
		if len(paths) == 0 {
			paths = view.Snapshot.Paths
		}
		view.InPlace = inPlace{Known: true, Folders: p.Restore.InPlace, Command: allowing(view.Host.Os, paths)}
	}
	overwrite := w.overwrite
	if overwrite == "" {
		overwrite = "if-changed"
	}
	f.set("overwrite", overwrite)
	view.Overwrite = f.with(web.Field{Name: "overwrite", Label: "What is there already", Options: []web.Option{
		{Value: "if-changed", Label: "Replace if its size or time differs"}, {Value: "if-newer", Label: "Replace if the one in the snapshot is newer"},
		{Value: "always", Label: "Replace always"}, {Value: "never", Label: "Keep"}}})
	if w.verify {
		f.set("verify", "true")
	}
	view.Verify = f.with(web.Field{Name: "verify", Label: "Verify", Hint: "Reads everything that was restored again and compares it. Takes longer."})
	view.Typed = f.with(web.Field{Name: "typed", Label: "Type " + visible(string(view.Host.Name)) + " to restore in place", Mono: true, Autocomplete: "off"})
	var err error
	view.Other, err = v.restoreHosts("other", "Host", string(view.Host.Id))
	f.set("other", w.other)
	view.Other = f.with(view.Other)
	return err
}

// restoreHosts offers hosts by their names: as a list where it is one that a person reads.
func (v *visit) restoreHosts(name, label, but string) (web.Field, error) {
	field := web.Field{Name: name, Label: label, Autocomplete: "off"}
	page, ok, err := part[api.HostPage](v, "/api/v1/hosts", url.Values{"page_size": {"200"}})
	if err != nil || !ok || page.NextPageToken != "" {
		field.Hint = "Its whole name"
		return field, err
	}
	field.Options = []web.Option{{Label: "choose…"}}
	for _, h := range page.Hosts {
		if string(h.Id) == but {
			continue
		}
		label := visible(string(h.Name))
		if why := away(h); why != "" {
			label += " — " + why
		}
		field.Options = append(field.Options, web.Option{Value: string(h.Name), Label: label})
	}
	return field, nil
}

// dryRun reads what the last dry run said, and whether it was about the same.
func (v *visit) dryRun(w wish) (*dryRun, error) {
	if w.dry == "" {
		return nil, nil
	}
	j, ok, err := part[api.Job](v, "/api/v1/jobs/"+url.PathEscape(w.dry), nil)
	if err != nil || !ok {
		return nil, err
	}
	var then wish
	then.host = w.host
	then.takes(j)
	d := &dryRun{Job: j, State: jobState(string(j.State), result(j)), Verdict: verdictOf(j)}
	d.Stale = then.repository != w.repository || !reflect.DeepEqual(then.params(true), w.params(true)) || then.to != w.to
	return d, nil
}
