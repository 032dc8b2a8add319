package restic

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// leastLandlock is the version from which on files can be linked between folders.
const leastLandlock = 2

// Rights by version: all that changes what files there are or what is in them.
const (
	writesToFiles  = unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	writesToFiles3 = writesToFiles | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	writes         = unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
)

func landlockVersion() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

func canFence() bool { return landlockVersion() >= leastLandlock }

// becomeFenced takes from this thread the right to write anywhere but in places, and makes
// it the command: what follows keeps the fence.
func becomeFenced(places, command []string) error {
	runtime.LockOSThread()
	files := uint64(writesToFiles)
	if landlockVersion() >= 3 {
		files = writesToFiles3
	}
	attr := unix.LandlockRulesetAttr{Access_fs: files | writes}
	// The first member is all that every version knows.
	ruleset, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr.Access_fs), 0)
	if errno != 0 {
		return fmt.Errorf("make a fence: %w", errno)
	}
	for _, place := range places {
		if err := allowWrites(ruleset, place, files); err != nil {
			return fmt.Errorf("open %s in the fence: %w", place, err)
		}
	}
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("give up new rights: %w", err)
	}
	err = closeFence(ruleset) //guard:restore-fence
	if err != nil {
		return fmt.Errorf("close the fence: %w", err)
	}
	return syscall.Exec(command[0], command, os.Environ())
}

func closeFence(ruleset uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func allowWrites(ruleset uintptr, place string, files uint64) error {
	fd, err := unix.Open(place, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: files, Parent_fd: int32(fd)}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		rule.Allowed_access |= writes
	}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, ruleset, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// folderFD is where a restic finds the folder of its restore.
const folderFD = "/proc/self/fd/4"

// targetOf is what restic is told: a folder in the open one, since the open one itself
// looks like a link to it.
func targetOf(*os.File) string { return folderFD + "/" + RestoredFolder }

func targetFolder(*os.File) string { return folderFD }

func inherited(folder *os.File) []*os.File { return []*os.File{folder} }
