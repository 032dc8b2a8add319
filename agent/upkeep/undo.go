package upkeep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Names beside a repository's folder, and in an undo copy.
const (
	undoSuffix       = ".rm-undo"
	quarantineSuffix = ".rm-quarantine"
	partial          = ".partial" // of a copy that was not finished: it goes
	copied           = "repository"
	about            = "about.json"
	stampFormat      = "20060102T150405.000000Z"
	largestAbout     = 64 << 10
)

// Copy is an undo copy: what a repository held before something was removed.
type Copy struct {
	Path     string    `json:"-"` // the repository in it: plain restic can read a whole one
	Name     string    `json:"-"`
	At       time.Time `json:"at"`
	Before   string    `json:"before"` // what it was made for: "prune", "forget"
	Whole    bool      `json:"whole"`  // of the whole repository, not only of snapshots
	Files    int       `json:"files"`
	ResticID string    `json:"restic_id"`
}

// ErrNoLinks says that the file system has no hard links, so that an undo copy would need
// as much space as the repository.
var ErrNoLinks = errors.New("the file system has no hard links")

func (f *Folder) undoDir() string { return f.name + undoSuffix }

// parts are the folders of a repository that a copy has.
var parts = []string{"data", "index", "keys", "snapshots"}

// Keep makes an undo copy of the whole repository, or of the named snapshots alone. It is
// whole and on the disk when Keep returns. The error is ErrNoLinks where only copying would
// do.
func (f *Folder) Keep(before, resticID string, snapshots []string, now time.Time) (Copy, error) {
	made := Copy{At: now.UTC(), Before: before, Whole: snapshots == nil, ResticID: resticID, Name: now.UTC().Format(stampFormat)}
	for f.exists(path.Join(f.undoDir(), made.Name)) {
		made.At = made.At.Add(time.Microsecond)
		made.Name = made.At.Format(stampFormat)
	}
	err := f.makeBeside(f.undoDir())
	if err == nil {
		err = f.do(func() error { return f.keep(&made, snapshots) })
	}
	if err != nil {
		return Copy{}, fmt.Errorf("make an undo copy: %w", err)
	}
	made.Path = filepath.Join(f.path+undoSuffix, made.Name, copied)
	return made, nil
}

func (f *Folder) keep(made *Copy, snapshots []string) error {
	folder := path.Join(f.undoDir(), made.Name+partial)
	err := f.makeDir(path.Join(folder, copied))
	if err == nil {
		err = f.fill(made, folder, snapshots)
	}
	if err == nil {
		err = f.recount(made, folder)
	}
	if err == nil {
		err = f.describe(folder, *made)
	}
	if err == nil {
		err = f.root.Rename(folder, path.Join(f.undoDir(), made.Name))
	}
	if err == nil {
		err = f.sync(f.undoDir())
	}
	if err != nil {
		_ = f.root.RemoveAll(folder)
	}
	return err
}

func (f *Folder) fill(made *Copy, folder string, snapshots []string) error {
	into := path.Join(folder, copied)
	if !made.Whole {
		for _, id := range snapshots {
			if err := f.link(made, path.Join("snapshots", id), into); err != nil {
				return err
			}
		}
		return nil
	}
	if err := f.link(made, "config", into); err != nil {
		return err
	}
	for _, part := range parts {
		err := f.walk(path.Join(f.name, part), func(below string) error { return f.link(made, path.Join(part, below), into) })
		if err != nil {
			return err
		}
	}
	return f.makeDir(path.Join(into, "locks"))
}

// link puts one file of the repository into a copy. One that has gone since it was listed
// is an error: nothing but this host removes what a copy has, and it does not do so now.
func (f *Folder) link(made *Copy, file, into string) error {
	from, to := path.Join(f.name, file), path.Join(into, file)
	if err := f.makeDir(path.Dir(to)); err != nil {
		return err
	}
	err := f.root.Link(from, to)
	if isNoLinks(err) {
		err = f.unlinked(made, from, to)
	}
	if err == nil {
		made.Files++
	}
	return err
}

// unlinked puts a file into a copy that cannot be linked there.
func (f *Folder) unlinked(made *Copy, from, to string) error {
	if info, err := f.root.Lstat(from); f.as != nil && err == nil && !owns(*f.as, info) {
		return fmt.Errorf("%s belongs to another user than the repository's, %s, who may not link it: give all files of the repository to one user (chown -R)", from, f.as)
	}
	if made.Whole {
		return ErrNoLinks
	}
	content, err := f.read(from, largestSum) // a snapshot is small
	if err == nil {
		err = f.create(to, content)
	}
	return err
}

// recount looks that the copy has every file that was put into it, each folder on the disk.
func (f *Folder) recount(made *Copy, folder string) error {
	there := 0
	err := fs.WalkDir(f.root.FS(), folder, func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return f.sync(at)
		}
		there++
		return nil
	})
	if err == nil && there != made.Files { //guard:undo-count
		err = fmt.Errorf("%d files were put into it, and it has %d", made.Files, there)
	}
	return err
}

// describe writes what a copy is.
func (f *Folder) describe(folder string, made Copy) error {
	text, err := json.Marshal(made)
	if err != nil {
		return err
	}
	if err := f.create(path.Join(folder, about), text); err != nil {
		return err
	}
	return f.sync(folder)
}

// sync makes what was made in a folder last.
func (f *Folder) sync(folder string) error {
	file, err := f.root.Open(folder)
	if err != nil {
		return err
	}
	defer file.Close()
	return flush(file)
}

// Copies lists the undo copies, the oldest first.
func (f *Folder) Copies() ([]Copy, error) {
	var list []Copy
	err := f.do(func() (err error) {
		list, err = f.copies()
		return err
	})
	return list, err
}

func (f *Folder) copies() ([]Copy, error) {
	names, err := f.kept()
	var list []Copy
	for _, name := range names {
		c := Copy{Name: name, Path: filepath.Join(f.path+undoSuffix, name, copied)}
		text, err := f.read(path.Join(f.undoDir(), name, about), largestAbout)
		if strings.HasSuffix(name, partial) || err != nil || json.Unmarshal(text, &c) != nil { //guard:undo-partial
			continue // not whole, or not ours
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Copy) int { return a.At.Compare(b.At) })
	return list, err
}

// kept lists the names of what is kept aside, whole or not.
func (f *Folder) kept() ([]string, error) {
	entries, err := fs.ReadDir(f.root.FS(), f.undoDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // nothing was ever removed
	}
	if err != nil {
		return nil, fmt.Errorf("list undo copies: %w", err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

// Expire removes the undo copies that are over, and what was left of those that were not
// finished: whoever made them has ended, since nobody else has the folder. It returns how
// many whole ones that were.
func (f *Folder) Expire(over func(Copy) bool) (int, error) {
	n := 0
	err := f.do(func() error {
		list, err := f.copies()
		for _, c := range list {
			if err == nil && over(c) {
				name := path.Join(f.undoDir(), c.Name)
				err = f.root.Rename(name, name+partial)
				n++
			}
		}
		if err == nil {
			err = f.sweep()
		}
		return err
	})
	if err != nil {
		return n, fmt.Errorf("remove an undo copy: %w", err)
	}
	return n, nil
}

// sweep removes copies that are not whole.
func (f *Folder) sweep() error {
	names, err := f.kept()
	for _, name := range names {
		if strings.HasSuffix(name, partial) {
			err = errors.Join(err, f.root.RemoveAll(path.Join(f.undoDir(), name)))
		}
	}
	return err
}
