package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"restic-manager/restic"
)

const openFolder = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC

// openAt opens a folder in another, and no link to one.
func openAt(dir int, name string) (*os.File, error) {
	flags := openFolder
	flags |= unix.O_NOFOLLOW //guard:restore-nofollow
	fd, err := unix.Openat(dir, name, flags, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func makeOwn(path string) error { return os.Mkdir(path, folderMode) }

// openOwn opens a folder that was just made. Somebody who may change the folder above can
// put another in its place: it must be empty and let nobody but us in.
func openOwn(path string) (*os.File, error) {
	fd, err := unix.Open(path, openFolder|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && (int(st.Uid) != os.Geteuid() || st.Mode&0o777&^folderMode != 0) { //guard:stage-private
		err = errors.New("it is not private to the agent")
	}
	if names, readErr := dir.Readdirnames(1); err == nil && len(names) > 0 {
		err = errors.Join(errors.New("it is not empty"), readErr)
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

func makeRestored(dir *os.File) error {
	return unix.Mkdirat(int(dir.Fd()), restic.RestoredFolder, folderMode)
}

func (f *Folder) restored() (*os.File, error) { return openAt(int(f.dir.Fd()), restic.RestoredFolder) }

// names lists a folder.
func names(dir *os.File) ([]string, error) {
	if _, err := dir.Seek(0, 0); err != nil {
		return nil, err
	}
	list, err := dir.Readdirnames(-1)
	slices.Sort(list)
	return list, err
}

func statAt(dir int, name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func isFolder(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

func isFile(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }

// walk visits everything below a folder, folders before what is in them.
func walk(ctx context.Context, dir *os.File, path string, visit func(dir int, name, path string, st unix.Stat_t) error, trouble func(path string, err error)) error {
	list, err := names(dir)
	if err != nil {
		trouble(path, err)
	}
	for _, name := range list {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		at := path + "/" + name
		st, err := statAt(int(dir.Fd()), name)
		if err == nil {
			err = visit(int(dir.Fd()), name, at, st)
		}
		if err != nil {
			trouble(at, err)
			continue
		}
		if !isFolder(st) {
			continue
		}
		sub, err := openAt(int(dir.Fd()), name)
		if err != nil {
			trouble(at, err)
			continue
		}
		err = walk(ctx, sub, at, visit, trouble)
		_ = sub.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// Examine counts what was restored of the chosen entries, and takes away what would be a
// privilege unless it is to be kept: set-uid and set-gid bits of files, device nodes, file
// capabilities. The set-gid bit of a folder, which only says whose new files are, stays.
func (f *Folder) Examine(ctx context.Context, chosen []string, keepPrivileged bool, report func(Finding)) (Counts, error) {
	var counts Counts
	root, err := f.restored()
	if err != nil {
		return counts, fmt.Errorf("look at what was restored: %w", err)
	}
	defer root.Close()
	visit := func(dir int, name, path string, st unix.Stat_t) error {
		gone := false
		if !keepPrivileged {
			if gone, err = strip(dir, name, path, st, report); err != nil {
				return err
			}
		}
		switch {
		case !below(path, chosen):
		case gone:
			counts.Removed++
		default:
			counts.Entries++
			if isFile(st) {
				counts.Bytes += st.Size
			}
		}
		return nil
	}
	err = walk(ctx, root, "", visit, func(path string, err error) {
		counts.Failed++
		report(Finding{path, Failed, err.Error()})
	})
	return counts, err
}

const fileCapabilities = "security.capability"

// strip takes privileges from one entry, and reports each.
func strip(dir int, name, path string, st unix.Stat_t, report func(Finding)) (gone bool, err error) {
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFBLK || kind == unix.S_IFCHR { //guard:strip-device
		report(Finding{path, Stripped, fmt.Sprintf("device node %d:%d, removed", unix.Major(st.Rdev), unix.Minor(st.Rdev))})
		return true, removeQuietly(dir, name)
	}
	if kind != unix.S_IFREG {
		return false, nil
	}
	where := fmt.Sprintf("/proc/self/fd/%d/%s", dir, name)                           // the folder is ours alone
	if n, err := unix.Lgetxattr(where, fileCapabilities, nil); err == nil && n > 0 { //guard:strip-capabilities
		if err := unix.Lremovexattr(where, fileCapabilities); err != nil {
			return false, fmt.Errorf("take its capabilities away: %w", err)
		}
		report(Finding{path, Stripped, "file capabilities"})
	}
	if bits := st.Mode & (unix.S_ISUID | unix.S_ISGID); bits != 0 { //guard:strip-bits
		if err := unix.Fchmodat(dir, name, st.Mode&0o7777&^(unix.S_ISUID|unix.S_ISGID), 0); err != nil {
			return false, fmt.Errorf("take its set-uid or set-gid bit away: %w", err)
		}
		report(Finding{path, Stripped, describeBits(bits)})
	}
	return false, nil
}

func describeBits(bits uint32) string {
	var parts []string
	if bits&unix.S_ISUID != 0 {
		parts = append(parts, "set-uid bit")
	}
	if bits&unix.S_ISGID != 0 {
		parts = append(parts, "set-gid bit")
	}
	return strings.Join(parts, ", ")
}

// removeQuietly removes an entry and leaves its folder the times that it had.
func removeQuietly(dir int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return err
	}
	if err := unix.Unlinkat(dir, name, 0); err != nil {
		return err
	}
	return setTimes(dir, st)
}

func setTimes(dir int, st unix.Stat_t) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", dir), []unix.Timespec{st.Atim, st.Mtim}, 0)
}

// Has reports whether an entry was restored.
func (f *Folder) Has(path string) bool {
	dir, name, err := f.parentOf(path)
	if err != nil {
		return false
	}
	defer dir.Close()
	_, err = statAt(int(dir.Fd()), name)
	return err == nil
}

// Size is the size of a file that was restored, 0 for what is none.
func (f *Folder) Size(path string) int64 {
	dir, name, err := f.parentOf(path)
	if err != nil {
		return 0
	}
	defer dir.Close()
	if st, err := statAt(int(dir.Fd()), name); err == nil && isFile(st) {
		return st.Size
	}
	return 0
}

// parentOf opens the folder that has an entry which was restored.
func (f *Folder) parentOf(path string) (dir *os.File, name string, err error) {
	dir, err = f.restored()
	parts := parts(path)
	if err != nil || len(parts) == 0 {
		return dir, ".", err
	}
	for _, part := range parts[:len(parts)-1] {
		next, err := openAt(int(dir.Fd()), part)
		_ = dir.Close()
		if err != nil {
			return nil, "", err
		}
		dir = next
	}
	return dir, parts[len(parts)-1], nil
}

func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// Remove removes the folder with everything in it, and closes it.
func (f *Folder) Remove() error {
	err := empty(f.dir)
	if err == nil {
		// Whoever put another in its place has put an empty one there, or it stays.
		if err = os.Remove(f.path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return errors.Join(err, f.dir.Close())
}

// empty removes everything in a folder.
func empty(dir *os.File) error {
	list, err := names(dir)
	if err != nil {
		return err
	}
	for _, name := range list {
		st, err := statAt(int(dir.Fd()), name)
		if err != nil {
			return err
		}
		if !isFolder(st) {
			if err := unix.Unlinkat(int(dir.Fd()), name, 0); err != nil {
				return err
			}
			continue
		}
		if st.Mode&0o700 != 0o700 && int(st.Uid) == os.Geteuid() {
			_ = unix.Fchmodat(int(dir.Fd()), name, 0o700, 0)
		}
		sub, err := openAt(int(dir.Fd()), name)
		if err != nil {
			return err
		}
		err = errors.Join(empty(sub), sub.Close())
		if err != nil {
			return err
		}
		if err := unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR); err != nil {
			return err
		}
	}
	return nil
}
