package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/restic"
)

const maxLocks = 200

// heldLock is a lock in the repository.
type heldLock struct {
	id string
	restic.RepositoryLock
	alive string // whether its process lives: "yes", "no", "unknown"; "" of another machine
}

// unreadable reports whether the lock is none that restic made with the repository's password.
func (l heldLock) unreadable() bool { return l.Time.IsZero() }

// listLocks reads the repository's locks, the first 200. One that is released meanwhile is
// left out; one that cannot be read keeps nobody from the others.
func (t *Task) listLocks(ctx context.Context) ([]heldLock, *Ending) {
	ids, e := perform(ctx, t, restic.ListLocks{})
	if e != nil {
		return nil, e
	}
	t.lockCount = len(ids.Value)
	var locks []heldLock
	for _, id := range ids.Value[:min(len(ids.Value), maxLocks)] {
		lock, e := perform(ctx, t, restic.CatLock{ID: id})
		switch {
		case e == nil:
			locks = append(locks, heldLock{id, lock.Value, t.runner.own.alive(lock.Value, time.Now())})
		case e.Code == string(restic.CodeRepoDamaged): //guard:lock-unreadable
			// Anybody who may add to the repository can put one there, that restic stops at.
			locks = append(locks, heldLock{id: id, alive: aliveUnknown})
		case e.Code != string(restic.CodeLockNotFound):
			return nil, e
		}
	}
	return locks, nil
}

// sweepLocks removes the locks that dead processes of this machine left, and says so.
func (t *Task) sweepLocks(ctx context.Context) {
	if h := t.holder; t.runner.restic == nil || h != nil && !thisMachine(h.Host) { // without restic, recipes of their own left none
		return
	}
	locks, e := t.listLocks(ctx)
	if e != nil {
		return
	}
	for _, l := range locks {
		if l.alive != aliveNo { //guard:lock-sweep
			continue
		}
		if err := t.removeLock(ctx, l.id); err != nil {
			t.Say("the lock of process " + fmt.Sprint(l.PID) + ", which is dead, could not be removed: " + err.Error())
			continue
		}
		t.swept++
		t.Note(fmt.Sprintf("removed the lock %.8s of process %d of this machine, which is dead", l.id, l.PID))
	}
}

// clearLocks removes what is left of this machine's dead restics after an attempt that a
// lock was in the way of, or whose restic was killed and could not do so itself.
func (t *Task) clearLocks(ctx context.Context, e *Ending) {
	switch {
	case e.Result == spool.Failed && e.Code == string(restic.CodeRepoLocked):
		if ctx.Err() == nil {
			t.sweepLocks(ctx)
		}
	case t.killed && t.Operation.Lock != restic.LockNone:
		t.holder = nil
		t.leaveNoLock(ctx)
	}
}

// lockPatience is how long the look for a lock that was left may take.
const lockPatience = 25 * time.Second

// leaveNoLock removes the locks that this job's own dead restic left, as far as the
// storage can be reached soon.
func (t *Task) leaveNoLock(ctx context.Context) {
	if t.Operation.Lock == restic.LockNone {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockPatience)
	defer cancel()
	if t.access.Location.IsZero() && t.open(ctx) != nil {
		return
	}
	t.sweepLocks(ctx)
}

var errUnlockElsewhere = errors.New("the agent removes single locks at a rest-server or in a folder; of other storages, remove it with restic unlock")

// removeLock removes one lock by its id: an id stands for its content, so it is the one
// that was looked at or gone. A lock that is gone is no mistake.
func (t *Task) removeLock(ctx context.Context, id string) error {
	location := t.access.Location
	if path := location.Path(); path != "" {
		return removeLockFile(path, id)
	}
	if !location.REST() || t.runner.storage == nil {
		return errUnlockElsewhere
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	target := strings.TrimPrefix(location.String(), "rest:") + "locks/" + id
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, target, nil)
	if err != nil {
		return fmt.Errorf("remove lock: %w", err)
	}
	if t.access.Username != "" || !t.access.RESTPassword.IsZero() {
		req.SetBasicAuth(t.access.Username, t.access.RESTPassword.Reveal())
	}
	resp, err := t.runner.storage.Do(req)
	if err != nil {
		return fmt.Errorf("remove lock: %w", err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096))
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNoContent, http.StatusNotFound:
		return nil
	}
	return fmt.Errorf("remove lock: the storage answered %d", resp.StatusCode)
}

// removeLockFile stays within the repository's folder, whatever links its owner put there.
func removeLockFile(path, id string) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return fmt.Errorf("remove lock: %w", err)
	}
	defer root.Close()
	if err := root.Remove(filepath.Join("locks", id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove lock: %w", err)
	}
	return nil
}

// unlockRow is what became of a lock.
type unlockRow struct {
	ID        string    `json:"id"`
	Hostname  string    `json:"hostname"`
	PID       int       `json:"pid"`
	Exclusive bool      `json:"exclusive"`
	CreatedAt time.Time `json:"created_at"`
	Alive     string    `json:"alive,omitempty"`
	Removed   bool      `json:"removed"`
	Detail    string    `json:"detail,omitempty"`
}

type unlockFacts struct {
	Locks   int `json:"locks"`
	Removed int `json:"removed"`
	Kept    int `json:"kept"`
}

// Codes of an unlock that could not do what it was to do.
const (
	CodeLockInUse      = "lock_in_use"
	CodeLockNotStale   = "lock_not_stale"
	CodeLockNotRemoved = "lock_not_removed"
)

// runUnlock removes locks one by one, each only after it was looked at. Without force those
// of dead processes of this machine. With force those that are named, too, but for one whose
// process lives here, and for those that were refreshed lately: where nobody knows whether
// the process lives, only that proves that it does not work any more.
func runUnlock(ctx context.Context, t *Task) *Ending {
	if _, e := t.pinned(ctx); e != nil {
		return e
	}
	locks, e := t.listLocks(ctx)
	if e != nil {
		return e
	}
	named, force := t.Params.Strings("lock_ids"), t.Params.Bool("force")
	found := unlockFacts{Locks: t.lockCount}
	rows, refused := t.rows(ctx), 0
	kept := map[string]int{} // by why
	for _, l := range locks {
		if len(named) > 0 && !slices.Contains(named, l.id) {
			continue
		}
		row := unlockRow{ID: l.id, Hostname: l.Host, PID: l.PID, Exclusive: l.Exclusive, CreatedAt: l.Time.UTC(), Alive: l.alive}
		if why, detail := t.spares(l, force); why != "" { //guard:unlock-alive
			row.Detail = detail
			kept[why]++
		} else if err := t.removeLock(ctx, l.id); err != nil {
			row.Detail = err.Error()
			refused++
		} else {
			row.Removed = true
			found.Removed++
		}
		_ = rows.Add(row) // told by into
	}
	found.Kept = kept[CodeLockInUse] + kept[CodeLockNotStale] + refused
	e = outcomeOf(fmt.Sprintf("%d of %d locks removed", found.Removed, t.lockCount))
	switch {
	case refused > 0:
		e = failed(CodeLockNotRemoved, counted(int64(refused), "lock", "locks")+" could not be removed", "see the rows of the result")
	case kept[CodeLockInUse] > 0 && len(named) > 0:
		e = failed(CodeLockInUse, fmt.Sprintf("%d of the locks that were named were kept: their process lives, or is not proven dead", kept[CodeLockInUse]),
			t.nextInUse(force))
	case kept[CodeLockNotStale] > 0 && len(named) > 0:
		e = failed(CodeLockNotStale, fmt.Sprintf("%d of the locks that were named were kept: nobody here knows whether their process lives, and they were refreshed "+
			"less than half an hour ago, which a restic that works does each five minutes", kept[CodeLockNotStale]),
			"order it at the machine that has the lock, whose agent knows; or order it again once the lock was not refreshed for half an hour")
	case len(named) > 0 && found.Removed+found.Kept == 0:
		e.addMessage("those that were named are not there any more")
	case found.Kept > 0:
		e.addMessage("the process of what was kept lives, or nothing proves that it is dead: see the rows")
	}
	e.facts(found)
	return rows.into(e)
}

func (t *Task) nextInUse(force bool) string {
	if force {
		return "wait for the end of that process, or end it on this machine"
	}
	return "order it at the machine that has the lock, wait for its end, or remove the lock with force at the maintenance host"
}

// spares says why a lock is not removed, as a code and in words; "" for one that is.
func (t *Task) spares(l heldLock, force bool) (code, detail string) {
	switch {
	case l.alive == aliveNo:
		return "", ""
	case l.alive == aliveYes: //guard:unlock-living
		return CodeLockInUse, "its process lives"
	case !force && l.unreadable():
		return CodeLockInUse, "it cannot be read with the repository's password: restic stops at it, and nobody knows who made it"
	case !force && l.alive == aliveUnknown:
		return CodeLockInUse, "nothing proves that its process is dead: a lock that was not refreshed for half an hour would"
	case !force:
		return CodeLockInUse, "it is another machine's, whose agent knows whether its process lives"
	}
	age := t.runner.now().Sub(t.refreshed(l))
	switch {
	case age < -clockSlack:
		return CodeLockNotStale, "it was refreshed at a time that is yet to come: the clock of its machine, or of this one, is wrong"
	case age < staleAfter: //guard:unlock-young
		return CodeLockNotStale, "it was refreshed " + age.Round(time.Second).String() + " ago"
	}
	return "", ""
}

// refreshed is when a lock was made or last refreshed: by the clock of this host where it
// is a file here, and else by that of whoever has it.
func (t *Task) refreshed(l heldLock) time.Time {
	path := t.access.Location.Path()
	if path == "" {
		return l.Time
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return l.Time
	}
	defer root.Close()
	info, err := root.Lstat(filepath.Join("locks", l.id))
	if err != nil {
		return l.Time
	}
	return info.ModTime()
}
