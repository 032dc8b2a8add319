package upkeep

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"restic-manager/restic"
)

// ErrBusy says that somebody else works on the repository's folder: a job of the agent, or
// a person's command.
var ErrBusy = errors.New("another job, or a command of a person, is at work in the repository's folder: wait until it has ended")

// Folder is a repository's folder on a disk of this machine, which nobody else has open
// until it is closed. All that is done there stays below the folder that it lies in,
// whatever links there are, and is done with the rights of the repository's user: whoever
// may rename files there while root works on them must not lead root anywhere.
type Folder struct {
	root *os.Root // where the repository lies
	self *os.File // the repository's folder, for its lock
	name string
	path string
	as   *restic.RunAs // nil for the process's own rights
}

// OpenFolder opens a repository's folder, to work there as a user; nil is its owner. The
// error is ErrBusy while somebody else has it open.
func OpenFolder(repository string, as *restic.RunAs) (*Folder, error) {
	root, err := os.OpenRoot(filepath.Dir(repository))
	if err != nil {
		return nil, fmt.Errorf("open the folder of the repository: %w", err)
	}
	f := &Folder{root: root, name: filepath.Base(repository), path: repository}
	if err := f.open(as); err != nil {
		f.Close()
		if p, ok := errors.AsType[*fs.PathError](err); ok { // which names a call, and half the path
			err = p.Err
		}
		return nil, fmt.Errorf("open the folder of the repository %s: %w", repository, err)
	}
	return f, nil
}

func (f *Folder) open(as *restic.RunAs) error {
	info, err := f.root.Lstat(f.name)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no folder")
	}
	if err == nil {
		f.self, err = f.root.OpenFile(f.name, os.O_RDONLY|noWaiting, 0)
	}
	if err != nil {
		return err
	}
	if opened, err := f.self.Stat(); err != nil || !os.SameFile(info, opened) {
		return errors.New("it was replaced meanwhile")
	}
	if err := lock(f.self); err != nil { //guard:folder-lock
		return err
	}
	if os.Geteuid() != 0 {
		return nil // it can be nobody else
	}
	if as == nil {
		owner, err := restic.OwnerOf(f.path)
		if err != nil || !owns(owner, info) {
			return errors.New("its owner cannot be told")
		}
		as = &owner
	}
	if as.UID != 0 {
		f.as = as
	}
	return nil
}

// Close lets others have the folder.
func (f *Folder) Close() {
	if f.self != nil {
		unlock(f.self)
		_ = f.self.Close()
	}
	_ = f.root.Close()
}

// do works with the rights of the repository's user.
func (f *Folder) do(work func() error) error {
	if f.as == nil {
		return work()
	}
	return actAs(*f.as, work)
}

func (f *Folder) exists(name string) bool {
	_, err := f.root.Lstat(name)
	return err == nil
}

// walk calls do with each regular file below a folder, by its path from there. A folder
// that is not there, or that goes meanwhile, is an error: what lies in it would be missed.
func (f *Folder) walk(folder string, do func(below string) error) error {
	return fs.WalkDir(f.root.FS(), folder, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		return do(strings.TrimPrefix(strings.TrimPrefix(at, folder), "/"))
	})
}

// read returns what is in a small regular file.
func (f *Folder) read(name string, most int64) ([]byte, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|noWaiting, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() > most) {
		err = fmt.Errorf("%s is no regular file of at most %d bytes", name, most)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(file, most))
}

// create makes a file that is not there yet, and has it on the disk.
func (f *Folder) create(name string, content []byte) error {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// makeDir makes a folder, and those above it, for the owner alone.
func (f *Folder) makeDir(name string) error {
	info, err := f.root.Lstat(name)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s is no folder", name)
	}
	if dir := path.Dir(name); dir != "." {
		if err := f.makeDir(dir); err != nil {
			return err
		}
	}
	if err := f.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// makeBeside makes a folder beside the repository. Where its user may not, root does and
// gives it away, if nobody else could put another one in its place meanwhile.
func (f *Folder) makeBeside(name string) error {
	err := f.do(func() error { return f.makeDir(name) })
	if f.as == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	above, err := f.root.Stat(".")
	if err != nil {
		return err
	}
	if !rootsAlone(above) { //guard:beside-root
		return fmt.Errorf("%s may not make a folder in %s, and others than root may change that: as root, make %s there and give it to that user",
			f.as, filepath.Dir(f.path), name)
	}
	if err := f.root.Mkdir(name, 0o700); err != nil {
		return err
	}
	made, err := f.root.Open(name)
	if err != nil {
		return err
	}
	defer made.Close()
	return made.Chown(int(f.as.UID), int(f.as.GID))
}
