package upkeep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// Folder is a repository's folder on a disk of this machine. All that is done there stays
// below the folder that it lies in, whatever links there are.
type Folder struct {
	root *os.Root // where the repository lies
	name string
	path string
	uid  int
	gid  int
}

// OpenFolder opens a repository's folder. What is made beside it belongs to its owner.
func OpenFolder(repository string) (*Folder, error) {
	root, err := os.OpenRoot(filepath.Dir(repository))
	if err != nil {
		return nil, fmt.Errorf("open the folder of the repository: %w", err)
	}
	f := &Folder{root: root, name: filepath.Base(repository), path: repository}
	info, err := root.Lstat(f.name)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no folder")
	}
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("open the folder of the repository: %w", err)
	}
	f.uid, f.gid = ownerOf(info)
	return f, nil
}

// Close releases the folder.
func (f *Folder) Close() { _ = f.root.Close() }

func (f *Folder) undoDir() string { return f.name + undoSuffix }

// parts are the folders of a repository that a copy has.
var parts = []string{"data", "index", "keys", "snapshots"}

// Keep makes an undo copy of the whole repository, or of the named snapshots alone. It is
// on the disk when Keep returns. The error is ErrNoLinks where only copying would do.
func (f *Folder) Keep(before, resticID string, snapshots []string, now time.Time) (Copy, error) {
	made := Copy{At: now.UTC(), Before: before, Whole: snapshots == nil, ResticID: resticID, Name: now.UTC().Format(stampFormat)}
	for f.exists(path.Join(f.undoDir(), made.Name)) {
		made.At = made.At.Add(time.Microsecond)
		made.Name = made.At.Format(stampFormat)
	}
	folder := path.Join(f.undoDir(), made.Name+partial)
	if err := f.makeDir(path.Join(folder, copied)); err != nil {
		return Copy{}, fmt.Errorf("make an undo copy: %w", err)
	}
	err := f.fill(&made, folder, snapshots)
	if err == nil {
		err = f.describe(folder, made)
	}
	if err == nil {
		err = f.root.Rename(folder, path.Join(f.undoDir(), made.Name))
	}
	if err == nil {
		err = f.sync(f.undoDir())
	}
	if err != nil {
		_ = f.root.RemoveAll(folder)
		return Copy{}, fmt.Errorf("make an undo copy: %w", err)
	}
	made.Path = filepath.Join(f.path+undoSuffix, made.Name, copied)
	return made, nil
}

func (f *Folder) exists(name string) bool {
	_, err := f.root.Lstat(name)
	return err == nil
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

// walk calls do with each regular file below a folder, by its path from there.
func (f *Folder) walk(folder string, do func(below string) error) error {
	err := fs.WalkDir(f.root.FS(), folder, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		return do(strings.TrimPrefix(strings.TrimPrefix(at, folder), "/"))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// link puts one file of the repository into a copy. A file that has gone meanwhile, as a
// lock's does, is left out.
func (f *Folder) link(made *Copy, file, into string) error {
	to := path.Join(into, file)
	if err := f.makeDir(path.Dir(to)); err != nil {
		return err
	}
	switch err := f.root.Link(path.Join(f.name, file), to); {
	case err == nil:
		made.Files++
	case isNoLinks(err) && made.Whole:
		return ErrNoLinks
	case isNoLinks(err):
		return f.copy(made, path.Join(f.name, file), to) // a snapshot is small
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

func (f *Folder) copy(made *Copy, from, to string) error {
	content, err := f.root.ReadFile(from)
	if err == nil {
		err = f.root.WriteFile(to, content, 0o600)
	}
	if err == nil {
		err = f.own(to)
	}
	if err == nil {
		made.Files++
	}
	return err
}

// makeDir makes a folder, and those above it, for the owner alone.
func (f *Folder) makeDir(name string) error {
	if info, err := f.root.Lstat(name); err == nil && info.IsDir() {
		return nil
	}
	if dir := path.Dir(name); dir != "." {
		if err := f.makeDir(dir); err != nil {
			return err
		}
	}
	if err := f.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.own(name)
}

func (f *Folder) own(name string) error {
	if f.uid < 0 || os.Geteuid() != 0 {
		return nil
	}
	return f.root.Lchown(name, f.uid, f.gid)
}

// describe writes what a copy is.
func (f *Folder) describe(folder string, made Copy) error {
	text, err := json.Marshal(made)
	if err != nil {
		return err
	}
	name := path.Join(folder, about)
	if err := f.root.WriteFile(name, text, 0o600); err != nil {
		return err
	}
	if err := f.own(name); err != nil {
		return err
	}
	return f.sync(name)
}

func (f *Folder) sync(name string) error {
	file, err := f.root.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

// Copies lists the undo copies, the oldest first, and removes what was left of those that
// were not finished.
func (f *Folder) Copies() ([]Copy, error) {
	entries, err := fs.ReadDir(f.root.FS(), f.undoDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list undo copies: %w", err)
	}
	var list []Copy
	for _, entry := range entries {
		name := path.Join(f.undoDir(), entry.Name())
		if strings.HasSuffix(name, partial) { //guard:undo-partial
			if err := f.root.RemoveAll(name); err != nil {
				return nil, fmt.Errorf("remove half an undo copy: %w", err)
			}
			continue
		}
		c := Copy{Name: entry.Name(), Path: filepath.Join(f.path+undoSuffix, entry.Name(), copied)}
		text, err := f.root.ReadFile(path.Join(name, about))
		if err != nil || json.Unmarshal(text, &c) != nil {
			continue // not ours
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Copy) int { return a.At.Compare(b.At) })
	return list, nil
}

// Expire removes the undo copies that were made before a time, and returns how many.
func (f *Folder) Expire(before time.Time) (int, error) {
	list, err := f.Copies()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, c := range list {
		if !c.At.Before(before) {
			continue
		}
		name := path.Join(f.undoDir(), c.Name)
		if err := f.root.Rename(name, name+partial); err != nil {
			return n, fmt.Errorf("remove an undo copy: %w", err)
		}
		if err := f.root.RemoveAll(name + partial); err != nil {
			return n, fmt.Errorf("remove an undo copy: %w", err)
		}
		n++
	}
	return n, nil
}

// BringBack links every file of a copy that the repository lacks into it again: snapshots
// last, so that none is there before its data. It changes and removes nothing.
func (f *Folder) BringBack(name string) (files int, err error) {
	list, err := f.Copies()
	if err != nil {
		return 0, err
	}
	if !slices.ContainsFunc(list, func(c Copy) bool { return c.Name == name }) {
		return 0, fmt.Errorf("there is no undo copy %s", name)
	}
	from := path.Join(f.undoDir(), name, copied)
	for _, part := range parts {
		err := f.walk(path.Join(from, part), func(below string) error {
			to := path.Join(f.name, part, below)
			if err := f.makeDir(path.Dir(to)); err != nil {
				return err
			}
			err := f.root.Link(path.Join(from, part, below), to)
			if errors.Is(err, fs.ErrExist) {
				return nil
			}
			files++
			return err
		})
		if err != nil {
			return files, fmt.Errorf("bring back: %w", err)
		}
	}
	return files, f.sync(f.name)
}
