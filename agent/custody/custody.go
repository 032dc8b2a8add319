// Package custody opens and replaces the files on which the agent's safety rests:
// its configuration, its policy, its key, what is sealed under the key. (Package restic
// looks at its program itself: that may be reached through links.)
//
// A file is trusted when nobody but the administrator (root; SYSTEM and the
// Administrators on Windows) or the agent's own user can change it, and when the
// same holds for every folder above it: who can rename a folder can replace all
// that lies in it. Symbolic links are refused on the whole way, so that the path
// that was checked is the path that is used.
//
// What is wrong is said as a Problem: the path, what it is, and the command that
// mends it. Files are replaced whole or not at all, also when the machine stops
// in between.
//
// The package imports nothing of ours.
package custody

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A Demand says what others may not do with a file or folder.
type Demand int

const (
	// Unchangeable lets others read, and nobody else change.
	Unchangeable Demand = iota
	// Private lets nobody else read or change.
	Private
)

// A Problem says why a path is not trusted. It is meant to be read by the person
// who can mend it, and holds no content of the file.
type Problem struct {
	Path string // what was looked at: the file, or a folder above it
	What string // what is wrong with it, to be read after the path
	Mend string // what helps: "run: " and a command, or a sentence
}

func (p *Problem) Error() string { return p.Path + " " + p.What + "; " + p.Mend }

// place is the part that a path plays in a check.
type place int

const (
	above  place = iota // a folder on the way
	folder              // the folder that was asked for
	file                // the file that was asked for
)

// Open opens a regular file for reading, if it and all folders above it meet the
// demand (the folders need only be unchangeable). It returns a *Problem if they do
// not, and an error that is fs.ErrNotExist if there is no such file.
func Open(path string, d Demand) (*os.File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := checkAbove(path); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if p := wrongType(path, info, file); p != nil {
		return nil, p
	}
	f, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	// What counts is what was opened, not what lay there a moment ago.
	info, err = f.Stat()
	if err == nil {
		if p := wrongType(path, info, file); p != nil {
			err = p
		} else {
			err = inspect(path, info, file, d)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Read returns the content of a file that Open trusts. A file with more than limit
// bytes is a *Problem.
func Read(path string, d Demand, limit int64) ([]byte, error) {
	f, err := Open(path, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, &Problem{path, fmt.Sprintf("has more than %d bytes", limit), "make it shorter"}
	}
	return data, nil
}

// CheckFolder returns a *Problem if a folder or one above it does not meet the
// demand (those above need only be unchangeable).
func CheckFolder(path string, d Demand) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := checkAbove(path); err != nil {
		return err
	}
	return check(path, folder, d)
}

// MakeFolder makes a private folder and those above that are missing, and checks
// it as CheckFolder does. A folder that exists is checked and left as it is.
func MakeFolder(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		if err := makePrivate(path); err != nil {
			return err
		}
	}
	return CheckFolder(path, Private)
}

// checkAbove checks the folders above path, from the root down.
func checkAbove(path string) error {
	up := filepath.Dir(path)
	if up == path {
		return nil
	}
	if err := checkAbove(up); err != nil {
		return err
	}
	return check(up, above, Unchangeable)
}

func check(path string, at place, d Demand) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if p := wrongType(path, info, at); p != nil {
		return p
	}
	return inspect(path, info, at, d)
}

// wrongType refuses links, and what is neither the file nor the folder asked for.
func wrongType(path string, info fs.FileInfo, at place) *Problem {
	switch {
	case info.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0: //guard:custody-link
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			real = "what it points to"
		}
		if at == file {
			return &Problem{path, "is a symbolic link", "run: " + copyCommand(real, path)}
		}
		return &Problem{path, "is a symbolic link", "use the path " + real + " instead"}
	case at == file && !info.Mode().IsRegular():
		return &Problem{path, "is not a regular file", "put a regular file there"}
	case at != file && !info.IsDir():
		return &Problem{path, "is not a folder", "make it a folder"}
	}
	return nil
}
