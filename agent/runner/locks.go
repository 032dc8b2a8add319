package runner

import (
	"context"
	"fmt"

	"restic-manager/agent/spool"
)

type locksFacts struct {
	Locks     int `json:"locks"`
	Exclusive int `json:"exclusive"`
	Dead      int `json:"dead"`
}

// runLocks lists the repository's locks with their owners, and says of those of this
// machine whether their process lives. One that is released meanwhile is left out.
func runLocks(ctx context.Context, t *Task) *Ending {
	locks, e := t.listLocks(ctx)
	if e != nil {
		return e
	}
	ending := &Ending{Outcome: spool.Outcome{Result: spool.Succeeded, Locks: []spool.LockInfo{}}}
	facts := locksFacts{Locks: t.lockCount}
	for _, l := range locks {
		info := l.info()
		ending.Locks = append(ending.Locks, info)
		if info.Exclusive {
			facts.Exclusive++
		}
		if info.Alive == "no" {
			facts.Dead++
		}
	}
	ending.facts(facts)
	ending.Message = fmt.Sprintf("%s: %d exclusive, %d of dead processes", counted(int64(facts.Locks), "lock", "locks"), facts.Exclusive, facts.Dead)
	if t.lockCount > maxLocks {
		ending.Message = "there are more locks than can be listed"
	}
	return ending
}

// info is a lock as it travels.
func (l heldLock) info() spool.LockInfo {
	return spool.LockInfo{
		Id: l.id, Hostname: clip(l.Host, 255), Username: clip(l.User, 255),
		Pid: l.PID, Exclusive: l.Exclusive, CreatedAt: l.Time.UTC(), Alive: l.alive,
	}
}
