//go:build !windows

package upkeep

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"restic-manager/restic"
)

// noWaiting opens also what would wait for a writer, as a pipe does.
const noWaiting = syscall.O_NONBLOCK

// owns reports whether a file is a user's.
func owns(u restic.RunAs, info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == u.UID
}

// rootsAlone reports whether nobody but root can put anything into a folder.
func rootsAlone(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == 0 && info.Mode().Perm()&0o022 == 0
}

// lock takes the folder for this process until the file is closed, also by its end. What
// the agent starts does not inherit it. A file system without such locks has none.
func lock(folder *os.File) error {
	err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return ErrBusy
	case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EBADF), errors.Is(err, unix.EINVAL):
		return nil
	}
	return err
}

// unlock lets go of a folder that lock has. To close it would do so only once no process that
// is being started right now has it open, too.
func unlock(folder *os.File) { _ = unix.Flock(int(folder.Fd()), unix.LOCK_UN) }

// flush makes what was made in a folder last.
func flush(dir *os.File) error { return dir.Sync() }

// isNoLinks reports whether a link cannot be made because there are none here: the file
// system has none, a file has as many as it can have, or the folder is on another disk.
func isNoLinks(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EXDEV) ||
		errors.Is(err, syscall.EMLINK) || errors.Is(err, syscall.ENOSYS)
}
