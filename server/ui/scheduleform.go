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

	Retention []web.Field
	Presets   []preset
	Preview   cronPreview
	Offers    api.Offers
	Hooked    bool // the host offers hooks, or the schedule names one
	Fine      bool // one of the finer settings is set, or was refused
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

// scheduleFields are the form's fields by the names that the contract's members have,
// so that a refusal finds its field.
var scheduleFields = []string{
	"name", "enabled", "manual", "cron", "zone", "catch_up", "jitter_s", "objective_s", "windows", "source", "paths", "excludes", "repository_id", "tags",
	"bandwidth", "max_run_s", "retry_attempts", "retry_after_s", "before", "before_failure", "after_success", "after_failure", "timeout_s",
	"keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "keep_within_days",
}

// spans are the fields that hold a time span, with what they mean when empty.
var spans = map[string]func(*api.ScheduleSpec) *int{
	"jitter_s":      func(s *api.ScheduleSpec) *int { return &s.Options.JitterS },
	"max_run_s":     func(s *api.ScheduleSpec) *int { return &s.Options.MaxRunS },
	"retry_after_s": func(s *api.ScheduleSpec) *int { return &s.Options.RetryAfterS },
	"timeout_s":     func(s *api.ScheduleSpec) *int { return &s.Options.Hooks.TimeoutS },
}

func (u *UI) newSchedule(v *visit) error {
	f := filled(map[string]string{"enabled": "true", "manual": "true", "zone": "UTC", "cron": "0 2 * * *", "catch_up": "latest", "before_failure": "stop"})
	return v.showScheduleForm(http.StatusOK, f, nil, nil)
}

func (u *UI) editSchedule(v *visit) error {
	s, err := get[api.Schedule](v, v.schedulePath(), nil)
	if err != nil {
		return err
	}
	return v.showScheduleForm(http.StatusOK, scheduleForm(s), nil, &s)
}

// scheduleForm fills the form with a schedule as it is.
func scheduleForm(s api.Schedule) *form {
	o := s.Options
	f := filled(map[string]string{
		"name": string(s.Name), "repository_id": string(s.RepositoryId), "source": s.Source, "paths": strings.Join(s.Paths, "\n"),
		"excludes": strings.Join(s.Excludes, "\n"), "tags": joined(s.Tags), "cron": s.Cron, "zone": s.Zone,
		"catch_up": string(o.CatchUp), "windows": windowLines(o.Windows), "bandwidth": bandwidthLines(o.Bandwidth), "objective_s": span(s.ObjectiveS),
		"before": o.Hooks.Before, "before_failure": string(o.Hooks.BeforeFailure), "after_success": o.Hooks.AfterSuccess, "after_failure": o.Hooks.AfterFailure,
	})
	for name, set := range map[string]bool{"manual": s.Manual, "enabled": s.Enabled} {
		if set {
			f.set(name, "true")
		}
	}
	if s.Manual && s.Cron == "" {
		f.set("cron", "0 2 * * *")
		f.set("zone", "UTC")
	}
	if o.RetryAttempts > 0 {
		f.set("retry_attempts", strconv.Itoa(o.RetryAttempts))
	}
	spec := api.ScheduleSpec{Options: &o}
	for name, n := range spans {
		f.set(name, span(int64(*n(&spec))))
	}
	for name, n := range retentionNumbers(&s.Retention) {
		if *n > 0 {
			f.set(name, strconv.Itoa(*n))
		}
	}
	return f
}

func retentionNumbers(r *api.Retention) map[string]*int {
	return map[string]*int{"keep_last": &r.KeepLast, "keep_hourly": &r.KeepHourly, "keep_daily": &r.KeepDaily, "keep_weekly": &r.KeepWeekly,
		"keep_monthly": &r.KeepMonthly, "keep_yearly": &r.KeepYearly, "keep_within_days": &r.KeepWithinDays}
}

// scheduleSpec reads the form on top of the schedule as it is, nil for a new one, so
// that what the form does not show stays. What is not understood is a mistake of its
// field.
func scheduleSpec(f *form, s *api.Schedule) (spec api.ScheduleSpec, ok bool) {
	spec = api.ScheduleSpec{Retention: &api.Retention{}, Options: &api.ScheduleOptions{}}
	if s != nil { //guard:form-keeps
		retention, options := s.Retention, s.Options
		spec = api.ScheduleSpec{Name: s.Name, RepositoryId: s.RepositoryId, Source: s.Source, Paths: s.Paths, Excludes: s.Excludes, Tags: s.Tags,
			Cron: s.Cron, Zone: s.Zone, ObjectiveS: s.ObjectiveS, Retention: &retention, Options: &options}
	}
	enabled := f.checked("enabled")
	spec.Enabled, spec.Manual = &enabled, f.checked("manual")
	for name, to := range map[string]*string{
		"name": &spec.Name, "repository_id": &spec.RepositoryId, "source": &spec.Source, "cron": &spec.Cron, "zone": &spec.Zone,
		"before": &spec.Options.Hooks.Before, "after_success": &spec.Options.Hooks.AfterSuccess, "after_failure": &spec.Options.Hooks.AfterFailure,
	} {
		if f.has(name) {
			*to = f.get(name)
		}
	}
	if f.has("paths") {
		spec.Paths = f.lines("paths")
	}
	if spec.Source != "" || spec.Paths == nil {
		spec.Paths = []string{}
	}
	if f.has("excludes") {
		spec.Excludes = f.lines("excludes")
	}
	if f.has("tags") {
		spec.Tags = f.words("tags")
	}
	if spec.Manual { // its time is not shown: it stays as it was
		spec.Cron, spec.Zone = "", ""
		if s != nil {
			spec.Cron, spec.Zone = s.Cron, s.Zone
		}
	}
	readOptions(f, &spec)
	readNumbers(f, &spec)
	return spec, len(f.errors) == 0
}

func readOptions(f *form, spec *api.ScheduleSpec) {
	o := spec.Options
	if f.has("catch_up") {
		o.CatchUp = api.ScheduleOptionsCatchUp(f.get("catch_up"))
	}
	if f.has("before_failure") {
		o.Hooks.BeforeFailure = api.ScheduleHooksBeforeFailure(f.get("before_failure"))
	}
	if f.has("windows") {
		list, wrong := windows(f.lines("windows"))
		if o.Windows = list; wrong != "" {
			f.wrong("windows", wrong)
		}
	}
	if f.has("bandwidth") {
		list, wrong := bandwidth(f.lines("bandwidth"))
		if o.Bandwidth = list; wrong != "" {
			f.wrong("bandwidth", wrong)
		}
	}
}

// notASpan is what is wrong with a time span.
const notASpan = "Write a time with its unit, such as 90 s, 15 min, 6 h or 2 d."

func readNumbers(f *form, spec *api.ScheduleSpec) {
	for name, n := range spans {
		if f.has(name) {
			s, ok := seconds(f.get(name))
			if *n(spec) = int(s); !ok || s > 1<<31-1 {
				f.wrong(name, notASpan)
			}
		}
	}
	if f.has("objective_s") {
		s, ok := seconds(f.get("objective_s"))
		if spec.ObjectiveS = s; !ok {
			f.wrong("objective_s", notASpan)
		}
	}
	numbers := retentionNumbers(spec.Retention)
	numbers["retry_attempts"] = &spec.Options.RetryAttempts
	for name, n := range numbers {
		if !f.has(name) {
			continue
		}
		text := f.get(name)
		if *n = 0; text == "" {
			continue
		}
		number, err := strconv.Atoi(text)
		if err != nil || number < 0 {
			f.wrong(name, "A whole number, or nothing.")
		}
		*n = number
	}
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
		view.Action, view.Version = frame.Prefix+"/schedules/"+string(s.Id), s.Version
	}
	if view.Preview, err = v.preview(f); err != nil {
		return err
	}
	view.fillWhen(f, s == nil)
	view.fillWhat(f, options)
	view.fillRun(f)
	return v.show(status, "schedule", view)
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

// offered are the choices of a script by its name. One that is chosen and not offered
// stays, and says so.
func offered(list []api.Offer, chosen, none string) []web.Option {
	options := []web.Option{{Label: none}}
	found := chosen == ""
	for _, o := range list {
		label := o.Name
		if o.Problem != "" {
			label += " (the agent would refuse it: " + visible(o.Problem) + ")"
		}
		options = append(options, web.Option{Value: o.Name, Label: label})
		found = found || o.Name == chosen
	}
	if !found {
		options = append(options, web.Option{Value: chosen, Label: chosen + " (the host does not offer it now)"})
	}
	return options
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
		banner, err := f.refused(err, scheduleFields...)
		if err != nil {
			return err
		}
		return v.showScheduleForm(http.StatusUnprocessableEntity, f, banner, s)
	}
	return v.goTo("/hosts/" + v.param("host") + "/schedules?done=" + did)
}

// daily is the offer to give a host's first schedule a time.
type daily struct {
	Action   string
	Schedule string
}

// dailyOffer is made once a manual schedule has made a good backup and nothing on the
// host runs by itself; nil otherwise.
func dailyOffer(frame hostFrame, schedules []api.Schedule) *daily {
	if !frame.User.May("operator") || frame.Host.LastGoodBackupAt.IsZero() || frame.Host.Counts.TimedSchedules > 0 {
		return nil
	}
	var only *daily
	for _, s := range schedules {
		if s.Manual && s.Enabled && !s.LastGoodAt.IsZero() {
			if only != nil {
				return nil // which one a person must say
			}
			only = &daily{Action: frame.Prefix + "/schedules/" + string(s.Id) + "/daily", Schedule: string(s.Name)}
		}
	}
	return only
}

// makeDaily gives a manual schedule its time: every day at 02:00.
func (u *UI) makeDaily(v *visit) error {
	f, err := v.typed()
	if err != nil {
		return err
	}
	s, err := get[api.Schedule](v, v.schedulePath(), nil)
	if err != nil {
		return err
	}
	whole := scheduleForm(s)
	delete(whole.values, "manual")
	whole.set("cron", "0 2 * * *")
	whole.set("zone", "UTC")
	if zone := f.get("zone"); zone != "" {
		if _, err := time.LoadLocation(zone); err == nil {
			whole.set("zone", zone)
		}
	}
	spec, ok := scheduleSpec(whole, &s)
	if !ok {
		return v.showScheduleForm(http.StatusUnprocessableEntity, whole, nil, &s)
	}
	if _, err := send[api.Schedule](v, http.MethodPut, v.schedulePath()+"?"+url.Values{"if_version": {strconv.FormatInt(s.Version, 10)}}.Encode(), spec); err != nil {
		banner, err := whole.refused(err, scheduleFields...)
		if err != nil {
			return err
		}
		return v.showScheduleForm(http.StatusUnprocessableEntity, whole, banner, &s)
	}
	return v.goTo("/hosts/" + v.param("host") + "/schedules?done=schedule-daily")
}
