package restic

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Defaults of Config.
const (
	defaultGrace         = 75 * time.Second
	defaultStuckAfter    = 30 * time.Minute
	defaultProbeDeadline = 2 * time.Minute
	defaultHopelessAfter = time.Minute
)

// runDirs are the folders of runs in TempDir.
const runDirs = "restic-run-"

// Runner runs Ops. It is safe for use by several goroutines.
type Runner struct {
	config Config

	mu      sync.Mutex
	program string // Config.Binary, or what Use set
	probed  binary // the last binary whose version was asked
}

// New returns a Runner. It touches nothing: a missing or insecure restic shows
// when something is run, or in Version.
func New(config Config) *Runner {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&config.Grace, defaultGrace},
		{&config.StuckAfter, defaultStuckAfter},
		{&config.ProbeDeadline, defaultProbeDeadline},
		{&config.HopelessAfter, defaultHopelessAfter},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	return &Runner{config: config, program: config.Binary}
}

// Use makes another file the restic to start from now on, in the place of
// Config.Binary. The same is demanded of it.
func (r *Runner) Use(binary string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.program = binary
}

// path is the restic to start.
func (r *Runner) path() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.program
}

// Version checks the binary and returns its version, asking the program again
// only when the file has changed. Its error has one of the codes restic_missing,
// restic_binary_insecure, restic_too_old, restic_not_started.
func (r *Runner) Version(ctx context.Context) (Version, error) {
	info, err := checkBinary(r.path())
	if err != nil {
		return Version{}, err
	}
	r.mu.Lock()
	known := r.probed
	r.mu.Unlock()
	if known.same(info) {
		return known.version, checkVersion(known.version)
	}
	result, err := runChecked(ctx, r, Version{}, GetVersion{}, Access{}, Handlers{})
	if err != nil {
		return Version{}, err
	}
	if result.Failure != nil || result.Outcome != Succeeded {
		return Version{}, &Error{
			Code:    CodeResticNotStarted,
			Message: "the program does not say its version",
			Next:    "run it with the argument version, as the agent's user: is it restic, and for this kind of machine?",
			Err:     errors.Join(result.errorOrNil(), ctx.Err()),
		}
	}
	r.mu.Lock()
	r.probed = binary{info: info, version: result.Value}
	r.mu.Unlock()
	return result.Value, checkVersion(result.Value)
}

// Run starts one restic and returns when it is gone. An error means that it did
// not run on the repository at all; see the package comment. Cancelling ctx
// interrupts it, and the result is Cancelled unless restic had finished its work.
func Run[T any](ctx context.Context, r *Runner, op Op[T], access Access, h Handlers) (Result[T], error) {
	if err := op.Validate(); err != nil {
		return Result[T]{}, err
	}
	if !op.plan(MinVersion).noRepository {
		if err := checkAccess(access); err != nil {
			return Result[T]{}, err
		}
		if access.From != nil {
			if err := checkAccess(*access.From); err != nil {
				return Result[T]{}, err
			}
		}
	}
	version, err := r.Version(ctx)
	if err != nil {
		return Result[T]{}, err
	}
	return runChecked(ctx, r, version, op, access, h)
}

// runChecked runs an op that is valid, with a binary that was checked.
func runChecked[T any](ctx context.Context, r *Runner, version Version, op Op[T], access Access, h Handlers) (Result[T], error) {
	p := op.plan(version)
	result := Result[T]{Version: version, Started: time.Now()}
	e, err := r.execute(ctx, version, p, access, h)
	if err != nil {
		return Result[T]{}, err
	}
	f := facts{
		command: op.Name(), version: version, exits: p.exits, absent: p.absent, partial: p.lacks != nil,
		exit: e.exit, stop: e.stop, said: e.said,
	}
	result.Finished = time.Now()
	result.ExitCode, result.Killed = e.exit.code, e.killed
	result.Items, result.Holder = e.said.items, e.said.holder
	result.Outcome, result.Failure = f.judge()
	if result.Outcome == Failed || result.Outcome == Cancelled {
		return result, nil
	}
	out := &e.said.output
	value, err := op.decode(out)
	switch {
	case err != nil && e.stop == stopCancelled:
		result.Outcome = Cancelled
	case err != nil:
		result.Outcome, result.Failure = Failed, asError(err)
		result.Failure.Detail = f.detail()
	default:
		result.Value = value
		if result.Outcome == Warning || len(out.missing) > 0 {
			lacks := p.lacks
			if lacks == nil {
				lacks = leftOut
			}
			result.Outcome, result.Failure = Warning, lacks(out)
		}
	}
	return result, nil
}

// errorOrNil is the failure as an error that is nil when there is none.
func (r Result[T]) errorOrNil() error {
	if r.Failure == nil {
		return nil
	}
	return r.Failure
}

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeResticNoResult, Message: "restic's output cannot be used", Err: err}
}

// makeRunDir makes the private folder of one run, which is restic's TMPDIR too.
func (r *Runner) makeRunDir() (string, error) {
	for _, dir := range []string{r.config.TempDir, r.config.CacheDir} {
		if !filepath.IsAbs(dir) {
			return "", errors.New("the folders for the cache and for temporary files must be absolute paths")
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(r.config.TempDir, runDirs)
}

// RemoveLeftovers empties TempDir of what a killed agent left there. Call it at
// start, after KillOrphan and before Run.
func (r *Runner) RemoveLeftovers() error {
	left, err := filepath.Glob(filepath.Join(r.config.TempDir, runDirs+"*"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}
