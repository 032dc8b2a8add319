package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
)

// writeTimeout is how long an agent may take to take the answer of a parked request.
const writeTimeout = 20 * time.Second

// Lot is where agents' requests are parked. Their connections are taken over from the
// HTTP server, so that one costs neither a goroutine nor its stack and buffers, and
// are given back to one by the listener, for the next request, once they are answered.
// Requests that cannot be taken over are parked in their goroutines.
//
// Nobody reads at a parked connection: that the agent went away is noticed when there
// is something to say to it, when it asks again, or at the end of its hold.
type Lot struct {
	back chan net.Conn
	done chan struct{}
	once sync.Once

	mu        sync.Mutex
	bySession map[fleet.SessionID][]*taken
	empty     chan struct{} // closed when nobody is left; nil while nobody waits for that
}

// NewLot makes a lot. Serve its listener with an HTTP server of the same handler, with
// a ReadHeaderTimeout that lets an agent be silent between two requests; and Close it.
func NewLot() *Lot {
	return &Lot{back: make(chan net.Conn), done: make(chan struct{}), bySession: map[fleet.SessionID][]*taken{}}
}

// Accept gives a connection whose request was answered.
func (l *Lot) Accept() (net.Conn, error) {
	select {
	case c := <-l.back:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends the listener: connections are closed once they are answered.
func (l *Lot) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr says that the listener has no address.
func (l *Lot) Addr() net.Addr { return &net.UnixAddr{Name: "parked", Net: "unix"} }

// Drain waits until everybody is answered who is parked, which a closed Waker sees to.
// When ctx ends before, their connections are closed.
func (l *Lot) Drain(ctx context.Context) {
	l.mu.Lock()
	empty := make(chan struct{})
	if l.empty = empty; len(l.bySession) == 0 {
		close(empty)
	}
	l.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
		for _, t := range l.all() {
			if t.claim() {
				t.drop()
			} else {
				_ = t.conn.Close() // it is being answered, and given up
			}
		}
	}
}

func (l *Lot) all() []*taken {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*taken
	for _, list := range l.bySession {
		all = append(all, list...)
	}
	return all
}

// Parked is how many connections are here.
func (l *Lot) Parked() int { return len(l.all()) }

// enter lets a connection in. Those of the same session that their agent has left are
// let go.
func (l *Lot) enter(t *taken) {
	l.mu.Lock()
	session := t.request.Session
	others := slices.Clone(l.bySession[session])
	l.bySession[session] = append(l.bySession[session], t)
	l.mu.Unlock()
	for _, other := range others {
		if !alive(other.conn) && other.claim() {
			other.drop()
		}
	}
}

func (l *Lot) leave(t *taken) {
	l.mu.Lock()
	defer l.mu.Unlock()
	session := t.request.Session
	list := slices.DeleteFunc(l.bySession[session], func(other *taken) bool { return other == t })
	if l.bySession[session] = list; len(list) == 0 {
		delete(l.bySession, session)
	}
	if l.empty != nil && len(l.bySession) == 0 {
		close(l.empty)
		l.empty = nil
	}
}

// taken is a parked request whose connection was taken over.
type taken struct {
	*parked
	lot   *Lot
	conn  net.Conn
	last  bool // the connection ends with the answer
	ended func(status int)

	mu      sync.Mutex
	waiting bool // for the bell or the timer: the one that comes claims it
	missed  bool // the bell rang meanwhile
	timer   *time.Timer
}

// takeover is the answer to a sync that is to be parked: none yet.
type takeover struct {
	p    *parked
	lot  *Lot
	last bool
}

// VisitSyncResponse takes the connection over and parks it.
func (o takeover) VisitSyncResponse(w http.ResponseWriter) error {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		o.p.bell.Close()
		return fmt.Errorf("take a parked connection over: %w", err)
	}
	// What was sent behind the request is in a buffer that is let go.
	last := o.last || buffered.Reader.Buffered() > 0
	t := &taken{parked: o.p, lot: o.lot, conn: conn, last: last, ended: o.p.visit.Detach()}
	o.lot.enter(t)
	t.wait()
	return nil
}

// wait waits for the bell or the end of the hold.
func (t *taken) wait() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.missed {
		t.missed = false
		go t.resume(true)
		return
	}
	t.waiting = true
	t.timer = time.AfterFunc(t.patience(), t.timeUp)
	t.bell.Call(t.rung)
}

// claim makes the caller the only one who goes on with the request.
func (t *taken) claim() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.waiting {
		return false
	}
	t.waiting = false
	t.timer.Stop()
	return true
}

func (t *taken) rung() {
	t.mu.Lock()
	t.missed = !t.waiting
	t.mu.Unlock()
	if t.claim() {
		t.resume(true)
	}
}

func (t *taken) timeUp() {
	if !t.claim() {
		return
	}
	t.over = t.late()
	t.resume(!t.over)
}

// resume looks again, if it is to, and answers or goes on waiting.
func (t *taken) resume(look bool) {
	ctx, cancel := context.WithTimeout(auth.WithVisit(context.Background(), t.visit), answerTimeout)
	defer cancel()
	select {
	case <-t.handlers.waker.Draining(): // which rings for everybody, too
		t.draining = true
		time.AfterFunc(rand.N(drainTime), func() { t.finish(nil) })
		return
	default:
	}
	if look {
		if !alive(t.conn) {
			t.drop()
			return
		}
		if err := t.lookSafely(ctx); err != nil {
			t.finish(err)
			return
		}
	}
	if t.done() {
		t.finish(nil)
	} else {
		t.wait()
	}
}

// lookSafely is look with a panic as an error: this is no goroutine of a server that
// recovers.
func (t *taken) lookSafely(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(fmt.Errorf("panic of type %T", p), err)
			t.handlers.log.LogAttrs(ctx, slog.LevelError, "parked request panicked",
				slog.String("request", t.visit.ID), slog.String("trace", string(debug.Stack())))
		}
	}()
	return t.look(ctx)
}

// finish answers, and gives the connection back or ends it.
func (t *taken) finish(err error) {
	t.bell.Close()
	ctx := auth.WithVisit(context.Background(), t.visit)
	answer := &recorder{header: http.Header{}}
	shared(answer.header)
	answer.header.Set("X-Request-Id", t.visit.ID)
	if err == nil {
		err = Sync200JSONResponse(t.compose(ctx)).VisitSyncResponse(answer)
	}
	if err != nil {
		t.handlers.problems.write(answer, new(http.Request).WithContext(ctx), err)
	}
	last := t.last || t.draining
	t.ended(answer.status)
	if err := send(t.conn, answer, last); err != nil || last {
		t.leave()
		return
	}
	select {
	case t.lot.back <- t.conn:
	case <-t.lot.done:
		_ = t.conn.Close() // nobody listens any more
	}
	t.lot.leave(t)
}

// drop ends a request whose agent went away.
func (t *taken) drop() {
	t.ended(0)
	t.leave()
}

// leave ends the connection.
func (t *taken) leave() {
	t.bell.Close()
	_ = t.conn.Close() // there is nothing left to do with it
	t.lot.leave(t)
}

// send writes an answer as an HTTP server does.
func send(conn net.Conn, a *recorder, last bool) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	a.header.Set("Content-Length", strconv.Itoa(a.body.Len()))
	if last {
		a.header.Set("Connection", "close")
	}
	if err := a.header.Write(&out); err != nil {
		return err
	}
	out.WriteString("\r\n")
	out.Write(a.body.Bytes())
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write(out.Bytes()); err != nil {
		return err
	}
	return conn.SetWriteDeadline(time.Time{})
}
