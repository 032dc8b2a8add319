package fleet

import (
	"errors"
	"fmt"
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
	if len(s.Paths.Items()) == 0 {
		found = append(found, Errorf(InvalidField, "Name at least one path to back up.").At("/paths"))
	}
	if !s.Manual {
		if e := checkCron(s.Cron, s.Zone); e != nil {
			found = append(found, e)
		}
	}
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

// NextSlots foretells when an enabled schedule with a time fires, at most n times.
// A cron text that cannot be read gives none.
func (s *Schedule) NextSlots(after time.Time, n int) []time.Time {
	if s.Manual || !s.Enabled {
		return nil
	}
	plan, err := slot.Parse(s.Cron, s.Zone)
	if err != nil {
		return nil
	}
	var slots []time.Time
	for len(slots) < n {
		next, ok := plan.Next(after)
		if !ok {
			break
		}
		slots = append(slots, next.UTC())
		after = next
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
