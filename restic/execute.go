package restic

import (
	"context"
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"
)

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
	said := newCollector(r.redactorFor(access), h, time.Now)
	if p.missing != nil {
		said.output.missing = lookAt(ctx, p.missing)
	}
	if p.named != nil {
		starter, err := r.starter()
		if err != nil {
			return nil, notStarted("the program that starts its script is not found", err)
		}
		p.operands, said.scriptWords = p.named.command(starter), scriptWords(starter)
	}
	spec, err := r.prepare(v, p, access, dir)
	if err != nil {
		return nil, err
	}
	defer spec.closeFolders()
	streams, err := openStreams(spec)
	if err != nil {
		return nil, notStarted("there is no pipe for its output", err)
	}
	defer streams.close()
	c, err := startChild(*spec)
	streams.closeWriters()
	if err != nil && spec.as != nil && errors.Is(err, os.ErrPermission) {
		return nil, runAsRefused(spec.as.String()+" may not execute it", "let every user execute restic and enter the folders above it", err)
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

// prepare makes what a restic is started with, but for its streams: its arguments and
// lists, its environment, its user and what it may write to. The caller closes its folders.
func (r *Runner) prepare(v Version, p plan, access Access, dir string) (*childSpec, error) {
	switched, err := access.switches()
	switch {
	case err != nil:
		return nil, err
	case switched && p.named != nil:
		return nil, runAsRefused("the script of a named source does not run as another user", "", nil)
	case switched && p.folder != nil:
		return nil, runAsRefused("a restore does not run as another user", "", nil)
	}
	where := r.foldersFor(switched, dir)
	args, err := arguments(p, v, access, dir, where.run)
	if err != nil {
		return nil, notStarted("its lists cannot be written", err)
	}
	spec := &childSpec{path: r.path(), args: args, dir: dir, env: r.environment(access, where, !p.noRepository)}
	if p.named != nil {
		spec.mark = markOf(p.named.Env)
	}
	if err := spec.point(p, access, switched); err != nil {
		return nil, err
	}
	if p.newPassword {
		if err := spec.handNewPassword(access.NewPassword, where.run); err != nil {
			return nil, err
		}
	}
	if password := access.Password.Reveal(); !p.noRepository && pipesPassword(password) {
		spec.password = password
	}
	if p.folder != nil {
		return spec, r.confine(spec, p, access)
	}
	if switched {
		if err := spec.switchTo(*access.RunAs, r.config.CacheDir); err != nil {
			return nil, notStarted("its folders cannot be given to "+access.RunAs.String(), err)
		}
	}
	return spec, nil
}

// point says where the repositories of a restic are.
func (s *childSpec) point(p plan, access Access, switched bool) error {
	if p.noRepository {
		return nil
	}
	vars, err := repositoryVariables(access, switched)
	if err != nil {
		return err
	}
	s.hand(vars)
	if !p.from {
		return nil
	}
	if vars, err = fromVariables(access); err != nil {
		return err
	}
	s.hand(vars)
	return nil
}

const windowsDiskFull = syscall.Errno(112) // another error elsewhere

func notStarted(why string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || runtime.GOOS == "windows" && errors.Is(err, windowsDiskFull) {
		return &Error{
			Code:    CodeDiskFull,
			Message: "restic was not started: the disk where the agent keeps its files is full",
			Next:    "make room there; the agent's doctor command names the folder",
			Err:     err,
		}
	}
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

	watch := newWatch(p, config)
	defer watch.stop()
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
		watch.grace.Reset(config.Grace)
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
		case <-watch.deadline.C:
			stop(stopDeadline)
		case <-watch.stuck.C:
			if left := e.said.patience(config.StuckAfter); left > 0 {
				watch.stuck.Reset(min(left, config.StuckAfter))
			} else {
				stop(stopStuck)
			}
		case <-watch.hopeless.C:
			if e.said.hopelessFor() >= config.HopelessAfter {
				stop(stopHopeless)
			}
		case <-watch.grace.C:
			e.killed = true
			c.kill()
		}
	}
}

// watch are the clocks of one run.
type watch struct {
	deadline, stuck, grace *time.Timer
	hopeless               *time.Ticker
}

func newWatch(p plan, config Config) watch {
	w := watch{
		deadline: stoppedTimer(), stuck: stoppedTimer(), grace: stoppedTimer(),
		hopeless: time.NewTicker(max(config.HopelessAfter/10, time.Millisecond)),
	}
	switch {
	case p.deadline > 0:
		w.deadline.Reset(p.deadline)
	case p.deadline == 0:
		w.deadline.Reset(config.ProbeDeadline)
	}
	if p.watched {
		w.stuck.Reset(config.StuckAfter)
	}
	return w
}

func (w watch) stop() {
	w.deadline.Stop()
	w.stuck.Stop()
	w.grace.Stop()
	w.hopeless.Stop()
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}
