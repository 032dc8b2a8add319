package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"restic-manager/restic"
)

// How exclusive jobs and backups take turns on a repository. restic's own lock keeps
// them apart in any case; turns are there so that nobody fails on it, and so that
// neither side starves:
//
//   - an exclusive job waits until nothing that locks runs there. Once it has been the
//     next for drainAfter, new backups are held back, at first for drainFor, then the
//     repository is open for openFor, then they are held back for twice as long, and so
//     on up to drainMost: so it gets its turn within one such time that is longer than the
//     longest backup.
//   - a backup waits for no longer than one such time and one exclusive job: before the
//     next exclusive job begins, backups that wait get gapFor to begin.
//   - an exclusive job that runs holds backups back for a day at most, or for as long as the
//     server's options say: one that never ends is in the way of other exclusive jobs alone,
//     and restic's lock says whether a backup can begin beside it.
//   - a job whose agent is silent is waited for until its lease is over for silentFor, or
//     until a listing of the locks shows that it is gone.
const (
	drainAfter = 10 * time.Minute
	drainFor   = time.Hour
	drainMost  = 8 * time.Hour
	openFor    = 30 * time.Minute
	gapFor     = time.Minute
	silentFor  = 30 * time.Minute
	beginsIn   = 2 * time.Minute // what an agent takes at most from a command to the first word of restic
)

// A Holder is a job that may lock a repository.
type Holder struct {
	Job       *Job
	Host      string // name
	Online    bool
	Exclusive bool
	Gone      bool // a listing of the locks after its lease shows none of its host
}

// Turn is what holds for a repository at a moment.
type Turn struct {
	Grant *Holder // the waiting job whose turn it is now

	// Next is the exclusive job that runs or is the next, and Since when it became that.
	Next  *Holder
	Since Time

	// HoldUntil is until when new backups are held back for it; 0: they are not.
	HoldUntil Time

	// Overlong says that the job has run for so long that backups are not held back for it
	// any more.
	Overlong bool

	// Waits says whom each waiting job waits for.
	Waits map[JobID]string
}

// LongestHold is how long backups are held back at most for an exclusive job that runs,
// where nobody said otherwise; the hold ends with the job.
const LongestHold = 24 * time.Hour

// TakeTurns decides whose turn it is at a repository: r as it was decided last, the
// jobs that may lock it, and among them those that wait for their turn, oldest first.
// Backups are held back for longest at most while an exclusive job runs.
func TakeTurns(r *Repository, holders []Holder, longest time.Duration, now Time) Turn {
	t := Turn{Waits: map[JobID]string{}}
	var waiting, blocking []*Holder
	passed := false // a backup waits at its agent
	for i := range holders {
		h := &holders[i]
		switch {
		case h.Job.Held:
			waiting = append(waiting, h)
		case h.blocks(now):
			blocking = append(blocking, h)
		default:
			passed = passed || !h.Exclusive && h.Job.State == Waiting && h.Online
		}
	}
	slices.SortStableFunc(blocking, older)
	slices.SortStableFunc(waiting, older)
	if at := slices.IndexFunc(blocking, func(h *Holder) bool { return h.Exclusive }); at >= 0 {
		t.runs(r, blocking[at], longest, now)
	} else {
		t.wait(r, waiting, blocking, passed, longest, now)
	}
	t.sayWaits(waiting, blocking)
	return t
}

func older(a, b *Holder) int {
	return cmp.Or(cmp.Compare(a.Job.CreatedAt, b.Job.CreatedAt), cmp.Compare(a.Job.ID, b.Job.ID))
}

// blocks tells whether an exclusive job must wait for this one. A backup that waits at
// its agent runs no restic, nor does one that has not begun for long.
func (h *Holder) blocks(now Time) bool {
	j := h.Job
	switch j.State {
	case Finished:
		return false
	case Unresponsive:
		return !h.Gone && now < j.LeaseUntil.Add(silentFor)
	case Pending, Acked:
		return h.Exclusive || h.Online && now < j.CreatedAt.Add(beginsIn)
	case Waiting:
		return h.Exclusive
	}
	return true
}

// runs is the turn of an exclusive job that has been granted.
func (t *Turn) runs(r *Repository, h *Holder, longest time.Duration, now Time) {
	t.Next, t.Since = h, now
	if r.HoldJob == h.Job.ID {
		t.Since = min(r.HoldSince, now)
	}
	t.HoldUntil = t.Since.Add(longest)
	if t.HoldUntil <= now { //guard:hold-end
		t.HoldUntil, t.Overlong = 0, true
	}
}

// wait is the turn of the oldest job that waits and whose host is there to begin.
func (t *Turn) wait(r *Repository, waiting, blocking []*Holder, passed bool, longest time.Duration, now Time) {
	at := slices.IndexFunc(waiting, func(h *Holder) bool { return h.Online })
	if at < 0 {
		return
	}
	t.Next, t.Since = waiting[at], now
	followed := r.HoldJob != "" // it comes right after another one
	if r.HoldJob == t.Next.Job.ID {
		t.Since, followed = r.HoldSince, true
	}
	gap := passed && followed && now < t.Since.Add(gapFor)
	if len(blocking) == 0 && !gap {
		t.Grant = t.Next
		t.Since, t.HoldUntil = now, now.Add(longest)
		return
	}
	t.HoldUntil = drainUntil(t.Since, now)
}

// drainUntil is until when backups are held back for a job that has been the next
// since a moment; 0: they are not now.
func drainUntil(since, now Time) Time {
	begin, length := since.Add(drainAfter), drainFor
	for begin <= now {
		if end := begin.Add(length); now < end {
			return end
		}
		begin = begin.Add(length + openFor)
		length = min(2*length, drainMost)
	}
	return 0
}

// sayWaits names for each job that waits whom it waits for.
func (t *Turn) sayWaits(waiting, blocking []*Holder) {
	for _, h := range waiting {
		switch {
		case t.Grant == h:
		case !h.Online:
			t.Waits[h.Job.ID] = h.Host + ", which is offline"
		case t.Next != nil && t.Next != h:
			t.Waits[h.Job.ID] = t.Next.name()
		case len(blocking) > 0:
			t.Waits[h.Job.ID] = names(blocking)
		default:
			t.Waits[h.Job.ID] = "backups that were held back to begin"
		}
	}
}

// name is "Reclaim space at nas since 2026-03-01 04:30 UTC".
func (h *Holder) name() string {
	since := h.Job.StartedAt
	if since.IsZero() {
		since = h.Job.CreatedAt
	}
	text := fmt.Sprintf("%s at %s since %s", restic.TitleOf(h.Job.Operation), h.Host, since.Time().Format("2006-01-02 15:04 UTC"))
	if h.Job.State == Unresponsive {
		text += ", which is silent"
	}
	return text
}

func names(list []*Holder) string {
	text := list[0].name()
	switch n := len(list) - 1; {
	case n == 1:
		text += " and one more job"
	case n > 1:
		text += fmt.Sprintf(" and %d more jobs", n)
	}
	return text
}
