package restic

import "time"

// Outcome is how a restic that ran ended.
type Outcome string

// The outcomes. A warning has a Value too: a backup's snapshot exists, but
// something was left out of it.
const (
	Succeeded Outcome = "succeeded"
	Warning   Outcome = "warning"
	Failed    Outcome = "failed"
	Cancelled Outcome = "cancelled"
)

// Result is what became of one restic process.
type Result[T any] struct {
	Outcome Outcome
	Value   T // set when Outcome is Succeeded or Warning

	// Failure says why, when Outcome is Failed, and what was left out, when it
	// is Warning.
	Failure *Error

	// Holder is who has the lock, when Failure's code is repo_locked and
	// restic said it.
	Holder *LockHolder

	// Items are the files and folders that restic could not read or restore, or the
	// errors of a check.
	Items ItemList

	ExitCode int // -1 when a signal ended it
	Version  Version
	Started  time.Time
	Finished time.Time

	// Killed reports that restic did not end within the grace period and was
	// killed: a lock of it may be left in the repository.
	Killed bool
}

// LockHolder is the owner of a lock, as restic reports it.
type LockHolder struct {
	Exclusive bool
	PID       int
	Host      string
	User      string
	Created   string // restic's own wording, with the age
	StorageID string // short id of the lock
}

// Item is a file or folder that a restic could not handle.
type Item struct {
	Path    string // as restic writes it: bytes that are not UTF-8 appear as U+FFFD
	During  string // archival, scan
	Message string
}

// Limits of an ItemList.
const (
	itemsFirst = 200
	itemsLast  = 50
)

// ItemList keeps the first and the last items of a list that may have millions.
type ItemList struct {
	First []Item
	Last  []Item // those after First, the newest at the end; in between some may be missing
	Count int    // of all
}

// Omitted is how many items between First and Last were not kept.
func (l *ItemList) Omitted() int { return l.Count - len(l.First) - len(l.Last) }

func (l *ItemList) add(item Item) {
	l.Count++
	switch {
	case len(l.First) < itemsFirst:
		l.First = append(l.First, item)
	case len(l.Last) < itemsLast:
		l.Last = append(l.Last, item)
	default:
		copy(l.Last, l.Last[1:])
		l.Last[itemsLast-1] = item
	}
}
