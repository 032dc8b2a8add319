package restic

import "context"

// ProcessRef identifies a process so that it is not mistaken for a later one with
// the same number, also after the machine was started again. It is what an agent
// records.
type ProcessRef struct {
	PID   int    `json:"pid"`
	Group int    `json:"group"`          // process group on unix, 0 on windows
	Start uint64 `json:"start"`          // clock ticks since boot on linux, file time on windows
	Boot  string `json:"boot,omitempty"` // boot id on linux
}

// KillOrphan kills the recorded process with its group if it is still the same
// one, and returns when it is gone. It reports false when it was not there any
// more. It does not interrupt first: an orphan has lost its output pipes and would
// die on the attempt to say goodbye, so look for its lock afterwards.
func KillOrphan(ctx context.Context, ref ProcessRef) (killed bool, err error) { panic("not yet") }
