package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"restic-manager/agent/control"
)

// errDiskBack ends a life whose spool was in memory.
var errDiskBack = errors.New("the disk takes the agent's state again")

// diskPause is how often a spool in memory looks whether it can go home.
const diskPause = time.Minute

// fireUntilDisk fires the slots of schedules until ctx ends. Where the spool is in memory it
// reports true once the disk takes it, the server has all that happened, and no slot fires
// any more: those that fall due from then on fire in the next life.
func (a *Agent) fireUntilDisk(ctx context.Context) bool {
	if !a.spool.Homeless() {
		a.cron.Run(ctx)
		return false
	}
	for ctx.Err() == nil {
		firing, stop := context.WithCancel(ctx)
		var cron sync.WaitGroup
		cron.Go(func() { a.cron.Run(firing) })
		// The pause comes first: a life that ends in memory again does not end at once.
		for control.Sleep(ctx, diskPause) == nil {
			if a.spool.Idle() && a.spool.DiskTakes(ctx) == nil {
				break
			}
		}
		stop()
		cron.Wait()
		if ctx.Err() == nil && a.spool.Idle() {
			return true
		}
	}
	return false
}

// goHome puts what the spool remembers where the next life finds it. Where that fails, the
// next life lives in memory again, or knows what the disk knew.
func (a *Agent) goHome(ctx context.Context) error {
	if err := a.spool.GoHome(ctx); err != nil {
		a.log.Error("what was remembered in memory is lost", "err", err)
	}
	a.log.Info("the disk takes the agent's state again: beginning anew from there")
	return errDiskBack
}
