package model_test

import (
	"errors"
	"net"
	"sync"
	"time"
)

// errKilled is what a process that was killed gets from its disk and its network.
var errKilled = errors.New("the process was killed")

// pulse says whether a process lives. What was killed writes nothing more and says
// nothing more, although its goroutines take a moment to end.
type pulse struct {
	dead chan struct{}
	once sync.Once
	at   time.Time // of its death
}

func newPulse() *pulse { return &pulse{dead: make(chan struct{})} }

func (p *pulse) kill() {
	p.once.Do(func() {
		p.at = time.Now()
		close(p.dead)
	})
}

func (p *pulse) killed() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// conn is a process's end of a connection.
type conn struct {
	net.Conn
	owner *pulse
}

func (c conn) Write(p []byte) (int, error) {
	if c.owner.killed() {
		return 0, errKilled
	}
	return c.Conn.Write(p)
}

// conns are the open connections of a process, which its system closes when it dies.
type conns struct {
	owner *pulse
	mu    sync.Mutex
	open  map[net.Conn]bool
}

// adopt makes one end of a pipe the process's.
func (c *conns) adopt(end net.Conn) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[net.Conn]bool{}
	}
	c.open[end] = true
	return &tracked{conn{end, c.owner}, c}
}

func (c *conns) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for end := range c.open {
		_ = end.Close()
	}
	clear(c.open)
}

// tracked is a connection that leaves the list when it is closed.
type tracked struct {
	conn
	list *conns
}

func (t *tracked) Close() error {
	t.list.mu.Lock()
	delete(t.list.open, t.Conn)
	t.list.mu.Unlock()
	return t.Conn.Close()
}

// listener accepts the pipes that dial hands it.
type listener struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newListener() *listener {
	return &listener{incoming: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return loopback }

// dial opens a connection; it is refused when nobody listens any more.
func (l *listener) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.incoming <- addressed{theirs}:
		return ours, nil
	case <-l.closed:
		return nil, refused()
	}
}

var loopback = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}

// addressed gives a pipe addresses that look like a network's.
type addressed struct{ net.Conn }

func (addressed) RemoteAddr() net.Addr { return loopback }
func (addressed) LocalAddr() net.Addr  { return loopback }

func refused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: loopback, Err: errors.New("connection refused")}
}
