package ui

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"

	"restic-manager/server/api"
	"restic-manager/web"
)

type scheduleFormView struct {
	hostFrame
	Refused *web.Banner
	Action  string
	New     bool
	Version int64

	Name, Enabled                                        web.Field
	Manual, Cron, Zone                                   web.Field
	CatchUp, Jitter, Objective, Windows                  web.Field
	Source, Paths, Excludes, Repository, Tags            web.Field
	Bandwidth, MaxRun, Attempts, RetryAfter              web.Field
	Before, BeforeFailure, Success, Failure, HookTimeout web.Field

	Backup    backupForm
	Retention []web.Field
	Thinned   string // where it is shown what the retention would do
	Presets   []preset
	Preview   cronPreview
	Offers    api.Offers
	Hooked    bool               // the host offers hooks, or the schedule names one
	Fine      bool               // one of the finer settings is set, or was refused
	Warnings  []api.FieldProblem // of the schedule as it is
	OwnZone   bool               // the zone is a guess, and the browser's is a better one
}

// preset is a time that many people mean.
type preset struct{ Label, Cron string }

var presets = []preset{
	{"Every hour", "0 * * * *"}, {"Every 6 hours", "0 */6 * * *"}, {"Every day 02:00", "0 2 * * *"}, {"Workdays 20:00", "0 20 * * 1-5"}, {"Sundays 03:00", "0 3 * * 0"}, {"1st of the month", "0 3 1 * *"},
}

// cronPreview is how a cron text is read.
type cronPreview struct {
	Known     bool
	Words     string
	Runs      []string
	Zone      string
	Objective string
}

// retentionFields are the numbers of a retention, by the contract's names.
var retentionFields = []web.Field{
	{Name: "keep_last", Label: "Last"}, {Name: "keep_hourly", Label: "Hourly"}, {Name: "keep_daily", Label: "Daily"}, {Name: "keep_weekly", Label: "Weekly"},
	{Name: "keep_monthly", Label: "Monthly"}, {Name: "keep_yearly", Label: "Yearly"}, {Name: "keep_within_days", Label: "All of the last days"},
}

func (u *UI) newSchedule(v *visit) error {
	f := filled(map[string]string{"enabled": "true", "catch_up": "latest", "before_failure": "stop"})
	return v.showScheduleForm(http.StatusOK, f, nil, nil)
}

func (u *UI) editSchedule(v *visit) error {
	s, err := get[api.Schedule](v, v.schedulePath(), nil)
	if err != nil {
		return err
	}
	return v.showScheduleForm(http.StatusOK, scheduleForm(s), nil, &s)
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
	spec, ok := scheduleSpec(f, s)
	if !ok {
		return v.showScheduleForm(http.StatusUnprocessableEntity, f, refusal("Not saved", "Look at the fields that are marked."), s)
	}
	if version := f.raw("version"); method == http.MethodPut && version != "" {
		path += "?" + url.Values{"if_version": {version}}.Encode()
	}
	_, err = send[api.Schedule](v, method, path, spec)
	switch {
	case is(err, "version_conflict"):
		return v.showScheduleForm(http.StatusConflict, f, refusal("Not saved", "Somebody changed this schedule meanwhile. Save again to replace their version by yours."), s)
	case err != nil:
		banner, err := f.refused(err, shownFields...)
		if err != nil {
			return err
		}
		return v.showScheduleForm(http.StatusUnprocessableEntity, f, banner, s)
	}
	return v.goTo("/hosts/" + v.param("host") + "/schedules?done=" + did)
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
	view := scheduleFormView{hostFrame: frame, Refused: refused, New: s == nil, Action: frame.Prefix + "/schedules/new", Presets: presets, Offers: frame.Host.Offers}
	if s != nil {
		view.Action, view.Version, view.Warnings = frame.Prefix+"/schedules/"+string(s.Id), s.Version, s.Warnings
	}
	view.OwnZone = firstTime(f, frame)
	if view.Preview, err = v.preview(f); err != nil {
		return err
	}
	view.fillWhen(f, s == nil)
	view.fillWhat(f, options)
	view.fillRun(f)
	view.Backup = backupFormOf(f, frame.Host.Os == "windows")
	if s != nil {
		view.Thinned = "/repositories/" + url.PathEscape(string(s.RepositoryId)) + "/retention"
	}
	return v.show(status, "schedule", view)
}

// firstTime fills in the time of a schedule that has none yet: every day in the small
// hours, at a minute that differs from host to host, so that a fleet does not begin at
// once. The zone is that of the host's other schedules; guessed tells that they name
// none, or several.
func firstTime(f *form, frame hostFrame) (guessed bool) {
	if !f.has("cron") {
		hash := fnv.New32a()
		hash.Write([]byte(frame.Host.Id))
		minute := hash.Sum32() % (3 * 60 / 5) * 5
		f.set("cron", fmt.Sprintf("%d %d * * *", minute%60, 1+minute/60))
	}
	if f.has("zone") {
		return false
	}
	var zones []string
	for _, s := range frame.Schedules {
		if !s.Manual {
			zones = append(zones, s.Zone)
		}
	}
	slices.Sort(zones)
	if zones = slices.Compact(zones); len(zones) == 1 {
		f.set("zone", zones[0])
		return false
	}
	f.set("zone", "UTC")
	return true
}

// preview reads the time that the form holds; a mistake in it belongs to its field.
func (v *visit) preview(f *form) (p cronPreview, err error) {
	zone := f.get("zone")
	p.Zone = zone
	if f.get("cron") == "" || zone == "" {
		return p, nil
	}
	read, ok, err := part[api.CronPreview](v, "/api/v1/cron-preview", url.Values{"cron": {f.get("cron")}, "zone": {zone}})
	if _, about := mistakes(err); about {
		if f.checked("manual") {
			return p, nil
		}
		_, err = f.refused(err, "cron", "zone")
		return p, err
	}
	if err != nil || !ok {
		return p, err
	}
	p.Known, p.Words, p.Objective = true, read.Words, span(read.ObjectiveS)
	for _, t := range read.NextRuns {
		p.Runs = append(p.Runs, inZone(t, zone))
	}
	return p, nil
}

func (view *scheduleFormView) fillWhen(f *form, isNew bool) {
	view.Name = f.with(web.Field{Name: "name", Label: "Name", Required: true, Autofocus: isNew, Autocomplete: "off"})
	view.Enabled = f.with(web.Field{Name: "enabled", Label: "Enabled", Hint: "One that is off runs neither by its time nor by Run now."})
	view.Manual = f.with(web.Field{Name: "manual", Label: "Manual schedule", Hint: "Runs only when somebody presses Run now. A host with only manual schedules is not protected.", Hides: true})
	view.Cron = f.with(web.Field{Name: "cron", Label: "Time", Mono: true, Hint: "Minute, hour, day of month, month, day of week: 0 2 * * * is every day at 02:00.", Autocomplete: "off"})
	view.Zone = f.with(web.Field{Name: "zone", Label: "Time zone", Hint: "Such as Europe/Paris or UTC: where the machine stands.", Autocomplete: "off", List: "zones"})
	view.CatchUp = f.with(web.Field{Name: "catch_up", Label: "After the machine was off or asleep", Options: []web.Option{{Value: "latest", Label: "Run the latest missed one once"}, {Value: "skip", Label: "Wait for the next"}}})
	view.Jitter = f.with(web.Field{Name: "jitter_s", Label: "Spread the start over", Placeholder: "not spread", Hint: "Such as 15 min, so that many hosts do not begin at once.", Autocomplete: "off"})
	objective := "Left out: from the time above, its longest gap and some grace."
	if view.Preview.Known && view.Preview.Objective != "" {
		objective = "Left out: " + view.Preview.Objective + ", from the time above."
	}
	view.Objective = f.with(web.Field{Name: "objective_s", Label: "The last good backup may be this old", Placeholder: view.Preview.Objective, Hint: objective, Autocomplete: "off"})
	view.Windows = f.with(web.Field{Name: "windows", Label: "Only within these hours", Rows: 2, Mono: true, Placeholder: "mon-fri 20:00-06:00", Hint: "One a line, in the zone above; empty is always. A run that is due outside waits; one that runs goes on."})
}

func (view *scheduleFormView) fillWhat(f *form, repositories []web.Option) {
	sources := offered(view.Offers.Sources, f.get("source"), "the paths below")
	view.Source = f.with(web.Field{Name: "source", Label: "What to back up", Options: sources, Hint: "A named source is a script on the host whose output is backed up, such as a database's dump."})
	view.Paths = f.with(web.Field{Name: "paths", Label: "Paths", Rows: 5, Mono: true, Hint: "One absolute path a line."})
	view.Excludes = f.with(web.Field{Name: "excludes", Label: "Excludes", Rows: 3, Mono: true, Hint: "One restic pattern a line, such as *.tmp or /home/*/.cache"})
	view.Repository = f.with(web.Field{Name: "repository_id", Label: "Repository", Options: repositories, Required: true})
	view.Tags = f.with(web.Field{Name: "tags", Label: "Tags", Hint: "Put on each snapshot, separated by blanks.", Autocomplete: "off"})
	for _, field := range retentionFields {
		field.Type, field.Pattern = "text", "[0-9]*"
		view.Retention = append(view.Retention, f.with(field))
	}
}

func (view *scheduleFormView) fillRun(f *form) {
	view.Bandwidth = f.with(web.Field{Name: "bandwidth", Label: "Bandwidth by time of day", Rows: 2, Mono: true, Placeholder: "mon-fri 08:00-18:00 upload 1 MiB/s", Hint: "One rule a line; the first that holds when a run starts limits all of it. Add “download 4 MiB/s” to limit reading too."})
	view.MaxRun = f.with(web.Field{Name: "max_run_s", Label: "Stop a run after", Placeholder: "no limit", Hint: "It has failed then. Such as 8 h.", Autocomplete: "off"})
	view.Attempts = f.with(web.Field{Name: "retry_attempts", Label: "Further attempts", Placeholder: "none", Pattern: "[0-9]*", Hint: "After a failure that may pass, such as storage that is away. At most 10.", Autocomplete: "off"})
	view.RetryAfter = f.with(web.Field{Name: "retry_after_s", Label: "First wait between them", Placeholder: "5 min", Hint: "Doubled each time.", Autocomplete: "off"})
	h := func(name, label string) web.Field {
		return f.with(web.Field{Name: name, Label: label, Options: offered(view.Offers.Hooks, f.get(name), "nothing")})
	}
	view.Before, view.Success, view.Failure = h("before", "Before the backup"), h("after_success", "After a good one"), h("after_failure", "After a failure")
	view.BeforeFailure = f.with(web.Field{Name: "before_failure", Label: "If the script before fails", Options: []web.Option{{Value: "stop", Label: "Do not back up"}, {Value: "go_on", Label: "Back up all the same"}}})
	view.HookTimeout = f.with(web.Field{Name: "timeout_s", Label: "Each may take", Placeholder: "10 min", Autocomplete: "off"})
	view.Hooked = len(view.Offers.Hooks) > 0
	for _, name := range []string{"before", "after_success", "after_failure"} {
		view.Hooked = view.Hooked || f.get(name) != "" || f.errors[name] != ""
	}
	for _, name := range []string{"windows", "bandwidth", "max_run_s", "retry_attempts", "jitter_s"} {
		view.Fine = view.Fine || f.get(name) != "" || f.errors[name] != ""
	}
	view.Fine = view.Fine || f.errors["retry_after_s"] != "" // which has a value that nobody typed
}

// offered are the choices of a script by its name, without those that no schedule can
// name. One that is chosen and not offered stays, and says so.
func offered(list []api.Offer, chosen, none string) []web.Option {
	options := []web.Option{{Label: none}}
	found := chosen == ""
	for _, o := range list {
		if !o.Nameable() {
			continue
		}
		label := o.Name
		if o.Problem != "" {
			label += " (the agent would refuse it: " + visible(o.Problem) + ")"
		}
		options = append(options, web.Option{Value: o.Name, Label: label})
		found = found || o.Name == chosen
	}
	if !found {
		options = append(options, web.Option{Value: chosen, Label: chosen + " (the host does not offer this yet)"})
	}
	return options
}
