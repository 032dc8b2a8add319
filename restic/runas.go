package restic

import (
	"fmt"
	"strconv"
)

// RunAs is the user of this machine as whom a restic runs, with everything that it
// starts: whoever works in somebody's folder must not leave files there that the owner
// cannot change.
type RunAs struct {
	UID, GID uint32
	Groups   []uint32 // beside GID
}

// String names the user by number.
func (u RunAs) String() string { return "user " + strconv.FormatUint(uint64(u.UID), 10) }

func runAsRefused(what, next string, err error) *Error {
	return &Error{Code: CodeRunAsRefused, Message: "restic was not started: " + what, Next: next, Err: err}
}

// switches reports whether a restic must be started as another user than the agent.
func (a Access) switches() (bool, error) {
	if a.RunAs == nil || a.RunAs.UID == currentUser() {
		return false, nil
	}
	if currentUser() != 0 { //guard:run-as
		return false, runAsRefused(fmt.Sprintf("it is to run as %s, and the agent, which is user %d, cannot change into another", *a.RunAs, currentUser()),
			"run the agent as root, or as the owner of the folder", nil)
	}
	return true, nil
}
