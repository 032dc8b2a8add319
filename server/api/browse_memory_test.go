package api_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
)

// mostBrowsing is how much memory the server may take beside what it had, while a
// snapshot is browsed and searched: the cache of blocks, the blocks that requests in
// hand have read, and what the garbage collector has not come to.
const mostBrowsing = 32 << 20

// TestBrowsingTakesBoundedMemory has eight people click and search at the same time in a
// snapshot of a million entries, as a proof, else of a tenth of that, and looks at the
// heap meanwhile.
func TestBrowsingTakesBoundedMemory(t *testing.T) {
	entries, clicks := 100_000, 20
	if os.Getenv("RM_PROOF") != "" {
		entries, clicks = 1_000_000, 100
	}
	b := newBrowsed(t)
	b.indexed(many(entries)...)
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	b.asks(t, "/entries?path=/")
	base := heap(true)
	var most atomic.Uint64
	look := func() {
		for now := heap(false); ; {
			if was := most.Load(); now <= was || most.CompareAndSwap(was, now) {
				return
			}
		}
	}
	wrong := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	var people sync.WaitGroup
	for n := range 8 {
		people.Go(func() {
			for k := range clicks {
				if n%4 == 0 && k%10 == 0 {
					wrong(b.ask(t.Context(), fmt.Sprintf("/search?q=*no*such*%d", k)))
				}
				wrong(b.ask(t.Context(), fmt.Sprintf("/entries?path=/folder-%06d&page_size=200", (n*clicks+k)*7919%(entries/201))))
				look()
			}
		})
	}
	people.Wait()
	took := most.Load() - min(base, most.Load())
	t.Logf("%d entries: %.1f MiB beside %.1f MiB, of at most %d MiB; %.1f MiB stay", entries, float64(took)/(1<<20), float64(base)/(1<<20), mostBrowsing>>20,
		float64(heap(true)-min(base, heap(true)))/(1<<20))
	if took > mostBrowsing {
		t.Errorf("browsing took %d bytes, more than %d", took, mostBrowsing)
	}
}

// heap is how much memory is in use, with collected only what is needed.
func heap(collected bool) uint64 {
	if collected {
		runtime.GC()
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
