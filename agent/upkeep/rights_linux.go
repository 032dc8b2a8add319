package upkeep

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"restic-manager/restic"
)

// actAs does work on a thread of its own that has a user's rights on files and no others.
// The thread ends with it, so that nothing else ever runs with them.
func actAs(user restic.RunAs, work func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread is not used again
		err := takeRights(user)
		if err == nil {
			err = work()
		}
		done <- err
	}()
	return <-done
}

// takeRights gives the calling thread, and it alone, a user's rights on files.
func takeRights(user restic.RunAs) error {
	groups := []int{int(user.GID)}
	for _, g := range user.Groups {
		groups = append(groups, int(g))
	}
	err := unix.Setgroups(groups)
	if err == nil {
		err = unix.Setfsgid(int(user.GID))
	}
	if err == nil {
		_, _ = unix.SetfsuidRetUid(int(user.UID)) //guard:folder-rights
	}
	if err != nil {
		return fmt.Errorf("take the rights of %s: %w", user, err)
	}
	if now, _ := unix.SetfsuidRetUid(-1); now != int(user.UID) {
		return fmt.Errorf("take the rights of %s: %w", user, os.ErrPermission)
	}
	return nil
}
