package upkeep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Replacing is which snapshots an operation of this host is about to put others in the
// place of. It is on the disk until it is known what became of each, so that those that
// took their places inherit their times also when nobody saw the operation's end.
type Replacing struct {
	JobID     string    `json:"job_id"`
	Snapshots []Doomed  `json:"snapshots"`
	At        time.Time `json:"at"`
}

// Doomed is a snapshot that is to be replaced, by what its successor has in common with
// it.
type Doomed struct {
	ID    string    `json:"id"`
	First string    `json:"first"` // what the successor says that it was made of
	Time  time.Time `json:"time"`
	Host  string    `json:"host"`
	Tree  string    `json:"tree,omitempty"` // "" where that changes
}

// Newcomer is a snapshot that lies in the storage.
type Newcomer struct {
	ID    string
	First string // what it says that it was made of, "" for nothing
	Time  time.Time
	Host  string
	Tree  string
}

// Heirs finds which new snapshots have taken the place of which old ones, by their ids.
// Somebody who may add to the repository can store one that looks like a successor: where
// there are more of them than there are places, nobody inherits anything.
func (r Replacing) Heirs(l *Ledger, there []Newcomer) map[string]string {
	listed := map[string]bool{}
	for _, n := range there {
		listed[n.ID] = true
	}
	heirs := map[string]string{}
	done := map[string]bool{}
	for _, d := range r.Snapshots {
		if listed[d.ID] || done[d.ID] {
			continue
		}
		var gone []Doomed
		for _, o := range r.Snapshots {
			if !listed[o.ID] && o.alike(d) {
				gone, done[o.ID] = append(gone, o), true
			}
		}
		var made []string
		for _, n := range there {
			if _, known := l.Snapshots[n.ID]; !known && d.fits(n) {
				made = append(made, n.ID)
			}
		}
		if len(made) > len(gone) { //guard:heirs-many
			continue
		}
		// Of several that cannot be told apart each gets the latest time.
		latest := slices.MaxFunc(gone, func(a, b Doomed) int { return l.Snapshots[a.ID].At.Compare(l.Snapshots[b.ID].At) })
		for _, id := range made {
			heirs[id] = latest.ID
		}
	}
	return heirs
}

func (d Doomed) alike(o Doomed) bool {
	return d.First == o.First && d.Time.Equal(o.Time) && d.Host == o.Host && d.Tree == o.Tree
}

func (d Doomed) fits(n Newcomer) bool {
	return n.First == d.First && n.Time.Equal(d.Time) && n.Host == d.Host && (d.Tree == "" || n.Tree == d.Tree)
}

func replacingPath(folder, repository string) string {
	return filepath.Join(folder, repository+".replacing")
}

// Write keeps it, before the operation begins.
func (r Replacing) Write(folder, repository string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := replaceFile(replacingPath(folder, repository), text); err != nil {
		return fmt.Errorf("keep what is replaced: %w", err)
	}
	return nil
}

// ReadReplacing returns what an operation was about to replace in a repository, by
// restic's id; nothing where none was.
func ReadReplacing(folder, repository string) (Replacing, error) {
	var r Replacing
	text, err := os.ReadFile(replacingPath(folder, repository))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return Replacing{}, fmt.Errorf("read what was replaced: %w", err)
	}
	return r, nil
}

// EndReplacing forgets it, once all is known.
func EndReplacing(folder, repository string) error {
	if err := os.Remove(replacingPath(folder, repository)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
