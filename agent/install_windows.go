package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// swapProgram gives a written program its place. A program that runs can be renamed
// but not replaced, so the old one steps aside; it is removed by the next installation.
func swapProgram(written, place string) error {
	aside := place + ".old"
	if err := os.Remove(aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(place, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(written, place); err != nil {
		return errors.Join(err, os.Rename(aside, place))
	}
	_ = os.Remove(aside) // in vain while it runs
	return nil
}

// removeTree removes a folder that only administrators can write to, names before
// their folders. (os.RemoveAll asks for a call that Wine does not have.)
func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		inside := filepath.Join(path, entry.Name())
		if entry.Type()&(fs.ModeSymlink|fs.ModeIrregular) == 0 && entry.IsDir() {
			err = removeTree(inside)
		} else {
			err = os.Remove(inside)
		}
		if err != nil {
			return err
		}
	}
	return os.Remove(path)
}

// removeProgram removes a program. This one, while it runs, can only be renamed; the
// system removes it at its next start.
func removeProgram(path string, result *Enrolled) error {
	_ = os.Remove(path + ".old")
	if err := removeOurs(result, path); err == nil {
		return nil
	}
	aside := filepath.Join(os.TempDir(), filepath.Base(path)+".removed")
	_ = os.Remove(aside)
	if err := os.Rename(path, aside); err != nil {
		return err
	}
	name, err := windows.UTF16PtrFromString(aside)
	if err != nil {
		return err
	}
	result.did("removed %s; what still runs of it is %s, which goes at the next start of the machine", path, aside)
	return windows.MoveFileEx(name, nil, windows.MOVEFILE_DELAY_UNTIL_REBOOT)
}
