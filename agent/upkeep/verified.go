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

// File is what is known of a file without reading it. It is zero where only its name is
// known.
type File struct {
	Size  int64  `json:"s,omitempty"`
	Time  int64  `json:"t,omitempty"` // when it was last written, in nanoseconds since 1970
	Inode uint64 `json:"i,omitempty"` // 0 where the system has none
}

// Stock is what holds a repository's data, by path: the packs, below data, and the index,
// which says what is in them.
type Stock map[string]File

// Stock lists what holds the repository's data.
func (f *Folder) Stock() (Stock, error) {
	stock := Stock{}
	err := f.do(func() error {
		for _, part := range []string{"data", "index"} {
			if err := f.walk(path.Join(f.name, part), f.stocked(stock, part)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the repository's folder: %w", err)
	}
	return stock, nil
}

// stocked adds a file of a part of the repository to a stock.
func (f *Folder) stocked(stock Stock, part string) func(below string) error {
	return func(below string) error {
		if !objectName.MatchString(path.Base(below)) {
			return nil
		}
		info, err := f.root.Lstat(path.Join(f.name, part, below))
		if err == nil {
			stock[path.Join(part, below)] = File{info.Size(), info.ModTime().UnixNano(), inodeOf(info)}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has gone meanwhile, and is not there
		}
		return err
	}
}

// Packs returns how many of the files are packs.
func (s Stock) Packs() int {
	n := 0
	for at := range s {
		if strings.HasPrefix(at, "data/") {
			n++
		}
	}
	return n
}

// Since lists the files that were not there before, or that are others under the same
// name, in order.
func (s Stock) Since(before Stock) []string {
	var fresh []string
	for at, file := range s {
		if was, ok := before[at]; !ok || was != file { //guard:verified-file
			fresh = append(fresh, at)
		}
	}
	slices.Sort(fresh)
	return fresh
}

// verifiedFor is how long data that was read is believed to be what it was: disks lose bits
// of files that nobody touches.
const verifiedFor = 30 * 24 * time.Hour

// Verified is what was read, and found to hold what it should.
type Verified struct {
	At    time.Time `json:"at"`
	Stock Stock     `json:"stock"`
}

// ReadVerified returns what was verified of a repository, by restic's id; nothing where
// that is not known.
func ReadVerified(folder, repository string) Verified {
	text, err := os.ReadFile(filepath.Join(folder, repository+".verified"))
	var v Verified
	if err != nil || json.Unmarshal(text, &v) != nil {
		return Verified{}
	}
	return v
}

// Missing lists which files of a stock were not read, or too long ago.
func (v Verified) Missing(s Stock, now time.Time) []string {
	if now.Sub(v.At) > verifiedFor || now.Before(v.At) { //guard:verified-age
		return s.Since(nil)
	}
	return s.Since(v.Stock)
}

// Write keeps what was verified.
func (v Verified) Write(folder, repository string) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(folder, repository+".verified"), text); err != nil {
		return fmt.Errorf("keep what was verified: %w", err)
	}
	return nil
}
