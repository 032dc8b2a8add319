package fleet

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"restic-manager/agent/slot"
	"restic-manager/restic"
)

// Check tells every mistake in what people write into a schedule, as Fields whose
// pointers name the contract's members. Cron and zone of a manual schedule are not
// looked at.
func (s *Schedule) Check() error {
	var found Fields
	found = append(found, checkEach("/paths", s.Paths.Items(), restic.CheckSource)...)
	found = append(found, checkEach("/excludes", s.Excludes.Items(), restic.CheckExclude)...)
	found = append(found, checkEach("/tags", s.Tags.Items(), restic.CheckTag)...)
	switch paths := len(s.Paths.Items()); {
	case paths == 0 && s.Source == "":
		found = append(found, Errorf(InvalidField, "Name at least one path to back up, or a source of the host.").At("/paths"))
	case paths > 0 && s.Source != "":
		found = append(found, Errorf(InvalidField, "Give paths or a source, not both: make a schedule for each.").At("/source"))
	case !hookName.MatchString(s.Source):
		found = append(found, Errorf(InvalidField, "This is no name of a source; see which ones the host offers.").At("/source"))
	}
	if !s.Manual {
		e := checkCron(s.Cron, s.Zone)
		if e != nil && s.Cron == "" {
			e.Message += " A schedule that only runs when it is told to is manual."
		}
		if e != nil {
			found = append(found, e)
		}
		if e != nil && e.Field == "/cron" { // the zone was not looked at
			if e := checkCron("0 0 * * *", s.Zone); e != nil {
				found = append(found, e)
			}
		}
	}
	found = append(found, s.checkOptions()...)
	found = append(found, s.checkObjective()...)
	return found.Err()
}

// checkEach applies a rule of restic to each item of a list.
func checkEach(pointer string, items []string, rule func(string) error) Fields {
	var found Fields
	for i, item := range items {
		var e *restic.Error
		if err := rule(item); errors.As(err, &e) {
			found = append(found, Errorf(InvalidField, "%s.", sentence(e.Message, e.Next)).At(fmt.Sprintf("%s/%d", pointer, i)))
		}
	}
	return found
}

// CheckCron tells what is wrong with the schedule's cron or zone; the field is named
// as the parameter "cron" or "zone".
func (s *Schedule) CheckCron() error {
	if e := checkCron(s.Cron, s.Zone); e != nil {
		return e.At(strings.TrimPrefix(e.Field, "/"))
	}
	return nil
}

func checkCron(cron, zone string) *Error {
	_, err := slot.Parse(cron, zone)
	var e *slot.Error
	if !errors.As(err, &e) {
		return nil
	}
	pointer := "/cron"
	if e.Code == slot.CodeZoneRequired || e.Code == slot.CodeZoneUnknown {
		pointer = "/zone"
	}
	return Errorf(InvalidField, "%s.", sentence(e.Message, e.Next)).At(pointer)
}

// sentence joins what is wrong with what to do about it.
func sentence(message, next string) string {
	if message != "" {
		message = strings.ToUpper(message[:1]) + message[1:]
	}
	if next != "" {
		message += "; " + next
	}
	return strings.TrimSuffix(message, ".")
}

// hookName is what hooks and sources are called, or nothing.
var hookName = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$`)

// clockText is a time of day on the wall.
var clockText = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

const aDay = 24 * 60 * 60 // seconds

// checkOptions tells every mistake in how the schedule runs by itself.
func (s *Schedule) checkOptions() Fields {
	var o ScheduleOptions
	if err := s.Options.Read(&o); err != nil {
		return Fields{Wrap(InvalidField, err, "The options cannot be read.").At("/options")}
	}
	var found Fields
	wrong := func(pointer, format string, args ...any) {
		found = append(found, Errorf(InvalidField, format, args...).At("/options"+pointer))
	}
	within := func(pointer string, value, least, most int64, what string) {
		if value != 0 && value < least || value < 0 || value > most {
			wrong(pointer, "%s lie between %d and %d.", what, least, most)
		}
	}
	if o.CatchUp != "" && o.CatchUp != "latest" && o.CatchUp != "skip" {
		wrong("/catch_up", "Write latest or skip.")
	}
	within("/jitter_s", o.Jitter, 0, aDay, "Seconds of jitter")
	within("/max_run_s", o.MaxRun, 0, 30*aDay, "Seconds that a run may take")
	within("/retry_attempts", int64(o.RetryAttempts), 0, 10, "Further attempts")
	within("/retry_after_s", o.RetryAfter, 10, aDay, "Seconds before a further attempt")
	if len(o.Windows) > 20 {
		wrong("/windows", "There are at most 20 windows.")
	}
	if len(o.Bandwidth) > 20 {
		wrong("/bandwidth", "There are at most 20 rules.")
	}
	for i := range o.Windows {
		found = append(found, o.Windows[i].check(fmt.Sprintf("/options/windows/%d", i))...)
	}
	for i := range o.Bandwidth {
		at := fmt.Sprintf("/bandwidth/%d", i)
		found = append(found, o.Bandwidth[i].check("/options"+at)...)
		within(at+"/upload_kib_s", o.Bandwidth[i].Upload, 0, 10<<20, "KiB a second")
		within(at+"/download_kib_s", o.Bandwidth[i].Download, 0, 10<<20, "KiB a second")
	}
	found = append(found, o.Hooks.check()...)
	found = append(found, s.checkBackupOptions(o.Backup)...)
	if s.Manual && len(o.Windows)+len(o.Bandwidth) > 0 {
		if e := checkCron("0 0 * * *", s.Zone); e != nil {
			found = append(found, e) // their clock is one of a zone
		}
	}
	if gap := s.longestGap(); gap > 0 && o.Jitter > int64(gap/time.Second) {
		wrong("/jitter_s", "The jitter is longer than the time between two runs, %s.", inWords(gap))
	}
	return found
}

// checkBackupOptions applies restic's rules to what a schedule chooses for its backups.
func (s *Schedule) checkBackupOptions(o *restic.BackupOptions) Fields {
	if o == nil {
		return nil
	}
	var found Fields
	var wrong restic.Errors
	if errors.As(o.Validate(), &wrong) {
		for _, e := range wrong {
			field := strings.NewReplacer("[", "/", "]", "").Replace(e.Field)
			found = append(found, Errorf(InvalidField, "%s.", sentence(e.Message, e.Next)).At("/options/backup/"+field))
		}
	}
	var e *restic.Error
	if s.Source != "" && errors.As(o.NamedSourceMistake(), &e) {
		found = append(found, Errorf(InvalidField, "%s.", sentence(e.Message, e.Next)).At("/options/backup"))
	}
	return found
}

func (w Window) check(pointer string) Fields {
	var found Fields
	for _, c := range []struct{ name, text string }{{"/from", w.From}, {"/to", w.To}} {
		if !clockText.MatchString(c.text) {
			found = append(found, Errorf(InvalidField, "Write a time of day such as 22:30.").At(pointer+c.name))
		}
	}
	for i, day := range w.Days {
		if !slices.Contains(weekdays, day) || slices.Contains(w.Days[:i], day) {
			found = append(found, Errorf(InvalidField, "The days are mon, tue, wed, thu, fri, sat and sun, each once.").At(fmt.Sprintf("%s/days/%d", pointer, i)))
		}
	}
	return found
}

func (h *ScheduleHooks) check() Fields {
	if h == nil {
		return nil
	}
	var found Fields
	for _, c := range []struct{ name, text string }{{"before", h.Before}, {"after_success", h.AfterSuccess}, {"after_failure", h.AfterFailure}} {
		if !hookName.MatchString(c.text) {
			found = append(found, Errorf(InvalidField, "A hook is the name of a file in the host's own directory, never a path.").At("/options/hooks/"+c.name))
		}
	}
	if h.BeforeFailure != "" && h.BeforeFailure != "stop" && h.BeforeFailure != "go_on" {
		found = append(found, Errorf(InvalidField, "Write stop or go_on.").At("/options/hooks/before_failure"))
	}
	if h.Timeout < 0 || h.Timeout > aDay {
		found = append(found, Errorf(InvalidField, "A hook may take a day at most.").At("/options/hooks/timeout_s"))
	}
	return found
}

func (s *Schedule) checkObjective() Fields {
	const tenYears = 3650 * aDay
	gap := s.longestGap()
	switch {
	case s.Objective < 0 || s.Objective > tenYears:
		return Fields{Errorf(InvalidField, "An objective lies between 0 and ten years; 0 leaves it to the cron.").At("/objective_s")}
	case s.Objective > 0 && s.Objective < int64(gap/time.Second):
		return Fields{Errorf(InvalidField,
			"The runs lie up to %s apart, so that this objective would be missed between them; give it more, or let the schedule run more often.",
			inWords(gap)).At("/objective_s")}
	}
	return nil
}

// longestGap is the longest time between two slots; 0 for a manual schedule and where
// the cron cannot be read.
func (s *Schedule) longestGap() time.Duration {
	if s.Manual {
		return 0
	}
	return planOf(s.Cron, s.Zone).gap
}

// NextSlots foretells when an enabled schedule with a time fires, at most n times.
// A cron text that cannot be read gives none.
func (s *Schedule) NextSlots(after time.Time, n int) []time.Time {
	if s.Manual || !s.Enabled {
		return nil
	}
	var slots []time.Time
	for at := s.SlotAfter(At(after)); !at.IsZero() && len(slots) < n; at = s.SlotAfter(at) {
		slots = append(slots, at.Time())
	}
	return slots
}

// CheckLocation reads where a repository lies and gives its one canonical text.
// LocationInvalid, about that field, where it cannot be.
func CheckLocation(text, pointer string) (restic.Location, *Error) {
	l, err := restic.ParseLocation(text)
	if err == nil {
		return l, nil
	}
	var e *restic.Error
	if !errors.As(err, &e) {
		return l, Wrap(LocationInvalid, err, "This is no location of a repository.").At(pointer)
	}
	return l, Errorf(LocationInvalid, "%s.", sentence(e.Message, e.Next)).At(pointer)
}
