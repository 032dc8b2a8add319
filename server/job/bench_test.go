package job_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store/storetest"
)

const (
	benchAgents = 32
	benchLines  = 200 // of a chunk, which is what an agent cuts
	benchChunks = 5   // of a report
)

// BenchmarkIngest takes reports with log chunks of many agents at once, durably, and
// appends the same bytes to a file with a sync for all that wait: the floor.
func BenchmarkIngest(b *testing.B) {
	b.Run("file", benchFile)
	b.Run("reports", benchReports)
}

func benchText() []string {
	lines := make([]string, benchLines)
	for i := range lines {
		// Names and sizes are what a log repeats least.
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		lines[i] = fmt.Sprintf("new       /srv/projects/module-%d/src/%x/file-%d.go, saved in 0.%03ds (%d KiB added)", i%7, sum[:12], i, i*7%1000, int(sum[12])*3)
	}
	return lines
}

func benchReports(b *testing.B) {
	w := newWorld(b, storetest.SQLite(b))
	type sender struct {
		a  *agent
		wk *work
	}
	senders := make([]sender, benchAgents)
	for i := range senders {
		a := w.host(fmt.Sprint("web-", i))
		s := w.schedule(a, w.repository(fmt.Sprint("repository ", i), fleet.RepositoryReady), "daily")
		a.open()
		a.sync()
		j := w.run(s)
		a.sync()
		a.sync()
		senders[i] = sender{a, a.jobs[j.ID]}
	}
	chunk := senders[0].a.chunk(1, 1, benchText()...)
	before := w.store.Stats()
	var next atomic.Int64
	b.ResetTimer()
	var group sync.WaitGroup
	for _, s := range senders {
		group.Go(func() {
			seq := int64(1)
			for next.Add(1) <= int64(b.N) {
				it := job.Item{Job: s.wk.job, Epoch: 1, Writer: s.wk.writer, Phase: "running"}
				for range benchChunks {
					c := chunk
					c.Seq, c.FirstLine = seq, (seq-1)*benchLines+1
					it.Log = append(it.Log, c)
					seq++
				}
				if v, err := s.a.send(it); err != nil || v[0].Outcome != job.TakenOK {
					b.Errorf("got %+v, %v", v, err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	after := w.store.Stats()
	b.ReportMetric(float64(b.N*benchChunks*benchLines)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(after.Transactions-before.Transactions)/float64(max(1, after.Commits-before.Commits)), "reports/commit")
	b.ReportMetric(float64(after.Statements-before.Statements)/float64(b.N), "statements/report")
	b.ReportMetric(float64(len(chunk.Data))/benchLines, "bytes/line")
}

// benchFile appends what benchReports stores, with one sync for all who wait.
func benchFile(b *testing.B) {
	w := newWorld(b, storetest.SQLite(b))
	data := (&agent{world: w}).chunk(1, 1, benchText()...).Data
	report := []byte(strings.Repeat(string(data), benchChunks))
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	appends := make(chan chan error)
	var writer sync.WaitGroup
	writer.Go(func() {
		for first := range appends {
			waiting := []chan error{first}
			for more := true; more; {
				select {
				case next, open := <-appends:
					if more = open; open {
						waiting = append(waiting, next)
					}
				default:
					more = false
				}
			}
			for range waiting {
				_, err = f.Write(report)
			}
			if err == nil {
				err = f.Sync()
			}
			for _, done := range waiting {
				done <- err
			}
		}
	})
	var next atomic.Int64
	b.ResetTimer()
	var group sync.WaitGroup
	for range benchAgents {
		group.Go(func() {
			for next.Add(1) <= int64(b.N) {
				done := make(chan error, 1)
				appends <- done
				if err := <-done; err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	close(appends)
	writer.Wait()
	b.ReportMetric(float64(b.N*benchChunks*benchLines)/b.Elapsed().Seconds(), "lines/s")
}
