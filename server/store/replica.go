package store

import "time"

type replica struct{ id string }

func (s *Store) databaseClock() time.Time { return time.Now() }
