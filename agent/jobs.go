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

	mu       sync.Mutex
	stopped  bool
	underWay map[string]work
	wait     sync.WaitGroup
}

// work is what is done for one job.
type work struct {
	end  context.CancelCauseFunc
	over bool // the job itself ended in an earlier life: what it left is looked for
}

func newJobs(s *spool.Spool, r *runner.Runner) *jobs {
	return &jobs{spool: s, runner: r, underWay: map[string]work{}}
}

// startPending starts every job of the journal that is not under way.
func (j *jobs) startPending() {
	for _, job := range j.spool.Pending() {
		j.start(job, j.runner.Run, false)
	}
}

// recoverInterrupted looks for what the jobs of an earlier life left behind.
func (j *jobs) recoverInterrupted() {
	for _, job := range j.spool.Interrupted() {
		j.start(job, j.runner.Recover, true)
	}
}

// start runs one job, unless it is under way or the agent is being stopped. A job's
// context does not descend from the session's: jobs do not depend on the server.
func (j *jobs) start(job spool.Job, do func(context.Context, spool.Job), over bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, running := j.underWay[job.ID]; running || j.stopped {
		return
	}
	ctx, end := context.WithCancelCause(context.Background())
	j.underWay[job.ID] = work{end, over}
	j.wait.Go(func() {
		do(ctx, job)
		j.mu.Lock()
		delete(j.underWay, job.ID)
		j.mu.Unlock()
		end(nil)
		if over {
			j.startPending() // it may have another attempt
		}
	})
}

// cancel asks a job to end. It is idempotent, and does nothing to a job that is not
// under way: the spool knows that it was cancelled, should it ever start. Of a job
// that is over it would only cut short the look for the snapshot that it made.
func (j *jobs) cancel(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if w, ok := j.underWay[id]; ok && !w.over {
		w.end(runner.ErrCancelled)
	}
}

// stop ends all jobs in order, starts no more, and returns when all have ended.
func (j *jobs) stop() {
	j.mu.Lock()
	j.stopped = true
	for _, w := range j.underWay {
		w.end(runner.ErrStopping)
	}
	j.mu.Unlock()
	j.wait.Wait()
}
