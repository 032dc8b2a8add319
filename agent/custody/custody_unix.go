//go:build unix

package custody

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// identity is the user that the agent runs as.
type identity struct{ uid, gid uint32 }

// rights are what decides who can change or read a file. An access control list
// needs no look of its own: its widest entry shows in the bits of the group.
type rights struct {
	uid, gid uint32
	mode     fs.FileMode
}

func inspect(path string, info fs.FileInfo, at place, d Demand) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return &Problem{path, "has no owner that could be read", "move it to a file system that has owners"}
	}
	self := identity{uint32(os.Geteuid()), uint32(os.Getegid())}
	if p := judge(path, rights{st.Uid, st.Gid, info.Mode()}, self, at, d); p != nil {
		return p
	}
	return nil
}

// judge applies the rule to one path.
func judge(path string, r rights, self identity, at place, d Demand) *Problem {
	if r.uid != 0 && r.uid != self.uid { //guard:custody-owner
		what := fmt.Sprintf("belongs to user %d, not to root", r.uid)
		if self.uid != 0 {
			what += fmt.Sprintf(" or to the agent's own user %d", self.uid)
		}
		return &Problem{path, what, "run: " + ownerCommand(path, self)}
	}
	forbidden := fs.FileMode(0o022)
	if d == Private {
		forbidden = 0o077
	}
	// In a sticky folder (/tmp) anybody may add names, but only the owner of a name
	// can move or remove it; and the owner of the next one down is checked too.
	if at == above && r.mode&fs.ModeSticky != 0 {
		forbidden = 0
	}
	if d == Unchangeable && ownGroup(r, self) {
		forbidden &^= 0o020
	}
	if r.mode&forbidden != 0 { //guard:custody-mode
		return &Problem{path, "is " + openTo(r.mode&forbidden), "run: " + modeCommand(path, r, at, d)}
	}
	return nil
}

// ownGroup reports whether a file belongs to the group that holds the agent's user
// alone. Many systems give each person such a group, of the same number, and let it
// write by default (pam_umask goes by the same rule). Root has none.
func ownGroup(r rights, self identity) bool {
	return self.uid != 0 && self.gid == self.uid && r.gid == self.gid
}

func openTo(excess fs.FileMode) string {
	right := "readable"
	switch {
	case excess&0o022 != 0:
		right = "writable"
	case excess&0o044 == 0:
		right = "searchable"
	}
	switch {
	case excess&0o070 == 0:
		return right + " by others"
	case excess&0o007 == 0:
		return right + " by its group"
	}
	return right + " by its group and others"
}

func modeCommand(path string, r rights, at place, d Demand) string {
	switch {
	case at == folder && d == Private:
		return "chmod 0700 " + Quote(path)
	case at != file || r.mode&0o111 != 0: // others must still get through, or run it
		return "chmod go-w " + Quote(path)
	}
	return "chmod 0600 " + Quote(path)
}

func ownerCommand(path string, self identity) string {
	if self.uid == 0 {
		return "chown root " + Quote(path)
	}
	return fmt.Sprintf("chown %d %s", self.uid, Quote(path))
}

func copyCommand(from, to string) string {
	return "cp --remove-destination " + Quote(from) + " " + Quote(to)
}

// Quote makes a text one word for the system's shell. A person is told commands to
// copy, and what stands in them was not always written by a friend.
func Quote(text string) string {
	special := func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("/._-+:@%,", r)
	}
	if text != "" && strings.IndexFunc(text, special) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// openNoFollow opens without waiting for a writer, should a pipe lie there.
func openNoFollow(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// makePrivate sets the bits that the umask may have taken, and no others.
func makePrivate(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.Chmod(path, 0o700)
	}
	return os.Chmod(path, 0o600)
}

// makeLike gives path the owner and bits of another file.
func makeLike(path, other string) error {
	info, err := os.Lstat(other)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Lchown(path, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(path, info.Mode().Perm())
}

// syncFolder brings a rename to the disk.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return d.Close()
}
