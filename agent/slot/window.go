package slot

import (
	"fmt"
	"slices"
	"time"
)

// Window is a part of the day on the wall. One whose end is before or at its
// beginning ends on the next day, and belongs to the day on which it begins. It is
// made by ParseWindow.
type Window struct {
	days     [7]bool       // by time.Weekday, of its beginning
	from, to time.Duration // since midnight on the wall; to is above from
}

const aDay = 24 * time.Hour

// ParseWindow reads times of day such as "22:30", and days such as "mon"; no days
// are all days. The error says what is wrong with which of them.
func ParseWindow(days []string, from, to string) (Window, error) {
	var w Window
	var err error
	if w.from, err = parseClock(from); err != nil {
		return Window{}, fmt.Errorf("from: %w", err)
	}
	if w.to, err = parseClock(to); err != nil {
		return Window{}, fmt.Errorf("to: %w", err)
	}
	if w.to <= w.from {
		w.to += aDay
	}
	for _, day := range days {
		i := slices.Index(weekdays(), day)
		if i < 0 {
			return Window{}, fmt.Errorf("days: there is no such day; they are mon, tue, wed, thu, fri, sat and sun")
		}
		w.days[i] = true
	}
	if len(days) == 0 {
		w.days = [7]bool{true, true, true, true, true, true, true}
	}
	return w, nil
}

// weekdays are the names of days in the order of time.Weekday.
func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

func parseClock(text string) (time.Duration, error) {
	at, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, fmt.Errorf("a time of day is written like 22:30")
	}
	return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute, nil
}

// Holds reports whether the clock on the wall of t's zone is within the window at t.
// An hour that comes twice is in it twice.
func (w Window) Holds(t time.Time) bool {
	wall := wallOf(t)
	for _, day := range []time.Time{midnight(wall), midnight(wall).AddDate(0, 0, -1)} {
		since := wall.Sub(day)
		if w.days[day.Weekday()] && w.from <= since && since < w.to {
			return true
		}
	}
	return false
}

// opens is when the window next begins after a time on the wall, on the wall.
func (w Window) opens(wall time.Time) time.Time {
	for day := midnight(wall); ; day = day.AddDate(0, 0, 1) {
		if at := day.Add(w.from); w.days[day.Weekday()] && at.After(wall) {
			return at
		}
	}
}

func midnight(wall time.Time) time.Time { return wall.Truncate(aDay) }

// Opens returns the first moment from t on that is within one of the windows, in t's
// zone: t itself if it is. No windows are always open.
func Opens(windows []Window, t time.Time) time.Time {
	within := func(t time.Time) bool {
		return len(windows) == 0 || slices.ContainsFunc(windows, func(w Window) bool { return w.Holds(t) })
	}
	for !within(t) {
		// Until the clock is changed, the wall differs from UTC by a constant.
		_, changed := t.ZoneBounds()
		wall := wallOf(t)
		next := windows[0].opens(wall)
		for _, w := range windows[1:] {
			if at := w.opens(wall); at.Before(next) {
				next = at
			}
		}
		moment := t.Add(next.Sub(wall))
		if !changed.IsZero() && !moment.Before(changed) {
			moment = changed.In(t.Location())
		}
		t = moment
	}
	return t
}
