package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"restic-manager/server/fleet"
)

// Queries is everything that can be read, from the database or within a
// transaction. It has no state of its own.
type Queries struct {
	x        ext
	guard    *guard // nil outside of a transaction
	now      func() fleet.Time
	quiet    func() fleet.Time // see Store.QuietUntil
	counters *counters
}

// ext is what *sqlx.DB and *sqlx.Tx share.
type ext interface {
	sqlx.ExtContext
	Rebind(string) string
}

// get reads one row. Where there is none the error is sql.ErrNoRows, see missing.
func (q Queries) get(ctx context.Context, into any, query string, args ...any) error {
	return q.run(ctx, func(ctx context.Context) error {
		return sqlx.GetContext(ctx, q.x, into, q.x.Rebind(query), args...)
	})
}

// all reads rows into a slice.
func (q Queries) all(ctx context.Context, into any, query string, args ...any) error {
	return q.run(ctx, func(ctx context.Context) error {
		return sqlx.SelectContext(ctx, q.x, into, q.x.Rebind(query), args...)
	})
}

// getIn is get for a query with IN (?) whose argument is a slice.
func (q Queries) getIn(ctx context.Context, into any, query string, args ...any) error {
	query, args, err := sqlx.In(query, args...)
	if err != nil {
		return err
	}
	return q.get(ctx, into, query, args...)
}

// allIn is all for a query with IN (?) whose argument is a slice.
func (q Queries) allIn(ctx context.Context, into any, query string, args ...any) error {
	query, args, err := sqlx.In(query, args...)
	if err != nil {
		return err
	}
	return q.all(ctx, into, query, args...)
}

// exec runs a statement and tells how many rows it changed.
func (tx *Tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	var rows int64
	err := tx.run(ctx, func(ctx context.Context) error {
		res, err := tx.x.ExecContext(ctx, tx.x.Rebind(query), args...)
		if err != nil {
			return err
		}
		rows, err = res.RowsAffected()
		return err
	})
	return rows, err
}

// execIn is exec for a statement with IN (?) whose argument is a slice.
func (tx *Tx) execIn(ctx context.Context, query string, args ...any) (int64, error) {
	query, args, err := sqlx.In(query, args...)
	if err != nil {
		return 0, err
	}
	return tx.exec(ctx, query, args...)
}

// named is exec with :names taken from a struct's db tags; a slice of structs
// becomes several rows of values.
func (tx *Tx) named(ctx context.Context, query string, arg any) (int64, error) {
	query, args, err := sqlx.Named(query, arg)
	if err != nil {
		return 0, err
	}
	return tx.exec(ctx, query, args...)
}

// run is what every statement goes through.
func (q Queries) run(ctx context.Context, statement func(context.Context) error) error {
	q.counters.statements.Add(1)
	if q.guard == nil {
		return coded(statement(ctx))
	}
	ctx, err := q.guard.begin(ctx)
	if err != nil {
		return err
	}
	err = coded(statement(ctx))
	q.guard.end(err)
	return err
}

// insert makes the statement for named.
func insert(table, cols string) string {
	return "INSERT INTO " + table + " (" + cols + ") VALUES (:" + strings.ReplaceAll(cols, ", ", ", :") + ")"
}

// missing turns "no row" into NotFound; format and args name what was looked for.
// Other errors get that name as their context.
func missing(err error, format string, args ...any) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fleet.Errorf(fleet.NotFound, "There is no "+format+".", args...)
	}
	return fmt.Errorf("read "+format+": %w", append(args, err)...)
}

// taken turns a broken UNIQUE into NameTaken. No answer repeats the name.
func taken(err error) error {
	if violates(err, notUnique) {
		return fleet.Wrap(fleet.NameTaken, err, "This name is taken; choose another.").At("/name")
	}
	return err
}
