//go:build linux

package bench_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
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
	bare := "bare restic backup --json"
	results.add(row{
		what: "agent's CPU, without restic", ours: ms(ours.of(agent).sum() / n), name: bare, baseline: sec(bareA.of(children).sum() / n),
		ratio: ours.of(agent).sum() / bareA.of(children).sum(), noise: cpuNoise, targets: atMost(0.02, 0.003),
	})
	results.add(row{
		what: "CPU of every restic that the agent starts", ours: sec(ours.of(children).median()), name: bare, baseline: sec(bareA.of(children).median()),
		ratio: ours.of(children).median() / bareA.of(children).median(), noise: cpuNoise,
	})
	noise := bareB.of(wall).over(bareA.of(wall))
	most := max(noise.at(1), 1/noise.at(0)) // it is chance which of the two was A
	within := []target{{most, "within A/A"}}
	results.add(row{
		what: "wall time, asked for → result", ours: sec(ours.of(wall).median()), name: bare, baseline: sec(bareA.of(wall).median()),
		ratio: ours.of(wall).median() / bareA.of(wall).median(), noise: noise.spread(), targets: within,
	})
	results.add(row{
		what: "wall time of restic's backup alone", ours: sec(ours.of(own).median()), name: bare, baseline: sec(bareA.of(wall).median()),
		ratio: ours.of(own).median() / bareA.of(wall).median(), noise: noise.spread(), targets: within,
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
	least := start(m.b, "idle", nil, filepath.Join(programs, "idle"), "http://"+l.Addr().String())
	own, _ := m.agent.cpu()
	began := time.Now()
	time.Sleep(idleWindow)
	after, _ := m.agent.cpu()
	quiet := m.agent.memory()
	results.section("the agent at rest")
	for _, r := range []struct {
		when string
		memory
	}{{"started, before any backup", atStart}, {"quiet again after its backups", quiet}} {
		results.add(row{
			what: "resident memory, " + r.when, ours: r.String(), name: "Backrest at rest, earlier", baseline: mib(backrestIdle),
			ratio: r.all / backrestIdle, targets: []target{{25. / 28, "≤ 25 MiB"}, {10. / 28, "≤ 10 MiB"}},
		})
	}
	results.add(row{
		what: "resident memory", ours: mib(quiet.all), name: "a Go program with one parked request", baseline: least.memory().String(),
		ratio: quiet.all / least.memory().all,
	})
	results.add(row{what: "processor time at rest", ours: fmt.Sprintf("%.2f ms/s", (after-own)*1e3/time.Since(began).Seconds()), ratio: none})
}

func (m memory) String() string {
	return fmt.Sprintf("%s (%s of it the program)", mib(m.all), mib(m.file))
}
