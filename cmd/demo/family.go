package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// family is the processes that the demo started. They are ended in the reverse
// order of their start.
type family struct {
	logs string
	died chan error // the first unasked-for end

	mu     sync.Mutex
	ending bool
	kids   []*kid
}

type kid struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
}

func newFamily(logs string) *family {
	return &family{logs: logs, died: make(chan error, 1)}
}

// start runs a program in the background with its output in a log of its name.
func (f *family) start(name string, env []string, argv ...string) error {
	if err := os.MkdirAll(f.logs, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(f.logs, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own copy
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	k := &kid{name: name, cmd: cmd, done: make(chan struct{})}
	f.mu.Lock()
	f.kids = append(f.kids, k)
	f.mu.Unlock()
	go f.watch(k)
	return nil
}

func (f *family) watch(k *kid) {
	err := k.cmd.Wait()
	close(k.done)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ending {
		return
	}
	select {
	case f.died <- fmt.Errorf("%s ended by itself: %v", k.name, err):
	default:
	}
}

// end asks every process to stop, newest first, and kills what has not stopped in
// time.
func (f *family) end(grace time.Duration) error {
	f.mu.Lock()
	f.ending = true
	kids := f.kids
	f.mu.Unlock()
	var errs []error
	for i := len(kids) - 1; i >= 0; i-- {
		k := kids[i]
		if err := k.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, fmt.Errorf("stop %s: %w", k.name, err))
		}
		select {
		case <-k.done:
		case <-time.After(grace):
			_ = k.cmd.Process.Kill()
			<-k.done
			errs = append(errs, fmt.Errorf("%s did not stop in %s and was killed", k.name, grace))
		}
	}
	return errors.Join(errs...)
}

// until polls ready, and fails when ctx or the time is over or a process has died.
func (f *family) until(ctx context.Context, what string, limit time.Duration, ready func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ready(ctx) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case err := <-f.died:
			return fmt.Errorf("%s: %w", what, err)
		case <-tick.C:
		}
	}
	return nil
}

// freeAddr gives the wanted loopback address, or one with another port when that is
// taken.
func freeAddr(want string) (string, error) {
	for _, addr := range []string{want, "127.0.0.1:0"} {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			defer l.Close()
			return l.Addr().String(), nil
		}
	}
	return "", fmt.Errorf("no free port on loopback")
}
