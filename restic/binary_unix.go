//go:build !windows

package restic

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const maxLinks = 40

// checkOwnership walks from the root to the program, through symbolic links, and
// refuses the first part that somebody else could change.
func checkOwnership(path string) error {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	at := "/"
	if err := checkPart(at); err != nil {
		return err
	}
	for links := 0; len(parts) > 0; {
		next := filepath.Join(at, parts[0])
		parts = parts[1:]
		info, err := os.Lstat(next)
		if err != nil {
			return &Error{Code: CodeResticMissing, Message: "restic cannot be looked at", Next: "check the rights on its folders", Err: err}
		}
		if info.Mode()&os.ModeSymlink == 0 {
			if err := checkPart(next); err != nil {
				return err
			}
			at = next
			continue
		}
		if links++; links > maxLinks {
			return insecureBinary("the path of restic has too many symbolic links", "set the path of the program itself")
		}
		if err := checkOwner(next, info); err != nil {
			return err
		}
		target, err := os.Readlink(next)
		if err != nil {
			return insecureBinary("a symbolic link to restic cannot be read", "set the path of the program itself")
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		parts = append(strings.FieldsFunc(target, func(r rune) bool { return r == '/' }), parts...)
	}
	return nil
}

// checkPart checks a folder or the program itself.
func checkPart(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return &Error{Code: CodeResticMissing, Message: "restic cannot be looked at", Next: "check the rights on its folders", Err: err}
	}
	if err := checkOwner(path, info); err != nil {
		return err
	}
	mode := info.Mode()
	if info.IsDir() && mode&os.ModeSticky != 0 {
		return nil // like /tmp: others may add entries, but not replace ours
	}
	if mode.Perm()&0o002 != 0 { //guard:restic-mode
		return insecureBinary(path+" can be changed by every user", "run: chmod o-w "+quoted(path))
	}
	if mode.Perm()&0o020 != 0 && !ownGroup(info) {
		return insecureBinary(path+" can be changed by its group", "run: chmod g-w "+quoted(path))
	}
	return nil
}

func checkOwner(path string, info os.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid != 0 && int(stat.Uid) != os.Geteuid() { //guard:restic-owner
		return insecureBinary(path+" belongs to another user than root and the agent's own", "run: chown root "+quoted(path))
	}
	return nil
}

// ownGroup reports whether the file's group is the agent's user's private one, by
// the convention that such a group has the user's number. Where a umask of 002 is
// usual, everything a person unpacks is writable for it. Root has none: group 0 may
// have members.
func ownGroup(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Geteuid() != 0 && int(stat.Gid) == os.Geteuid()
}

func quoted(path string) string { return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'" }
