//go:build linux

package bench_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Earlier measurements of a coder/websocket server that holds 10 000 agents, whose
// module this one does not have. The sockets measured here are leaner.
const earlierSocketClear, earlierSocketTLS = 30.2 * 1024, 44.3 * 1024

// holdS is what agents ask for. A few ask for less while they arrive, so that all
// have been answered soon.
const holdS, fewHoldS, few = 25, 8, 1000

// idleWindow is at least one hold long, so that everybody asks again in it.
const idleWindow = 26 * time.Second

// BenchmarkParked holds agents at the server and as many polls and sockets at bare
// servers: memory for each, processor time while nothing happens, and wake-ups.
func BenchmarkParked(b *testing.B) {
	seeded := filepath.Join(b.TempDir(), "seeded.db")
	seats := seed(b, seeded, *agentsFlag)
	b.Run("clear", func(b *testing.B) { parked(b, seeded, seats, false, upTo(*agentsFlag)) })
	b.Run("tls", func(b *testing.B) { parked(b, seeded, seats, true, []int{*agentsFlag}) })
}

// upTo gives the steps of the curve.
func upTo(n int) []int {
	var steps []int
	for s := 100; s < n; s *= 10 {
		steps = append(steps, s)
	}
	return append(steps, n)
}

// contestant is a server with the crowd that it holds.
type contestant struct {
	name   string
	server *process
	crowd  *process
	first  int    // of the seats that the crowd has
	most   int    // agents in the end
	empty  memory // before anybody came
	held   []memory
	idle   float64 // of one core
}

func parked(b *testing.B, seeded, seats string, secure bool, steps []int) {
	plane := startPlane(b, planeOptions{data: copied(b, seeded), tls: secure})
	in := baselineInput{TLS: secure, Certificate: filepath.Join(plane.data, "tls.pem")}
	pollA, pollB, socket := startBaseline(b, in), startBaseline(b, in), startBaseline(b, in)
	most := steps[len(steps)-1]
	t := newTargets(b, plane, pollA, pollB, crowdOptions{TLS: secure, Seats: seats, First: 0, Last: min(most/2, 50+150*len(steps))})
	// The targets are the first of the agents, but for sockets, which wake nobody here.
	contest := func(name string, k kind, server *process, addr string, first int) *contestant {
		crowd := startPart(b, partCrowd, input(crowdOptions{Kind: k, Addr: addr, TLS: secure, Seats: seats, First: first, Last: most}))
		return &contestant{name: name, server: server, crowd: crowd, first: first, most: most}
	}
	all := []*contestant{
		contest("server", syncs, plane.process, plane.addr, t.size()),
		contest("bare long poll", polls, pollA.process, pollA.addr, t.size()),
		contest("bare long poll again", polls, pollB.process, pollB.addr, t.size()),
		contest("bare WebSocket, ping 30 s", sockets, socket.process, socket.addr, 0),
	}
	rest(all)
	t.arrive()
	for _, n := range steps {
		together(all, func(c *contestant) {
			c.crowd.ask("wait %d", hold(n))
			c.crowd.ask("grow %d", n-c.first)
			c.crowd.ask("settle")
		})
		for _, c := range all {
			c.held = append(c.held, c.server.memory())
		}
		t.wakeUps(n)
	}
	idle(all, plane)
	for _, c := range all {
		b.Logf("%s: %s refusals and lost connections", c.name, c.crowd.ask("trouble"))
	}
	parkedRows(all, steps, secure)
	t.rows(secure)
}

func hold(agents int) int {
	if agents <= few {
		return fewHoldS
	}
	return holdS
}

// rest notes what everybody takes without agents, once what starting has taken is
// given back: a server that was never asked anything holds more than a quiet one.
func rest(all []*contestant) {
	least := func(c *contestant) bool {
		now := c.server.memory()
		falls := c.empty.all == 0 || now.all < c.empty.all-1<<20
		c.empty = now
		return !falls
	}
	for calm := 0; calm < 3; calm++ {
		time.Sleep(2 * time.Second)
		for _, c := range all {
			if !least(c) {
				calm = -1
			}
		}
	}
}

// together does a step for all at the same time.
func together(all []*contestant, step func(*contestant)) {
	done := make(chan struct{})
	for _, c := range all {
		go func() { step(c); done <- struct{}{} }()
	}
	for range all {
		<-done
	}
}

// idle measures the processor time of everybody in the same window.
func idle(all []*contestant, p *plane) {
	together(all, func(c *contestant) {
		if c.crowd.ask("wait %d", holdS); hold(c.most) != holdS {
			c.crowd.ask("settle")
		}
	})
	p.profile()
	defer p.profile()
	before := make(samples, len(all))
	for i, c := range all {
		before[i], _ = c.server.cpu()
	}
	began := time.Now()
	time.Sleep(idleWindow)
	for i, c := range all {
		after, _ := c.server.cpu()
		c.idle = (after - before[i]) / time.Since(began).Seconds()
	}
}

func parkedRows(all []*contestant, steps []int, secure bool) {
	ours, pollA, pollB, socket := all[0], all[1], all[2], all[3]
	way, earlier := "clear text", earlierSocketClear
	if secure {
		way, earlier = "TLS", earlierSocketTLS
	}
	last := len(steps) - 1
	n := steps[last]
	results.section(fmt.Sprintf("%d agents parked, %s", n, way))
	bases := []*contestant{pollA, socket}
	for _, base := range bases {
		r := row{
			what: "server memory per agent", ours: kib(ours.each(last, n)), name: base.name, baseline: kib(base.each(last, n)),
			ratio: ours.each(last, n) / base.each(last, n), noise: times(pollB.each(last, n) / pollA.each(last, n)),
		}
		if base == socket {
			r.targets = atMost(1.1, 0.35)
		}
		results.add(r)
	}
	results.add(row{
		what: "server memory per agent", ours: kib(ours.each(last, n)), name: "coder/websocket, earlier", baseline: kib(earlier),
		ratio: ours.each(last, n) / earlier, targets: atMost(1.1, 0.35),
	})
	for _, base := range bases {
		r := row{
			what: "idle CPU of one core, hold 25 s", ours: percent(ours.idle), name: base.name, baseline: percent(base.idle),
			ratio: ours.idle / base.idle, noise: times(pollB.idle / pollA.idle),
		}
		if base == socket {
			r.targets = atMost(1, 0.35)
		}
		results.add(r)
	}
	for step, n := range steps {
		results.add(row{
			what: fmt.Sprintf("server's resident memory in all, %d agents", n), ours: mib(ours.held[step].all), name: pollA.name,
			baseline: mib(pollA.held[step].all), ratio: ours.held[step].all / pollA.held[step].all,
			noise: times(pollB.held[step].all / pollA.held[step].all),
		})
	}
}

// each is the memory that one of n agents takes at a step.
func (c *contestant) each(step, n int) float64 { return (c.held[step].all - c.empty.all) / float64(n) }

// copied gives a data directory with a copy of a database that is not open.
func copied(b *testing.B, database string) string {
	b.Helper()
	text, err := os.ReadFile(database)
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), "server")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "server.db"), text, 0o600); err != nil {
		b.Fatal(err)
	}
	return dir
}
