//go:build linux

package bench_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"
)

// targets are agents whose wake-up is timed. They are members of the crowds that
// this process holds itself, so that one clock sees both ends.
type targets struct {
	b       *testing.B
	plane   *plane
	ours    *targetCrowd
	pollA   *targetCrowd
	pollB   *targetCrowd
	bare    [2]*bare
	callers [2]*line // to the bare servers, for wake-ups
	next    int      // a schedule runs once here
	batches []wakeBatch
}

// wakeBatch is what was timed while so many were parked, in seconds.
type wakeBatch struct {
	parked   int
	sent     samples // request to create the job → its agent has it
	answered samples // job created, by the API's answer → its agent has it
	bareA    samples // request to wake → it is awake
	bareB    samples
	durable  samples // the same, with one fdatasync before the wake-up
}

type targetCrowd struct {
	*crowd
	arrivals []chan time.Time // of each member
}

func newTargets(b *testing.B, plane *plane, pollA, pollB *bare, o crowdOptions) *targets {
	b.Helper()
	t := &targets{b: b, plane: plane, bare: [2]*bare{pollA, pollB}}
	at := func(k kind, addr string) *targetCrowd {
		o := o
		o.Kind, o.Addr = k, addr
		c, err := newCrowd(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		tc := &targetCrowd{crowd: c, arrivals: make([]chan time.Time, len(c.seats))}
		for i := range tc.arrivals {
			tc.arrivals[i] = make(chan time.Time, 1)
		}
		c.woken = func(member int, at time.Time) {
			select {
			case tc.arrivals[member] <- at:
			default:
			}
		}
		return tc
	}
	t.ours, t.pollA, t.pollB = at(syncs, plane.addr), at(polls, pollA.addr), at(polls, pollB.addr)
	return t
}

func (t *targets) size() int { return len(t.ours.seats) }

func (t *targets) arrive() {
	for _, c := range []*targetCrowd{t.ours, t.pollA, t.pollB} {
		c.wait.Store(holdS)
		c.grow(len(c.seats))
	}
}

// wakeUps times wake-ups while n agents are parked, one at a time, the contestants
// in another order each time.
func (t *targets) wakeUps(n int) {
	t.b.Helper()
	for i, base := range t.bare { // lines of the batch before may have been closed as idle
		l, err := dialLine(t.b.Context(), base.addr, t.ours.o.TLS)
		if err != nil {
			t.b.Fatal(err)
		}
		defer l.close()
		t.callers[i] = l
	}
	batch := wakeBatch{parked: n}
	count := min(150, t.size()-t.next)
	if n == *agentsFlag {
		count = t.size() - t.next // all that are left
	}
	for range count {
		i := t.next
		t.next++
		turns := []func(){
			func() { t.timeJob(i, &batch) },
			func() { batch.bareA = append(batch.bareA, t.timeBare(t.pollA, t.callers[0], i, "")) },
			func() { batch.bareB = append(batch.bareB, t.timeBare(t.pollB, t.callers[1], i, "")) },
			func() { batch.durable = append(batch.durable, t.timeBare(t.pollA, t.callers[0], i, "&durable=1")) },
		}
		for _, k := range rand.Perm(len(turns)) {
			turns[k]()
		}
	}
	t.batches = append(t.batches, batch)
}

func (t *targets) timeJob(i int, batch *wakeBatch) {
	t.b.Helper()
	s := t.ours.seats[i]
	t.ours.await(t.b, i)
	sent := time.Now()
	t.plane.must("POST", "/api/v1/hosts/"+s.Host+"/schedules/"+s.Schedule+"/run", object{}, nil)
	answered := time.Now()
	has := t.ours.arrival(t.b, i)
	batch.sent = append(batch.sent, has.Sub(sent).Seconds())
	batch.answered = append(batch.answered, max(0, has.Sub(answered).Seconds()))
}

func (t *targets) timeBare(c *targetCrowd, caller *line, i int, more string) float64 {
	t.b.Helper()
	c.await(t.b, i)
	sent := time.Now()
	answer, err := caller.post("/wake?name="+url.QueryEscape(c.seats[i].Host)+more, "", nil, nil)
	if err == nil {
		err = answer.err()
	}
	if err != nil {
		t.b.Fatal(err)
	}
	return c.arrival(t.b, i).Sub(sent).Seconds()
}

// await returns when the member is parked, for which its request must have come
// through: what it sent a moment ago may still be on its way.
func (c *targetCrowd) await(b *testing.B, i int) {
	b.Helper()
	for end := time.Now().Add(time.Minute); !c.members[i].parked.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%s %d is not parked", c.o.Kind, i)
		}
	}
	time.Sleep(5 * time.Millisecond)
}

func (c *targetCrowd) arrival(b *testing.B, i int) time.Time {
	b.Helper()
	select {
	case at := <-c.arrivals[i]:
		return at
	case <-time.After(time.Minute):
		b.Fatalf("%s %d was not woken", c.o.Kind, i)
		return time.Time{}
	}
}

func (t *targets) rows(secure bool) {
	way := "clear text"
	if secure {
		way = "TLS"
	}
	results.section("wake-up, " + way)
	for _, batch := range t.batches {
		for _, q := range []struct {
			name            string
			at              float64
			first, moonshot float64
		}{{"p50", 0.5, 4, 1.5}, {"p99", 0.99, 8, 1.5}} {
			noise := times(batch.bareB.at(q.at) / batch.bareA.at(q.at))
			add := func(what, name string, ours, base samples, targets ...target) {
				results.add(row{
					what: fmt.Sprintf("%d parked, %s, %s", batch.parked, q.name, what), ours: ms(ours.at(q.at)), name: name, baseline: ms(base.at(q.at)),
					ratio: ours.at(q.at) / base.at(q.at), noise: noise, targets: targets,
				})
			}
			add("job created → agent has it", "bare wake-up", batch.answered, batch.bareA, atMost(q.first, q.moonshot)...)
			if batch.parked == *agentsFlag {
				add("job asked for → agent has it", "bare wake-up", batch.sent, batch.bareA)
				add("job asked for → agent has it", "bare wake-up after an fdatasync", batch.sent, batch.durable)
			}
		}
	}
}
