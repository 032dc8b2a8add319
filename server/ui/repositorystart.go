package ui

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// hold is what an exclusive job does to a repository, in words.
type hold struct {
	State web.State
	Text  string
	Note  string
	Since time.Time
	Job   string
}

// holdOf tells of the exclusive job that runs or is next, and of what waits for it.
func (v *visit) holdOf(r api.Repository) (*hold, error) {
	if r.Hold.JobId == "" {
		return nil, nil
	}
	jobs, err := get[api.JobPage](v, "/api/v1/jobs", url.Values{"repository_id": {string(r.Id)}, "active": {"true"}, "page_size": {"200"}})
	if err != nil {
		return nil, err
	}
	waiting := 0
	for _, j := range jobs.Jobs {
		if j.State == api.JobStateWaiting && j.Operation == "backup" {
			waiting++
		}
	}
	return holdWords(r.Hold, waiting, v.u.now()), nil
}

func holdWords(h api.RepositoryHold, waiting int, now time.Time) *hold {
	who := visible(api.OperationTitle(h.Operation)) + " at " + visible(h.HostName)
	since := web.Duration(max(now.Sub(h.Since), 0).Round(time.Second))
	told := &hold{State: web.State{Tone: web.Run, Glyph: "run", Word: "Running"}, Since: h.Since, Job: string(h.JobId), Text: who + " has run for " + since + "."}
	if !h.Running {
		told.State = web.State{Tone: web.Idle, Glyph: "wait", Word: "Waiting"}
		told.Text = who + " has waited for " + since + "."
		if h.WaitsFor != "" {
			told.Text = who + " waits for " + visible(h.WaitsFor) + ", for " + since + " now."
		}
	}
	switch {
	case waiting > 0:
		told.Note = plural(waiting, "backup waits", "backups wait") + " meanwhile."
	case h.Running && h.HeldBackUntil.After(now):
		told.Note = "New backups wait until it has ended."
	case h.Running:
		told.Note = "It has run for so long that backups are not held back for it any more; they begin where restic's own lock lets them."
	case h.HeldBackUntil.After(now):
		told.Note = "New backups are held back for it, until " + h.HeldBackUntil.UTC().Format("15:04 UTC") + " at most."
	}
	if h.Next > 0 {
		told.Note += " " + plural(h.Next, "more such job waits", "more such jobs wait") + " behind it."
	}
	return told
}

// depths are how thoroughly a check looks, the least first.
func depths(r api.Repository) web.Field {
	f := web.Field{Name: "what", Label: "How much to read", Value: "check", Options: []web.Option{{Value: "check", Label: "The structure only"}}}
	if n := r.Health.CheckParts; n > 1 {
		f.Value = "part"
		f.Options = append(f.Options, web.Option{Value: "part", Label: fmt.Sprintf("And the next part of the data, %d of %d", r.Health.NextCheckPart, n)})
	}
	f.Options = append(f.Options, web.Option{Value: "sample", Label: "And 5 % of the data, at random"}, web.Option{Value: "read", Label: "And all data"})
	return f
}

// capital begins a sentence.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// starts are what a button of these pages starts, one operation after the other.
var starts = map[string]struct {
	operations []api.RepositoryJobCreate
	leads      string // where to, below the repository; empty: to the first job
}{
	"check":   {operations: []api.RepositoryJobCreate{{Operation: "check"}}},
	"read":    {operations: []api.RepositoryJobCreate{{Operation: "check", Params: api.Params(`{"read_data":true}`)}}},
	"sample":  {operations: []api.RepositoryJobCreate{{Operation: "check", Params: api.Params(`{"percent":5}`)}}},
	"part":    {operations: []api.RepositoryJobCreate{{Operation: "check"}}}, // which one is the repository's
	"locks":   {operations: []api.RepositoryJobCreate{{Operation: "locks"}}},
	"preview": {operations: []api.RepositoryJobCreate{{Operation: "retention", Params: api.Params(`{"dry_run":true}`)}}, leads: "/retention"},
	"measure": {operations: []api.RepositoryJobCreate{{Operation: "stats", Params: api.Params(`{"mode":"raw-data"}`)}, {Operation: "stats", Params: api.Params(`{"mode":"restore-size"}`)}, {Operation: "inspect"}}},
	"reclaim": {operations: []api.RepositoryJobCreate{{Operation: "retention"}, {Operation: "prune"}}, leads: "?done=reclaim-started#jobs"},
}

// startMaintenance starts what a button stands for. What wants the repository's name
// typed is refused here before the first of its jobs begins.
func (u *UI) startMaintenance(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	what, ok := starts[f.raw("what")]
	if !ok {
		return &problem{Status: http.StatusNotFound, Code: "not_found"}
	}
	r, err := get[api.Repository](v, v.repositoryPath(), nil)
	if err != nil {
		return err
	}
	if f.raw("what") == "reclaim" && f.raw("typed") != string(r.Name) { //guard:reclaim-typed
		return v.showRepository(http.StatusUnprocessableEntity, refusal("Not started", "What you typed is not the repository's name."), nil)
	}
	var first api.Job
	var started []string
	for _, o := range what.operations {
		if o.Operation == "inspect" && r.Maintenance.Mode != api.RepositoryMaintenanceModeFolder {
			continue // nobody has the folder
		}
		if f.raw("what") == "part" && r.Health.CheckParts > 0 {
			o.Params = api.Params(fmt.Sprintf(`{"part":%d,"parts":%d}`, r.Health.NextCheckPart, r.Health.CheckParts))
		}
		o.Confirm = api.Confirm(f.raw("typed"))
		job, err := send[api.Job](v, http.MethodPost, v.repositoryPath()+"/jobs", o)
		if err != nil {
			return v.notStarted(err, o.Operation, started)
		}
		if len(started) == 0 {
			first = job
		}
		started = append(started, api.OperationTitle(o.Operation))
	}
	if what.leads != "" {
		return v.goTo(at(r, what.leads))
	}
	return v.goTo("/jobs/" + string(first.Id))
}

// notStarted says on the page why an operation did not begin, and which did before it.
func (v *visit) notStarted(err error, operation string, started []string) error {
	var p *problem
	if !errors.As(err, &p) || slices.Contains([]int{401, 403, 404}, p.Status) || p.Status >= 500 {
		return err
	}
	banner := refusal("Not started", p.Detail)
	switch p.Code {
	case "no_maintenance_host":
		banner.Link = web.Link{Label: "Choose who maintains it", Href: "/repositories/" + v.param("repository") + "/maintenance#who"}
	case "confirmation_required":
		banner.Text = "What you typed is not the repository's name."
	}
	if len(started) > 0 {
		banner.State.Word = "Started in part"
		banner.Text = "Started: " + strings.Join(started, ", ") + ". Not started: " + api.OperationTitle(operation) + ". " + banner.Text
	}
	return v.showRepository(http.StatusConflict, banner, nil)
}

func reclaimDialog(r api.Repository) web.Dialog {
	who := visible(string(r.Maintenance.HostName))
	text := "First the snapshots go that no schedule's retention keeps, then all data that no snapshot needs. "
	if f := r.Maintenance.Floors; f.MaxDeleteFraction > 0 {
		text += who + " allows " + percent(f.MaxDeleteFraction) + " of the snapshots at most, none that it first saw in the last " + plural(f.KeepDays, "day", "days") + ", and keeps the last " + plural(f.KeepLast, "snapshot", "snapshots") + " of each schedule. "
		if f.UndoDays > 0 && r.Maintenance.Mode == api.RepositoryMaintenanceModeFolder {
			text += "What is pruned can be brought back there for " + plural(f.UndoDays, "day", "days") + ", and takes room until then. "
		} else {
			text += "What is pruned cannot be brought back. "
		}
	}
	return web.Dialog{ID: "reclaim", Title: "Reclaim space now?", Text: text + "Backups to this repository wait meanwhile.", Action: at(r, "/start"), Hidden: []web.Hidden{{Name: "what", Value: "reclaim"}},
		Confirm: "Reclaim space", Keep: "Not now", Danger: true, Typed: string(r.Name)}
}
