package restictest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// NastyNames are at least 300 names of files that something might take for anything else:
// for an option, a pattern, a comment, a variable, another line, other letters. Four of
// them are not UTF-8.
func NastyNames() []string {
	names := []string{
		"-", "--", "-x", "--target=x", "--password-command=touch x", "-o", "*", "**", "a*b", "a**b", "?", "a?b", "[", "]", "[a]", "[!a]", "[^a]", "[a-z]", "a[",
		`\`, `\\`, `a\b`, `a\*b`, `\n`, "!", "!neg", "#", "# comment", "$", "$$", "$HOME", "${HOME}", "$(id)", "`id`", "%00", "%2f", "~", "~root", "&", ";", "|", ">", "<",
		"'", `"`, `'q"`, "{a,b}", "(a)", "=", ":", "a:b", "a:$DATA", "C:", ",", "@", "^", "+", ".x", "..x", "...", "x.", "x..", "x...",
		" ", "  ", " lead", "trail ", " both ", "\t", "tab\t", "\tlead", "\n", "new\nline", "nl\n", "\nlead", "a\n\nb", "\r", "cr\r", "cr\rx", "\r\n", "crlf\r\n", "\v", "\f", "\x01", "\x1b[31m", "\x7f", "\b",
		"ü", "u\u0308", "日本語", "\u00a0x\u00a0", "\u2028", "\u2029", "\u202ertl", "\u200b", "\ufeffbom", "\ufffd", "😀", "ß", "SS", "İ", "ı",
		"Case", "case", "CASE", "cAsE", strings.Repeat("x", 255), strings.Repeat("ü", 127), strings.Repeat("*", 255), strings.Repeat("\n", 255),
		"\xff\xfe", "a\xffb", "\x80", "caf\xe9",
		"con", "nul", "aux", "com1", "LPT1", "desktop.ini", "a~1", "config", "latest", "null", "0", "-1", "1e9", "true",
	}
	for r := rune(' '); r < 0x7f; r++ {
		if r != '/' {
			names = append(names, "one"+string(r), string(r)+"lead", string(r)+string(r)+"two")
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// NastyTree makes below dir a tree with every name of NastyNames, as a file in "files" and
// as a folder in "folders", and everything else that a file system can have: deep folders,
// hard links, sparse files, attributes, empty folders, pipes, links that are broken or go in
// a circle, set-uid and set-gid bits, and devices and file capabilities where the test is
// root's.
func NastyTree(t *testing.T, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(parts ...string) string { return dir + "/" + strings.Join(parts, "/") }
	must(os.MkdirAll(at("files"), 0o755))
	must(os.MkdirAll(at("folders"), 0o755))
	for i, name := range NastyNames() {
		must(os.WriteFile(at("files", name), fmt.Appendf(nil, "content %d of %q", i, name), 0o640))
		must(os.Mkdir(at("folders", name), 0o750))
		must(os.WriteFile(at("folders", name, "f"), fmt.Appendf(nil, "in %q", name), 0o600))
	}
	must(os.MkdirAll(at("deep"+strings.Repeat("/d", 100)), 0o711))
	must(os.WriteFile(at("deep"+strings.Repeat("/d", 100), "f"), []byte("deep"), 0o400))
	must(os.MkdirAll(at("special", "empty"), 0o700))
	must(os.WriteFile(at("special", "hard1"), []byte("hard"), 0o644))
	must(os.Link(at("special", "hard1"), at("special", "hard2")))
	must(os.Link(at("special", "hard1"), at("files", "hard3")))
	must(os.WriteFile(at("special", "sparse"), nil, 0o644))
	must(os.Truncate(at("special", "sparse"), 20<<20))
	must(os.WriteFile(at("special", "attributes"), []byte("x"), 0o644))
	if err := unix.Setxattr(at("special", "attributes"), "user.rm", []byte("v\x00w"), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
		t.Fatal(err)
	}
	must(unix.Mkfifo(at("special", "fifo"), 0o620))
	must(os.Symlink("broken\nlink", at("special", "broken")))
	must(os.Symlink("loop", at("special", "loop")))
	must(os.Symlink("/etc", at("special", "etc")))
	for name, mode := range map[string]uint32{"setuid": 0o4755, "setgid": 0o2755, "both": 0o6711} {
		must(os.WriteFile(at("special", name), []byte("#!/bin/false"), 0o755))
		must(unix.Chmod(at("special", name), mode))
	}
	must(os.Mkdir(at("special", "shared"), 0o775))
	must(unix.Chmod(at("special", "shared"), 0o2775))
	if os.Geteuid() == 0 {
		must(unix.Mknod(at("special", "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		must(unix.Mknod(at("special", "disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(7, 99))))
		must(os.WriteFile(at("special", "capable"), []byte("x"), 0o755))
		// VFS_CAP_REVISION_2, effective; cap_net_raw permitted.
		must(unix.Setxattr(at("special", "capable"), "security.capability",
			[]byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0))
		must(os.Lchown(at("special", "attributes"), 54321, 54322))
		must(os.Lchown(at("special", "broken"), 54321, 54322))
	}
	when := time.Date(2001, 2, 3, 4, 5, 6, 789_000_000, time.UTC)
	must(filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		defer func() { when = when.Add(time.Hour) }()
		stamp := unix.NsecToTimespec(when.UnixNano())
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// Tree describes every entry below a folder: what it is, with its content, mode, owner,
// time, size, attributes and the entries that are the same file. The folder itself is "".
func Tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	tree, same := map[string]string{}, map[uint64][]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		text := fmt.Sprintf("%o %d:%d %d", st.Mode, st.Uid, st.Gid, st.Mtim.Nano())
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if len(content) > 1<<10 {
				content = fmt.Appendf(nil, "%d bytes, %d of them zero, %d blocks", len(content), strings.Count(string(content), "\x00"), st.Blocks/1024)
			}
			text += fmt.Sprintf(" %q", content)
			if st.Nlink > 1 {
				same[st.Ino] = append(same[st.Ino], name)
			}
		case unix.S_IFLNK:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" -> %q", link)
		case unix.S_IFCHR, unix.S_IFBLK:
			text += fmt.Sprintf(" dev %d", st.Rdev)
		}
		for _, attribute := range []string{"user.rm", "security.capability"} {
			value := make([]byte, 100)
			if n, err := unix.Lgetxattr(path, attribute, value); err == nil {
				text += fmt.Sprintf(" %s=%x", attribute, value[:n])
			}
		}
		tree[name] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range same {
		for _, name := range names {
			tree[name] += fmt.Sprintf(" same as %q", names)
		}
	}
	return tree
}

// Disk mounts an empty file system of its own in a folder until the test ends.
func Disk(t *testing.T, folder, size string) {
	t.Helper()
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "mode=755,size="+size); err != nil {
		Lacks(t, "a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(folder, unix.MNT_DETACH) })
}
