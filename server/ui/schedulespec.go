package ui

import (
	"slices"
	"strconv"
	"strings"

	"restic-manager/server/api"
)

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

// shownFields are all fields of the form.
var shownFields = append(slices.Clone(scheduleFields), backupFields...)

// scheduleForm fills the form with a schedule as it is.
func scheduleForm(s api.Schedule) *form {
	o := s.Options
	f := filled(map[string]string{
		"name": string(s.Name), "repository_id": string(s.RepositoryId), "source": s.Source, "paths": strings.Join(s.Paths, "\n"),
		"excludes": strings.Join(s.Excludes, "\n"), "tags": joined(s.Tags),
		"catch_up": string(o.CatchUp), "windows": windowLines(o.Windows), "bandwidth": bandwidthLines(o.Bandwidth), "objective_s": span(s.ObjectiveS),
		"before": o.Hooks.Before, "before_failure": string(o.Hooks.BeforeFailure), "after_success": o.Hooks.AfterSuccess, "after_failure": o.Hooks.AfterFailure,
	})
	for name, set := range map[string]bool{"manual": s.Manual, "enabled": s.Enabled} {
		if set {
			f.set(name, "true")
		}
	}
	for name, value := range map[string]string{"cron": s.Cron, "zone": s.Zone} {
		if value != "" {
			f.set(name, value)
		}
	}
	setBackup(f, o.Backup)
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
	readBackup(f, &spec.Options.Backup)
	if spec.Source != "" { // its output has no folders to choose from
		spec.Options.Backup = api.BackupOptions{Compression: spec.Options.Backup.Compression}
	}
	if spec.Zone == "" && len(spec.Options.Windows)+len(spec.Options.Bandwidth) > 0 { // they are read in it
		spec.Zone = f.get("zone")
	}
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
