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

// drainPatience is how long the pipes of a dead restic may stay open.
const drainPatience = 10 * time.Second

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

// execution is a run that has ended.
type execution struct {
	exit   exitStatus
	stop   stopReason
	killed bool
	said   *collector
}

// execute starts restic, lets it proceed once Started has recorded it, reads both
// its streams to the end and waits for it.
func (r *Runner) execute(ctx context.Context, v Version, p plan, access Access, h Handlers) (*execution, error) {
	dir, err := r.makeRunDir()
	if err != nil {
		return nil, notStarted("the folder for its temporary files cannot be made", err)
	}
	defer os.RemoveAll(dir)
	switched, err := access.switches()
	if err != nil {
		return nil, err
	}
	if switched && p.named != nil {
		return nil, runAsRefused("the script of a named source does not run as another user", "", nil)
	}
	if switched && p.folder != nil {
		return nil, runAsRefused("a restore does not run as another user", "", nil)
	}
	where := r.foldersFor(switched, dir)
	said := newCollector(r.redactorFor(access), h, time.Now)
	if p.missing != nil {
		said.output.missing = lookAt(ctx, p.missing)
	}
	mark := ""
	if p.named != nil {
		starter, err := r.starter()
		if err != nil {
			return nil, notStarted("the program that starts its script is not found", err)
		}
		p.operands, said.scriptWords = p.named.command(starter), scriptWords(starter)
		mark = markOf(p.named.Env)
	}
	args, err := arguments(p, v, access, dir, where.run)
	if err != nil {
		return nil, notStarted("its lists cannot be written", err)
	}
	spec := childSpec{path: r.path(), args: args, dir: dir, mark: mark, env: r.environment(access, where, !p.noRepository)}
	if p.from {
		vars, err := fromVariables(access)
		if err != nil {
			return nil, err
		}
		spec.env = append(spec.env, vars...)
	}
	if switched {
		if err := spec.switchTo(*access.RunAs, r.config.CacheDir); err != nil {
			return nil, notStarted("its folders cannot be given to "+access.RunAs.String(), err)
		}
		defer spec.closeFolders()
	}
	if p.folder != nil {
		if err := r.confine(&spec, p, access); err != nil {
			return nil, err
		}
	}
	if password := access.Password.Reveal(); !p.noRepository && pipesPassword(password) {
		spec.password = password
	}
	streams, err := openStreams(&spec)
	if err != nil {
		return nil, notStarted("there is no pipe for its output", err)
	}
	defer streams.close()
	c, err := startChild(spec)
	streams.closeWriters()
	if err != nil && switched && errors.Is(err, os.ErrPermission) {
		return nil, runAsRefused(access.RunAs.String()+" may not execute it", "let every user execute restic and enter the folders above it", err)
	}
	if err != nil {
		return nil, notStarted("the program cannot be executed", err)
	}
	drained := streams.drainBy(func(stream Stream, pipe *os.File) { said.read(stream, pipe, p) })
	e := &execution{said: said}
	err = e.begin(c)
	if err == nil {
		e.supervise(ctx, c, p, r.config)
	}
	streams.await(drained)
	if err != nil {
		return nil, err
	}
	said.finish(p.named)
	return e, nil
}

func notStarted(why string, err error) error {
	return &Error{
		Code:    CodeResticNotStarted,
		Message: "restic was not started: " + why,
		Next:    "look at the agent's log, and run its doctor command",
		Err:     err,
	}
}

// lookAt gives up on sources that hang, for instance on a dead network disk: the
// watchdog will speak of them.
func lookAt(ctx context.Context, missing func() []string) []string {
	found := make(chan []string, 1)
	go func() { found <- missing() }()
	select {
	case list := <-found:
		return list
	case <-ctx.Done():
		return nil
	case <-time.After(time.Minute):
		return nil
	}
}

// begin records the child and then lets it proceed. A child that is not recorded
// is killed, having done nothing.
func (e *execution) begin(c *child) error {
	if err := e.said.started(c.ref); err != nil { //guard:restic-recorded
		c.kill()
		c.wait()
		return err
	}
	if err := c.proceed(); err != nil {
		c.kill()
		c.wait()
		return notStarted("it cannot be given its password", err)
	}
	return nil
}

// supervise waits for the child, and stops it when ctx ends, its deadline passes,
// it makes no progress or tries in vain: one interrupt, the grace period, then the kill. restic
// takes a second interrupt for the same as the first.
func (e *execution) supervise(ctx context.Context, c *child, p plan, config Config) {
	exited := make(chan exitStatus, 1)
	go func() { exited <- c.wait() }()

	deadline, stuck, grace := stoppedTimer(), stoppedTimer(), stoppedTimer()
	defer deadline.Stop()
	defer stuck.Stop()
	defer grace.Stop()
	switch {
	case p.deadline > 0:
		deadline.Reset(p.deadline)
	case p.deadline == 0:
		deadline.Reset(config.ProbeDeadline)
	}
	if p.watched {
		stuck.Reset(config.StuckAfter)
	}
	hopeless := time.NewTicker(max(config.HopelessAfter/10, time.Millisecond))
	defer hopeless.Stop()
	done, refused := ctx.Done(), e.said.refusedSign
	stop := func(reason stopReason) {
		if e.stop != notStopped {
			return
		}
		e.stop, done = reason, nil
		c.interrupt()
		if p.named != nil {
			c.terminate() // a shell's background commands heed no interrupt
		}
		grace.Reset(config.Grace)
	}
	for {
		select {
		case e.exit = <-exited:
			return
		case <-done:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				stop(stopDeadline)
			} else {
				stop(stopCancelled)
			}
		case <-refused:
			refused = nil
			stop(stopRefused)
		case <-deadline.C:
			stop(stopDeadline)
		case <-stuck.C:
			if left := e.said.patience(config.StuckAfter); left > 0 {
				stuck.Reset(min(left, config.StuckAfter))
			} else {
				stop(stopStuck)
			}
		case <-hopeless.C:
			if e.said.hopelessFor() >= config.HopelessAfter {
				stop(stopHopeless)
			}
		case <-grace.C:
			e.killed = true
			c.kill()
		}
	}
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// streams are the pipes of one child.
type streams struct{ readers, writers []*os.File }

func openStreams(spec *childSpec) (*streams, error) {
	s := &streams{}
	for _, end := range []**os.File{&spec.stdout, &spec.stderr} {
		read, write, err := os.Pipe()
		if err != nil {
			s.closeWriters()
			s.close()
			return nil, err
		}
		s.readers, s.writers = append(s.readers, read), append(s.writers, write)
		*end = write
	}
	return s, nil
}

// drainBy reads both streams at once, to their ends: a restic whose output nobody
// reads stands still, and one whose pipe is closed dies and leaves its lock.
func (s *streams) drainBy(read func(Stream, *os.File)) <-chan struct{} {
	var readers sync.WaitGroup
	readers.Go(func() { read(Stdout, s.readers[0]) })
	readers.Go(func() { read(Stderr, s.readers[1]) })
	drained := make(chan struct{})
	go func() { readers.Wait(); close(drained) }()
	return drained
}

// await returns when all is read, of a process that has ended.
func (s *streams) await(drained <-chan struct{}) {
	select {
	case <-drained:
	case <-time.After(drainPatience):
		s.close() // ends the readers where a process outside the group kept a pipe
		<-drained
	}
}

func (s *streams) closeWriters() { closeAll(s.writers) }
func (s *streams) close()        { closeAll(s.readers) }

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
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
