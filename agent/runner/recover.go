package runner

import (
	"context"
	"errors"
	"time"

	"restic-manager/agent/spool"
)

// How long Recover looks for what a dead agent's job left behind.
const (
	recoverDeadline = 15 * time.Minute
	recoverPause    = 30 * time.Second
)

// Recover ends a job that had started in an earlier life of the agent, whose
// process must be dead by now. It gets one result: the repository is asked first
// what the job left, for a quarter of an hour at most. When ctx ends with ErrStopping
// before that is known, the next life asks again.
func (r *Runner) Recover(ctx context.Context, job spool.Job) {
	r.record("stop", job, r.spool.Stop(context.Background(), job.ID,
		"the agent or the machine died while the job ran; what it left is looked for"))
	if ending := r.lookBack(ctx, job); ending != nil {
		r.finish(job, *ending)
	}
}

// lookBack returns the final ending, or nil when the agent was stopped before it was
// known.
func (r *Runner) lookBack(ctx context.Context, job spool.Job) *Ending {
	final := end(spool.Interrupted, CodeAgentDied, "the agent or the machine died while the job ran", "run it again")
	task, refusal := r.admit(job)
	if refusal != nil || task.recipe.Recover == nil {
		return &final
	}
	bounded, cancel := context.WithTimeout(ctx, recoverDeadline)
	defer cancel()
	for {
		refusal := task.open(bounded)
		if refusal == nil {
			if found := task.recipe.Recover(bounded, task); found != nil {
				found.facts(task)
				return found
			}
		} else if refusal.Result == spool.Rejected {
			return &final
		}
		if !pause(bounded, recoverPause) {
			break
		}
	}
	if errors.Is(context.Cause(ctx), ErrStopping) {
		return nil
	}
	final.Message += "; whether it left something in the repository could not be found out in time"
	final.NextStep = "list the snapshots of the repository, or run it again"
	return &final
}
