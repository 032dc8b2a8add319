package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/jmoiron/sqlx"

	"restic-manager/server/fleet"
)

// maxGroup is how many functions one commit carries at most.
const maxGroup = 128

var errClosed = fleet.Errorf(fleet.Unavailable, "The server is stopping.")

// writer owns SQLite's one writing connection. Whoever wants to write queues; the
// writer begins a transaction, lets everybody who waits run in it one after the
// other, each in a savepoint, and commits once. While it commits the next group
// gathers, so groups grow with the load and a lone writer does not wait.
//
// Each function runs on the goroutine of its caller: a panic is its caller's own,
// and only its savepoint is rolled back.
type writer struct {
	db       *sqlx.DB
	counters *counters
	queue    chan *turn
	waiting  atomic.Int64
	stop     chan struct{}
	once     sync.Once
	done     sync.WaitGroup
}

// turn is one caller's place in the queue.
type turn struct {
	gone      <-chan struct{} // ends when the caller no longer wants it
	granted   chan *sqlx.Tx   // unbuffered: given and taken, or neither
	ran       chan outcome
	committed chan error
}

// outcome is how a turn left the transaction.
type outcome int

const (
	kept   outcome = iota // its savepoint is part of the transaction
	undone                // its savepoint was rolled back
	broken                // the transaction is lost, for everybody in it
)

func newWriter(db *sqlx.DB, c *counters) *writer {
	w := &writer{db: db, counters: c, queue: make(chan *turn), stop: make(chan struct{})}
	w.done.Go(w.loop)
	return w
}

// close lets the group that runs finish, then ends the connection.
func (w *writer) close() error {
	w.once.Do(func() { close(w.stop) })
	w.done.Wait()
	return w.db.Close()
}

// do runs fn in the next group and returns when it is committed. after is told of
// the effects then.
func (w *writer) do(ctx context.Context, fn func(*sqlx.Tx) (Effects, error), after func(Effects)) error {
	t := &turn{
		gone:      ctx.Done(),
		granted:   make(chan *sqlx.Tx),
		ran:       make(chan outcome, 1),
		committed: make(chan error, 1),
	}
	w.waiting.Add(1)
	err := w.enter(ctx, t)
	w.waiting.Add(-1)
	if err != nil {
		return err
	}
	var tx *sqlx.Tx
	select {
	case tx = <-t.granted:
	case err := <-t.committed: // no transaction could be begun
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	effects, err := t.run(tx, fn)
	if err != nil {
		return err
	}
	if err := <-t.committed; err != nil {
		return err
	}
	after(effects)
	return nil
}

func (w *writer) enter(ctx context.Context, t *turn) error {
	select {
	case w.queue <- t:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stop:
		return errClosed
	}
}

// run runs fn between the savepoint and its end and always tells the writer how it
// went, also when fn panics or ends its goroutine.
func (t *turn) run(tx *sqlx.Tx, fn func(*sqlx.Tx) (Effects, error)) (effects Effects, err error) {
	out := broken
	defer func() { t.ran <- out }()
	if _, err := tx.Exec("SAVEPOINT turn"); err != nil {
		return Effects{}, coded(fmt.Errorf("savepoint: %w", err))
	}
	released := false
	defer func() {
		if released {
			return
		}
		if _, undoErr := tx.Exec("ROLLBACK TO turn"); undoErr != nil {
			err = errors.Join(err, coded(fmt.Errorf("roll back to savepoint: %w", undoErr)))
			return
		}
		out = undone
	}()
	if effects, err = fn(tx); err != nil {
		return Effects{}, err
	}
	if _, err := tx.Exec("RELEASE turn"); err != nil {
		return Effects{}, coded(fmt.Errorf("release savepoint: %w", err))
	}
	released, out = true, kept
	return effects, nil
}

func (w *writer) loop() {
	for {
		select {
		case t := <-w.queue:
			w.group(t)
		case <-w.stop:
			return
		}
	}
}

// group carries the first turn and everybody who queues meanwhile through one
// transaction.
func (w *writer) group(first *turn) {
	// The group outlives each of its callers, so it has a context of its own.
	tx, err := w.db.BeginTxx(context.Background(), nil)
	if err != nil {
		first.committed <- coded(fmt.Errorf("begin: %w", err))
		return
	}
	members, err := w.gather(tx, first)
	if err == nil && len(members) > 0 {
		err = tx.Commit()
	}
	if err != nil || len(members) == 0 {
		tx.Rollback() //nolint:errcheck // SQLite may have ended it itself
	} else {
		w.counters.commits.Add(1)
		w.counters.transactions.Add(int64(len(members)))
	}
	if err != nil {
		err = coded(fmt.Errorf("commit: %w", err))
	}
	for _, t := range members {
		t.committed <- err
	}
}

var errBroken = fleet.Errorf(fleet.Unavailable, "The database could not keep the change; try again.")

// gather runs turns until nobody waits or the group is full, and gives the ones
// whose work is part of the transaction.
func (w *writer) gather(tx *sqlx.Tx, t *turn) ([]*turn, error) {
	var members []*turn
	for {
		select {
		case t.granted <- tx:
			switch <-t.ran {
			case kept:
				members = append(members, t)
			case broken:
				return members, errBroken
			}
		case <-t.gone:
		}
		if len(members) == maxGroup {
			return members, nil
		}
		select {
		case t = <-w.queue:
		default:
			return members, nil
		}
	}
}
