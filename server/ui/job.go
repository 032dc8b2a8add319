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

type jobsView struct {
	web.Shell
	Jobs   []api.Job
	Filter []web.Field
	Empty  *web.Empty
	Pager  web.Pager
}

func choice(name, label, value string, values ...string) web.Field {
	f := web.Field{Name: name, Label: label, Value: value, Options: []web.Option{{Label: "any"}}}
	for _, x := range values {
		f.Options = append(f.Options, web.Option{Value: x, Label: x})
	}
	return f
}

func (u *UI) jobs(v *visit) error {
	shell, err := v.shell("Jobs")
	if err != nil {
		return err
	}
	q := url.Values{"page_size": {"50"}}
	for _, name := range []string{"host_id", "repository_id", "schedule_id", "state", "result", "operation", "trigger", "from", "to", "page_token"} {
		if s := v.query(name); s != "" {
			q.Set(name, s)
		}
	}
	page, err := get[api.JobPage](v, "/api/v1/jobs", q)
	if err != nil {
		return err
	}
	operations, err := get[api.OperationList](v, "/api/v1/operations", nil)
	if err != nil {
		return err
	}
	named := choice("operation", "Operation", v.query("operation"))
	for _, o := range operations.Operations {
		named.Options = append(named.Options, web.Option{Value: o.Name, Label: o.Title})
	}
	view := jobsView{Shell: shell, Jobs: page.Jobs, Pager: v.pager(page.NextPageToken), Filter: []web.Field{
		named,
		choice("state", "State", v.query("state"), "pending", "acked", "waiting", "running", "stopping", "unresponsive", "finished"),
		choice("trigger", "Why", v.query("trigger"), "schedule", "catch-up", "run-now", "maintenance", "drill"),
		choice("result", "Result", v.query("result"), "succeeded", "warning", "failed", "cancelled", "interrupted", "rejected", "skipped", "missed", "expired", "lost"),
	}}
	switch {
	case len(page.Jobs) > 0:
	case len(q) > 1:
		view.Empty = &web.Empty{Title: "No job is like that", Text: "Change or clear the filter.", Action: web.Link{Label: "All jobs", Href: "/jobs"}}
	default:
		view.Empty = &web.Empty{Title: "Nothing has run yet", Text: "Press Run now on a host.", Action: web.Link{Label: "Hosts", Href: "/hosts"}}
	}
	return v.show(http.StatusOK, "jobs", view)
}

type jobView struct {
	web.Shell
	Job        api.Job
	State      web.State
	Active     bool
	Percent    float64
	Facts      []web.Fact
	Events     []api.Event
	Cancel     web.Dialog
	Again      string // where the same can be run again
	Took       time.Duration
	MoreEvents bool
	Result     jobResult
	Operation  api.Operation
	Waits      *waiting // where it does not run yet
}

func (u *UI) job(v *visit) error {
	j, err := get[api.Job](v, "/api/v1/jobs/"+url.PathEscape(v.param("job")), nil)
	if err != nil {
		return err
	}
	events, err := get[api.EventPage](v, "/api/v1/jobs/"+string(j.Id)+"/events", nil)
	if err != nil {
		return err
	}
	o, err := v.operation(j.Operation)
	if err != nil {
		return err
	}
	title := api.OperationTitle(j.Operation) + " on " + string(j.HostName)
	shell, err := v.shell(title, web.Crumb{Label: "Hosts", Href: "/hosts"}, web.Crumb{Label: string(j.HostName), Href: "/hosts/" + string(j.HostId)},
		web.Crumb{Label: "Jobs", Href: "/hosts/" + string(j.HostId) + "/jobs"}, web.Crumb{Label: short(string(j.Id)), Mono: true})
	if err != nil {
		return err
	}
	at := "/jobs/" + string(j.Id)
	view := jobView{
		Shell: shell, Job: j, State: jobState(string(j.State), result(j)), Active: j.State != api.JobStateFinished, Events: events.Events, MoreEvents: !events.End && len(events.Events) >= 500,
		Facts:  jobFacts(j),
		Cancel: web.Dialog{ID: "cancel", Title: "Cancel this job?", Text: "restic is asked to stop and to remove its lock. What was uploaded so far is used again by the next backup.", Action: at + "/cancel", Confirm: "Cancel job", Keep: "Let it run", Danger: true},
	}
	view.Operation = o
	if view.Waits, err = v.waits(j); err != nil {
		return err
	}
	if view.Result, err = v.jobResult(j, o, shell.User.May("operator")); err != nil {
		return err
	}
	if j.Progress != nil {
		view.Percent = j.Progress.Percent
	}
	if !j.StartedAt.IsZero() {
		end := j.FinishedAt
		if end.IsZero() {
			end = v.u.now()
		}
		view.Took = end.Sub(j.StartedAt)
	}
	if !view.Active && j.ScheduleId != "" {
		view.Again = at + "/again"
	}
	return v.show(http.StatusOK, "job", view)
}

// waiting is on whom or what a job waits, and where that can be looked at.
type waiting struct {
	Text  string
	Links []web.Link
}

// waits says on whom a job waits that does not run yet, with the jobs that are in its way.
func (v *visit) waits(j api.Job) (*waiting, error) {
	switch {
	case j.State == api.JobStateFinished:
		return nil, nil
	case j.WaitingOn == "" && j.State == api.JobStatePending:
		return &waiting{Text: "For the agent of " + visible(string(j.HostName)) + " to pick it up."}, nil
	case j.WaitingOn == "":
		return nil, nil
	}
	w := &waiting{Text: visible(j.WaitingOn)}
	if !strings.HasSuffix(w.Text, ".") {
		w.Text += "."
	}
	if j.RepositoryId == "" {
		return w, nil
	}
	list, ok, err := part[api.OperationList](v, "/api/v1/operations", nil)
	if err != nil || !ok {
		return w, err
	}
	active, ok, err := part[api.JobPage](v, "/api/v1/jobs", url.Values{"repository_id": {string(j.RepositoryId)}, "active": {"true"}, "page_size": {"50"}})
	if err != nil || !ok {
		return w, err
	}
	for _, other := range active.Jobs {
		if other.Id != j.Id && len(w.Links) < 8 && inTheWay(other, list.Operations) {
			w.Links = append(w.Links, web.Link{Label: api.OperationTitle(other.Operation) + " on " + visible(string(other.HostName)), Href: "/jobs/" + string(other.Id)})
		}
	}
	w.Links = append(w.Links, web.Link{Label: "Locks of " + visible(string(j.RepositoryName)), Href: "/repositories/" + string(j.RepositoryId) + "#locks"})
	return w, nil
}

// inTheWay tells whether a job has a lock of its repository, or may have one.
func inTheWay(j api.Job, operations []api.Operation) bool {
	if j.State == api.JobStateWaiting || j.State == api.JobStatePending {
		return false
	}
	i := slices.IndexFunc(operations, func(o api.Operation) bool { return o.Name == j.Operation })
	return i < 0 || operations[i].Lock != "none"
}

// jobFacts are the numbers of a backup that has ended.
func jobFacts(j api.Job) []web.Fact {
	if j.Outcome == nil || j.Outcome.Stats == nil {
		return nil
	}
	s := j.Outcome.Stats
	return []web.Fact{
		{Term: "Files", Big: web.Count(s.FilesProcessed), Note: web.Count(s.FilesNew) + " new, " + web.Count(s.FilesChanged) + " changed"},
		{Term: "Size", Big: web.Bytes(s.BytesProcessed)},
		{Term: "Added", Big: web.Bytes(s.DataAdded), Note: web.Bytes(s.DataAddedPacked) + " stored"},
		{Term: "Unreadable", Big: strconv.FormatInt(j.Outcome.WarningsTotal, 10)},
	}
}

func (u *UI) cancelJob(v *visit) error {
	err := v.call(http.MethodPost, "/api/v1/jobs/"+url.PathEscape(v.param("job"))+"/cancel", nil, nil)
	if err != nil && !is(err, "job_finished") {
		return err
	}
	return v.goTo("/jobs/" + v.param("job"))
}

// runAgain starts the schedule that the job ran, or has it previewed again.
func (u *UI) runAgain(v *visit) error {
	j, err := get[api.Job](v, "/api/v1/jobs/"+url.PathEscape(v.param("job")), nil)
	if err != nil {
		return err
	}
	if j.Operation == "preview" {
		return v.previewBackup(string(j.HostId), j.ScheduleId)
	}
	again, err := send[api.Job](v, http.MethodPost, "/api/v1/hosts/"+string(j.HostId)+"/schedules/"+string(j.ScheduleId)+"/run", api.RunRequest{})
	if err != nil {
		return err
	}
	return v.goTo("/jobs/" + string(again.Id))
}
