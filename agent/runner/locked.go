package runner

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// How a job waits for another restic's lock: pauses that double, for so long at most.
const (
	firstLockPause   = 10 * time.Second
	longestLockPause = 5 * time.Minute
	longestLocked    = 12 * time.Hour
	mostLockTries    = 200 // whatever the clock on the wall says meanwhile
)

// lockedOut reports whether an attempt found its repository locked, so that the same
// attempt goes on later, and when. One that has waited for too long has failed.
func (r *Runner) lockedOut(t *Task, e *Ending) (wait time.Duration, more bool) {
	if e.Result != spool.Failed || e.Code != string(restic.CodeRepoLocked) {
		return 0, false
	}
	if t.swept > 0 && t.Job.LockTries < 3 {
		return 0, true // what was in the way may be gone
	}
	most := longestLocked
	if run := t.Schedule.MaxRun; run > 0 {
		most = min(most, run)
	}
	var since time.Duration
	if !t.Job.LockedSince.IsZero() {
		since = r.now().Sub(t.Job.LockedSince)
	}
	if since >= most || t.Job.LockTries >= mostLockTries { //guard:lock-patience
		e.Message = clip(e.Message+"; it stayed locked for "+inWords(since.Round(time.Minute)), 4000)
		return 0, false
	}
	return min(lockPause(t.Job), max(most-since, time.Second)), true
}

// lockPause doubles with each try, and is up to a fifth longer by what the job's id gives,
// so that all who wait for one lock do not come back at once.
func lockPause(job spool.Job) time.Duration {
	pause := firstLockPause
	for range min(job.LockTries, 10) {
		pause = min(longestLockPause, 2*pause)
	}
	sum := fnv.New64a()
	_, _ = fmt.Fprint(sum, job.ID, job.LockTries) // never fails
	return pause + time.Duration(sum.Sum64()%uint64(pause/5/time.Millisecond+1))*time.Millisecond
}

// stepBack records that a job waits for a lock, and whose it is.
func (r *Runner) stepBack(t *Task, wait time.Duration) spool.Job {
	at := r.now().Add(wait)
	on := clip("waits for "+holderWords(t.holder)+"; tries again at "+t.Schedule.in(at).Format("15:04:05"), 500)
	job, err := r.spool.WaitLocked(context.Background(), t.Job.ID, on, at)
	r.record("wait", t.Job, err)
	if err != nil {
		job = t.Job
		job.LockTries++
	}
	job.RetryAt = at
	r.log.Info("repository locked", "job", job.ID, "op", job.Operation, "tries", job.LockTries, "next", at)
	return job
}

// holderWords names who has the lock: "the exclusive lock of process 7 on nas by root,
// made at 2026-11-22 03:04:05 (5s ago)".
func holderWords(h *restic.LockHolder) string {
	if h == nil {
		return "the lock of another restic"
	}
	kind := "the lock"
	if h.Exclusive {
		kind = "the exclusive lock"
	}
	text := fmt.Sprintf("%s of process %d on %s", kind, h.PID, h.Host)
	if h.User != "" {
		text += " by " + h.User
	}
	if h.Created != "" {
		text += ", made at " + h.Created
	}
	return text
}

// exclusiveLock looks who has the repository alone, before hooks stop what must be
// stopped for a backup. What cannot be found out is restic's to find out.
func (t *Task) exclusiveLock(ctx context.Context) *Ending {
	locks, e := t.listLocks(ctx)
	if e != nil {
		return nil
	}
	i := slices.IndexFunc(locks, func(l heldLock) bool { return l.Exclusive })
	if i < 0 {
		return nil
	}
	l := locks[i]
	t.holder = &restic.LockHolder{Exclusive: true, PID: l.PID, Host: l.Host, User: l.User, Created: l.Time.UTC().Format(time.DateTime) + " UTC", StorageID: l.id[:8]}
	return failed(string(restic.CodeRepoLocked), fmt.Sprintf("the repository is locked by process %d on %s", l.PID, l.Host),
		"wait until it has finished; if it has died, its lock can be removed")
}
