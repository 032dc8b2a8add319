package schedule

import (
	"time"

	"restic-manager/agent/slot"
)

// Triggers of the jobs that are born here.
const (
	bySchedule = "schedule"
	byCatchUp  = "catch-up"
)

const (
	// onTime is how late a slot may be fired as if it were punctual, also by a schedule
	// that does not catch up.
	onTime = 2 * time.Minute
	// putBack is how far the clock may be behind a cursor without having been put back:
	// clocks are corrected by parts of a second all day.
	putBack = 2 * time.Minute
)

// verdict is what is to be done about a schedule's slots.
type verdict struct {
	slot    time.Time // that gets a job; zero for none
	trigger string    // of that job
	at      time.Time // the cursor from now on
}

// isBack reports whether the clock was put back behind a cursor.
func isBack(at, now time.Time) bool { return now.Before(at.Add(-putBack)) }

// decide looks at the slots after the cursor at, as the clock says now; the look before
// this one was ran ago. A cursor that is ahead of a clock that was put back comes back to
// where the clock was then: the slots since were not looked at.
func decide(slots slot.Schedule, at, now time.Time, ran time.Duration, catchUp, locked bool) verdict {
	if isBack(at, now) {
		at = now.Add(-ran - time.Second).Truncate(time.Second)
	}
	latest, due := slots.Latest(at, now)
	switch {
	case !due:
		return verdict{at: at}
	case locked && catchUp:
		return verdict{at: later(at, latest.Add(-time.Second))} // it stays due
	case locked:
		return verdict{at: latest}
	case now.Sub(latest) <= onTime:
		return verdict{slot: latest, trigger: bySchedule, at: latest}
	case catchUp:
		return verdict{slot: latest, trigger: byCatchUp, at: latest}
	}
	return verdict{at: latest}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
