//go:build !linux

package stage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"restic-manager/agent/custody"
	"restic-manager/restic"
)

// makeOwn makes a folder whose access list lets nobody else in, below folders that nobody
// else can change: here a path is all that there is to hold on to.
func makeOwn(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fs.ErrExist, err)
	}
	return custody.MakeFolder(path)
}

func openOwn(path string) (*os.File, error) { return os.Open(path) }

func makeRestored(dir *os.File) error {
	return os.Mkdir(filepath.Join(dir.Name(), restic.RestoredFolder), folderMode)
}

// notHere is the answer of a system on which no safe way to put files in place is known.
func notHere(path string) error {
	return &Unsafe{path, "cannot be restored in place on this system", "restore to a fresh folder, and move the files from there"}
}

// Resolve refuses.
func Resolve(path string) (string, error) { return "", notHere(path) }

// Beside refuses.
func Beside(targets []Target, _ string) (string, error) { return "", notHere(targets[0].Path) }

// Put refuses.
func (f *Folder) Put(_ context.Context, targets []Target, _ Rules, _ func(Finding)) (Counts, error) {
	return Counts{}, notHere(targets[0].Path)
}

// Examine counts what was restored of the chosen entries. There is nothing to take away:
// what gives a program rights is not in a file here.
func (f *Folder) Examine(ctx context.Context, chosen []string, _ bool, report func(Finding)) (Counts, error) {
	var counts Counts
	root := f.Restored()
	err := filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, relErr := filepath.Rel(root, at)
		if err = errors.Join(err, relErr); err != nil || rel == "." {
			if err != nil {
				counts.Failed++
				report(Finding{rel, Failed, err.Error()})
			}
			return nil
		}
		if !below("/"+filepath.ToSlash(rel), chosen) {
			return nil
		}
		counts.Entries++
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			counts.Bytes += info.Size()
		}
		return nil
	})
	return counts, err
}

// Lost names the metadata that this process has no right to restore: nothing is known of it
// here.
func Lost() []string { return nil }

// Has reports whether an entry was restored.
func (f *Folder) Has(path string) bool {
	_, err := os.Lstat(filepath.Join(f.Restored(), filepath.FromSlash(path)))
	return err == nil
}

// Size is the size of a file that was restored, 0 for what is none.
func (f *Folder) Size(path string) int64 {
	info, err := os.Lstat(filepath.Join(f.Restored(), filepath.FromSlash(path)))
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// Remove removes the folder with everything in it, and closes it.
func (f *Folder) Remove() error { return errors.Join(f.dir.Close(), os.RemoveAll(f.path)) }
