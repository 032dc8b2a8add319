//go:build linux

package bench_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// BenchmarkAgent measures the real agent at rest, then what backups cost through it
// and without it.
func BenchmarkAgent(b *testing.B) {
	source := tree(b, *filesFlag, int64(*sizeFlag)<<20)
	m := newMachine(b, source)
	first := m.schedule(source)
	atStart := m.agent.memory()
	firsts(m, source)
	unchanged(m, first, source)
	idleAgent(m, atStart)
}

// contest is one way of making a backup.
type contest struct {
	run   func() cost
	costs []cost
}

// interleave lets all take turns, in another order each round.
func interleave(rounds int, contests ...*contest) {
	for range rounds {
		for _, i := range rand.Perm(len(contests)) {
			contests[i].costs = append(contests[i].costs, contests[i].run())
		}
	}
}

func (c *contest) of(what func(cost) float64) samples {
	out := make(samples, len(c.costs))
	for i := range c.costs {
		out[i] = what(c.costs[i])
	}
	return out
}

// firsts makes first backups, each into a repository that is ready and empty.
func firsts(m *machine, source string) {
	plainOne := func() cost {
		name := fmt.Sprintf("plain%08x", rand.Uint32())
		defer m.forget(name)
		return m.plain(name).backUp(source)
	}
	ours := &contest{run: func() cost {
		s := m.schedule(source)
		defer m.forget(fmt.Sprint("ours", m.made))
		return m.backUp(s)
	}}
	bareA, bareB := &contest{run: plainOne}, &contest{run: plainOne}
	interleave(*pairsFlag, ours, bareA, bareB)
	results.section(fmt.Sprintf("first backup, %d files, %d MiB", *filesFlag, *sizeFlag))
	backupRows(ours, bareA, bareB)
}

// unchanged makes backups of the same files again.
func unchanged(m *machine, schedule, source string) {
	a, c := m.plain("plain-a"), m.plain("plain-b")
	m.backUp(schedule)
	a.backUp(source)
	c.backUp(source)
	ours := &contest{run: func() cost { return m.backUp(schedule) }}
	bareA := &contest{run: func() cost { return a.backUp(source) }}
	bareB := &contest{run: func() cost { return c.backUp(source) }}
	interleave(*pairsFlag+2, ours, bareA, bareB)
	results.section(fmt.Sprintf("backup of the same %d files, unchanged", *filesFlag))
	backupRows(ours, bareA, bareB)
}

func backupRows(ours, bareA, bareB *contest) {
	wall := func(c cost) float64 { return c.wall }
	agent := func(c cost) float64 { return c.agent }
	children := func(c cost) float64 { return c.children }
	own := func(c cost) float64 { return c.restic }
	cpuNoise := bareB.of(children).over(bareA.of(children)).spread()
	n := float64(len(ours.costs))
	results.add(row{
		what: "agent's CPU : bare restic's CPU", ours: ms(ours.of(agent).sum() / n), baseline: sec(bareA.of(children).sum() / n),
		ratio: ours.of(agent).sum() / bareA.of(children).sum(), noise: cpuNoise, first: 0.02, moonshot: 0.003,
	})
	results.add(row{
		what: "CPU of every restic that the agent starts : bare restic's CPU", ours: sec(ours.of(children).median()), baseline: sec(bareA.of(children).median()),
		ratio: ours.of(children).median() / bareA.of(children).median(), noise: cpuNoise,
	})
	noise := bareB.of(wall).over(bareA.of(wall))
	results.add(row{
		what: "wall time, asked for → result : bare restic", ours: sec(ours.of(wall).median()), baseline: sec(bareA.of(wall).median()),
		ratio: ours.of(wall).median() / bareA.of(wall).median(), noise: noise.spread(), first: noise.at(1), moonshot: noise.at(1),
	})
	results.add(row{
		what: "wall time of restic's backup alone, as it says : bare restic", ours: sec(ours.of(own).median()), baseline: sec(bareA.of(wall).median()),
		ratio: ours.of(own).median() / bareA.of(wall).median(), noise: noise.spread(),
	})
}

// backrestIdle is what an earlier measurement found Backrest to take at rest.
const backrestIdle = 28 << 20

// idleAgent measures the agent once it is quiet again after its backups, and an
// agent that was started anew.
func idleAgent(m *machine, atStart memory) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never answers
	if err != nil {
		m.b.Fatal(err)
	}
	defer l.Close()
	skeleton := startPart(m.b, partIdle, input(object{"URL": "http://" + l.Addr().String()}))
	own, _ := m.agent.cpu()
	began := time.Now()
	time.Sleep(idleWindow)
	after, _ := m.agent.cpu()
	quiet, least := m.agent.memory(), skeleton.memory()
	results.section("the agent at rest")
	for _, r := range []struct {
		when string
		memory
	}{{"started, before any backup", atStart}, {"quiet again after its backups", quiet}} {
		results.add(row{
			what: "resident memory, " + r.when + " : Backrest", ours: fmt.Sprintf("%s (%s own, %s program)", mib(r.all), mib(r.anon), mib(r.file)),
			baseline: mib(backrestIdle) + " (earlier)", ratio: r.all / backrestIdle, first: 25. / 28, moonshot: 10. / 28,
		})
	}
	results.add(row{
		what: "resident memory : a Go program with one parked request", ours: mib(quiet.all),
		baseline: fmt.Sprintf("%s (%s own, %s program)", mib(least.all), mib(least.anon), mib(least.file)), ratio: quiet.all / least.all,
	})
	results.add(row{what: "processor time at rest", ours: fmt.Sprintf("%.2f ms/s", (after-own)*1e3/time.Since(began).Seconds()), ratio: none})
}
