package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"restic-manager/agent/policy"
	"restic-manager/agent/secret"
	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// Causes with which the context of a running job is cancelled.
var (
	// ErrCancelled says that somebody asked for the job to end.
	ErrCancelled = errors.New("cancelled")
	// ErrStopping says that the agent itself is being stopped.
	ErrStopping = errors.New("the agent is being stopped")
)

// Secrets gives the values behind references.
type Secrets interface {
	// Secret returns a value from what the host keeps, or else from the server. It
	// may block on the network.
	Secret(ctx context.Context, ref secret.Ref) (secret.Value, error)
	// Once is like Secret, for a job that is not to leave the value on the host.
	Once(ctx context.Context, ref secret.Ref) (secret.Value, error)
}

// Listings takes large results.
type Listings interface {
	// Put hands over one part at an offset, and returns the offset that is wanted
	// next, which differs from the part's end when parts were lost. It repeats
	// what the network loses until ctx ends.
	Put(ctx context.Context, jobID, name string, offset int64, part []byte, last bool) (next int64, err error)
}

// Options are what a Runner works with. All but Recipes and Storage are required.
type Options struct {
	Spool    *spool.Spool
	Restic   *restic.Runner
	Policy   func() (*policy.Policy, error) // reads the file anew
	Config   func() Config                  // the configuration in force
	Secrets  Secrets
	Listings Listings
	Storage  *http.Client     // reaches REST servers as restic does; nil asks no storage anything
	Recipes  []Recipe         // nil for Recipes()
	Now      func() time.Time // the clock on the wall; nil for time.Now
	Log      *slog.Logger

	// Upkeep is the folder for what is remembered of maintained repositories.
	Upkeep string

	// Understand checks a repository that came along with a command.
	Understand func(spool.Repository) (Repository, error)
}

// Runner executes jobs. Its methods may be called at the same time, once a job.
type Runner struct {
	spool    *spool.Spool
	restic   *restic.Runner
	policy   func() (*policy.Policy, error)
	config   func() Config
	secrets  Secrets
	listings Listings
	storage  *http.Client
	recipes  []Recipe
	now      func() time.Time
	log      *slog.Logger
	keepsake string // Options.Upkeep

	understand func(spool.Repository) (Repository, error)

	afterInit time.Duration // initPatience

	holds  holds
	proven proven
	own    ownProcesses

	mu     sync.Mutex
	latest map[string]time.Time // slot of each schedule that had its turn in this life
}

// New returns a Runner that has nothing to do.
func New(o Options) *Runner {
	if o.Recipes == nil {
		o.Recipes = Recipes()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Runner{
		spool: o.Spool, restic: o.Restic, policy: o.Policy, config: o.Config, secrets: o.Secrets,
		listings: o.Listings, storage: o.Storage, recipes: o.Recipes, now: o.Now, log: o.Log, keepsake: o.Upkeep,
		understand: o.Understand,
		afterInit:  initPatience, latest: map[string]time.Time{},
	}
}

// Run carries a job from the journal to its result, which is in the spool when Run
// returns. Cancelling ctx, with ErrCancelled or ErrStopping as the cause, stops it
// in order. A job that never started because the agent is being stopped stays in
// the journal for the agent's next life.
func (r *Runner) Run(ctx context.Context, job spool.Job) {
	if ending := r.execute(ctx, job); ending != nil {
		r.finish(job, *ending)
	}
}

// HoldBack has what would lock these repositories wait, in the place of what was held back
// until now.
func (r *Runner) HoldBack(list []HoldBack) { r.holds.holdBack(list) }

// HeldBack lists the jobs for whose sake others are held back.
func (r *Runner) HeldBack() []string { return r.holds.inForce() }

// finish records the result. It is earned, whatever becomes of the contexts.
func (r *Runner) finish(job spool.Job, e Ending) {
	r.record("finish", job, r.spool.Finish(context.Background(), job.ID, e.Outcome, e.Snapshot))
	r.log.Info("job finished", "job", job.ID, "op", job.Operation, "result", string(e.Result), "code", e.Code)
}

// record logs what the spool could not do: there is nobody to return it to.
func (r *Runner) record(what string, job spool.Job, err error) {
	if err != nil && !errors.Is(err, spool.ErrFinished) {
		r.log.Error("job not recorded", "job", job.ID, "step", what, "err", err)
	}
}

// execute returns how the job ended, or nil for one that stays in the journal.
func (r *Runner) execute(ctx context.Context, job spool.Job) *Ending {
	if e := cmp.Or(r.calledOff(job), r.overdue(job)); e != nil {
		return e
	}
	r.note(job)
	for {
		task, e := r.attempt(ctx, job)
		if e == nil || task == nil || ctx.Err() != nil {
			if e != nil && task != nil && task.leaves(ctx, e) {
				return nil
			}
			return e
		}
		if wait, locked := r.lockedOut(task, e); locked {
			job = r.stepBack(task, wait)
			continue
		}
		wait, more := task.Schedule.retry(task.Job.Attempt, e)
		if !more {
			return e
		}
		job = task.Job
		job.RetryAt = r.now().Add(wait)
		r.putOff(job, task.Schedule, e)
	}
}

// attempt carries a job out once, when its turn comes. The task is nil if it was not
// started; the Ending is nil for a job that stays in the journal.
func (r *Runner) attempt(ctx context.Context, job spool.Job) (*Task, *Ending) {
	task, refusal := r.admit(job)
	if refusal != nil {
		return nil, refusal
	}
	release := r.turn(ctx, task)
	if release == nil {
		return nil, notStarted(ctx, job)
	}
	defer release()
	if e := r.calledOff(job); e != nil {
		return nil, e
	}
	if task, refusal = r.admit(job); refusal != nil {
		return nil, refusal
	}
	if ctx.Err() != nil {
		return nil, notStarted(ctx, job)
	}
	started, err := r.spool.Start(context.Background(), job.ID)
	if err != nil {
		return nil, failed(CodeJournalFailed, "the start could not be recorded on the disk, so nothing was started", nextJournal)
	}
	task.Job, task.limits = started, task.Schedule.limits(r.now())
	began := time.Now()
	ctx, cancel := task.bounded(ctx)
	defer cancel()
	defer r.announceStop(ctx, job)()
	defer task.discardUploads()
	ending := task.open(ctx)
	if ending == nil {
		ending = task.recipe.Run(ctx, task)
	}
	task.clearLocks(ctx, ending)
	ending.observed(task)
	ending.elapsed(began)
	return task, ending
}

// putOff records that a job goes on with another attempt later, and why.
func (r *Runner) putOff(job spool.Job, s Schedule, e *Ending) {
	at, now := s.in(job.RetryAt), s.in(r.now())
	on := clip(fmt.Sprintf("waits for attempt %d of %d, %s; the last one failed: %s", job.Attempt+1, s.Retries+1, clockOf(at, now), e.Message), 500)
	r.record("wait", job, r.spool.WaitUntil(context.Background(), job.ID, on, job.RetryAt))
	r.log.Info("attempt failed", "job", job.ID, "op", job.Operation, "attempt", job.Attempt, "code", e.Code, "next", job.RetryAt)
}

// announceStop records at once that a running job was told to end. The function
// that it returns ends the watch, after the record.
func (r *Runner) announceStop(ctx context.Context, job spool.Job) (done func()) {
	recorded := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(recorded)
		r.record("stop", job, r.spool.Stop(context.Background(), job.ID, context.Cause(ctx).Error()))
	})
	return func() {
		if !stop() {
			<-recorded
		}
	}
}

// notStarted is the ending of a job that was told to end while it waited; nil for one
// that the agent's next life goes on with.
func notStarted(ctx context.Context, job spool.Job) *Ending {
	if !errors.Is(context.Cause(ctx), ErrCancelled) {
		return nil
	}
	e := cancelledWaiting(job)
	return &e
}

func cancelledWaiting(job spool.Job) Ending {
	if job.Attempt > 0 {
		return end(spool.Cancelled, CodeCancelled, "the job was cancelled while it waited for its next attempt", "")
	}
	return end(spool.Cancelled, CodeCancelledBeforeStart, "the job was cancelled before it began", "")
}

// stopped is the ending of a job that was told to end under way.
func stopped(ctx context.Context) *Ending {
	var long errTooLong
	var full *noRoom
	switch cause := context.Cause(ctx); {
	case errors.As(cause, &full):
		return full.ending()
	case errors.As(cause, &long):
		return tookTooLong(long.most)
	case errors.Is(cause, ErrCancelled):
		e := end(spool.Cancelled, CodeCancelled, "the job was cancelled", "")
		return &e
	}
	e := end(spool.Interrupted, CodeAgentStopped, "the agent was stopped while the job ran, and stopped it", "run it again")
	return &e
}
