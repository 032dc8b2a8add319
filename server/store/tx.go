package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"restic-manager/server/fleet"
)

// Tx is a transaction that may write. It is used by one goroutine and not after
// its function returned.
type Tx struct {
	Queries
	Now   fleet.Time  // one moment for the whole transaction
	Audit fleet.Audit // of Update: the entry to be written; the function may complete it

	also    []fleet.Audit // further entries
	effects Effects
	touched map[fleet.Change]bool
	woken   map[fleet.HostID]bool
}

// Update makes an audited change: the entry is written in the transaction of fn,
// after it, so that fn can fill in the object through Tx.Audit. An error of fn
// undoes everything and comes back as it is.
//
// fn may be run more than once and must have no effect but through its Tx. When ctx
// ends before it was fn's turn, nothing happened; later it has no influence.
func (s *Store) Update(ctx context.Context, audit fleet.Audit, fn func(*Tx) error) error {
	return s.write(ctx, func(tx *Tx) error {
		tx.Audit = audit
		if err := fn(tx); err != nil {
			return err
		}
		return tx.appendAudit(ctx, tx.Audit)
	})
}

// Write is Update for what no person does and nobody audits: reports, leases,
// sign-ins, contacts.
func (s *Store) Write(ctx context.Context, fn func(*Tx) error) error {
	return s.write(ctx, fn)
}

// View gives several reads of one moment.
func (s *Store) View(ctx context.Context, fn func(Queries) error) error {
	// SQLite's readers see one moment in any transaction.
	o := &sql.TxOptions{ReadOnly: true}
	if s.postgres {
		o.Isolation = sql.LevelRepeatableRead
	}
	tx, err := s.db.BeginTxx(ctx, o)
	if err != nil {
		return coded(fmt.Errorf("begin to read: %w", err))
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	q := s.Queries
	q.x = tx
	return fn(q)
}

// Record has a further entry written into the audit log with the transaction: for what the
// server itself does in a Write, or beside the one thing that an Update is about.
func (tx *Tx) Record(e fleet.Audit) { tx.also = append(tx.also, e) }

// Touch says that an object changed: pages that show it read it again.
func (tx *Tx) Touch(topic fleet.Topic, id string) {
	c := fleet.Change{Topic: topic, ID: id}
	if tx.touched == nil {
		tx.touched = map[fleet.Change]bool{}
	}
	if !tx.touched[c] {
		tx.touched[c] = true
		tx.effects.Changes = append(tx.effects.Changes, c)
	}
}

// Wake says that the agents of these hosts have something to fetch: a command,
// another configuration, another directive.
func (tx *Tx) Wake(hosts ...fleet.HostID) {
	if tx.woken == nil {
		tx.woken = map[fleet.HostID]bool{}
	}
	for _, id := range hosts {
		if !tx.woken[id] {
			tx.woken[id] = true
			tx.effects.Hosts = append(tx.effects.Hosts, id)
		}
	}
}

func (s *Store) write(ctx context.Context, do func(*Tx) error) error {
	fn := func(tx *Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		for _, e := range tx.also {
			if err := tx.appendAudit(ctx, e); err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	if s.writer != nil {
		err = s.writer.do(ctx, func(x *sqlx.Tx) (Effects, error) { return s.runIn(x, fn) }, s.committed)
	} else {
		err = s.writePostgres(ctx, fn)
	}
	if fleet.Is(err, fleet.ServerDiskFull) {
		s.fullAt.Store(int64(s.now()))
	}
	return err
}

// DiskFull tells whether this process could not keep something within the last minute,
// since the database's disk was full. While it is, agents alone try that often.
func (s *Store) DiskFull() bool {
	at := fleet.Time(s.fullAt.Load())
	return at > 0 && s.now() < at.Add(time.Minute)
}

// runIn runs a function in a transaction that somebody else begins and ends.
func (s *Store) runIn(x *sqlx.Tx, fn func(*Tx) error) (Effects, error) {
	q := s.Queries
	q.x, q.guard = x, &guard{shield: !s.postgres}
	tx := &Tx{Queries: q, Now: s.now()}
	if err := fn(tx); err != nil {
		return Effects{}, err
	}
	// A function that swallowed a statement's error would commit half of its work
	// in SQLite and nothing in PostgreSQL.
	return tx.effects, q.guard.failed
}

// How often PostgreSQL is asked to run a function that lost to another transaction.
const maxAttempts = 5

func (s *Store) writePostgres(ctx context.Context, fn func(*Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := s.tryPostgres(ctx, fn)
		if err == nil || !violates(err, lostRace) || attempt == maxAttempts {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(attempt*attempt) * 5 * time.Millisecond):
		}
	}
}

func (s *Store) tryPostgres(ctx context.Context, fn func(*Tx) error) error {
	x, err := s.db.BeginTxx(ctx, nil)
	if errors.Is(err, driver.ErrBadConn) {
		// Connections whose callers hung up are closed a moment after they went
		// back to the pool. Nothing has been sent.
		return fleet.Wrap(fleet.Unavailable, &violation{lostRace, err}, "The database does not answer; try again.")
	}
	if err != nil {
		return coded(fmt.Errorf("begin: %w", err))
	}
	defer x.Rollback() //nolint:errcheck // does nothing after a commit; also runs when fn panics
	effects, err := s.runIn(x, fn)
	if err != nil {
		return err
	}
	if err := x.Commit(); err != nil {
		return coded(fmt.Errorf("commit: %w", err))
	}
	s.counters.transactions.Add(1)
	s.counters.commits.Add(1)
	s.committed(effects)
	return nil
}

// guard watches over the statements of a transaction.
type guard struct {
	shield bool  // statements are not cut short: an interrupt would end the whole group
	failed error // of the first statement that failed; the transaction is lost
}

// begin tells whether a statement may run, and under which context.
func (g *guard) begin(ctx context.Context) (context.Context, error) {
	if g.failed != nil {
		return nil, fmt.Errorf("the transaction has failed before: %w", g.failed)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if g.shield {
		ctx = context.WithoutCancel(ctx)
	}
	return ctx, nil
}

func (g *guard) end(err error) {
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		g.failed = err
	}
}
