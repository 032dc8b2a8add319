package schedule

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// entry is an Entry in force.
type entry struct {
	Entry
	cursor cursor
	next   time.Time // slot after the cursor; zero for not looked up
}

// cursor is how far the slots of some times are decided.
type cursor struct {
	Times string    `json:"times"`
	From  time.Time `json:"from"` // when these times came in force here
	At    time.Time `json:"at"`
}

// Configure puts the schedules of a configuration in force, as it came in force at
// since. A schedule whose times are the same goes on where it is.
func (s *Scheduler) Configure(revision int64, since time.Time, entries []Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, err := s.spool.Values(keyCursor)
	if err != nil {
		s.log.Error("how far the schedules are was not read", "err", err)
	}
	values := s.cursors(revision, since.Round(0), entries, kept)
	if len(values) > 0 {
		s.keep(values)
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// cursors makes the entries of a configuration, and returns what is to be written of
// them.
func (s *Scheduler) cursors(revision int64, since time.Time, entries []Entry, kept map[string][]byte) map[string][]byte {
	inMemory := map[uuid.UUID]cursor{}
	for _, e := range s.entries {
		inMemory[e.ID] = e.cursor
	}
	values := map[string][]byte{}
	s.entries = nil
	for _, e := range entries {
		key := keyCursor + e.ID.String()
		c, ok := inMemory[e.ID]
		if text := kept[key]; !ok && text != nil {
			ok = json.Unmarshal(text, &c) == nil
		}
		if !ok || c.Times != e.Times {
			c = cursor{Times: e.Times, From: since.UTC(), At: since.UTC()}
		}
		if text := encoded(c); string(text) != string(kept[key]) {
			values[key] = text
		}
		delete(kept, key)
		s.entries = append(s.entries, &entry{Entry: e, cursor: c})
	}
	for key := range kept { // of schedules that fire no more
		values[key] = nil
	}
	slices.SortFunc(s.entries, func(a, b *entry) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	var before int64
	s.recall(keyRevision, &before)
	if before != revision {
		values[keyRevision] = encoded(revision)
	}
	return values
}

// Revision is the configuration that Configure was last called with, also by an earlier
// process; 0 if it never was.
func (s *Scheduler) Revision() int64 {
	var revision int64
	s.recall(keyRevision, &revision)
	return revision
}
