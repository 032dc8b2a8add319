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

// planTime is a time of the plan with how it is read.
type planTime struct {
	Field   web.Field
	What    string // in words, below the field
	Preview cronPreview
	Presets []preset
}

type maintenanceView struct {
	repositoryFrame
	Who       *maintainer
	Host      web.Field
	Folder    web.Field
	Hosts     []string // names to choose from
	Policy    web.Copy
	Storage   web.Copy
	Undo      *web.Copy // where there is a folder
	Username  web.Field
	Secret    web.Field
	Reach     web.Field
	HasSecret bool
	Drop      web.Dialog
	Times     []planTime
	Zone      web.Field
	Parts     web.Field
	ReadAll   string // within which time checks read everything
}

// maintainer says who maintains a repository, and what whoever owns this server could
// do with that.
type maintainer struct {
	State  web.State
	Text   string
	Power  string // of whoever owns this server
	Next   string
	Away   *api.Condition // that it is not in its folder, or cannot be worked on there
	Floors []web.Fact
}

// planFields are the times of a plan, by the contract's names.
var planFields = []struct {
	field   web.Field
	what    string
	presets []preset
	of      func(*api.MaintenancePlan) *string
}{
	{web.Field{Name: "retention", Label: "Thin out snapshots"}, "Removes the snapshots that no schedule's retention keeps, within the host's own limits.",
		[]preset{{"Every day 04:30", "30 4 * * *"}, {"Sundays 04:30", "30 4 * * 0"}, {"Never", ""}}, func(p *api.MaintenancePlan) *string { return &p.Retention }},
	{web.Field{Name: "prune", Label: "Reclaim space"}, "Removes data that no snapshot needs. Backups wait meanwhile.",
		[]preset{{"Sundays 05:00", "0 5 * * 0"}, {"1st of the month", "0 5 1 * *"}, {"Never", ""}}, func(p *api.MaintenancePlan) *string { return &p.Prune }},
	{web.Field{Name: "check", Label: "Check"}, "Reads a part of the data each time and proves that it is whole.",
		[]preset{{"Every day 06:00", "0 6 * * *"}, {"Sundays 06:00", "0 6 * * 0"}, {"Never", ""}}, func(p *api.MaintenancePlan) *string { return &p.Check }},
	{web.Field{Name: "measure", Label: "Measure"}, "Sizes, and what lies in the folder where it is maintained there.",
		[]preset{{"Every day 06:30", "30 6 * * *"}, {"Sundays 06:30", "30 6 * * 0"}, {"Never", ""}}, func(p *api.MaintenancePlan) *string { return &p.Measure }},
}

func (u *UI) maintenance(v *visit) error { return v.showMaintenance(http.StatusOK, nil, nil) }

func (v *visit) showMaintenance(status int, f *form, refused *web.Banner) error {
	frame, f, err := v.repositoryForm("Maintenance", f, refused)
	if err != nil {
		return err
	}
	r := frame.Repository
	view := maintenanceView{repositoryFrame: frame, Who: maintainerOf(r)}
	if err := v.fillWho(&view, f); err != nil {
		return err
	}
	if err := v.fillPlan(&view, f, r); err != nil {
		return err
	}
	return v.show(status, "repository-maintenance", view)
}

func maintainerOf(r api.Repository) *maintainer {
	m, who := r.Maintenance, visible(string(r.Maintenance.HostName))
	w := &maintainer{State: web.State{Tone: web.OK, Glyph: "ok", Word: "Allowed"}, Next: m.NextStep}
	switch {
	case m.HostId == "" || m.Mode == api.RepositoryMaintenanceModeNone:
		w.State = web.State{Tone: web.Warn, Glyph: "none", Word: "Nobody"}
		w.Text = "Nobody maintains it: old snapshots are never removed, and space never comes back."
		w.Power = "Whoever owned this server could delete nothing there, as long as the credential on hosts cannot."
		if credentialIn(r, "maintenance") {
			w.Power = "Whoever owned this server could still delete the whole repository with the credential that can delete, which is kept here. Remove it below if nobody is to maintain this."
		}
		return w
	case m.Mode == api.RepositoryMaintenanceModeFolder:
		w.Text = fmt.Sprintf("%s maintains it in its folder %s. No credential that can delete exists on the network.", who, visible(m.Location))
		w.Power = "Whoever owned this server could have snapshots removed there and space reclaimed, within the limits that " + who + "'s own file sets, and nothing more. What was pruned can be brought back there."
	default:
		w.Text = who + " maintains it with a credential that can delete. This server keeps it sealed and hands it over for one job at a time."
		w.Power = "Whoever owned this server could delete the whole repository with that credential. A folder at the machine with the storage does not have this price."
	}
	switch m.Allowed {
	case api.RepositoryMaintenanceAllowedNo:
		w.State = web.State{Tone: web.Warn, Glyph: "refused", Word: "Not allowed there yet"}
	case api.RepositoryMaintenanceAllowedYes:
	default:
		w.State = web.State{Tone: web.Idle, Glyph: "lost", Word: "Not told yet"}
	}
	if m.NextStep != "" && w.State.Tone == web.OK {
		w.State = warnLook("Not ready")
	}
	if i := slices.IndexFunc(r.Conditions, func(c api.Condition) bool { return ofFolder(c.Code) }); i >= 0 {
		if w.Away = &r.Conditions[i]; w.State.Tone == web.OK {
			w.State = severityLook(w.Away.Severity)
			w.State.Word = "Not usable there"
			if w.Away.Code == folderGone {
				w.State.Word = "Gone from there"
			}
		}
	}
	w.Floors = floorFacts(m.Floors)
	return w
}

// folderGone is the code of a repository that is not in the folder any more where it is maintained.
const folderGone = "maintenance_folder_gone"

// ofFolder tells whether a condition is about the folder where a repository is maintained.
func ofFolder(code string) bool { return code == "maintenance_folder" || code == folderGone }

// credentialIn tells whether a credential is kept in a slot.
func credentialIn(r api.Repository, slot string) bool {
	return slices.ContainsFunc(r.Credentials, func(c api.CredentialInfo) bool { return string(c.Slot) == slot })
}

// floorFacts are the host's own limits; they are its file's and cannot be changed here.
func floorFacts(f api.MaintenanceRule) []web.Fact {
	if f.Location == "" && f.KeepDays == 0 && f.MaxDeleteFraction == 0 {
		return nil
	}
	undo := web.Fact{Term: "Undo of a prune", Big: "none"}
	if f.UndoDays > 0 {
		undo.Big = plural(f.UndoDays, "day", "days")
	}
	return []web.Fact{
		{Term: "Never removed before", Big: plural(f.KeepDays, "day", "days"), Note: "since it was first seen"},
		{Term: "Always kept", Big: plural(f.KeepLast, "snapshot", "snapshots"), Note: "the last of each schedule, and of each host and paths without one"},
		{Term: "A day removes at most", Big: percent(f.MaxDeleteFraction), Note: "of the snapshots"},
		undo,
	}
}

func (v *visit) fillWho(view *maintenanceView, f *form) error {
	r := view.Repository
	m := r.Maintenance
	if !f.has("host") {
		f.set("host", string(m.HostName))
		f.set("folder", m.Location)
	}
	hosts, err := get[api.HostPage](v, "/api/v1/hosts", url.Values{"page_size": {"200"}})
	if err != nil {
		return err
	}
	for _, h := range hosts.Hosts {
		view.Hosts = append(view.Hosts, string(h.Name))
	}
	view.Host = f.with(web.Field{Name: "host", Label: "Host", Autocomplete: "off", List: "hosts", Hint: "The machine with the storage, with an agent on it. Empty: nobody."})
	view.Folder = f.with(web.Field{Name: "folder", Label: "The repository's folder there", Mono: true, Autocomplete: "off", Placeholder: "/srv/restic/web-1/web-1/", Hint: "As that machine sees it: where rest-server's users have their own folders, with the user's and the repository's name. Empty: it works with a credential that can delete instead, see below."})
	under := m.Location
	if under == "" {
		under = "FOLDER"
	}
	allow := "restic-manager-agent policy allow maintenance --under " + quoted(under)
	if strings.Contains(view.Who.Next, allow) { // it stands below, to be copied
		view.Who.Next = "Its own policy file does not allow it yet. The command below does that."
	}
	view.Policy = web.Copy{ID: "allow", Text: allow, Label: "the command that allows it"}
	view.Storage = web.Copy{ID: "storage", Text: "restic-manager-agent storage setup --path FOLDER --user USER", Label: "the command that sets up rest-server"}
	if m.Location != "" {
		view.Undo = &web.Copy{ID: "undo", Text: "restic-manager-agent storage undo --path " + quoted(m.Location), Label: "the command that lists what can be brought back"}
	}
	view.HasSecret = credentialIn(r, "maintenance")
	view.Username = f.with(web.Field{Name: "username", Label: "User name", Autocomplete: "off"})
	view.Secret = f.with(web.Field{Name: "secret", Label: "Password", Type: "password", Autocomplete: "off", Hint: "Kept sealed, never shown again."})
	view.Reach = f.with(web.Field{Name: "location", Label: "Where it holds", Mono: true, Autocomplete: "off", Placeholder: visible(r.Location), Hint: "Empty: the repository's own location."})
	view.Drop = web.Dialog{ID: "drop", Title: "Remove the credential that can delete?", Text: "This server forgets it. Without a folder nobody can maintain the repository then.", Action: at(r, "/maintenance-credential/delete"), Confirm: "Remove it", Keep: "Keep it", Danger: true}
	return nil
}

func (v *visit) fillPlan(view *maintenanceView, f *form, r api.Repository) error {
	if !f.has("zone") {
		f.set("zone", r.Plan.Zone)
		if r.Plan.CheckParts > 0 {
			f.set("check_parts", strconv.Itoa(r.Plan.CheckParts))
		}
		for _, p := range planFields {
			f.set(p.field.Name, *p.of(&r.Plan))
		}
	}
	if f.get("zone") == "" {
		f.set("zone", "UTC")
	}
	view.Zone = f.with(web.Field{Name: "zone", Label: "Time zone", Hint: "Such as Europe/Paris or UTC.", Autocomplete: "off", List: "zones"})
	for _, p := range planFields {
		preview, runs, err := v.planPreview(f, p.field.Name)
		if err != nil {
			return err
		}
		if p.field.Name == "check" {
			view.ReadAll = readsAll(f.get("check_parts"), runs)
		}
		p.field.Mono, p.field.Autocomplete, p.field.Placeholder = true, "off", "never by itself"
		view.Times = append(view.Times, planTime{Field: f.with(p.field), What: p.what, Preview: preview, Presets: p.presets})
	}
	view.Parts = f.with(web.Field{Name: "check_parts", Label: "Parts that checks read", Pattern: "[0-9]*", Placeholder: "as many as fit", Autocomplete: "off", Hint: "Each check reads one of so many parts of the data. Empty: as many as make all read within four weeks."})
	return nil
}

func (v *visit) planPreview(f *form, name string) (p cronPreview, runs []time.Time, err error) {
	zone, cron := f.get("zone"), f.get(name)
	p.Zone = zone
	if cron == "" {
		p.Known, p.Words = true, "Never by itself."
		return p, nil, nil
	}
	read, ok, err := part[api.CronPreview](v, "/api/v1/cron-preview", url.Values{"cron": {cron}, "zone": {zone}})
	if list, about := mistakes(err); about {
		for _, m := range list {
			if field, _ := fieldOf(m.pointer, []string{"zone"}); field == "zone" {
				f.wrong("zone", m.detail)
			} else {
				f.wrong(name, m.detail)
			}
		}
		return p, nil, nil
	}
	if err != nil || !ok {
		return p, nil, err
	}
	p.Known, p.Words = true, read.Words
	for i, t := range read.NextRuns {
		if i < 3 {
			p.Runs = append(p.Runs, inZone(t, zone))
		}
	}
	return p, read.NextRuns, nil
}

// readsAll tells within which time checks read all data, by how often they run.
func readsAll(parts string, runs []time.Time) string {
	n, err := strconv.Atoi(parts)
	if err != nil || n == 0 {
		if len(runs) == 0 {
			return "Without a time, nothing is checked."
		}
		return "Checks read everything within four weeks."
	}
	if len(runs) < 2 {
		return ""
	}
	step := runs[len(runs)-1].Sub(runs[0]) / time.Duration(len(runs)-1)
	days := int((step*time.Duration(n) + dayLong/2) / dayLong)
	text := "Checks read everything within about " + plural(max(days, 1), "day", "days") + "."
	if days > 35 {
		text += " That is longer than the 35 days that this page looks back."
	}
	return text
}

func (u *UI) saveMaintainer(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	set := api.MaintenanceHostSet{Location: f.get("folder")}
	if name := f.get("host"); name != "" {
		if set.HostId, err = v.hostNamed(name); err != nil {
			return err
		}
		if set.HostId == "" {
			f.wrong("host", "No host has this name.")
			return v.showMaintenance(http.StatusUnprocessableEntity, f, refusal("Not saved", "Look at the fields that are marked."))
		}
	} else {
		set.Location = ""
	}
	_, err = send[api.Repository](v, http.MethodPut, v.repositoryPath()+"/maintenance-host", set)
	return v.savedMaintenance(f, err, "maintainer-saved", map[string]string{"host_id": "host", "location": "folder"})
}

func (u *UI) saveMaintenanceCredential(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	err = v.call(http.MethodPut, v.repositoryPath()+"/credentials/maintenance", api.MaintenanceCredentialSet{Username: f.get("username"), Secret: f.raw("secret"), Location: f.get("location")}, nil)
	return v.savedMaintenance(f, err, "maintenance-credential-saved", map[string]string{"username": "username", "secret": "secret", "location": "location"})
}

func (u *UI) deleteMaintenanceCredential(v *visit) error {
	err := v.call(http.MethodDelete, v.repositoryPath()+"/credentials/maintenance", nil, nil)
	return v.savedMaintenance(filled(nil), err, "maintenance-credential-deleted", nil)
}

func (u *UI) savePlan(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	plan := api.MaintenancePlan{Zone: f.get("zone")}
	names := map[string]string{"zone": "zone", "check_parts": "check_parts"}
	for _, p := range planFields {
		*p.of(&plan) = f.get(p.field.Name)
		names[p.field.Name] = p.field.Name
	}
	if text := f.get("check_parts"); text != "" {
		if plan.CheckParts, err = strconv.Atoi(text); err != nil || plan.CheckParts < 0 {
			f.wrong("check_parts", "A whole number, or nothing.")
			return v.showMaintenance(http.StatusUnprocessableEntity, f, refusal("Not saved", "Look at the fields that are marked."))
		}
	}
	_, err = send[api.Repository](v, http.MethodPut, v.repositoryPath()+"/maintenance-plan", plan)
	return v.savedMaintenance(f, err, "plan-saved", names)
}

// savedMaintenance answers a form of this page; names are the form's fields by the
// contract's members.
func (v *visit) savedMaintenance(f *form, err error, did string, names map[string]string) error {
	if err == nil {
		return v.goTo("/repositories/" + v.param("repository") + "/maintenance?done=" + did)
	}
	var members []string
	for member := range names {
		members = append(members, member)
	}
	banner, err := f.refused(err, members...)
	if err != nil {
		return err
	}
	for member, field := range names {
		if text := f.errors[member]; text != "" && member != field {
			f.wrong(field, text)
			delete(f.errors, member)
		}
	}
	return v.showMaintenance(http.StatusUnprocessableEntity, f, banner)
}
