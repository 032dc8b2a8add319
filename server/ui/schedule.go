package ui

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// scheduleRow is a schedule in its host's list.
type scheduleRow struct {
	Schedule api.Schedule
	Run      runButton
	Delete   web.Dialog
	Preview  string // where what it would do is asked for; "" where it cannot be
	Keeps    string
	Thins    string    // who removes the rest
	Next     time.Time // of its slots; zero for none
	Breach   *due
}

type schedulesView struct {
	hostFrame
	Rows  []scheduleRow
	Pick  bool // run now did not know which one
	Empty web.Empty
}

func (u *UI) schedules(v *visit) error {
	frame, err := v.hostFrame("Schedules")
	if err != nil {
		return err
	}
	list, err := v.schedulesOf(string(frame.Host.Id))
	if err != nil {
		return err
	}
	view := schedulesView{hostFrame: frame, Pick: v.query("pick") != "", Empty: web.Empty{
		Title: "Nothing is backed up here yet", Text: "A schedule says what is backed up, where to and when. Start with a manual one and give it a time later.",
		Action: web.Link{Label: "Add a schedule", Href: frame.Prefix + "/schedules/new"},
	}}
	thins := map[api.Id]string{}
	for _, s := range list {
		row := scheduleRowOf(frame, s)
		row.Breach = v.breach(s.BreachAt)
		if _, known := thins[s.RepositoryId]; !known {
			r, ok, err := part[api.Repository](v, "/api/v1/repositories/"+url.PathEscape(string(s.RepositoryId)), nil)
			if err != nil {
				return err
			}
			if ok {
				thins[s.RepositoryId] = thinnedBy(r)
			}
		}
		row.Thins = thins[s.RepositoryId]
		view.Rows = append(view.Rows, row)
	}
	return v.show(http.StatusOK, "schedules", view)
}

// schedulesOf reads all schedules of a host.
func (v *visit) schedulesOf(host string) (list []api.Schedule, err error) {
	err = everything(url.Values{}, func(q url.Values) (string, error) {
		page, err := get[api.SchedulePage](v, "/api/v1/hosts/"+url.PathEscape(host)+"/schedules", q)
		list = append(list, page.Schedules...)
		return page.NextPageToken, err
	})
	return list, err
}

func scheduleRowOf(frame hostFrame, s api.Schedule) scheduleRow {
	at := frame.Prefix + "/schedules/" + string(s.Id)
	run := runButton{Action: at + "/run", Why: away(frame.Host), Hidden: !frame.User.May("operator")}
	if !s.Enabled {
		run.Why = "the schedule is off"
	}
	var next time.Time
	if len(s.NextRuns) > 0 {
		next = s.NextRuns[0]
	}
	preview := ""
	if !run.Hidden && away(frame.Host) == "" {
		preview = at + "/preview"
	}
	return scheduleRow{
		Schedule: s, Run: run, Preview: preview, Keeps: keeps(s.Retention), Next: next,
		Delete: web.Dialog{ID: "delete-" + string(s.Id), Title: "Delete this schedule?", Text: "“" + string(s.Name) + "” is removed and will not run again. Its jobs and snapshots stay.",
			Action: at + "/delete", Confirm: "Delete schedule", Keep: "Keep it", Danger: true},
	}
}

// thinnedBy says who removes from a repository what no rule keeps.
func thinnedBy(r api.Repository) string {
	host := visible(string(r.Maintenance.HostName))
	switch {
	case r.Maintenance.HostId == "":
		return "nobody maintains the repository: nothing is removed"
	case r.Maintenance.Allowed == api.RepositoryMaintenanceAllowedNo:
		return host + " may not maintain the repository: nothing is removed"
	case r.Plan.Retention == "":
		return "thinned out by " + host + " when somebody asks"
	}
	return "thinned out by " + host
}

// keeps tells a retention in words.
func keeps(r api.Retention) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{r.KeepLast, "last"}, {r.KeepHourly, "hourly"}, {r.KeepDaily, "daily"}, {r.KeepWeekly, "weekly"}, {r.KeepMonthly, "monthly"}, {r.KeepYearly, "yearly"}} {
		if p.n > 0 {
			parts = append(parts, strconv.Itoa(p.n)+" "+p.what)
		}
	}
	if r.KeepWithinDays > 0 {
		parts = append(parts, "all of "+strconv.Itoa(r.KeepWithinDays)+" days")
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, ", ")
}

func (v *visit) schedulePath() string {
	return "/api/v1/hosts/" + url.PathEscape(v.param("host")) + "/schedules/" + url.PathEscape(v.param("schedule"))
}

func (u *UI) runSchedule(v *visit) error {
	job, err := send[api.Job](v, http.MethodPost, v.schedulePath()+"/run", api.RunRequest{})
	if err != nil {
		return err
	}
	return v.goTo("/jobs/" + string(job.Id))
}

func (u *UI) previewSchedule(v *visit) error {
	return v.previewBackup(v.param("host"), api.Id(v.param("schedule")))
}

// previewBackup has a host tell what a backup by a schedule would store.
func (v *visit) previewBackup(host string, schedule api.Id) error {
	job, err := send[api.Job](v, http.MethodPost, "/api/v1/hosts/"+url.PathEscape(host)+"/jobs", api.JobCreate{Operation: "preview", ScheduleId: schedule})
	if err != nil {
		return err
	}
	return v.goTo("/jobs/" + string(job.Id))
}

func (u *UI) deleteSchedule(v *visit) error {
	if err := v.call(http.MethodDelete, v.schedulePath(), nil, nil); err != nil {
		return err
	}
	return v.goTo("/hosts/" + v.param("host") + "/schedules?done=schedule-deleted")
}
