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
// process must be dead by now. The server is told at once that it was interrupted;
// then the repository is asked, for a quarter of an hour at most, and what it knows
// betters the result. When ctx ends with ErrStopping first, the next life asks again.
func (r *Runner) Recover(ctx context.Context, job spool.Job) {
	if !job.Provisional {
		r.record("interrupt", job, r.spool.Interrupt(context.Background(), job.ID, interrupted().Outcome))
	}
	ending := r.lookBack(ctx, job)
	if ending == nil {
		return
	}
	if ending.Result == spool.Interrupted {
		// The result stays what it was; what was learned is still worth an event.
		text := clip(ending.Message+". Next: "+ending.NextStep, 4000)
		r.record("note", job, r.spool.Note(context.Background(), job.ID, text, nil))
	}
	r.finish(job, *ending)
}

func interrupted() *Ending {
	e := end(spool.Interrupted, CodeAgentDied,
		"the agent or the machine died while the job ran; a snapshot of it may exist, and is looked for", "")
	return &e
}

// lookBack returns the final ending, or nil when the agent was stopped before it was
// known.
func (r *Runner) lookBack(ctx context.Context, job spool.Job) *Ending {
	final := end(spool.Interrupted, CodeAgentDied, "the agent or the machine died while the job ran", "run it again")
	task, refusal := r.assign(job)
	if refusal != nil || task.recipe.Recover == nil {
		return &final
	}
	bounded, cancel := context.WithTimeout(ctx, recoverDeadline)
	defer cancel()
	for {
		if task.open(bounded) == nil {
			if found := task.recipe.Recover(bounded, task); found != nil {
				return found
			}
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
