package listing

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"
)

// machine calls each for the entries of a machine's files, in restic's order: folders of
// folders, with names, sizes and times such as they are.
func machine(count int, each func(Entry)) {
	random := rand.New(rand.NewPCG(7, 7))
	stems := []string{"main", "index", "README", "test_helper", "IMG", "report", "config", "invoice", "module", "lib", "Makefile", "data", "draft"}
	ends := []string{".go", ".js", ".txt", ".jpg", ".pdf", ".json", ".py", ".c", ".h", "", ".md", ".so.1", ".docx"}
	made := 0
	day := time.Date(2024, 3, 1, 8, 0, 0, 0, time.UTC)
	file := func(folder string, i int, at time.Time) Entry {
		made++
		name := fmt.Sprintf("%05d-%s%s", i, stems[random.IntN(len(stems))], ends[random.IntN(len(ends))])
		if random.IntN(4) > 0 {
			name = fmt.Sprintf("%s_%04d%s", stems[i%len(stems)], i, ends[random.IntN(len(ends))])
		}
		return Entry{Folder: folder, Name: name, Size: int64(random.ExpFloat64() * 20_000), Mode: 0o644, ModTime: at.Add(time.Duration(random.IntN(3600)) * time.Second)}
	}
	each(Entry{Folder: "/", Name: "srv", Type: Dir, Mode: fs.ModeDir | 0o755, ModTime: day})
	made++
	for outer := 0; made < count; outer++ {
		path := fmt.Sprintf("/srv/project-%04d", outer)
		each(Entry{Folder: "/srv", Name: path[5:], Type: Dir, Mode: fs.ModeDir | 0o755, ModTime: day})
		made++
		for inner := 0; inner < 30 && made < count; inner++ {
			at := day.Add(time.Duration(random.IntN(900*24)) * time.Hour)
			name := fmt.Sprintf("%s%02d", stems[inner%len(stems)], inner)
			each(Entry{Folder: path, Name: name, Type: Dir, Mode: fs.ModeDir | 0o750, ModTime: at})
			made++
			files := int(random.ExpFloat64() * 25)
			if random.IntN(200) == 0 {
				files = 5000
			}
			for i := 0; i < files && made < count; i++ {
				each(file(path+"/"+name, i, at))
			}
		}
	}
}

// gauge notes the most memory that was in use.
type gauge struct {
	before, most uint64
	calls        int
}

func newGauge() *gauge {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return &gauge{before: m.HeapInuse}
}

func (g *gauge) look() {
	if g.calls++; g.calls%10_000 != 0 {
		return
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	g.most = max(g.most, m.HeapInuse)
}

// counter is where an index goes that nobody keeps.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// TestAMillionEntriesNeedFewBytesAndLittleMemory writes an index of a machine's files: of
// 20 000, in a proof of a million.
func TestAMillionEntriesNeedFewBytesAndLittleMemory(t *testing.T) {
	count := 20_000
	if os.Getenv("RM_PROOF") != "" {
		count = 1_000_000
	}
	var size counter
	w, g := NewWriter(&size), newGauge()
	machine(count, func(e Entry) {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
		g.look()
	})
	g.calls = -1
	g.look()
	summary, err := w.Close()
	if err != nil || summary.Entries != int64(count) {
		t.Fatalf("%+v, %v", summary, err)
	}
	used := (max(g.most, g.before) - g.before) >> 20
	t.Logf("%d entries in %d folders: %.1f bytes an entry, %d MiB of memory", count, summary.Folders, float64(size)/float64(count), used)
	if int64(size) > 20*summary.Entries || used > 64 {
		t.Errorf("%d bytes, %d MiB", size, used)
	}
}

func BenchmarkIndexOfAMillion(b *testing.B) {
	for b.Loop() {
		var size counter
		w := NewWriter(&size)
		machine(1_000_000, func(e Entry) { _ = w.Add(e) })
		if _, err := w.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(size)/1e6, "bytes/entry")
	}
}

// millionIndex is an index of a million entries, kept in memory.
func millionIndex(b *testing.B) *Reader {
	var entries []Entry
	machine(1_000_000, func(e Entry) { entries = append(entries, e) })
	return mustOpen(b, mustIndex(b, entries))
}

func BenchmarkClickInAMillion(b *testing.B) {
	r := millionIndex(b)
	for n := 0; b.Loop(); n++ {
		if _, _, err := r.List(b.Context(), fmt.Sprintf("/srv/project-%04d", n*37%1000), "", 100); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSearchInAMillion(b *testing.B) {
	r := millionIndex(b)
	for b.Loop() {
		for after, first := "", true; first || after != ""; first = false {
			var err error
			if _, after, err = r.Search(b.Context(), Query{Text: "not_there_0001"}, after, 100); err != nil {
				b.Fatal(err)
			}
		}
	}
}
