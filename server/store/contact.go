package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"restic-manager/server/fleet"
)

// ContactGrace is how long after the end of its parked request an agent may be
// silent before its host is offline: one failed request and one retry.
const ContactGrace = 45 * time.Second

// contacts gathers what agents' requests say of presence, so that ten thousand
// parked requests cost one statement a second and not one each.
type contacts struct {
	mu      sync.Mutex
	seen    map[fleet.HostID]contact
	checked fleet.Time // until when overdue hosts were looked for
}

type contact struct {
	id           fleet.HostID
	at, deadline fleet.Time
}

// TouchContact notes that a host's agent is here and will be again when its request
// has been held that long. It does not block; Run writes it within a second.
func (s *Store) TouchContact(id fleet.HostID, hold time.Duration) {
	now := s.now()
	s.contacts.mu.Lock()
	defer s.contacts.mu.Unlock()
	s.contacts.seen[id] = contact{id, now, now.Add(hold + ContactGrace)}
}

// FlushContacts writes the contacts gathered so far and tells which hosts came back
// and which ones are overdue since the last call. Run calls it; nobody else does at
// the same time.
func (s *Store) FlushContacts(ctx context.Context) error {
	if batch := s.takeContacts(); len(batch) > 0 {
		if err := s.Write(ctx, func(tx *Tx) error { return tx.writeContacts(ctx, batch) }); err != nil {
			s.returnContacts(batch)
			return fmt.Errorf("write %d contacts: %w", len(batch), err)
		}
	}
	return s.tellOverdue(ctx)
}

func (s *Store) takeContacts() []contact {
	s.contacts.mu.Lock()
	defer s.contacts.mu.Unlock()
	batch := make([]contact, 0, len(s.contacts.seen))
	for _, c := range s.contacts.seen {
		batch = append(batch, c)
	}
	clear(s.contacts.seen)
	// One order everywhere, so that two replicas do not wait for each other's rows.
	slices.SortFunc(batch, func(a, b contact) int { return strings.Compare(string(a.id), string(b.id)) })
	return batch
}

// returnContacts keeps contacts that could not be written, unless a newer one came.
func (s *Store) returnContacts(batch []contact) {
	s.contacts.mu.Lock()
	defer s.contacts.mu.Unlock()
	for _, c := range batch {
		if _, newer := s.contacts.seen[c.id]; !newer {
			s.contacts.seen[c.id] = c
		}
	}
}

// contactsPerStatement keeps below the number of arguments that SQLite takes.
const contactsPerStatement = 5000

func (tx *Tx) writeContacts(ctx context.Context, batch []contact) error {
	for part := range slices.Chunk(batch, contactsPerStatement) {
		ids := make([]fleet.HostID, len(part))
		args := make([]any, 0, 3*len(part))
		for i, c := range part {
			ids[i] = c.id
			args = append(args, c.id, c.at, c.deadline)
		}
		var back []fleet.HostID
		if err := tx.allIn(ctx, &back, `SELECT id FROM hosts WHERE id IN (?) AND contact_deadline < ?`, ids, tx.Now); err != nil {
			return err
		}
		for _, id := range back {
			tx.Touch(fleet.TopicHosts, string(id))
		}
		values := strings.TrimSuffix(strings.Repeat("(?, CAST(? AS BIGINT), CAST(? AS BIGINT)), ", len(part)), ", ")
		_, err := tx.exec(ctx, `WITH seen (id, at, deadline) AS (VALUES `+values+`)
			UPDATE hosts SET last_contact = seen.at, contact_deadline = seen.deadline,
				version = version + CASE WHEN contact_deadline < CAST(? AS BIGINT) THEN 1 ELSE 0 END
			FROM seen WHERE hosts.id = seen.id AND hosts.last_contact < seen.at`, append(args, tx.Now)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// tellOverdue tells of hosts whose deadline has passed since the last look, and raises
// their version: they are shown as offline now.
func (s *Store) tellOverdue(ctx context.Context) error {
	now := s.now()
	since := s.contacts.checked
	if since.IsZero() {
		since = now
	}
	var overdue []fleet.HostID
	err := s.all(ctx, &overdue, `SELECT id FROM hosts WHERE contact_deadline >= ? AND contact_deadline < ?`, since, now)
	if err != nil {
		return fmt.Errorf("look for overdue hosts: %w", err)
	}
	if len(overdue) > 0 {
		slices.Sort(overdue) // one order everywhere, as for contacts
		err := s.Write(ctx, func(tx *Tx) error {
			for _, id := range overdue {
				tx.Touch(fleet.TopicHosts, string(id))
			}
			_, err := tx.execIn(ctx, `UPDATE hosts SET version = version + 1 WHERE id IN (?)`, overdue)
			return err
		})
		if err != nil {
			return fmt.Errorf("tell of overdue hosts: %w", err)
		}
	}
	s.contacts.checked = now
	return nil
}
