package upkeep

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// Back is what came of bringing a copy back.
type Back struct {
	Files  int      // that the repository has again
	Keys   []string // of the copy, which stay out of the repository
	Differ []string // files of the repository that have another size than in the copy
}

// BringBack links every file of a copy that the repository lacks into it again: snapshots
// last, so that none is there before its data. It changes and removes nothing: a file that
// differs is named and stays. So do keys, but where the repository has none left: one that
// was taken out must not open it again.
func (f *Folder) BringBack(name string) (Back, error) {
	var back Back
	err := f.do(func() error {
		list, err := f.copies()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(c Copy) bool { return c.Name == name })
		if i < 0 {
			return fmt.Errorf("there is no undo copy %s", name)
		}
		return f.bringBack(&back, list[i])
	})
	if err != nil {
		return back, fmt.Errorf("bring back: %w", err)
	}
	return back, nil
}

func (f *Folder) bringBack(back *Back, c Copy) error {
	from := path.Join(f.undoDir(), c.Name, copied)
	list := []string{"snapshots"}
	if c.Whole {
		list = parts
	}
	keyless, err := f.keyless()
	if err != nil {
		return err
	}
	for _, part := range list {
		err := f.walk(path.Join(from, part), func(below string) error {
			file := path.Join(part, below)
			if part == "keys" && !keyless && !f.exists(path.Join(f.name, file)) { //guard:back-keys
				back.Keys = append(back.Keys, file)
				return nil
			}
			return f.linkBack(back, from, file)
		})
		if err != nil {
			return err
		}
	}
	return f.sync(f.name)
}

// keyless reports whether nothing opens the repository any more.
func (f *Folder) keyless() (bool, error) {
	keys, err := fs.ReadDir(f.root.FS(), path.Join(f.name, "keys"))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return len(keys) == 0, err
}

func (f *Folder) linkBack(back *Back, from, file string) error {
	to := path.Join(f.name, file)
	if err := f.makeDir(path.Dir(to)); err != nil {
		return err
	}
	err := f.root.Link(path.Join(from, file), to)
	switch {
	case err == nil:
		back.Files++
		return f.sync(path.Dir(to))
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	kept, err := f.root.Lstat(path.Join(from, file))
	if err != nil {
		return err
	}
	there, err := f.root.Lstat(to)
	if err == nil && there.Size() != kept.Size() { //guard:back-size
		back.Differ = append(back.Differ, file)
	}
	return err
}
