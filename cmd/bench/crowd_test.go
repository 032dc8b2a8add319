//go:build linux

package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// seat is a host with an enrolled agent, a ready repository and a schedule, as seed
// makes them. Baselines take it for a name.
type seat struct{ Host, Install, Secret, Schedule, Repository string }

func readSeats(path string) (list []seat, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return list, json.Unmarshal(text, &list)
}

// crowdOptions say who the members of a crowd are, and what they hold.
type crowdOptions struct {
	Kind        kind
	Addr        string
	TLS         bool
	Seats       string // file
	First, Last int    // of the seats
}

type kind string

const (
	syncs   kind = "sync"   // agents' requests, parked at the server
	polls   kind = "poll"   // the same bytes, parked at a bare handler
	sockets kind = "socket" // a WebSocket each
)

// atOnce is how many members arrive at a time.
const atOnce = 48

// crowd is many simulated agents, each on its own connection. Whoever is told that
// too many ask at once waits as long as it is told; whoever loses its connection comes
// again.
type crowd struct {
	ctx     context.Context
	o       crowdOptions
	seats   []seat
	members []*member
	arrive  chan struct{}
	wait    atomic.Int64 // seconds to be parked
	trouble atomic.Int64 // refusals and lost connections

	// woken is told when a member got what it waited for.
	woken func(member int, at time.Time)
}

func newCrowd(ctx context.Context, o crowdOptions) (*crowd, error) {
	seats, err := readSeats(o.Seats)
	if err != nil {
		return nil, err
	}
	c := &crowd{ctx: ctx, o: o, seats: seats[o.First:min(o.Last, len(seats))], arrive: make(chan struct{}, atOnce)}
	c.wait.Store(10)
	return c, nil
}

// grow lets members arrive until there are n, and returns when all are parked.
func (c *crowd) grow(n int) {
	for i := len(c.members); i < min(n, len(c.seats)); i++ {
		m := &member{crowd: c, no: i, seat: c.seats[i]}
		c.members = append(c.members, m)
		go m.live()
	}
	c.each(func(m *member) bool { return m.parked.Load() })
}

// settle returns when everybody was answered once more since and is parked again:
// answers grow stacks and buffers. Sockets are not answered.
func (c *crowd) settle() {
	if c.o.Kind == sockets {
		return
	}
	before := make([]int64, len(c.members))
	for i, m := range c.members {
		before[i] = m.answers.Load()
	}
	c.each(func(m *member) bool { return m.answers.Load() > before[m.no] && m.parked.Load() })
}

func (c *crowd) each(ok func(*member) bool) {
	for _, m := range c.members {
		for !ok(m) && c.ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// member is one simulated agent.
type member struct {
	crowd   *crowd
	no      int
	seat    seat
	parked  atomic.Bool
	answers atomic.Int64

	line  *line
	agent agent // where Kind is syncs
}

func (m *member) live() {
	for m.crowd.ctx.Err() == nil {
		err := m.stay()
		m.parked.Store(false)
		if m.line != nil {
			m.line.close()
			m.line = nil
		}
		if m.crowd.ctx.Err() != nil {
			return
		}
		m.crowd.trouble.Add(1)
		fmt.Fprintf(os.Stderr, "%s %d: %v\n", m.crowd.o.Kind, m.no, err)
		time.Sleep(time.Second + rand.N(time.Second))
	}
}

// stay connects and keeps a request parked until something goes wrong.
func (m *member) stay() error {
	if err := m.come(); err != nil {
		return err
	}
	for m.crowd.ctx.Err() == nil {
		if err := m.patiently(m.poll); err != nil {
			return err
		}
		m.answers.Add(1)
	}
	return nil
}

// patiently repeats a request for as long as too many ask at once, as agents do: after
// the time that the server says, on the same connection.
func (m *member) patiently(ask func() error) error {
	for {
		err := ask()
		var r *refused
		if !errors.As(err, &r) || r.status != http.StatusServiceUnavailable {
			return err
		}
		m.crowd.trouble.Add(1)
		time.Sleep(r.after + rand.N(time.Second))
	}
}

func (m *member) come() (err error) {
	m.crowd.arrive <- struct{}{}
	defer func() { <-m.crowd.arrive }()
	if m.line, err = dialLine(m.crowd.ctx, m.crowd.o.Addr, m.crowd.o.TLS); err != nil {
		return err
	}
	switch m.crowd.o.Kind {
	case syncs:
		return m.patiently(func() error { return m.agent.open(m.line, m.seat) })
	case sockets:
		return m.line.upgrade(m.seat.Host)
	}
	return nil
}

func (m *member) poll() error {
	wait := int(m.crowd.wait.Load())
	park := func() { m.parked.Store(true) }
	var got bool
	var err error
	switch m.crowd.o.Kind {
	case syncs:
		got, err = m.agent.sync(m.line, m.seat, wait, park)
	case polls:
		got, err = pollBare(m.line, m.seat, wait, park)
	case sockets:
		park()
		got, err = m.line.receive()
	}
	at := time.Now()
	m.parked.Store(false)
	if err == nil && got && m.crowd.woken != nil {
		m.crowd.woken(m.no, at)
	}
	return err
}
