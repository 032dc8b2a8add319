//go:build linux

package bench_test

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
)

// results gathers the rows of all benchmarks; TestMain prints them at the end, since
// lines of go test stand between them until then.
var results table

type table struct {
	mu   sync.Mutex
	rows []row
}

// row is one figure.
type row struct {
	what     string
	ours     string
	name     string // of the baseline
	baseline string
	ratio    float64 // ours over baseline, or none
	noise    string  // what two baselines differed by
	targets  []target
	atLeast  bool // a ratio of speeds, where more is better
}

// target is a limit for a ratio. text says it in another way.
type target struct {
	limit float64
	text  string
}

// atMost gives the first target and the moonshot.
func atMost(first, moonshot float64) []target { return []target{{limit: first}, {limit: moonshot}} }

func (t *table) add(r row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
}

func (t *table) section(name string) { t.add(row{what: name, ratio: math.Inf(1)}) }

func (t *table) print(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(w, "\n%d cores, loopback, %s\n", runtime.NumCPU(), runtime.Version())
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range t.rows {
		if math.IsInf(r.ratio, 1) {
			fmt.Fprintf(tw, "\n%s\tours\tbaseline\t\tratio\tA/A\ttargets\n", r.what)
			continue
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.what, r.ours, r.name, r.baseline, times(r.ratio), r.noise, r.judged())
	}
	tw.Flush()
}

// judged says which targets are met.
func (r *row) judged() string {
	var said []string
	for _, t := range r.targets {
		sign, met := "≤", r.ratio <= t.limit
		if r.atLeast {
			sign, met = "≥", r.ratio >= t.limit
		}
		if t.text == "" {
			t.text = fmt.Sprintf("%s %.3g", sign, t.limit)
		}
		if met {
			said = append(said, t.text+" met")
		} else {
			said = append(said, t.text+" missed")
		}
	}
	return strings.Join(said, ", ")
}

func times(ratio float64) string {
	switch {
	case math.IsNaN(ratio):
		return ""
	case ratio < 0.1:
		return fmt.Sprintf("%.4f ×", ratio)
	}
	return fmt.Sprintf("%.2f ×", ratio)
}

var none = math.NaN()

// samples are measurements of one thing.
type samples []float64

// at gives the quantile q, by the nearest rank.
func (s samples) at(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func (s samples) median() float64 { return s.at(0.5) }

func (s samples) sum() (total float64) {
	for _, v := range s {
		total += v
	}
	return total
}

// over divides sample by sample.
func (s samples) over(t samples) samples {
	out := make(samples, min(len(s), len(t)))
	for i := range out {
		out[i] = s[i] / t[i]
	}
	return out
}

// spread is the range that ratios lie in.
func (s samples) spread() string {
	if len(s) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f–%.2f", slices.Min(s), slices.Max(s))
}

func ms(seconds float64) string  { return fmt.Sprintf("%.2f ms", seconds*1e3) }
func sec(seconds float64) string { return fmt.Sprintf("%.2f s", seconds) }
func kib(bytes float64) string   { return fmt.Sprintf("%.1f KiB", bytes/1024) }
func mib(bytes float64) string   { return fmt.Sprintf("%.1f MiB", bytes/(1<<20)) }
func percent(part float64) string {
	return fmt.Sprintf("%.1f %%", part*100)
}
