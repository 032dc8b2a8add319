package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"strings"
)

const (
	maxPrepared     = 128     // statements that a connection keeps
	longestPrepared = 4 << 10 // bytes of their text; longer ones are scripts, or never the same twice
)

// SQLite looks at the number bound to a bare LIMIT when it plans a statement, and so
// parses and plans it anew each time that the number is bound, even to the same. At the
// value of an expression it does not look.
const (
	boundLimit  = "LIMIT ?"
	sealedLimit = "LIMIT 0+?"
)

// preparing is a connector to SQLite whose connections keep the statements that they
// have prepared: to parse one of ours takes SQLite several times as long as to run it.
type preparing struct{ driver.Connector }

// Connect opens a connection.
func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := c.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a connection of type %T cannot keep statements", c), c.Close())
	}
	return &preparedConn{sqliteConn: full, kept: map[string]*prepared{}}, nil
}

// sqliteConn is what database/sql uses of a connection of modernc.org/sqlite.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// preparedConn is one connection. database/sql uses it, and the rows that it gives,
// from one goroutine at a time.
type preparedConn struct {
	sqliteConn
	kept map[string]*prepared
	tick int64
}

// prepared is a statement that is kept. While rows of it are open it is busy, and
// the same text is prepared apart.
type prepared struct {
	stmt interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}
	busy bool
	used int64
}

// ExecContext runs a statement that gives no rows.
func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	p, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	result, err := p.stmt.ExecContext(ctx, args)
	c.release(query, p, err)
	return result, err
}

// QueryContext runs a statement that gives rows.
func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	p, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := p.stmt.QueryContext(ctx, args)
	if err != nil {
		c.release(query, p, err)
		return nil, err
	}
	return &preparedRows{rows, func(err error) { c.release(query, p, err) }}, nil
}

// take gives the kept statement of a text, prepared now if need be, and nil where
// none can be kept or used.
func (c *preparedConn) take(ctx context.Context, query string) (*prepared, error) {
	c.tick++
	p := c.kept[query]
	if p == nil {
		if len(query) > longestPrepared {
			return nil, nil
		}
		made, err := c.PrepareContext(ctx, strings.ReplaceAll(query, boundLimit, sealedLimit))
		if err != nil {
			return nil, err
		}
		p = &prepared{}
		var ok bool
		if p.stmt, ok = made.(interface {
			driver.Stmt
			driver.StmtExecContext
			driver.StmtQueryContext
		}); !ok {
			return nil, made.Close()
		}
		c.makeRoom()
		c.kept[query] = p
	} else if p.busy {
		return nil, nil
	}
	p.busy, p.used = true, c.tick
	return p, nil
}

// release takes a statement back. One that failed is not kept: nobody need know what
// its failure left in it.
func (c *preparedConn) release(query string, p *prepared, err error) {
	p.busy = false
	if err != nil {
		delete(c.kept, query)
		_ = p.stmt.Close() // its error is the one that is known
	}
}

// makeRoom drops the statement that was not used for longest.
func (c *preparedConn) makeRoom() {
	if len(c.kept) < maxPrepared {
		return
	}
	oldest, at := "", int64(math.MaxInt64)
	for query, p := range c.kept {
		if !p.busy && p.used < at {
			oldest, at = query, p.used
		}
	}
	if p := c.kept[oldest]; p != nil {
		delete(c.kept, oldest)
		_ = p.stmt.Close() // it ended well
	}
}

// Close ends the statements and the connection.
func (c *preparedConn) Close() error {
	var errs []error
	for _, p := range c.kept {
		errs = append(errs, p.stmt.Close())
	}
	clear(c.kept)
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// preparedRows give their statement back when they are closed.
type preparedRows struct {
	driver.Rows
	release func(error)
}

// Close ends the rows; database/sql calls it once.
func (r *preparedRows) Close() error {
	err := r.Rows.Close()
	r.release(err)
	return err
}
