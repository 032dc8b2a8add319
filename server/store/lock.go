package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"restic-manager/server/fleet"
)

// errHeld says that another process has the lock.
var errHeld = errors.New("another process holds the lock")

// claimFile takes a SQLite database for this process alone, where it serves, until
// Close; the system gives it back when a process dies. The lock is on a file of its
// own beside the database, since closing a second handle of the database would drop
// SQLite's own locks. DatabaseInUse when another process has it; a file system that
// knows no locks is no reason not to start.
func (s *Store) claimFile(serve bool) error {
	path, err := sqlitePath(s.url)
	if err != nil || !serve {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the database's folder: %w", err)
	}
	if s.lock, err = os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return fmt.Errorf("lock the database: %w", err)
	}
	switch err := hold(s.lock); {
	case errors.Is(err, errHeld):
		return fleet.Wrap(fleet.DatabaseInUse, err, "Another server works with the database %s: stop that one first, "+
			"or use PostgreSQL, which several servers may share.", path)
	case err != nil:
		s.log.Warn("database not locked against a second server", "path", path, "err", err)
	}
	return nil
}
