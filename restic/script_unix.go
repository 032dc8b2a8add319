//go:build !windows

package restic

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileID tells one file from every other, and from itself after any change of its
// content, owner or mode.
func fileID(f *os.File) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d-%d-%d", st.Dev, st.Ino, st.Ctim.Nano()), nil
}

// scriptFD is where a script's own file is open while it starts: above what scripts
// use themselves.
const scriptFD = 100

// openScript opens the file that was found fit, and no other.
func openScript(s Script) (*os.File, error) {
	f, err := os.OpenFile(s.Path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	id, err := fileID(f)
	if err == nil && id != s.file { //guard:script-swapped
		err = errSwapped
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// startScript becomes the script. What is executed is the open file that was looked
// at, whatever lies at its path by then.
func startScript(s Script, env []string) (int, error) {
	f, err := openScript(s)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := os.Chdir(filepath.Dir(s.Path)); err != nil {
		return 0, err
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, scriptFD) // stays open in the script
	if err != nil {
		return 0, err
	}
	if err := closeBehind(fd); err != nil {
		return 0, fmt.Errorf("close what was inherited: %w", err)
	}
	err = syscall.Exec("/proc/self/fd/"+strconv.Itoa(fd), []string{s.Path}, env)
	switch {
	case errors.Is(err, unix.ENOEXEC):
		return 0, errors.New("it is no program and does not begin with #! and an interpreter")
	case errors.Is(err, unix.ENOENT):
		return 0, errors.New("the interpreter that its first line names is not there")
	case errors.Is(err, unix.EACCES):
		return 0, errors.New("it may not be executed: chmod 0755, and no noexec mount")
	}
	return 0, err
}

// closeBehind makes everything but the three streams and one file close when the
// script begins: restic's pipe for the password is among what was inherited.
func closeBehind(keep int) error {
	last := uint(1<<31 - 1)
	err := errors.Join(
		unix.CloseRange(3, uint(keep-1), unix.CLOSE_RANGE_CLOEXEC),
		unix.CloseRange(uint(keep+1), last, unix.CLOSE_RANGE_CLOEXEC))
	if err == nil {
		return nil
	}
	open, err := os.ReadDir("/proc/self/fd") // a kernel before 5.11
	if err != nil {
		return err
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 && fd != keep {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// scriptSystem is what any script needs on this system. HOME is the agent's user's, so
// that files such as ~/.pgpass are found.
func scriptSystem() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	if self, err := user.Current(); err == nil {
		env = append(env, "HOME="+self.HomeDir, "USER="+self.Username, "LOGNAME="+self.Username)
	}
	return env
}

// terminate asks the group to end.
func (c *child) terminate() { _ = unix.Kill(-c.ref.Group, unix.SIGTERM) }
