//go:build !windows

package restic

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Where a child that is another user finds the folders of its run: what lies above them
// is closed to it, and these lead past that.
const (
	runDirFD   = "/proc/self/fd/4"
	cacheDirFD = "/proc/self/fd/5"
)

// currentUser is the agent's own; a test pretends to be another.
var currentUser = func() uint32 { return uint32(os.Geteuid()) }

// OwnerOf returns the user to whom a file or folder belongs. Links are followed.
func OwnerOf(path string) (RunAs, error) {
	info, err := os.Stat(path)
	if err != nil {
		return RunAs{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return RunAs{}, fmt.Errorf("the owner of %s cannot be told", path)
	}
	if u, err := user.LookupId(strconv.FormatUint(uint64(stat.Uid), 10)); err == nil {
		return runAsOf(u)
	}
	return RunAs{UID: stat.Uid, GID: stat.Gid}, nil
}

// UserNamed returns a user of this machine.
func UserNamed(name string) (RunAs, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return RunAs{}, fmt.Errorf("this machine has no user %q", name)
	}
	return runAsOf(u)
}

func runAsOf(u *user.User) (RunAs, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return RunAs{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return RunAs{}, err
	}
	as := RunAs{UID: uint32(uid), GID: uint32(gid)}
	groups, err := u.GroupIds()
	if err != nil {
		return as, nil // what it may do by its other groups is left out
	}
	for _, text := range groups {
		if group, err := strconv.ParseUint(text, 10, 32); err == nil && uint32(group) != as.GID {
			as.Groups = append(as.Groups, uint32(group))
		}
	}
	return as, nil
}

// credential is what makes the child another user before it executes anything.
func (u RunAs) credential() *syscall.Credential {
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
}

// handOver gives the folder of a run and what is in it to the user, and opens it and the
// user's own cache for the child. The caller closes them.
func (u RunAs) handOver(dir, cache string) (run, cached *os.File, err error) {
	own := filepath.Join(cache, "user-"+strconv.FormatUint(uint64(u.UID), 10))
	if err := os.Mkdir(own, 0o700); err != nil && !os.IsExist(err) {
		return nil, nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	paths := []string{own, dir}
	for _, entry := range entries {
		paths = append(paths, filepath.Join(dir, entry.Name()))
	}
	for _, path := range paths {
		if err := os.Lchown(path, int(u.UID), int(u.GID)); err != nil {
			return nil, nil, err
		}
	}
	if run, err = os.Open(dir); err != nil {
		return nil, nil, err
	}
	if cached, err = os.Open(own); err != nil {
		run.Close()
		return nil, nil, err
	}
	return run, cached, nil
}
