package restic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// ProcessRef identifies a process so that it is not mistaken for a later one with
// the same number, also after the machine was started again. It is what an agent
// records.
type ProcessRef struct {
	PID   int    `json:"pid"`
	Group int    `json:"group"`          // process group on unix, 0 on windows
	Start uint64 `json:"start"`          // clock ticks since boot on linux, file time on windows
	Boot  string `json:"boot,omitempty"` // boot id on linux
	Mark  string `json:"mark,omitempty"` // "NAME=value" in the environment of its scripts, on unix
}

// errNotAnOrphan refuses references that would hit more than one restic.
var errNotAnOrphan = errors.New("this is not the reference of a process started here")

const (
	orphanPatience = 10 * time.Second
	orphanPoll     = 20 * time.Millisecond
)

// KillOrphan kills the recorded process with its group if it is still the same
// one, and returns when it is gone. It reports false when it was not there any
// more. It does not interrupt first: an orphan has lost its output pipes and would
// die on the attempt to say goodbye, so look for its lock afterwards. Where the process
// itself is gone, what is left of its group is killed if it is a script of the same run:
// the number of the group alone may be another's by now.
func KillOrphan(ctx context.Context, ref ProcessRef) (killed bool, err error) {
	if ref.PID <= 1 || ref.PID == os.Getpid() || ref.Start == 0 {
		return false, errNotAnOrphan
	}
	if alive, err := ref.alive(); err != nil || !alive { //guard:restic-orphan
		if err == nil {
			killed, err = killMarked(ref)
		}
		return killed, err
	}
	if err := killRecorded(ref); err != nil {
		return false, fmt.Errorf("kill process %d: %w", ref.PID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, orphanPatience)
	defer cancel()
	poll := time.NewTicker(orphanPoll)
	defer poll.Stop()
	for {
		if alive, err := ref.alive(); err != nil || !alive {
			return true, err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return true, fmt.Errorf("process %d was killed and is not gone yet: %w", ref.PID, ctx.Err())
		}
	}
}

// childSpec is what a child is started with.
type childSpec struct {
	path     string
	args     []string // without the program's name
	env      []string
	dir      string
	mark     string   // becomes ProcessRef.Mark
	password string   // by pipe, where the system can; "" when it needs none
	secrets  []string // by pipes of their own, at secretFD
	stdout   *os.File
	stderr   *os.File

	as      *RunAs     // nil for the agent's own user
	folders []*os.File // of another user: its run's and its cache; of a restore: where to
}

// switchTo makes the child another user's, and its folder too.
func (s *childSpec) switchTo(as RunAs, cache string) error {
	run, cached, err := as.handOver(s.dir, cache)
	if err != nil {
		return err
	}
	s.as, s.folders, s.dir = &as, []*os.File{run, cached}, "/"
	return nil
}

// closeFolders closes what switchTo opened; the folder of a restore is its caller's.
func (s *childSpec) closeFolders() {
	if s.as != nil {
		closeAll(s.folders)
	}
}

// exitStatus is how a child ended.
type exitStatus struct {
	code   int    // -1 when a signal ended it
	signal string // the signal's name, or ""
}
