package spool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Value returns a small value that SetValue kept; false if there is none, or if
// it cannot be read.
func (s *Spool) Value(key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, err := s.fact(context.Background(), factValue+key)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		s.failure = fmt.Errorf("read value %s: %w", key, err)
	}
	return value, err == nil
}

// SetValue keeps a small value; nil deletes it. It returns why the disk refused.
func (s *Spool) SetValue(ctx context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.draft(stepValue)
	d.required = true
	if value == nil {
		d.exec(`DELETE FROM facts WHERE name = ?`, factValue+key)
	} else {
		d.exec(setFact, factValue+key, value)
	}
	return s.commit(ctx, d)
}
