// Package stage has the private folders of restores. restic writes what it restores into
// one, where nobody else can interfere; there it is looked at, and what would be a
// privilege is taken away; and from there it is put in place, one entry at a time, by
// moves that follow no links and that are there as a whole or not at all.
//
// # Vocabulary
//
//   - A Folder is a private folder of one restore. What was restored lies in its
//     subfolder restic.RestoredFolder, each entry with the folders above it.
//   - A Finding is what somebody should know of one entry.
//   - An entry's path is its path in the snapshot.
//
// On Windows nothing can be put in place.
package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"restic-manager/restic"
)

// Folder is a private folder, held open: whatever becomes of its path, it is the one that
// was made.
type Folder struct {
	dir  *os.File
	path string
}

// folderMode lets nobody else in.
const folderMode = 0o700

// Make makes a private folder for a job in another, which is made too if it is not there.
func Make(parent, jobID string, now time.Time) (*Folder, error) {
	if err := os.MkdirAll(parent, folderMode); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	path := filepath.Join(parent, "restore-"+now.UTC().Format("20060102T150405Z")+"-"+jobID)
	if err := makeOwn(path); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	dir, err := openOwn(path)
	if err != nil {
		return nil, fmt.Errorf("make folder %s: %w", path, err)
	}
	if err := makeRestored(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("make folder %s: %w", path, err), dir.Close())
	}
	return &Folder{dir: dir, path: path}, nil
}

// Left returns the folders that a job has left in another.
func Left(parent, jobID string) []string {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return nil
	}
	var left []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "restore-") && strings.HasSuffix(e.Name(), "-"+jobID) {
			left = append(left, filepath.Join(parent, e.Name()))
		}
	}
	return left
}

// Open is the open folder.
func (f *Folder) Open() *os.File { return f.dir }

// Path is where the folder was made.
func (f *Folder) Path() string { return f.path }

// Restored is the folder in it that has what was restored.
func (f *Folder) Restored() string { return filepath.Join(f.path, restic.RestoredFolder) }

// Close leaves the folder as it is.
func (f *Folder) Close() error { return f.dir.Close() }

// Kind says what a Finding is of.
type Kind string

// The kinds of findings.
const (
	Stripped Kind = "stripped" // a privilege was taken away
	Kept     Kind = "kept"     // what is there was left as it is, since it is not to be replaced
	Failed   Kind = "error"
)

// Finding is what somebody should know of an entry.
type Finding struct {
	Path   string
	Kind   Kind
	Detail string
}

// Counts are of entries; folders count as entries.
type Counts struct {
	Entries int64
	Bytes   int64 // in files
	Removed int64 // chosen ones that were privileges themselves: device nodes
	Skipped int64 // left as they were because of the overwrite rule
	Failed  int64
}

// Target is a chosen entry, and where it is to be.
type Target struct {
	Path string // in the snapshot
	Real string // on this host, without links in it but perhaps the last part; see Resolve
}

// Rules say how entries are put in place.
type Rules struct {
	Overwrite string   // one of restic's Overwrite values
	Keep      []string // folders of this host that are left as they are, whatever a snapshot says
}

// Unsafe says why nothing is restored to a path.
type Unsafe struct {
	Path string
	Why  string
	Next string
}

func (u *Unsafe) Error() string { return u.Path + " " + u.Why }

// below reports whether a path in a snapshot is one of the chosen or below one; none
// chosen means everything.
func below(path string, chosen []string) bool {
	if len(chosen) == 0 {
		return true
	}
	for _, c := range chosen {
		if c == "/" || path == c || strings.HasPrefix(path, c+"/") {
			return true
		}
	}
	return false
}

// Outermost leaves out the paths that lie below others.
func Outermost(paths []string) []string {
	var list []string
	for i, p := range paths {
		others := append(append([]string{}, paths[:i]...), paths[i+1:]...)
		inner := false
		for j, o := range others {
			if o == p {
				inner = inner || j < i // the first of two equal ones stays
				continue
			}
			inner = inner || below(p, []string{o})
		}
		if !inner {
			list = append(list, p)
		}
	}
	return list
}

// within reports whether a clean path of this host is root or below it.
func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, strings.TrimSuffix(root, string(filepath.Separator))+string(filepath.Separator))
}
