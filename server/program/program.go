// Package program keeps the programs that the server hands to machines: its own
// agents, and the restic that an operator has added.
//
// A shelf is a folder with programs and a file SHA256SUMS, as sha256sum writes it. What
// a file is, is in its name: restic-0.19.1-linux-amd64, and .exe at the end for
// Windows. A file is handed out only while it has the digest of its line, so what
// was vouched for when it was added is what machines get.
//
// The package may import deploy and restic.
package program

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"restic-manager/restic"
)

// The names of programs.
const (
	Agent  = "restic-manager-agent"
	Restic = "restic"
)

// sumsFile lists the digests of a shelf.
const sumsFile = "SHA256SUMS"

// Program is one file on a shelf.
type Program struct {
	File    string
	Name    string // Agent or Restic
	Version string
	OS      string // as Go calls it
	Arch    string
	SHA256  string
	Bytes   int64
	Problem string // why it is not handed out; empty: it is

	path string
}

// Shelves are the folders of a server. Their methods look at the folders each time,
// so that a program that is added is there at once; a file is read again for its
// digest only when its size or time has changed. They are safe for concurrent use.
type Shelves struct {
	folders []string

	mu      sync.Mutex
	digests map[string]digest // by path
}

// digest is what a file had when it was last read.
type digest struct {
	size int64
	at   time.Time
	sum  string
}

// New makes shelves of folders, which need not exist.
func New(folders ...string) *Shelves {
	return &Shelves{folders: folders, digests: map[string]digest{}}
}

// List gives every program that a line of SHA256SUMS names, by name, system,
// machine and version, newest last.
func (s *Shelves) List() ([]Program, error) {
	var all []Program
	for _, folder := range s.folders {
		programs, err := readSums(folder)
		if err != nil {
			return nil, err
		}
		for _, p := range programs {
			f, size, problem := s.check(p)
			if f != nil {
				_ = f.Close() // nothing was written
			}
			p.Bytes, p.Problem = size, problem
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b Program) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.OS, b.OS), cmp.Compare(a.Arch, b.Arch), compareVersions(a.Version, b.Version))
	})
	return all, nil
}

// Newest gives the newest program of each name, system and machine that can be
// handed out.
func (s *Shelves) Newest() ([]Program, error) {
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	var newest []Program
	for _, p := range all {
		if p.Problem != "" {
			continue
		}
		if n := len(newest); n > 0 && newest[n-1].Name == p.Name && newest[n-1].OS == p.OS && newest[n-1].Arch == p.Arch {
			newest = newest[:n-1]
		}
		newest = append(newest, p)
	}
	return newest, nil
}

// Open opens a program to be handed out. It is fs.ErrNotExist when no shelf has
// one of that name, and an error that says so when it is not what was added. The
// caller closes it.
func (s *Shelves) Open(file string) (io.ReadCloser, int64, error) {
	for _, folder := range s.folders {
		programs, err := readSums(folder)
		if err != nil {
			return nil, 0, err
		}
		for _, p := range programs {
			if p.File != file {
				continue
			}
			f, size, problem := s.check(p)
			if problem != "" {
				return nil, 0, &Damaged{file, problem}
			}
			return f, size, nil
		}
	}
	return nil, 0, fs.ErrNotExist
}

// Damaged is a program that is not handed out.
type Damaged struct{ File, Problem string }

func (d *Damaged) Error() string { return d.File + " is not handed out: " + d.Problem }

// check opens a program and says what is wrong with it. Without a problem the file
// is open, and is the one that was looked at.
func (s *Shelves) check(p Program) (f *os.File, size int64, problem string) {
	f, err := os.Open(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, "the file is gone; add it again"
	}
	if err != nil {
		return nil, 0, "the file cannot be read by the server's user"
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, errors.Join(f.Close(), errors.New("it is not a file that can be read")).Error()
	}
	sum, err := s.sum(f, info, p.path)
	switch {
	case err != nil:
		problem = "the file cannot be read to its end"
	case sum != p.SHA256: //guard:program-digest
		problem = "its digest is not the one that it was added with; add it again"
	default:
		return f, info.Size(), ""
	}
	_ = f.Close()
	return nil, info.Size(), problem
}

// sum gives a file's digest, from memory while it has not changed, and rewinds it.
func (s *Shelves) sum(f *os.File, info fs.FileInfo, path string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock() // also so that a file is read by one request at a time
	if known := s.digests[path]; known.sum != "" && known.size == info.Size() && known.at.Equal(info.ModTime()) {
		return known.sum, nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	s.digests[path] = digest{info.Size(), info.ModTime(), sum}
	return sum, nil
}

var sumsLine = regexp.MustCompile(`^([0-9a-f]{64}) [ *]([A-Za-z0-9][A-Za-z0-9._-]{0,99})$`)

// readSums reads the list of a folder. A folder without one is empty. A line that is
// not understood, or names no program, is passed over: it is no program of ours.
func readSums(folder string) ([]Program, error) {
	f, err := os.Open(filepath.Join(folder, sumsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("programs: %w", err)
	}
	defer f.Close()
	var programs []Program
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		m := sumsLine.FindStringSubmatch(strings.TrimRight(lines.Text(), "\r"))
		if m == nil {
			continue
		}
		if p, ok := parseName(m[2]); ok {
			p.SHA256, p.path = m[1], filepath.Join(folder, m[2])
			programs = append(programs, p)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("programs: read %s: %w", f.Name(), err)
	}
	return programs, nil
}

// FileName is what a program's file is called.
func (p Program) FileName() string {
	name := strings.Join([]string{p.Name, p.Version, p.OS, p.Arch}, "-")
	if p.OS == "windows" {
		name += ".exe"
	}
	return name
}

var nameForm = regexp.MustCompile(`^(restic-manager-agent|restic)-([A-Za-z0-9._-]+)-(linux|windows)-([a-z0-9]+)(\.exe)?$`)

func parseName(file string) (Program, bool) {
	m := nameForm.FindStringSubmatch(file)
	if m == nil {
		return Program{}, false
	}
	p := Program{File: file, Name: m[1], Version: m[2], OS: m[3], Arch: m[4]}
	return p, p.FileName() == file
}

// compareVersions compares restic's by their numbers, and others as texts.
func compareVersions(a, b string) int {
	x, errX := restic.ParseVersion(a)
	y, errY := restic.ParseVersion(b)
	switch {
	case errX != nil || errY != nil:
		return cmp.Compare(a, b)
	case x.Less(y):
		return -1
	case y.Less(x):
		return 1
	}
	return 0
}
