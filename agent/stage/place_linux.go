package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many links may follow one another.
const maxLinks = 40

// Resolve follows the links in the folders above a path, as far as these exist, and leaves
// its last part as it is. A link that neither root nor the agent's own user has made could
// lead anywhere: it is an Unsafe.
func Resolve(path string) (real string, err error) {
	last, ok := filepath.Base(path), filepath.IsAbs(path)
	if !ok {
		return "", &Unsafe{path, "is not an absolute path", "choose another path"}
	}
	if path == "/" {
		return path, nil
	}
	done, rest := "/", parts(filepath.Dir(path))
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if part == ".." {
			done = filepath.Dir(done)
			continue
		}
		if part == "." {
			continue
		}
		at := filepath.Join(done, part)
		var st unix.Stat_t
		switch err := unix.Lstat(at, &st); {
		case errors.Is(err, unix.ENOENT):
			if strings.Contains("/"+strings.Join(rest, "/")+"/", "/../") {
				return "", &Unsafe{at, "does not exist", "choose another path"}
			}
			return filepath.Join(append(append([]string{at}, rest...), last)...), nil
		case err != nil:
			return "", &Unsafe{at, "cannot be looked at: " + err.Error(), "restore to a fresh folder"}
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			done = at
		case unix.S_IFLNK:
			if links++; links > maxLinks {
				return "", &Unsafe{at, "leads in a circle", "restore to a fresh folder"}
			}
			if st.Uid != 0 && int(st.Uid) != os.Geteuid() { //guard:restore-link
				return "", &Unsafe{at, fmt.Sprintf("is a symlink owned by uid %d", st.Uid), "look who made it and why; restore to a fresh folder instead"}
			}
			target, err := os.Readlink(at)
			if err != nil {
				return "", &Unsafe{at, "cannot be looked at: " + err.Error(), "restore to a fresh folder"}
			}
			if filepath.IsAbs(target) {
				done = "/"
			}
			rest = append(parts(target), rest...)
		default:
			return "", &Unsafe{at, "is not a folder", "restore to a fresh folder"}
		}
	}
	return filepath.Join(done, last), nil
}

// mount tells the mounted file system that has a path, or what exists above it.
func mount(path string) (id, dev uint64, existing string, err error) {
	for {
		var st unix.Statx_t
		err = unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID, &st)
		if (errors.Is(err, unix.ENOENT) || err == nil && uint32(st.Mode)&unix.S_IFMT != unix.S_IFDIR) && path != "/" {
			path = filepath.Dir(path)
			continue
		}
		return st.Mnt_id, uint64(st.Dev_major)<<32 | uint64(st.Dev_minor), path, err
	}
}

// Beside returns the folder in which a private folder is to be made so that what is in it
// can be moved to every target: staging if that can be, or else the uppermost folder of
// the targets' own file system.
func Beside(targets []Target, staging string) (string, error) {
	id, dev, at, err := mount(filepath.Dir(targets[0].Real))
	if err != nil {
		return "", &Unsafe{targets[0].Real, "cannot be looked at: " + err.Error(), "restore to a fresh folder"}
	}
	for _, t := range targets[1:] {
		if otherID, otherDev, _, err := mount(filepath.Dir(t.Real)); err != nil || otherID != id || otherDev != dev {
			return "", &Unsafe{t.Real, "is on another file system than " + targets[0].Real, "restore what is on each by itself"}
		}
	}
	if stagingID, stagingDev, _, err := mount(staging); err == nil && stagingID == id && stagingDev == dev {
		return staging, nil
	}
	for at != "/" {
		up := filepath.Dir(at)
		if upID, upDev, _, err := mount(up); err != nil || upID != id || upDev != dev {
			break
		}
		at = up
	}
	return at, nil
}
