package agent

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/agent/runner"
	"restic-manager/agent/schedule"
	"restic-manager/agent/slot"
	"restic-manager/restic"
)

// The contract's bounds on what a configuration says of times.
const (
	maxSchedules  = 1000
	maxWindows    = 20
	maxJitterS    = 24 * 60 * 60
	maxRunS       = 30 * 24 * 60 * 60
	maxRetries    = 10
	leastRetryS   = 10
	usualRetryS   = 300
	longestRetryS = 24 * 60 * 60
)

// fires reports whether a schedule fires by itself.
func fires(s control.AgentSchedule) bool { return s.Enabled && !s.Manual }

// catchesUp reports whether the latest slot that was missed is run afterwards.
func catchesUp(s control.AgentSchedule) bool {
	return s.Options == nil || s.Options.CatchUp != control.Skip
}

// wrongs gathers what is wrong with something.
type wrongs []error

func (w *wrongs) note(err error) {
	if err != nil {
		*w = append(*w, err)
	}
}

// timingOf understands when runs of a schedule may go on. What is wrong is said for
// all of it.
func timingOf(s control.AgentSchedule) (runner.Timing, error) {
	var wrong wrongs
	if fires(s) { //guard:config-cron
		_, err := slot.Parse(s.Cron, s.Zone)
		wrong.note(err)
		if _, err := uuid.Parse(s.Id); err != nil {
			wrong.note(errors.New("its id is none"))
		}
	}
	timing := runner.Timing{RetryAfter: usualRetryS * time.Second, CatchUp: fires(s) && catchesUp(s)}
	if s.Zone != "" {
		zone, err := slot.Zone(s.Zone)
		if !fires(s) { // else it was said
			wrong.note(err)
		}
		timing.Zone = zone
	}
	if s.Options != nil {
		optionsInto(&timing, s.Options, wrong.note)
		hoursInto(&timing, s.Options, wrong.note)
	}
	return timing, errors.Join(wrong...)
}

// optionsInto understands the options that are single values.
func optionsInto(timing *runner.Timing, o *control.ScheduleOptions, note func(error)) {
	if o.CatchUp != "" && o.CatchUp != control.Latest && o.CatchUp != control.Skip {
		note(errors.New("options.catch_up is not understood: it is latest or skip"))
	}
	timing.Jitter = seconds("jitter_s", o.JitterS, 0, maxJitterS, note)
	timing.MaxRun = seconds("max_run_s", o.MaxRunS, 0, maxRunS, note)
	if timing.Retries = o.RetryAttempts; o.RetryAttempts < 0 || o.RetryAttempts > maxRetries {
		note(fmt.Errorf("options.retry_attempts is not 0 to %d", maxRetries))
	}
	if o.RetryAfterS != 0 {
		timing.RetryAfter = seconds("retry_after_s", o.RetryAfterS, leastRetryS, longestRetryS, note)
	}
}

// backupOptionsOf understands what a schedule chooses for its backups. What this system
// cannot do is found out when a backup is due: the other schedules are to go on.
func backupOptionsOf(s control.AgentSchedule) (restic.BackupOptions, error) {
	if s.Options == nil {
		return restic.BackupOptions{}, nil
	}
	b := s.Options.Backup
	o := restic.BackupOptions{
		ExcludeFiles: b.ExcludeFiles, ExcludeIfPresent: b.ExcludeIfPresent, ExcludeLargerThan: b.ExcludeLargerThan,
		ExcludeCaches: b.ExcludeCaches, OneFileSystem: b.OneFileSystem, Compression: string(b.Compression),
		ReadConcurrency: b.ReadConcurrency, SkipIfUnchanged: b.SkipIfUnchanged, UseFSSnapshot: b.UseFsSnapshot,
	}
	if err := o.Validate(); err != nil || s.Source == "" {
		return o, err
	}
	return o, o.NamedSourceMistake()
}

// hoursInto understands the options that are hours of the day.
func hoursInto(timing *runner.Timing, o *control.ScheduleOptions, note func(error)) {
	if len(o.Windows) > maxWindows || len(o.Bandwidth) > maxWindows {
		note(fmt.Errorf("options has more than %d windows or bandwidth rules", maxWindows))
		return
	}
	for i, w := range o.Windows {
		window, err := windowOf(w.Days, w.From, w.To)
		if err != nil {
			note(fmt.Errorf("options.windows[%d].%w", i, err))
		}
		timing.Windows = append(timing.Windows, window)
	}
	for i, b := range o.Bandwidth {
		window, err := windowOf(b.Days, b.From, b.To)
		if err != nil {
			note(fmt.Errorf("options.bandwidth[%d].%w", i, err))
		}
		limits := restic.Limits{UploadKiB: b.UploadKibS, DownloadKiB: b.DownloadKibS}
		if err := limits.Validate(); err != nil {
			note(fmt.Errorf("options.bandwidth[%d]: %w", i, err))
		}
		timing.Bandwidth = append(timing.Bandwidth, runner.Bandwidth{Window: window, Limits: limits})
	}
}

func seconds(name string, n, least, most int, note func(error)) time.Duration {
	if n < least || n > most {
		note(fmt.Errorf("options.%s is not %d to %d", name, least, most))
		return 0
	}
	return time.Duration(n) * time.Second
}

func windowOf(days []control.Weekday, from, to control.Clock) (slot.Window, error) {
	names := make([]string, len(days))
	for i, day := range days {
		names[i] = string(day)
	}
	return slot.ParseWindow(names, string(from), string(to))
}

// entriesOf are the schedules of an understood configuration that fire by themselves.
func entriesOf(c control.AgentConfig) []schedule.Entry {
	var entries []schedule.Entry
	for _, s := range c.Schedules {
		if !fires(s) { //guard:manual-fires
			continue
		}
		slots, err := slot.Parse(s.Cron, s.Zone)
		id, malformed := uuid.Parse(s.Id)
		if err != nil || malformed != nil {
			continue // of what was understood, there is none
		}
		entries = append(entries, schedule.Entry{
			ID: id, Version: s.Version, RepositoryID: s.RepositoryId, Slots: slots, Times: s.Cron + " " + s.Zone,
			CatchUp: catchesUp(s),
		})
	}
	return entries
}
