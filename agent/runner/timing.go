package runner

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"restic-manager/agent/slot"
	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// Timing is when a schedule's runs go on, and how fast. A run that a person started
// does not wait for it, and is bound by the rest.
type Timing struct {
	Zone       *time.Location // of Windows and Bandwidth; nil for UTC
	Jitter     time.Duration  // a run begins up to so much after it is due
	Windows    []slot.Window  // a run that is due outside waits; none for any time
	Bandwidth  []Bandwidth    // the first that holds when restic starts
	MaxRun     time.Duration  // an attempt that takes longer is stopped; 0 for never
	CatchUp    bool           // a planned run that was cut off is tried again once, also without Retries
	Retries    int            // further attempts after a failure that may pass
	RetryAfter time.Duration  // before the second attempt, doubled before each further one
}

// Bandwidth limits an attempt that begins within its window.
type Bandwidth struct {
	slot.Window
	restic.Limits
}

// longestRetry is the longest pause between two attempts.
const longestRetry = 24 * time.Hour

// planned reports whether a job came from its schedule's times, and not from a person.
func planned(job spool.Job) bool { return !job.Slot.IsZero() }

func (t Timing) in(at time.Time) time.Time {
	if t.Zone == nil {
		return at.UTC()
	}
	return at.In(t.Zone)
}

// begins returns until when a job has to wait at now, and for what; zero if it may begin.
func (t Timing) begins(job spool.Job, now time.Time) (when time.Time, why string) {
	if now.Before(job.RetryAt) && !isBack(job.RetryAt, now, longestRetry) {
		return job.RetryAt, "" // was told when the attempt before it ended
	}
	if !planned(job) {
		return time.Time{}, ""
	}
	if at := t.turn(job); job.Attempt == 0 && now.Before(at) && !isBack(at, now, t.Jitter) {
		return at, "waits for its turn, at " + t.in(at).Format("15:04:05")
	}
	now = t.in(now)
	if at := slot.Opens(t.Windows, now); at.After(now) {
		return at, "waits for its window, opens " + clockOf(at, now)
	}
	return time.Time{}, ""
}

// isBack reports whether a moment is further away than anything waits for: the clock was
// put back since it was chosen, and a job must not wait, and hold up its schedule, for
// what is a year away now.
func isBack(at, now time.Time, most time.Duration) bool { return at.Sub(now) > most+time.Minute }

// clockOf tells a moment of the next days by the clock on the wall.
func clockOf(at, now time.Time) string {
	if at.Sub(now) < 24*time.Hour {
		return "at " + at.Format("15:04")
	}
	return "on " + at.Format("Monday") + " at " + at.Format("15:04")
}

// turn is when a planned job begins: its id gives how much later than it is due, so that
// a fleet does not begin at once, and every look at the job says the same.
func (t Timing) turn(job spool.Job) time.Time {
	due := job.Slot
	if job.OpenedAt.After(due.Add(time.Minute)) {
		due = job.OpenedAt // it catches up
	}
	if t.Jitter < time.Second {
		return due
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(job.ID)) // never fails
	return due.Add(time.Duration(sum.Sum64()%uint64(t.Jitter/time.Second+1)) * time.Second)
}

// limits are those of an attempt that begins at now.
func (t Timing) limits(now time.Time) restic.Limits {
	for _, rule := range t.Bandwidth {
		if rule.Holds(t.in(now)) {
			return rule.Limits
		}
	}
	return restic.Limits{}
}

// passing are codes of failures that may be gone the next time. A wrong password, a
// refusal and a full storage are not: they need a person. A lock is waited for within the
// attempt.
var passing = []string{
	string(restic.CodeRepoUnreachable), string(restic.CodeRepoAnswerLost), string(restic.CodeResticStuck),
	string(restic.CodeResticTimeout), string(restic.CodeResticKilled), string(restic.CodeResticFailed),
	CodeSecretUnavailable, CodeHookFailed, string(restic.CodeSourceFailed),
}

// retry returns the pause before the next attempt of a job whose last one ended so;
// false if there is none.
func (t Timing) retry(attempt int, e *Ending) (time.Duration, bool) {
	if e.Result != spool.Failed || attempt < 1 || attempt > t.Retries || !slices.Contains(passing, e.Code) {
		return 0, false
	}
	return t.backoff(attempt), true
}

// resume returns the pause before the next attempt of a planned run that the agent or
// the machine ended or died under, and that is known to have left nothing; false if there
// is none. With Retries left it is one of those, else the one that catching up allows.
func (t Timing) resume(job spool.Job) (time.Duration, bool) {
	switch {
	case !planned(job) || job.Attempt < 1:
		return 0, false
	case job.Attempt <= t.Retries:
		return t.backoff(job.Attempt), true
	}
	return 0, t.CatchUp && job.Attempt == 1
}

// backoff is the pause after an attempt.
func (t Timing) backoff(attempt int) time.Duration {
	pause := t.RetryAfter
	for range attempt - 1 {
		pause = min(longestRetry, 2*pause)
	}
	return min(longestRetry, pause)
}

// lookAgain is how often a job that waits for a time looks at the clock, which may be
// put forward or stand still while the machine sleeps, and at the configuration.
const lookAgain = 20 * time.Second

// turn returns when a job may begin and has all that it needs. The function gives that
// back. It is nil when ctx ended before.
func (r *Runner) turn(ctx context.Context, task *Task) (release func()) {
	told := ""
	tell := func(on string) {
		if on != told && on != "" {
			r.record("wait", task.Job, r.spool.WaitUntil(context.Background(), task.Job.ID, on, task.Job.RetryAt))
			told = on
		}
	}
	for ctx.Err() == nil {
		if s, ok := r.config().Schedules[task.Schedule.ID]; ok {
			task.Schedule.Timing = s.Timing
		}
		if when, why := task.Schedule.begins(task.Job, r.now()); !when.IsZero() {
			tell(why)
			pause(ctx, min(lookAgain, when.Sub(r.now())))
			continue
		}
		release, err := r.holds.take(ctx, task.Job.ID, task.wants(), tell)
		if err != nil {
			return nil
		}
		// The window may have closed while something else was in the way.
		if when, _ := task.Schedule.begins(task.Job, r.now()); when.IsZero() {
			return release
		}
		release()
	}
	return nil
}

// errTooLong is the cause with which an attempt is ended that takes too long.
type errTooLong struct{ most time.Duration }

func (e errTooLong) Error() string { return "it takes longer than " + inWords(e.most) }

// bounded ends an attempt's context after the schedule's longest run time, as a cancel
// does: a deadline would be restic's own.
func (t *Task) bounded(ctx context.Context) (context.Context, func()) {
	most := t.Schedule.MaxRun
	if most <= 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(most, func() { cancel(errTooLong{most}) })
	return ctx, func() { timer.Stop(); cancel(nil) }
}

func tookTooLong(most time.Duration) *Ending {
	return failed(CodeTookTooLong, "the run took longer than "+inWords(most)+", which is the most that its schedule allows, and was stopped",
		"find out why it is slow, or allow it more time")
}

// inWords writes a duration as people do: "90 s", "2 h 30 min".
func inWords(d time.Duration) string {
	hours, minutes, seconds := int(d/time.Hour), int(d%time.Hour/time.Minute), int(d%time.Minute/time.Second)
	text := ""
	for _, part := range []struct {
		n    int
		unit string
	}{{hours, "h"}, {minutes, "min"}, {seconds, "s"}} {
		if part.n > 0 {
			text += fmt.Sprintf(" %d %s", part.n, part.unit)
		}
	}
	if text == "" {
		return "0 s"
	}
	return text[1:]
}
