package upkeep

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Damaged says that a ledger is not what was written.
type Damaged struct {
	Path string
	What string
}

func (d *Damaged) Error() string { return "the ledger " + d.Path + " " + d.What }

// Seen is when a snapshot was first seen.
type Seen struct {
	At      time.Time
	Adopted bool // it was there before the ledger, and At is what it claims
}

// Ledger is a repository's record. It is read as a whole when it is opened, and used by
// one job at a time.
type Ledger struct {
	Born      time.Time
	Snapshots map[string]Seen
	Keys      map[string]bool      // ids of keys that were there when it was born, or that were accepted
	Removals  map[string]time.Time // when this host last set out to remove a snapshot
	Days      map[string]bool      // on which this host has looked at the repository, in UTC

	path string
	seq  int64
	hash string
	size int64 // of what is good in the file
}

// line is a record of the file.
type line struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"` // born, day, seen, adopted, key, removal
	ID      string    `json:"id"`
	First   time.Time `json:"first,omitzero"`
	Hash    string    `json:"hash"` // of this line without it, behind the hash of the line before
	written []byte
}

const maxLedgerLine = 1024

// OpenLedger reads the ledger of a repository, by restic's id, in a folder. Where there is
// none it is made with the first line that is added. The error is a *Damaged if it was
// changed.
func OpenLedger(folder, repository string) (*Ledger, error) {
	l := &Ledger{path: filepath.Join(folder, repository+".ledger"), hash: repository, Snapshots: map[string]Seen{}, Keys: map[string]bool{}, Removals: map[string]time.Time{}, Days: map[string]bool{}}
	file, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	defer file.Close()
	reader := bufio.NewReaderSize(file, 64<<10)
	for {
		text, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			// What follows the last newline was being written when the machine stopped, and
			// nothing was done that relied on it: the next line takes its place.
			return l, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read ledger: %w", err)
		}
		if err := l.take(text); err != nil {
			return nil, err
		}
	}
}

// take reads one line.
func (l *Ledger) take(text []byte) error {
	var n line
	damaged := &Damaged{l.path, fmt.Sprintf("is damaged at line %d", l.seq+1)}
	if len(text) > maxLedgerLine || json.Unmarshal(text, &n) != nil {
		return damaged
	}
	hash := n.Hash
	if sealed := n.seal(l.hash); n.Seq != l.seq+1 || hash != sealed.Hash || !bytes.Equal(sealed.written, text) { //guard:ledger-chain
		return damaged
	}
	l.seq, l.hash, l.size = n.Seq, hash, l.size+int64(len(text))
	l.apply(n)
	return nil
}

// seal fills in the hash of a line that follows another, and its text.
func (n line) seal(before string) line {
	n.Hash = ""
	text, _ := json.Marshal(n) // of strings and times: never fails
	sum := sha256.Sum256(append([]byte(before+"\n"), text...))
	n.Hash = hex.EncodeToString(sum[:])
	n.written, _ = json.Marshal(n)
	n.written = append(n.written, '\n')
	return n
}

func (l *Ledger) apply(n line) {
	switch n.Kind {
	case "born":
		l.Born = n.At
	case "seen", "adopted":
		if _, known := l.Snapshots[n.ID]; !known {
			l.Snapshots[n.ID] = Seen{At: n.First, Adopted: n.Kind == "adopted"}
		}
	case "key":
		l.Keys[n.ID] = true
	case "day":
		l.Days[n.ID] = true
	case "removal":
		l.Removals[n.ID] = n.At
	}
}

// add appends lines, which are on the disk when it returns.
func (l *Ledger) add(now time.Time, lines []line) error {
	if len(lines) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	defer file.Close()
	var text bytes.Buffer
	seq, hash := l.seq, l.hash
	for i, n := range lines {
		seq++
		n.Seq, n.At, n.First = seq, now.UTC().Truncate(time.Microsecond), n.First.UTC().Truncate(time.Microsecond)
		lines[i] = n.seal(hash)
		hash = lines[i].Hash
		text.Write(lines[i].written)
	}
	_, err = file.WriteAt(text.Bytes(), l.size)
	if err == nil {
		err = file.Truncate(l.size + int64(text.Len()))
	}
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = syncDir(filepath.Dir(l.path))
	}
	if err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	l.seq, l.hash, l.size = seq, hash, l.size+int64(text.Len())
	for _, n := range lines {
		l.apply(n)
	}
	return nil
}

// Sighting is a snapshot that lies in the storage.
type Sighting struct {
	ID      string
	Claimed time.Time // zero where it cannot be read
	File    time.Time // the time of its file, which the storage sets; zero where there is no folder
}

// See records what is new, and when, and that this host has looked today. The first time, it adopts what is there: a snapshot
// whose file says another time than the snapshot, and lies there no longer than any whose
// file can be trusted, was copied there with the repository and goes by what it claims.
// Without files, all that is there the first time goes by that.
func (l *Ledger) See(now time.Time, sightings []Sighting) error {
	var lines []line
	born := l.Born.IsZero()
	if born {
		lines = append(lines, line{Kind: "born"})
	}
	if today := now.UTC().Format(time.DateOnly); !l.Days[today] {
		lines = append(lines, line{Kind: "day", ID: today})
	}
	trusted := trustedSince(sightings)
	for _, s := range sightings {
		if _, known := l.Snapshots[s.ID]; known {
			continue
		}
		n := line{Kind: "seen", ID: s.ID, First: s.File}
		if s.File.IsZero() || s.File.After(now) {
			n.First = now
		}
		if born && !s.Claimed.IsZero() && !s.Claimed.After(now) && (s.File.IsZero() || !plausible(s) && !s.File.After(trusted)) { //guard:ledger-adopt
			n.Kind, n.First = "adopted", s.Claimed
		}
		lines = append(lines, n)
	}
	return l.add(now, lines)
}

// longestBackup is how long after what it claims a snapshot's file can appear.
const longestBackup = 8 * 24 * time.Hour

// plausible reports whether a file's time can be that of the snapshot's upload.
func plausible(s Sighting) bool {
	return !s.Claimed.IsZero() && s.File.After(s.Claimed.Add(-time.Hour)) && s.File.Before(s.Claimed.Add(longestBackup))
}

// trustedSince is the time of the oldest file that tells when it was uploaded; where there
// is none, after all times.
func trustedSince(sightings []Sighting) time.Time {
	since := time.Unix(1<<40, 0)
	for _, s := range sightings {
		if !s.File.IsZero() && plausible(s) && s.File.Before(since) {
			since = s.File
		}
	}
	return since
}

// Inherit gives snapshots that an operation of this host itself has put in the place of
// others the times of those.
func (l *Ledger) Inherit(now time.Time, from map[string]string) error {
	var lines []line
	for id, original := range from {
		before, known := l.Snapshots[original]
		if _, there := l.Snapshots[id]; !known || there {
			continue
		}
		kind := "seen"
		if before.Adopted {
			kind = "adopted"
		}
		lines = append(lines, line{Kind: kind, ID: id, First: before.At})
	}
	return l.add(now, lines)
}

// SeeKeys records the keys that are there the first time that they are looked at, or that
// were accepted, and returns those that are neither.
func (l *Ledger) SeeKeys(now time.Time, keys []string, accept bool) (foreign []string, err error) {
	var lines []line
	for _, id := range keys {
		switch {
		case l.Keys[id]:
		case len(l.Keys) == 0 || accept: //guard:ledger-keys
			lines = append(lines, line{Kind: "key", ID: id})
		default:
			foreign = append(foreign, id)
		}
	}
	return foreign, l.add(now, lines)
}

// DaysSince counts the days after that of a time on which this host has looked at the
// repository. A clock that jumps ahead makes one of them, however far it jumps.
func (l *Ledger) DaysSince(at time.Time) int {
	n, from := 0, at.UTC().Format(time.DateOnly)
	for day := range l.Days {
		if day > from {
			n++
		}
	}
	return n
}

// SetOut records that snapshots are about to be removed.
func (l *Ledger) SetOut(now time.Time, ids []string) error {
	var lines []line
	for _, id := range ids {
		lines = append(lines, line{Kind: "removal", ID: id})
	}
	return l.add(now, lines)
}

// WentLately counts the snapshots that this host set out to remove within a day of now, and
// that are not there any more. A clock that was put back forgets none of the last day's.
func (l *Ledger) WentLately(now time.Time, there func(id string) bool) int {
	n := 0
	for id, at := range l.Removals {
		if now.Sub(at).Abs() < 24*time.Hour && !there(id) { //guard:ledger-lately
			n++
		}
	}
	return n
}

// replaceFile puts a file of the agent's own in the place of the one before: after a crash
// one of the two is there, whole.
func replaceFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes what was made in a folder last.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return flush(dir)
}
