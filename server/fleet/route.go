package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Check tells every mistake in a route that its form does not, with pointers
// into the contract's body.
func (r *ChannelRoute) Check() error {
	var found Fields
	if _, err := r.zone(); err != nil {
		found = append(found, Errorf(InvalidField, "There is no time zone of this name; use one such as Europe/Berlin, or UTC.").At("/route/zone"))
	}
	if _, _, ok := wallClock(r.At); r.At != "" && !ok {
		found = append(found, Errorf(InvalidField, "Give a time of day such as 08:00.").At("/route/at"))
	}
	for i, w := range r.Quiet {
		_, _, from := wallClock(w.From)
		_, _, to := wallClock(w.To)
		if !from || !to {
			found = append(found, Errorf(InvalidField, "Give times of day such as 22:30.").At(fmt.Sprintf("/route/quiet/%d", i)))
		}
	}
	return found.Err()
}

// SendAt is when a channel is told, which is now for what is critical.
func (r *ChannelRoute) SendAt(severity Severity, now time.Time) time.Time {
	if severity == Critical {
		return now
	}
	at := now
	switch r.Digest {
	case "hourly":
		at = now.Truncate(time.Hour).Add(time.Hour)
	case "daily":
		at = r.NextAt(now, false)
	}
	return r.quietEnd(at)
}

// DefaultClock is when reports and daily digests are sent where a route does not say.
const DefaultClock = "08:00"

// NextAt is the next time of day of a route after a moment, or with weekly the next
// Monday's.
func (r *ChannelRoute) NextAt(after time.Time, weekly bool) time.Time {
	loc, err := r.zone()
	if err != nil {
		loc = time.UTC
	}
	hour, minute, ok := wallClock(r.At)
	if !ok {
		hour, minute, _ = wallClock(DefaultClock)
	}
	local := after.In(loc)
	for day := 0; ; day++ {
		at := time.Date(local.Year(), local.Month(), local.Day()+day, hour, minute, 0, 0, loc)
		if at.After(after) && (!weekly || at.Weekday() == time.Monday) {
			return at
		}
	}
}

// quietEnd is the moment itself, or the end of the quiet hours that it falls into.
// Windows that leave no gap do not hold anything back for more than a day.
func (r *ChannelRoute) quietEnd(at time.Time) time.Time {
	loc, err := r.zone()
	if err != nil {
		return at
	}
	last := at.Add(24 * time.Hour)
	for moved := true; moved && at.Before(last); {
		moved = false
		for _, w := range r.Quiet {
			if end := windowEnd(w, at, loc); end.After(at) {
				at, moved = end, true
			}
		}
	}
	if at.After(last) {
		return last
	}
	return at
}

// windowEnd is the end of the window that a moment lies in, or the zero time.
func windowEnd(w Window, at time.Time, loc *time.Location) time.Time {
	fromHour, fromMinute, ok := wallClock(w.From)
	toHour, toMinute, ok2 := wallClock(w.To)
	if !ok || !ok2 {
		return time.Time{}
	}
	local := at.In(loc)
	for _, day := range []int{-1, 0} {
		from := time.Date(local.Year(), local.Month(), local.Day()+day, fromHour, fromMinute, 0, 0, loc)
		to := time.Date(local.Year(), local.Month(), local.Day()+day, toHour, toMinute, 0, 0, loc)
		if toHour*60+toMinute <= fromHour*60+fromMinute {
			to = time.Date(local.Year(), local.Month(), local.Day()+day+1, toHour, toMinute, 0, 0, loc)
		}
		if len(w.Days) > 0 && !slices.Contains(w.Days, strings.ToLower(from.Weekday().String()[:3])) {
			continue
		}
		if !at.Before(from) && at.Before(to) {
			return to
		}
	}
	return time.Time{}
}

func (r *ChannelRoute) zone() (*time.Location, error) {
	if r.Zone == "" {
		return time.UTC, nil
	}
	if r.Zone == "Local" {
		return nil, errors.New("no zone")
	}
	return time.LoadLocation(r.Zone)
}

func wallClock(text string) (hour, minute int, ok bool) {
	t, err := time.Parse("15:04", text)
	return t.Hour(), t.Minute(), err == nil
}
