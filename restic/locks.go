package restic

import (
	"encoding/json"
	"strings"
	"time"
)

func locksOperation() Operation {
	return Operation{
		Name: "locks", Group: GroupLook,
		Title:       "List locks",
		Description: "Lists the locks in the repository and who holds each. Changes nothing.",
		Fields:      []Field{repositoryField()},
		Lock:        LockNone,
		Slot:        SlotAppend,
		Places:      []Place{PlaceHost, PlaceMaintenanceHost},
		Facts: []Column{
			{"locks", "Locks", ColumnInt},
			{"exclusive", "Exclusive ones", ColumnInt},
			{"dead", "Whose owner is proven dead", ColumnInt},
		},
	}
}

// ListLocks lists the ids of the repository's locks.
type ListLocks struct{}

var _ Op[[]string] = ListLocks{}

// Name returns "list locks".
func (ListLocks) Name() string { return "list locks" }

// Validate returns nil.
func (ListLocks) Validate() error { return nil }

func (ListLocks) plan(Version) plan {
	return plan{verb: []string{"list"}, operands: []string{"locks"}, reads: true}
}

// decode takes the lines that are ids: restic prints them as text even when it is
// asked for JSON.
func (ListLocks) decode(out *output) ([]string, error) {
	ids := []string{}
	for _, line := range out.lines {
		if id := strings.TrimSpace(line); fullIDPattern.MatchString(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// CatLock reads one lock. A lock that was released in the meantime is the failure
// lock_not_found.
type CatLock struct {
	ID string // 64 hexadecimal digits
}

// RepositoryLock is a lock and its owner.
type RepositoryLock struct {
	Time      time.Time `json:"time"` // when last refreshed
	Exclusive bool      `json:"exclusive"`
	Host      string    `json:"hostname"`
	User      string    `json:"username"`
	PID       int       `json:"pid"`
}

var _ Op[RepositoryLock] = CatLock{}

// Name returns "cat lock".
func (CatLock) Name() string { return "cat lock" }

// Validate refuses anything but a full id.
func (c CatLock) Validate() error {
	if fullIDPattern.MatchString(c.ID) {
		return nil
	}
	return Errors{{Code: CodeFieldInvalid, Field: "id", Message: "must be a full lock id of 64 hexadecimal digits"}}
}

func (c CatLock) plan(Version) plan {
	return plan{
		verb: []string{"cat"}, operands: []string{"lock", c.ID},
		reads: true, document: true, absent: CodeLockNotFound,
	}
}

func (c CatLock) decode(out *output) (RepositoryLock, error) {
	var lock RepositoryLock
	if err := json.Unmarshal(out.document, &lock); err != nil || lock.Time.IsZero() {
		return RepositoryLock{}, noResult(c.Name(), "lock")
	}
	return lock, nil
}
