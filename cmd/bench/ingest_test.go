//go:build linux

package bench_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"restic-manager/server/store/storetest"
)

// connections is how many reports are under way at a time.
const connections = 64

// raceAgents is how many agents race against the file.
const raceAgents = 100

// BenchmarkIngest hands over the logs of many running jobs at once, as agents do,
// and appends the same chunks to a file with one fdatasync for all who wait.
func BenchmarkIngest(b *testing.B) {
	logs := newLogs(b)
	b.Run("sqlite", func(b *testing.B) {
		dir := b.TempDir()
		p, seats := seededPlane(b, dir, filepath.Join(dir, "server.db"), "", raceAgents)
		ingest(b, p, logs, seats, "SQLite, synchronous=FULL", func(lines float64) { atRest(b, p, dir, logs, lines) })
	})
	b.Run("postgres", func(b *testing.B) {
		url := storetest.PostgreSQL(b)
		makeDurable(b, url)
		p, seats := seededPlane(b, b.TempDir(), url, url, raceAgents)
		ingest(b, p, logs, seats, "PostgreSQL, fsync=on", nil)
	})
	b.Run("curve", func(b *testing.B) {
		dir := b.TempDir()
		p, seats := seededPlane(b, dir, filepath.Join(dir, "server.db"), "", *agentsFlag)
		curve(b, p, logs, seats)
	})
}

// seededPlane starts a server whose database knows so many agents.
func seededPlane(b *testing.B, dir, database, url string, agents int) (*plane, []seat) {
	b.Helper()
	if err := os.Chmod(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	seats, err := readSeats(seed(b, database, agents))
	if err != nil {
		b.Fatal(err)
	}
	return startPlane(b, planeOptions{data: dir, database: url}), seats
}

// makeDurable has the tests' PostgreSQL wait for the disk, which it does not
// otherwise.
func makeDurable(b *testing.B, url string) {
	b.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{"ALTER SYSTEM SET fsync = on", "ALTER SYSTEM SET full_page_writes = on", "SELECT pg_reload_conf()"} {
		if _, err := db.Exec(statement); err != nil {
			b.Fatal(err)
		}
	}
	eventually(b, "PostgreSQL waits for the disk", 20*time.Second, func() bool {
		var on string
		return db.QueryRow("SHOW fsync").Scan(&on) == nil && on == "on"
	})
}

// ingest measures two sizes of reports. stored is told how many lines there were.
func ingest(b *testing.B, p *plane, logs *logs, seats []seat, database string, stored func(lines float64)) {
	file, err := newGroupLog(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	contestants := ingestBaselines{dialLines(b, startBaseline(b, baselineInput{}).addr, false), file}
	results.section(fmt.Sprintf("durable report ingest, %d agents, %s", len(seats), database))
	r := newReporters(b, p, logs, seats)
	lines := 0.
	for _, chunks := range []int{1, 20} {
		lines += r.race(contestants, chunks)
	}
	if stored != nil {
		stored(lines)
	}
}

// race lets the server, a bare handler and a file take turns at the same reports.
func (r *reporters) race(contestants ingestBaselines, chunks int) (lines float64) {
	// About half a million lines a round.
	reports := max(1, 25/chunks) * len(r.all)
	var ours, cpu, bareA, bareB, file samples
	for range *roundsFlag {
		batch := r.prepare(reports, chunks)
		for _, k := range rand.Perm(4) {
			switch k {
			case 0:
				before, _ := r.plane.cpu()
				ours = append(ours, timed(func() { r.send(r.lines, batch) }))
				after, _ := r.plane.cpu()
				cpu = append(cpu, after-before)
			case 1:
				bareA = append(bareA, timed(func() { r.send(contestants.bare, batch) }))
			case 2:
				bareB = append(bareB, timed(func() { r.send(contestants.bare, batch) }))
			case 3:
				file = append(file, timed(func() { appendAll(r.b, contestants.file, batch) }))
			}
		}
	}
	lines = float64(reports * chunks * chunkLines)
	perSecond := func(s samples) string { return fmt.Sprintf("%.0f k lines/s", lines/s.median()/1e3) }
	what := fmt.Sprintf("%d lines a report", chunks*chunkLines)
	noise := bareA.over(bareB).spread()
	results.add(row{
		what: what, ours: perSecond(ours), name: "a bare handler that appends them to a file, group fdatasync", baseline: perSecond(bareA),
		ratio: bareA.median() / ours.median(), noise: noise, atLeast: true, targets: atMost(0.3, 0.6),
	})
	results.add(row{
		what: what, ours: perSecond(ours), name: "their bytes appended to a file without a server, group fdatasync", baseline: perSecond(file),
		ratio: file.median() / ours.median(), noise: noise, atLeast: true, targets: atMost(0.3, 0.6),
	})
	results.add(row{
		what: "  server's processor time", ours: fmt.Sprintf("%.2f µs a line, %.2f ms a report", cpu.median()/lines*1e6, cpu.median()/float64(reports)*1e3),
		ratio: none,
	})
	return lines * float64(*roundsFlag)
}

// ingestBaselines take the same reports as the server.
type ingestBaselines struct {
	bare []*line // to a bare handler
	file *groupLog
}

func timed(f func()) float64 {
	began := time.Now()
	f()
	return time.Since(began).Seconds()
}

// appendAll is send without a server.
func appendAll(b *testing.B, file *groupLog, batch [][]report) {
	var group sync.WaitGroup
	for _, part := range batch {
		group.Go(func() {
			for _, r := range part {
				if err := file.append(r.data); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// curve measures what a report of 200 lines costs the server as more and more agents
// hand them over.
func curve(b *testing.B, p *plane, logs *logs, seats []seat) {
	results.section("what a line costs the server as agents grow, SQLite")
	var base float64
	for _, n := range upTo(len(seats)) {
		r := newReporters(b, p, logs, seats[:n])
		reports := max(2000, n)
		var each samples
		for range 2 {
			batch := r.prepare(reports, 1)
			before, _ := p.cpu()
			r.send(r.lines, batch)
			after, _ := p.cpu()
			each = append(each, (after-before)/float64(reports*chunkLines)*1e6)
		}
		if base == 0 {
			base = each.median()
		}
		spread := make(samples, len(each))
		for i := range each {
			spread[i] = each[i] / each.median()
		}
		results.add(row{
			what: fmt.Sprintf("processor time a line, %d agents", n), ours: fmt.Sprintf("%.2f µs", each.median()),
			name: fmt.Sprintf("%d agents", upTo(len(seats))[0]), baseline: fmt.Sprintf("%.2f µs", base), ratio: each.median() / base, noise: spread.spread(),
		})
	}
}

// atRest stops the server and compares its database file with the same lines in one
// zstd stream.
func atRest(b *testing.B, p *plane, dir string, logs *logs, lines float64) {
	p.stop()
	info, err := os.Stat(filepath.Join(dir, "server.db"))
	if err != nil {
		b.Fatal(err)
	}
	ours, stream := float64(info.Size())/lines, logs.stream/(distinctChunks*chunkLines)
	results.add(row{
		what: "log bytes at rest, the whole database", ours: fmt.Sprintf("%.1f a line", ours), name: "one zstd stream of all lines",
		baseline: fmt.Sprintf("%.1f a line", stream), ratio: ours / stream, targets: atMost(1.2, 1.1),
	})
}
