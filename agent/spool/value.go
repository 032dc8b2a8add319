package spool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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

// Values returns all small values whose keys begin with a prefix.
func (s *Spool) Values(prefix string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]byte{}
	const query = `SELECT name, value FROM facts WHERE name >= ? AND name < ?`
	first := factValue + prefix
	err := s.each(context.Background(), query, []any{first, first + "\x7f"}, func(row *sql.Rows) error {
		var name string
		var value []byte
		err := row.Scan(&name, &value)
		all[strings.TrimPrefix(name, factValue)] = value
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read values %s: %w", prefix, err)
	}
	return all, nil
}

// SetValue keeps a small value; nil deletes it. It returns why the disk refused.
func (s *Spool) SetValue(ctx context.Context, key string, value []byte) error {
	return s.SetValues(ctx, map[string][]byte{key: value})
}

// SetValues keeps several small values in one write, all or none; nil deletes one. It
// returns why the disk refused.
func (s *Spool) SetValues(ctx context.Context, values map[string][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.draft(stepValue)
	d.required = true
	d.values(values)
	return s.commit(ctx, d)
}

// values adds small values to the draft.
func (d *draft) values(values map[string][]byte) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if values[key] == nil {
			d.exec(`DELETE FROM facts WHERE name = ?`, factValue+key)
			continue
		}
		d.exec(setFact, factValue+key, values[key])
	}
}
