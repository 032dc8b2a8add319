package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

// one gives a row that was read, or nil and NotFound.
func one[T any](row *T, err error, format string, args ...any) (*T, error) {
	if err != nil {
		return nil, missing(err, format, args...)
	}
	return row, nil
}

func missingNow(format string, args ...any) *fleet.Error {
	return fleet.Errorf(fleet.NotFound, "There is no "+format+".", args...)
}

// names reads the names of rows by id.
func names[ID ~string](ctx context.Context, q Queries, table string, ids []ID) (map[ID]string, error) {
	byID := make(map[ID]string, len(ids))
	if len(ids) == 0 {
		return byID, nil
	}
	var rows []struct{ ID, Name string }
	if err := q.allIn(ctx, &rows, `SELECT id, name FROM `+table+` WHERE id IN (?)`, ids); err != nil {
		return nil, fmt.Errorf("read names of %s: %w", table, err)
	}
	for _, r := range rows {
		byID[ID(r.ID)] = r.Name
	}
	return byID, nil
}

func orEmpty(l fleet.List) fleet.List {
	if l == "" {
		return "[]"
	}
	return l
}
