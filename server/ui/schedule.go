package ui

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"restic-manager/server/api"
	"restic-manager/web"
)

// scheduleRow is a schedule in its host's list.
type scheduleRow struct {
	Schedule api.Schedule
	Run      runButton
	Delete   web.Dialog
	Keeps    string
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
	page, err := get[api.SchedulePage](v, "/api/v1/hosts/"+string(frame.Host.Id)+"/schedules", url.Values{"page_size": {"200"}})
	if err != nil {
		return err
	}
	view := schedulesView{hostFrame: frame, Pick: v.query("pick") != "", Empty: web.Empty{
		Title: "Nothing is backed up here yet", Text: "A schedule says what is backed up, where to and when. Start with a manual one and give it a time later.",
		Action: web.Link{Label: "Add a schedule", Href: frame.Prefix + "/schedules/new"},
	}}
	for _, s := range page.Schedules {
		view.Rows = append(view.Rows, scheduleRowOf(frame, s))
	}
	return v.show(http.StatusOK, "schedules", view)
}

func scheduleRowOf(frame hostFrame, s api.Schedule) scheduleRow {
	at := frame.Prefix + "/schedules/" + string(s.Id)
	run := runButton{Action: at + "/run", Why: away(frame.Host), Hidden: !frame.User.May("operator")}
	if !s.Enabled {
		run.Why = "the schedule is off"
	}
	return scheduleRow{
		Schedule: s, Run: run, Keeps: keeps(s.Retention),
		Delete: web.Dialog{ID: "delete-" + string(s.Id), Title: "Delete this schedule?", Text: "“" + string(s.Name) + "” is removed and will not run again. Its jobs and snapshots stay.",
			Action: at + "/delete", Confirm: "Delete schedule", Keep: "Keep it", Danger: true},
	}
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

type scheduleFormView struct {
	hostFrame
	Refused *web.Banner
	Action  string
	New     bool
	Version int64

	Name, Repository, Paths, Excludes, Tags web.Field
	Manual, Cron, Zone, Enabled             web.Field
	Retention                               []web.Field
	NextRuns                                []string
}

// retentionFields are the numbers of a retention, by the contract's names.
var retentionFields = []web.Field{
	{Name: "keep_last", Label: "Last"}, {Name: "keep_hourly", Label: "Hourly"}, {Name: "keep_daily", Label: "Daily"}, {Name: "keep_weekly", Label: "Weekly"},
	{Name: "keep_monthly", Label: "Monthly"}, {Name: "keep_yearly", Label: "Yearly"}, {Name: "keep_within_days", Label: "All of the last days"},
}

var scheduleFields = []string{"name", "repository_id", "paths", "excludes", "tags", "manual", "cron", "zone", "enabled", "retention"}

func (u *UI) newSchedule(v *visit) error {
	return v.showScheduleForm(http.StatusOK, filled(map[string]string{"enabled": "true", "manual": "true", "zone": "UTC", "cron": "0 2 * * *"}), nil, nil)
}

func (u *UI) editSchedule(v *visit) error {
	s, err := get[api.Schedule](v, v.schedulePath(), nil)
	if err != nil {
		return err
	}
	f := filled(map[string]string{
		"name": string(s.Name), "repository_id": string(s.RepositoryId), "paths": strings.Join(s.Paths, "\n"), "excludes": strings.Join(s.Excludes, "\n"),
		"tags": joined(s.Tags), "cron": s.Cron, "zone": s.Zone,
	})
	for name, set := range map[string]bool{"manual": s.Manual, "enabled": s.Enabled} {
		if set {
			f.values[name] = []string{"true"}
		}
	}
	for name, n := range retentionNumbers(&s.Retention) {
		if *n > 0 {
			f.values[name] = []string{strconv.Itoa(*n)}
		}
	}
	return v.showScheduleForm(http.StatusOK, f, nil, &s)
}

func retentionNumbers(r *api.Retention) map[string]*int {
	return map[string]*int{"keep_last": &r.KeepLast, "keep_hourly": &r.KeepHourly, "keep_daily": &r.KeepDaily, "keep_weekly": &r.KeepWeekly,
		"keep_monthly": &r.KeepMonthly, "keep_yearly": &r.KeepYearly, "keep_within_days": &r.KeepWithinDays}
}

func (v *visit) schedulePath() string {
	return "/api/v1/hosts/" + url.PathEscape(v.param("host")) + "/schedules/" + url.PathEscape(v.param("schedule"))
}

// showScheduleForm shows what was typed; s is the schedule as it is, nil for a new one.
func (v *visit) showScheduleForm(status int, f *form, refused *web.Banner, s *api.Schedule) error {
	frame, err := v.hostFrame("Schedules")
	if err != nil {
		return err
	}
	options, err := v.repositoryOptions()
	if err != nil {
		return err
	}
	view := scheduleFormView{hostFrame: frame, Refused: refused, New: s == nil, Action: frame.Prefix + "/schedules/new"}
	if s != nil {
		view.Action, view.Version = frame.Prefix+"/schedules/"+string(s.Id), s.Version
		for _, t := range s.NextRuns {
			view.NextRuns = append(view.NextRuns, inZone(t, s.Zone))
		}
	}
	view.Name = f.with(web.Field{Name: "name", Label: "Name", Required: true, Autofocus: s == nil, Autocomplete: "off"})
	view.Repository = f.with(web.Field{Name: "repository_id", Label: "Repository", Options: options, Required: true})
	view.Paths = f.with(web.Field{Name: "paths", Label: "Paths", Rows: 5, Mono: true, Required: true, Hint: "One absolute path a line."})
	view.Excludes = f.with(web.Field{Name: "excludes", Label: "Excludes", Rows: 3, Mono: true, Hint: "One restic pattern a line, such as *.tmp or /home/*/.cache"})
	view.Tags = f.with(web.Field{Name: "tags", Label: "Tags", Hint: "Put on each snapshot, separated by blanks.", Autocomplete: "off"})
	view.Manual = f.with(web.Field{Name: "manual", Label: "Manual schedule", Hint: "Runs only when somebody presses Run now.", Hides: true})
	view.Cron = f.with(web.Field{Name: "cron", Label: "Time", Mono: true, Hint: "Minute, hour, day of month, month, day of week: 0 2 * * * is every day at 02:00.", Autocomplete: "off"})
	view.Zone = f.with(web.Field{Name: "zone", Label: "Time zone", Hint: "Such as Europe/Paris or UTC.", Autocomplete: "off"})
	view.Enabled = f.with(web.Field{Name: "enabled", Label: "Enabled"})
	for _, field := range retentionFields {
		field.Type, field.Pattern = "text", "[0-9]*"
		view.Retention = append(view.Retention, f.with(field))
	}
	return v.show(status, "schedule", view)
}

// scheduleSpec reads the form; what is no number is a mistake of its field.
func scheduleSpec(f *form) (spec api.ScheduleSpec, ok bool) {
	enabled := f.checked("enabled")
	spec = api.ScheduleSpec{
		Name: f.get("name"), RepositoryId: f.raw("repository_id"), Paths: f.lines("paths"), Excludes: f.lines("excludes"), Tags: f.words("tags"),
		Manual: f.checked("manual"), Enabled: &enabled, Retention: &api.Retention{},
	}
	if spec.Paths == nil {
		spec.Paths = []string{}
	}
	if !spec.Manual {
		spec.Cron, spec.Zone = f.get("cron"), f.get("zone")
	}
	for name, n := range retentionNumbers(spec.Retention) {
		text := f.get(name)
		if text == "" {
			continue
		}
		number, err := strconv.Atoi(text)
		if err != nil || number < 0 {
			f.errors[name] = "A whole number, or nothing."
		}
		*n = number
	}
	return spec, len(f.errors) == 0
}

func (u *UI) createSchedule(v *visit) error {
	return v.sendSchedule(http.MethodPost, "/api/v1/hosts/"+url.PathEscape(v.param("host"))+"/schedules", "schedule-created", nil)
}

func (u *UI) saveSchedule(v *visit) error {
	s, err := get[api.Schedule](v, v.schedulePath(), nil)
	if err != nil {
		return err
	}
	return v.sendSchedule(http.MethodPut, v.schedulePath(), "schedule-saved", &s)
}

func (v *visit) sendSchedule(method, path, did string, s *api.Schedule) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	spec, ok := scheduleSpec(f)
	if !ok {
		return v.showScheduleForm(http.StatusUnprocessableEntity, f, nil, s)
	}
	if version := f.raw("version"); method == http.MethodPut && version != "" {
		path += "?" + url.Values{"if_version": {version}}.Encode()
	}
	_, err = send[api.Schedule](v, method, path, spec)
	switch {
	case is(err, "version_conflict"):
		return v.showScheduleForm(http.StatusConflict, f, refusal("Not saved", "Somebody changed this schedule meanwhile. Save again to replace their version by yours."), s)
	case err != nil:
		banner, err := f.refused(err, scheduleFields...)
		if err != nil {
			return err
		}
		return v.showScheduleForm(http.StatusUnprocessableEntity, f, banner, s)
	}
	return v.goTo("/hosts/" + v.param("host") + "/schedules?done=" + did)
}

func (u *UI) runSchedule(v *visit) error {
	job, err := send[api.Job](v, http.MethodPost, v.schedulePath()+"/run", api.RunRequest{})
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
