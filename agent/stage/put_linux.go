package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"restic-manager/restic"
)

// Put moves what was restored to its targets and returns what became of it. Each file is
// there as a whole or not at all, no link is followed, and no folder becomes a file or the
// other way round.
func (f *Folder) Put(ctx context.Context, targets []Target, rules Rules, report func(Finding)) (Counts, error) {
	if err := unix.Syncfs(int(f.dir.Fd())); err != nil {
		return Counts{}, fmt.Errorf("write what was restored to the disk: %w", err)
	}
	p := &putting{ctx: ctx, rules: rules, report: report}
	done := map[string]bool{}
	for _, t := range targets {
		if t.Path == "/" {
			if err := f.putAll(p); err != nil {
				return p.counts, err
			}
			continue
		}
		if err := f.putOne(p, t, done); err != nil {
			return p.counts, err
		}
	}
	return p.counts, nil
}

func (f *Folder) putAll(p *putting) error {
	from, err := f.restored()
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := unix.Open("/", openFolder, 0)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	return p.folder(from, to, "", "/")
}

// putOne puts a target in place, with the folders above it that are not there.
func (f *Folder) putOne(p *putting, t Target, done map[string]bool) error {
	to, there, err := openReal(filepath.Dir(t.Real))
	if err != nil {
		return err
	}
	defer to.Close()
	// As many of the last parts of the path as are missing go with it.
	missing := len(parts(filepath.Dir(t.Real))) - len(parts(there))
	path, real := t.Path, t.Real
	for range missing {
		if filepath.Base(path) != filepath.Base(real) {
			return &Unsafe{real, "was there a moment ago", "look who removed it; restore to a fresh folder instead"}
		}
		path, real = filepath.Dir(path), filepath.Dir(real)
	}
	if path == "/" || done[path] {
		return nil
	}
	done[path] = true
	from, name, err := f.parentOf(path)
	if err != nil {
		p.fail(path, err)
		return nil
	}
	defer from.Close()
	if _, err := statAt(int(from.Fd()), name); errors.Is(err, unix.ENOENT) {
		return nil // it is not in the snapshot, which was told
	}
	p.chosen = t.Path
	return p.entry(int(from.Fd()), int(to.Fd()), name, path, real)
}

// openReal opens the folder, or the one that exists above it, without following any link.
func openReal(path string) (dir *os.File, there string, err error) {
	fd, err := unix.Open("/", openFolder, 0)
	if err != nil {
		return nil, "", err
	}
	dir, there = os.NewFile(uintptr(fd), "/"), "/"
	for _, part := range parts(path) {
		next, err := openAt(int(dir.Fd()), part)
		if errors.Is(err, fs.ErrNotExist) {
			return dir, there, nil
		}
		_ = dir.Close()
		if err != nil {
			return nil, "", &Unsafe{filepath.Join(there, part), "has become something else than the folder that it was", "look who does that; restore to a fresh folder instead"}
		}
		dir, there = next, filepath.Join(there, part)
	}
	return dir, there, nil
}

// putting is one Put.
type putting struct {
	ctx    context.Context
	rules  Rules
	report func(Finding)
	counts Counts
	chosen string
}

func (p *putting) fail(path string, err error) {
	p.counts.Failed++
	p.report(Finding{path, Failed, err.Error()})
}

// folder puts everything in a folder into another.
func (p *putting) folder(from *os.File, to int, path, real string) error {
	list, err := names(from)
	if err != nil {
		p.fail(path, err)
	}
	for _, name := range list {
		if err := p.entry(int(from.Fd()), to, name, path+"/"+name, filepath.Join(real, name)); err != nil {
			return err
		}
	}
	return nil
}

// entry puts one entry into a folder.
func (p *putting) entry(from, to int, name, path, real string) error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	for _, own := range p.rules.Keep {
		if within(real, own) { //guard:restore-own
			p.counts.Skipped++
			p.report(Finding{path, Kept, "belongs to the agent itself"})
			return nil
		}
	}
	st, err := statAt(from, name)
	if err != nil {
		p.fail(path, err)
		return nil
	}
	here, err := statAt(to, name)
	switch {
	case errors.Is(err, unix.ENOENT):
		p.move(from, to, name, path, st, unix.RENAME_NOREPLACE)
	case err != nil:
		p.fail(path, err)
	case isFolder(st) && isFolder(here):
		return p.merge(from, to, name, path, real, st)
	case isFolder(st):
		p.fail(path, errors.New(inTheWay(here)+" is in the way of a folder"))
	case isFolder(here):
		p.fail(path, errors.New("a folder is in the way of a file"))
	case !p.replaces(st, here):
		p.counts.Skipped++
	default:
		p.move(from, to, name, path, st, 0)
	}
	return nil
}

func inTheWay(st unix.Stat_t) string {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return fmt.Sprintf("a symlink owned by uid %d", st.Uid)
	}
	return "a file"
}

// replaces reports whether what was restored takes the place of what is there.
func (p *putting) replaces(st, here unix.Stat_t) bool {
	switch p.rules.Overwrite {
	case restic.OverwriteNever:
		return false
	case restic.OverwriteIfNewer:
		return st.Mtim.Nano() > here.Mtim.Nano()
	case restic.OverwriteIfChanged:
		return st.Mode&unix.S_IFMT != here.Mode&unix.S_IFMT || st.Size != here.Size || st.Mtim.Nano() != here.Mtim.Nano()
	}
	return true
}

func (p *putting) move(from, to int, name, path string, st unix.Stat_t, how uint) {
	moved := p.count(from, name, path, st)
	err := unix.Renameat2(from, name, to, name, how)
	switch {
	case errors.Is(err, unix.EXDEV):
		p.fail(path, errors.New("its place is on another file system: restore it by itself"))
	case err != nil:
		p.fail(path, err)
	default:
		p.counts.Entries += moved.Entries
		p.counts.Bytes += moved.Bytes
	}
}

// count counts an entry with all that is in it.
func (p *putting) count(from int, name, path string, st unix.Stat_t) (c Counts) {
	add := func(path string, st unix.Stat_t) {
		if p.chosen == "" || below(path, []string{p.chosen}) {
			c.Entries++
			if isFile(st) {
				c.Bytes += st.Size
			}
		}
	}
	add(path, st)
	if !isFolder(st) {
		return c
	}
	dir, err := openAt(from, name)
	if err != nil {
		return c
	}
	defer dir.Close()
	_ = walk(context.WithoutCancel(p.ctx), dir, path, func(_ int, _, path string, st unix.Stat_t) error {
		add(path, st)
		return nil
	}, func(string, error) {})
	return c
}

// merge puts what is in a folder into the one that is there already.
func (p *putting) merge(from, to int, name, path, real string, st unix.Stat_t) error {
	source, err := openAt(from, name)
	if err != nil {
		p.fail(path, err)
		return nil
	}
	defer source.Close()
	target, err := openAt(to, name)
	if err != nil {
		p.fail(path, fmt.Errorf("the folder that is there cannot be opened: %w", err))
		return nil
	}
	defer target.Close()
	if err := p.folder(source, int(target.Fd()), path, real); err != nil {
		return err
	}
	if p.rules.Overwrite == restic.OverwriteNever || p.rules.Overwrite == restic.OverwriteIfNewer {
		p.counts.Skipped++
		return nil
	}
	if p.anothers(to, int(target.Fd()), st) { //guard:restore-owner
		p.counts.Skipped++
		p.report(Finding{path, Kept, "belongs to another user than in the snapshot, so its owner, mode and time were left as they are"})
		return nil
	}
	if err := likeness(int(source.Fd()), int(target.Fd()), st); err != nil {
		p.fail(path, err)
		return nil
	}
	p.counts.Entries++
	return nil
}

// anothers reports whether a folder that is there may be another than it seems: somebody
// who may change the folder above it can put anybody's folder in its place.
func (p *putting) anothers(above, target int, st unix.Stat_t) bool {
	var up, here unix.Stat_t
	if unix.Fstat(above, &up) != nil || unix.Fstat(target, &here) != nil {
		return true
	}
	trusted := up.Uid == 0 || int(up.Uid) == os.Geteuid()
	return here.Uid != st.Uid && !(trusted && up.Mode&0o022 == 0)
}

// likeness gives an open folder the owner, mode, attributes and times of another.
func likeness(source, target int, st unix.Stat_t) error {
	err := unix.Fchown(target, int(st.Uid), int(st.Gid))
	if errors.Is(err, unix.EPERM) && os.Geteuid() != 0 {
		err = nil // as restic itself has it: only root gives files away
	}
	return errors.Join(err, copyAttributes(source, target), unix.Fchmod(target, st.Mode&0o7777), setTimes(target, st))
}

func copyAttributes(source, target int) error {
	size, err := unix.Flistxattr(source, nil)
	if err != nil || size == 0 {
		return nil // the file system has none
	}
	list := make([]byte, size)
	if size, err = unix.Flistxattr(source, list); err != nil {
		return fmt.Errorf("read attributes: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:size]), "\x00"), "\x00") {
		value := make([]byte, 64<<10)
		n, err := unix.Fgetxattr(source, name, value)
		if err == nil {
			err = unix.Fsetxattr(target, name, value[:n], 0)
		}
		if err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}
