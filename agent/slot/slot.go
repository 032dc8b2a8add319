// Package slot turns a schedule's cron text and time zone into its slots: the
// nominal times at which it fires, and the ids of the jobs that belong to them.
//
// The agent fires by these times and the server foretells them, by the same code.
// Everything here is a pure function of its arguments.
//
// # Clock changes
//
// A schedule means the clock on the wall. Where the clock is put forward, a slot
// that falls into the gap fires once, at the first moment after it. Where the clock
// is put back, a slot whose time comes twice fires the first time only. Schedules
// that fire in every hour follow the hours as they pass instead: the hour that does
// not exist is left out, and the one that comes twice is served twice.
//
// The package imports nothing of ours.
package slot

import (
	"time"
	_ "time/tzdata" // Windows and small containers have no zone files

	"github.com/google/uuid"
	"github.com/robfig/cron/v3"
)

// Schedule knows the slots of one cron text in one zone. It is made by Parse, does
// not change, and may be used by several goroutines.
type Schedule struct {
	spec *cron.SpecSchedule // counts in UTC, which stands for the clock on the wall
	zone *time.Location
}

const (
	everyHour = 1<<24 - 1

	// One search of the cron library spans five years, and 29 February may be eight
	// years away.
	searches = 2
)

// Next returns the first slot after a time, in the schedule's zone. It returns false
// if there is none within ten years; of what Parse accepts, there is always one.
func (s Schedule) Next(after time.Time) (time.Time, bool) {
	after = after.In(s.zone)
	if s.spec.Hour&everyHour == everyHour {
		return s.nextAsHoursPass(after)
	}
	return s.nextOnTheWall(after)
}

// Latest returns the last slot after one time and not after another; false if there is
// none. It costs a few dozen calls of Next, however many slots lie between.
func (s Schedule) Latest(after, until time.Time) (time.Time, bool) {
	first, ok := s.Next(after)
	if !ok || first.After(until) {
		return time.Time{}, false
	}
	// A slot comes after low and not after until; none comes after high.
	low, high := after.Truncate(time.Second), until
	for high.Sub(low) > time.Second {
		middle := low.Add(high.Sub(low) / 2).Truncate(time.Second)
		if !middle.After(low) {
			break
		}
		if next, ok := s.Next(middle); ok && !next.After(until) {
			low, first = middle, next
		} else {
			high = middle
		}
	}
	return first, true
}

// nextOnTheWall walks the wall's clock. The slots of later times on the wall are
// never earlier, so the first one after is the one.
func (s Schedule) nextOnTheWall(after time.Time) (time.Time, bool) {
	wall := wallOf(after)
	for {
		next, ok := s.nextMatch(wall)
		if !ok {
			return time.Time{}, false
		}
		if moment := s.firstMoment(next); moment.After(after) {
			return moment, true
		}
		wall = next // its time has come before: the clock was put back
	}
}

// nextAsHoursPass walks from one change of the clock to the next; between two of
// them the wall's clock differs from UTC by a constant.
func (s Schedule) nextAsHoursPass(after time.Time) (time.Time, bool) {
	for {
		_, until := after.ZoneBounds()
		wall := wallOf(after)
		next, ok := s.nextMatch(wall)
		if !ok {
			return time.Time{}, false
		}
		moment := after.Add(next.Sub(wall))
		if until.IsZero() || moment.Before(until) {
			return moment, true
		}
		if s.matches(wallOf(until)) {
			return until, true
		}
		after = until
	}
}

// nextMatch returns the next time on the wall that the cron text names.
func (s Schedule) nextMatch(wall time.Time) (time.Time, bool) {
	for range searches {
		if next := s.spec.Next(wall); !next.IsZero() {
			return next, true
		}
		wall = wall.AddDate(5, 0, 0)
	}
	return time.Time{}, false
}

// matches reports whether the cron text names a time on the wall.
func (s Schedule) matches(wall time.Time) bool {
	return s.spec.Next(wall.Add(-time.Second)).Equal(wall)
}

// firstMoment returns when a time on the wall comes for the first time; if the
// clock jumps over it, when the clock jumps.
func (s Schedule) firstMoment(wall time.Time) time.Time {
	moment := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, s.zone)
	since, until := moment.ZoneBounds()
	if !wallOf(moment).Equal(wall) {
		// time.Date went by the offset on one side of the gap, it does not say which.
		if !until.IsZero() && wallOf(moment).Before(wall) {
			return until
		}
		return since
	}
	if since.IsZero() {
		return moment
	}
	before := since.Add(-time.Second)
	earlier := before.Add(wall.Sub(wallOf(before)))
	if earlier.Before(since) {
		return earlier
	}
	return moment
}

// wallOf writes what the wall's clock shows as if it were UTC.
func wallOf(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// JobID returns the id of the job that belongs to a slot. Whoever computes it, for
// a first run or to catch up, gets the same id, so a slot makes one job.
func JobID(schedule uuid.UUID, slot time.Time) uuid.UUID {
	return uuid.NewSHA1(schedule, []byte(slot.UTC().Format(time.RFC3339)))
}
