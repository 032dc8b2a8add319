//go:build linux

package bench_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"restic-manager/restic"
	"restic-manager/restic/listing"
	"restic-manager/restic/restictest"
)

var entriesFlag = flag.Int("entries", 1_000_000, "files in the snapshot that is browsed, 1000 in a folder")

const (
	indexRounds = 3
	bareClicks  = 10
	clicks      = 5000
)

// browsed is a repository with one snapshot of many small files.
type browsed struct {
	b        *testing.B
	bins     restictest.Binaries
	dir      string
	source   string
	snapshot string
}

func newBrowsed(b *testing.B, files int) *browsed {
	b.Helper()
	s := &browsed{b: b, bins: restictest.Find(b, restictest.Suites()[len(restictest.Suites())-1]), dir: b.TempDir()}
	s.source = filepath.Join(s.dir, "source")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range files {
		folder := filepath.Join(s.source, fmt.Sprintf("folder-%04d", i/1000))
		if i%1000 == 0 {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		file := filepath.Join(folder, nameOf(random, i))
		at := time.Unix(1_600_000_000+random.Int64N(1e8), 0)
		if err := errors.Join(os.WriteFile(file, fmt.Appendf(nil, "%0*d", 1+random.IntN(100), i), 0o644), os.Chtimes(file, at, at)); err != nil {
			b.Fatal(err)
		}
	}
	s.bare("init")
	s.bare("backup", "--no-scan", s.source)
	listed, err := restic.Run(b.Context(), s.runner(), restic.Snapshots{}, s.access(), restic.Handlers{})
	if err != nil || len(listed.Value) != 1 {
		b.Fatalf("%+v, %v", listed, err)
	}
	s.snapshot = listed.Value[0].ID
	return s
}

// nameOf is a name such as files have.
func nameOf(random *rand.Rand, i int) string {
	stems := []string{"IMG_", "main-", "test_helper", "invoice ", "config", "module", "README."}
	ends := []string{".jpg", ".go", ".txt", ".pdf", ".json", ".md", ""}
	return fmt.Sprintf("%s%d-%04d%s", stems[random.IntN(len(stems))], i, random.IntN(10_000), ends[random.IntN(len(ends))])
}

// bare runs restic as one would by hand.
func (s *browsed) bare(args ...string) (c cost) {
	s.b.Helper()
	cmd := exec.Command(s.bins.Restic, append([]string{"--json", "-q"}, args...)...)
	cmd.Env = []string{
		"HOME=" + s.dir, "RESTIC_CACHE_DIR=" + filepath.Join(s.dir, "cache"), "RESTIC_REPOSITORY=" + filepath.Join(s.dir, "repository"),
		"RESTIC_PASSWORD=" + password,
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &said // read by this process, as ours is
	began := time.Now()
	if err := cmd.Run(); err != nil {
		s.b.Fatalf("restic %s: %v\n%s", args[0], err, &said)
	}
	return cost{wall: time.Since(began).Seconds(), children: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}
}

func (s *browsed) runner() *restic.Runner {
	return restic.New(restic.Config{Binary: s.bins.Restic, CacheDir: filepath.Join(s.dir, "cache"), TempDir: filepath.Join(s.dir, "tmp")})
}

func (s *browsed) access() restic.Access {
	location, err := restic.ParseLocation(filepath.Join(s.dir, "repository"))
	if err != nil {
		s.b.Fatal(err)
	}
	return restic.Access{Location: location, Password: restic.NewSecret(password)}
}

// index makes one from a listing, as the agent's operation does.
func (s *browsed) index(container io.Writer) (c cost, most uint64, summary listing.Summary) {
	s.b.Helper()
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	before, entries := memory.HeapInuse, 0
	began, used := time.Now(), ownCPU()
	w := listing.NewWriter(container)
	listed, err := restic.Run(s.b.Context(), s.runner(), restic.List{SnapshotID: s.snapshot, Each: func(n restic.Node) error {
		if entries++; entries%20_000 == 0 {
			runtime.ReadMemStats(&memory)
			most = max(most, memory.HeapInuse)
		}
		return w.Add(entryOf(n))
	}}, s.access(), restic.Handlers{})
	if err != nil || listed.Outcome != restic.Succeeded {
		s.b.Fatalf("%+v, %v", listed, err)
	}
	if summary, err = w.Close(); err != nil {
		s.b.Fatal(err)
	}
	return cost{wall: time.Since(began).Seconds(), agent: ownCPU() - used}, max(most, before) - before, summary
}

func entryOf(n restic.Node) listing.Entry {
	e := listing.Entry{Folder: filepath.Dir(n.Path), Name: filepath.Base(n.Path), Size: n.Size, Mode: n.Mode, ModTime: n.ModTime}
	if n.Type == "dir" {
		e.Type = listing.Dir
	}
	return e
}

// ownCPU is the processor time of this process, without its children's.
func ownCPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// blocks is an index as the server keeps it, here in memory.
type blocks map[[2]int][]byte

func (k blocks) Block(_ context.Context, kind, number int) ([]byte, error) {
	return k[[2]int{kind, number}], nil
}

// BenchmarkBrowse makes the index of a snapshot, beside the bare listing that it is made
// from, then clicks through it, beside a restic for each click.
func BenchmarkBrowse(b *testing.B) {
	s := newBrowsed(b, *entriesFlag)
	var container bytes.Buffer
	var most uint64
	var summary listing.Summary
	ours := &contest{run: func() cost {
		container.Reset()
		c, memory, made := s.index(&container)
		most, summary = max(most, memory), made
		return c
	}}
	bareA := &contest{run: func() cost { return s.bare("ls", "--no-lock", s.snapshot) }}
	bareB := &contest{run: bareA.run}
	interleave(indexRounds, ours, bareA, bareB)
	indexRows(ours, bareA, bareB, container.Len(), most, summary)

	kept := blocks{}
	if _, err := listing.Split(&container, func(k listing.Block) error { kept[[2]int{k.Kind, k.Number}] = k.Data; return nil }); err != nil {
		b.Fatal(err)
	}
	r, err := listing.Open(b.Context(), kept)
	if err != nil {
		b.Fatal(err)
	}
	s.clickRows(r)
}

func indexRows(ours, bareA, bareB *contest, size int, most uint64, summary listing.Summary) {
	wall := func(c cost) float64 { return c.wall }
	noise := bareB.of(wall).over(bareA.of(wall))
	const bare = "bare restic ls --json"
	results.section(fmt.Sprintf("the index of a snapshot of %d entries", summary.Entries))
	results.add(row{
		what: "wall time, listing included", ours: sec(ours.of(wall).median()), name: bare, baseline: sec(bareA.of(wall).median()),
		ratio: ours.of(wall).median() / bareA.of(wall).median(), noise: noise.spread(), targets: []target{{limit: 1.2}},
	})
	own, theirs := ours.of(func(c cost) float64 { return c.agent }).median(), bareA.of(func(c cost) float64 { return c.children }).median()
	results.add(row{what: "CPU without restic's own", ours: sec(own), name: bare, baseline: sec(theirs), ratio: own / theirs})
	each := float64(size) / float64(max(1, summary.Entries))
	results.add(row{
		what: "bytes an entry", ours: fmt.Sprintf("%.1f", each), name: "20 bytes", baseline: "20", ratio: each / 20,
		targets: []target{{1, "≤ 20"}, {0.5, "≤ 10"}},
	})
	results.add(row{
		what: "memory while it is made", ours: mib(float64(most)), name: "64 MiB", baseline: mib(64 << 20), ratio: float64(most) / (64 << 20), targets: []target{{1, "≤ 64 MiB"}},
	})
}

// clickRows lists folders by the index and by a restic each.
func (s *browsed) clickRows(r *listing.Reader) {
	folders := max(1, *entriesFlag/1000)
	folder := func() string { return filepath.Join(s.source, fmt.Sprintf("folder-%04d", rand.IntN(folders))) }
	var ours, bare samples
	for range bareClicks {
		path := folder()
		bare = append(bare, s.bare("ls", "--no-lock", s.snapshot, path).wall)
	}
	for range clicks {
		path := folder()
		began := time.Now()
		list, _, err := r.List(s.b.Context(), path, "", 100)
		ours = append(ours, time.Since(began).Seconds())
		if err != nil || len(list) == 0 {
			s.b.Fatalf("%s: %d entries, %v", path, len(list), err)
		}
	}
	results.section("a click")
	results.add(row{
		what: "a page of a folder from the index, p99", ours: ms(ours.at(0.99)), name: "restic ls of that folder, p50", baseline: ms(bare.median()),
		ratio: ours.at(0.99) / bare.median(), targets: []target{{limit: 1. / 500, text: "≤ 1/500"}},
	})
	results.add(row{
		what: "the same, p50", ours: ms(ours.median()), name: "restic ls of that folder, p50", baseline: ms(bare.median()), ratio: ours.median() / bare.median(),
	})
	began := time.Now()
	for after, first := "", true; first || after != ""; first = false {
		var err error
		if _, after, err = r.Search(s.b.Context(), listing.Query{Text: "no such name"}, after, 100); err != nil {
			s.b.Fatal(err)
		}
	}
	results.add(row{what: "a search of all names", ours: ms(time.Since(began).Seconds()), ratio: none})
}
