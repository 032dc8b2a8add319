package slot

import "time"

// LongestGap returns how much time passes at most between two slots that follow each
// other, by the clock on the wall: changes of the clock may add an hour or two. It
// depends on the cron text alone and costs a few thousand steps, however many slots
// there are.
func (s Schedule) LongestGap() time.Duration {
	first, last, longest := s.spanOfDay()
	var before time.Time // the day before that has slots
	for day := gapsFrom(); day.Before(gapsUntil()); day = day.AddDate(0, 0, 1) {
		if !s.onDay(day) {
			continue
		}
		if !before.IsZero() {
			longest = max(longest, day.Sub(before)+first-last)
		}
		before = day
	}
	return longest
}

// gapsFrom and gapsUntil bound eight years in which each day of the year falls on
// nearly each day of the week, with three leap days.
func gapsFrom() time.Time  { return time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC) }
func gapsUntil() time.Time { return time.Date(2032, 12, 31, 0, 0, 0, 0, time.UTC) }

// spanOfDay returns the first and the last slot of a day that has any, and the longest
// time between two of them.
func (s Schedule) spanOfDay() (first, last, longest time.Duration) {
	first = -1
	for hour := range 24 {
		for minute := range 60 {
			if s.spec.Hour&(1<<hour) == 0 || s.spec.Minute&(1<<minute) == 0 {
				continue
			}
			at := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
			if first < 0 {
				first = at
			} else {
				longest = max(longest, at-last)
			}
			last = at
		}
	}
	return max(first, 0), last, longest
}

// starBit is set by the library for columns that begin with a star.
const starBit = 1 << 63

// onDay reports whether the cron text names a day: by the day of the month and that of
// the week where one of them is a star, by either where both are given.
func (s Schedule) onDay(day time.Time) bool {
	if s.spec.Month&(1<<uint(day.Month())) == 0 {
		return false
	}
	dom := s.spec.Dom&(1<<uint(day.Day())) != 0
	dow := s.spec.Dow&(1<<uint(day.Weekday())) != 0
	if s.spec.Dom&starBit != 0 || s.spec.Dow&starBit != 0 {
		return dom && dow
	}
	return dom || dow
}
