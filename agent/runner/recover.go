package runner

import (
	"context"
	"errors"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// How long Recover looks for what a dead agent's job left behind.
const (
	recoverDeadline = 15 * time.Minute
	recoverPause    = 30 * time.Second
)

// Recover ends a job that had started in an earlier life of the agent, whose
// process must be dead by now. It gets one result: the repository is asked first
// what the job left, for a quarter of an hour at most. When ctx ends with ErrStopping
// before that is known, the next life asks again. A planned run that has surely left
// nothing may get another attempt instead of a result: then it waits in the journal.
func (r *Runner) Recover(ctx context.Context, job spool.Job) {
	r.record("stop", job, r.spool.Stop(context.Background(), job.ID,
		"the agent was stopped, or it or the machine died, while the job ran; what it left is looked for"))
	ending, task := r.lookBack(ctx, job)
	switch {
	case ending == nil:
	case task != nil && r.resumes(task, ending):
	default:
		r.finish(job, *ending)
	}
}

// resumes lets a planned run that left nothing wait for another attempt, and reports
// whether it does. Not one that was called off, and not one that a later slot has taken
// the place of.
func (r *Runner) resumes(task *Task, e *Ending) bool {
	job, s := task.Job, task.Schedule
	wait, more := s.resume(job)
	if e.Result != spool.Interrupted || !more || r.calledOff(job) != nil || r.overtaken(job) {
		return false
	}
	at := r.now().Add(wait)
	on := clip("tries again, "+clockOf(s.in(at), s.in(r.now()))+"; the last attempt was cut off: "+e.Message, 500)
	if err := r.spool.WaitUntil(context.Background(), job.ID, on, at); err != nil {
		r.record("wait", job, err)
		return false
	}
	r.log.Info("interrupted job goes on", "job", job.ID, "attempt", job.Attempt, "next", at)
	return true
}

// leaves reports whether a planned run that the agent's stop has cut off is left to the
// next life, which looks whether it has made its snapshot after all and tries it again.
func (t *Task) leaves(ctx context.Context, e *Ending) bool {
	_, more := t.Schedule.resume(t.Job)
	return more && errors.Is(context.Cause(ctx), ErrStopping) && e.Result == spool.Interrupted &&
		e.Code == CodeAgentStopped && t.recipe.Recover != nil
}

// overtaken reports whether a later slot of the job's schedule had its turn in this life.
func (r *Runner) overtaken(job spool.Job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest[job.ScheduleID].After(job.Slot)
}

// note remembers the latest slot of each schedule.
func (r *Runner) note(job spool.Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if planned(job) && job.Slot.After(r.latest[job.ScheduleID]) {
		r.latest[job.ScheduleID] = job.Slot
	}
}

// leftBehind tells what a job has left on this host that it would not be allowed any more:
// an allowance may have lapsed meanwhile.
func (r *Runner) leftBehind(job spool.Job, final *Ending) *Ending {
	task := &Task{Job: job, runner: r}
	rules, err := r.policy()
	if err != nil || task.understand(r.recipes) != nil || task.recipe.Left == nil {
		return final
	}
	if task.recipe.Permit != nil {
		_ = task.recipe.Permit(task, rules) // for where it was to write
	}
	return task.recipe.Left(task)
}

// lookBack returns the final ending, or nil when the agent was stopped before it was
// known; and with it the task where the repository itself was asked what the job left.
func (r *Runner) lookBack(ctx context.Context, job spool.Job) (*Ending, *Task) {
	final := end(spool.Interrupted, CodeAgentDied, "the agent or the machine died while the job ran", "run it again")
	r.own.inherit(job.Process, job.StartedAt, r.now())
	task, refusal := r.admit(job)
	if refusal != nil {
		return r.leftBehind(job, &final), nil
	}
	if task.recipe.Recover == nil || task.reach.handed { // what is handed over was for that life
		task.leaveNoLock(ctx)
		if task.recipe.Left != nil {
			return task.recipe.Left(task), nil
		}
		return &final, nil
	}
	bounded, cancel := context.WithTimeout(ctx, recoverDeadline)
	defer cancel()
	for {
		refusal := task.open(bounded)
		if refusal == nil {
			if found := task.recipe.Recover(bounded, task); found != nil {
				if len(job.Process) > 0 && task.Operation.Lock != restic.LockNone {
					task.sweepLocks(bounded)
				}
				found.observed(task)
				return found, task
			}
		} else if refusal.Result == spool.Rejected {
			return &final, nil
		}
		if !pause(bounded, recoverPause) {
			break
		}
	}
	if errors.Is(context.Cause(ctx), ErrStopping) {
		return nil, nil
	}
	final.Message += "; whether it left something in the repository could not be found out in time"
	final.NextStep = "list the snapshots of the repository, or run it again"
	return &final, nil
}
