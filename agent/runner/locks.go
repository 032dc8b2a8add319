package runner

import (
	"context"

	"restic-manager/agent/spool"
	"restic-manager/restic"
)

const maxLocks = 200

// runLocks lists the repository's locks with their owners. One that is released
// meanwhile is left out.
func runLocks(ctx context.Context, t *Task) *Ending {
	ids, e := perform(ctx, t, restic.ListLocks{})
	if e != nil {
		return e
	}
	ending := &Ending{Outcome: spool.Outcome{Result: spool.Succeeded, Locks: []spool.LockInfo{}}}
	for _, id := range ids.Value[:min(len(ids.Value), maxLocks)] {
		lock, e := perform(ctx, t, restic.CatLock{ID: id})
		switch {
		case e == nil:
			ending.Locks = append(ending.Locks, spool.LockInfo{
				Id: id, Hostname: clip(lock.Value.Host, 255), Username: clip(lock.Value.User, 255),
				Pid: lock.Value.PID, Exclusive: lock.Value.Exclusive, CreatedAt: lock.Value.Time.UTC(),
			})
		case e.Code != string(restic.CodeLockNotFound):
			return e
		}
	}
	if omitted := len(ids.Value) - maxLocks; omitted > 0 {
		ending.Message = "there are more locks than can be listed"
	}
	return ending
}
