package agent

import (
	"context"
	"sync"

	"restic-manager/agent/runner"
	"restic-manager/agent/spool"
)

// jobs are the jobs under way in this process.
type jobs struct {
	spool  *spool.Spool
	runner *runner.Runner

	mu      sync.Mutex
	stopped bool
	cancels map[string]context.CancelCauseFunc
	wait    sync.WaitGroup
}

func newJobs(s *spool.Spool, r *runner.Runner) *jobs {
	return &jobs{spool: s, runner: r, cancels: map[string]context.CancelCauseFunc{}}
}

// startPending starts every job of the journal that is not under way.
func (j *jobs) startPending() {
	for _, job := range j.spool.Pending() {
		j.start(job, j.runner.Run)
	}
}

// recoverInterrupted looks for what the jobs of an earlier life left behind.
func (j *jobs) recoverInterrupted() {
	for _, job := range j.spool.Interrupted() {
		j.start(job, j.runner.Recover)
	}
}

// start runs one job, unless it is under way or the agent is being stopped. A job's
// context does not descend from the session's: jobs do not depend on the server.
func (j *jobs) start(job spool.Job, do func(context.Context, spool.Job)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, running := j.cancels[job.ID]; running || j.stopped {
		return
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	j.cancels[job.ID] = cancel
	j.wait.Go(func() {
		do(ctx, job)
		j.mu.Lock()
		delete(j.cancels, job.ID)
		j.mu.Unlock()
		cancel(nil)
	})
}

// cancel asks a job to end. It is idempotent, and does nothing to a job that is not
// under way: the spool knows that it was cancelled, should it ever start.
func (j *jobs) cancel(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if cancel, ok := j.cancels[id]; ok {
		cancel(runner.ErrCancelled)
	}
}

// stop ends all jobs in order, starts no more, and returns when all have ended.
func (j *jobs) stop() {
	j.mu.Lock()
	j.stopped = true
	for _, cancel := range j.cancels {
		cancel(runner.ErrStopping)
	}
	j.mu.Unlock()
	j.wait.Wait()
}
