package upkeep

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Object is a file of a repository, by its path there.
type Object struct {
	Path    string
	Size    int64
	Time    time.Time
	Problem string // why it is foreign; "" for what looks right
}

// Census is what lies in a repository's folder.
type Census struct {
	Files   int64
	Bytes   int64
	Foreign []Object            // what restic did not make
	Names   map[string][]Object // the others of the small folders: index, keys, snapshots, locks
}

var objectName = regexp.MustCompile(`^[0-9a-f]{64}$`)

const (
	maxForeign = 10_000
	smallest   = 33       // what is encrypted has 32 bytes beside itself
	largestSum = 64 << 20 // larger files are not read for their names' sake
)

// Count looks at every file of the repository. It reads those of the small folders, whose
// names say what they must hold.
func (f *Folder) Count() (Census, error) {
	c := Census{Names: map[string][]Object{}}
	err := f.do(func() error { return f.walk(f.name, f.counter(&c)) })
	if err != nil {
		return Census{}, fmt.Errorf("look at the repository's folder: %w", err)
	}
	return c, nil
}

// counter adds a file to a census.
func (f *Folder) counter(c *Census) func(at string) error {
	return func(at string) error {
		info, err := f.root.Lstat(path.Join(f.name, at))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has gone meanwhile
		}
		if err != nil {
			return err
		}
		o := Object{Path: at, Size: info.Size(), Time: info.ModTime()}
		c.Files, c.Bytes = c.Files+1, c.Bytes+o.Size
		if o.Problem = f.problem(o); o.Problem != "" {
			if len(c.Foreign) < maxForeign {
				c.Foreign = append(c.Foreign, o)
			}
			return nil
		}
		if part, _, _ := strings.Cut(at, "/"); part != "data" && part != "config" {
			c.Names[part] = append(c.Names[part], o)
		}
		return nil
	}
}

// problem says why a file cannot be restic's.
func (f *Folder) problem(o Object) string {
	if o.Path == "config" {
		return ""
	}
	at := strings.Split(o.Path, "/")
	name := at[len(at)-1]
	switch {
	case len(at) == 3 && at[0] == "data" && strings.HasPrefix(name, at[1]):
	case len(at) == 2 && slices.Contains([]string{"index", "keys", "snapshots", "locks"}, at[0]):
	default:
		return "a repository has no such file"
	}
	switch {
	case !objectName.MatchString(name): //guard:foreign-name
		return "its name is not 64 hexadecimal digits"
	case o.Size < smallest: //guard:foreign-small
		return "it is too small to hold anything"
	case at[0] == "data" || o.Size > largestSum:
		return ""
	}
	content, err := f.read(path.Join(f.name, o.Path), largestSum)
	if err != nil {
		return "" // it has gone, or cannot be read: somebody else says so
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != name { //guard:foreign-hash
		return "its name is not that of its content"
	}
	if at[0] == "keys" && !isKey(content) {
		return "it is no key"
	}
	return ""
}

// isKey reports whether a file has the form of a restic key.
func isKey(content []byte) bool {
	var key struct {
		KDF  string `json:"kdf"`
		Data string `json:"data"`
	}
	return json.Unmarshal(content, &key) == nil && key.KDF != "" && key.Data != ""
}

// SnapshotFiles lists the files of snapshots that have the name of one, with the time that
// the storage gave them.
func (f *Folder) SnapshotFiles() (map[string]time.Time, error) {
	files := map[string]time.Time{}
	err := f.do(func() error {
		return f.walk(path.Join(f.name, "snapshots"), func(name string) error {
			info, err := f.root.Lstat(path.Join(f.name, "snapshots", name))
			if err == nil && objectName.MatchString(name) {
				files[name] = info.ModTime()
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it has gone meanwhile, and is not there
			}
			return err
		})
	})
	return files, err
}

// Quarantine moves files of the repository, by their paths in it, to a folder beside it,
// and returns that folder. Only what Count would call foreign, or is in a folder where
// single files can be missed, may be named: never config or data.
func (f *Folder) Quarantine(objects []string, now time.Time) (string, error) {
	stamp := path.Join(f.name+quarantineSuffix, now.UTC().Format(stampFormat))
	err := f.do(func() error { return f.foreign(objects) })
	if err == nil {
		err = f.makeBeside(f.name + quarantineSuffix)
	}
	if err == nil {
		err = f.do(func() error { return f.moveTo(stamp, objects) })
	}
	if err != nil {
		return "", fmt.Errorf("quarantine %w", err)
	}
	return filepath.Join(filepath.Dir(f.path), stamp), nil
}

// foreign refuses what must not be put aside.
func (f *Folder) foreign(objects []string) error {
	for _, object := range objects {
		if !fs.ValidPath(object) { //guard:quarantine-path
			return fmt.Errorf("%q: it is not a path within the repository", object)
		}
		at := strings.Split(object, "/")
		named := len(at) == 2 && slices.Contains([]string{"index", "keys", "snapshots", "locks"}, at[0]) && !strings.HasPrefix(at[1], ".") && at[1] != ""
		info, err := f.root.Lstat(path.Join(f.name, object))
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", object, err)
		case !info.Mode().IsRegular(), !named && f.problem(Object{Path: object, Size: info.Size()}) == "": //guard:quarantine-data
			return fmt.Errorf("%s: only files in index, keys, snapshots and locks, and those that are not restic's, can be put aside", object)
		}
	}
	return nil
}

func (f *Folder) moveTo(stamp string, objects []string) error {
	for _, object := range objects {
		to := path.Join(stamp, object)
		if err := f.makeDir(path.Dir(to)); err != nil {
			return err
		}
		if err := f.root.Rename(path.Join(f.name, object), to); err != nil {
			return fmt.Errorf("%s: %w", object, err)
		}
	}
	return nil
}
