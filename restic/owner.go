package restic

import "time"

// SeenProcess is what this machine says of the process of a lock.
type SeenProcess struct {
	Gone   bool      // no process has that number
	Restic bool      // the one that has it goes by the name of restic
	Boot   time.Time // when the machine was started; zero where it does not say
}

// LookAtProcess looks at a process by its number, as a lock names it. It sends nothing to
// the process. An error means that it could not be found out.
func LookAtProcess(pid int) (SeenProcess, error) { return lookAtProcess(pid) }

// Gone reports whether the process that ref was taken of has certainly ended.
func (ref ProcessRef) Gone() bool {
	alive, err := ref.alive()
	return err == nil && !alive
}
