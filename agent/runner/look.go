package runner

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"restic-manager/agent/spool"
)

// States of a source, as the contract has them.
const (
	sourceThere   = "ok"
	sourceMissing = "missing"
	sourceEmpty   = "empty"
)

const (
	maxSourcesSeen = 200
	maxSourcePath  = 4000
)

// sourcesSeen looks at each source before the backup: a folder that is there and empty,
// as an unmounted disk leaves it, makes a backup that succeeds. What may not be read is
// restic's to say.
func (t *Task) sourcesSeen() []spool.SourceSeen {
	var seen []spool.SourceSeen
	for _, path := range t.Schedule.Paths[:min(len(t.Schedule.Paths), maxSourcesSeen)] {
		seen = append(seen, spool.SourceSeen{Path: clip(path, maxSourcePath), State: stateOf(path)})
	}
	return seen
}

func stateOf(path string) string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return sourceMissing
	case err != nil:
		return sourceThere
	case info.Mode().IsRegular() && info.Size() == 0, info.IsDir() && isEmpty(path):
		return sourceEmpty
	}
	return sourceThere
}

func isEmpty(folder string) bool {
	f, err := os.Open(folder)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	return errors.Is(err, io.EOF)
}

// tellPlaces puts to the ending what was seen of the sources before, and how much room a
// repository has that is a path on this host.
func (e *Ending) tellPlaces(t *Task, seen []spool.SourceSeen) *Ending {
	told := *e
	told.Sources = slices.Clone(seen)
	if path := t.access.Location.Path(); path != "" {
		if free, total, err := spool.FreeSpace(path); err == nil {
			told.Storage = spool.StorageSpace{FreeBytes: free, TotalBytes: total}
		}
	}
	return &told
}
