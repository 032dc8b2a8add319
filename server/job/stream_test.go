package job

import (
	"testing"

	"pgregory.net/rapid"
)

// TestFitKeepsAStreamDense compares the append rule with a model: a stream is the
// set of numbers that it has, and whatever runs come, in whatever order, it stays
// free of holes and doubles, and a run that begins at the number expected is taken.
func TestFitKeepsAStreamDense(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expected := int64(1)
		for range rapid.IntRange(1, 30).Draw(t, "runs") {
			first := rapid.Int64Range(1, expected+5).Draw(t, "first")
			var run []span
			for next := first; len(run) < 8; {
				last := next + rapid.Int64Range(0, 2).Draw(t, "gap")
				run = append(run, span{next, last})
				next = last + 1
				if rapid.Bool().Draw(t, "end") {
					break
				}
			}
			skip, hole := fit(expected, run)
			for _, s := range run[:skip] {
				if s.last >= expected {
					t.Fatalf("skipped %v while %d was expected", s, expected)
				}
			}
			if hole {
				if run[skip].first == expected {
					t.Fatalf("refused a run that begins at %d", expected)
				}
				continue
			}
			for _, s := range run[skip:] {
				if s.first != expected {
					t.Fatalf("appended %v while %d was expected", s, expected)
				}
				expected = s.last + 1
			}
		}
	})
}

func TestFit(t *testing.T) {
	for name, c := range map[string]struct {
		expected int64
		run      []span
		skip     int
		hole     bool
	}{
		"nothing":                           {5, nil, 0, false},
		"the next ones":                     {5, []span{{5, 5}, {6, 6}}, 0, false},
		"all known":                         {5, []span{{3, 3}, {4, 4}}, 2, false},
		"partly known":                      {5, []span{{4, 4}, {5, 5}}, 1, false},
		"one missing":                       {5, []span{{6, 6}}, 0, true},
		"a gap that begins before":          {5, []span{{4, 7}}, 0, true},
		"a gap at the number expected":      {5, []span{{5, 9}, {10, 10}}, 0, false},
		"known, then a gap that is too far": {5, []span{{4, 4}, {5, 5}, {6, 9}}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			skip, hole := fit(c.expected, c.run)
			if skip != c.skip || hole != c.hole {
				t.Errorf("got skip %d, hole %v; want %d, %v", skip, hole, c.skip, c.hole)
			}
		})
	}
}

func TestAnIntervalMovesInSteps(t *testing.T) {
	for jobs, want := range map[int]int{0: 15, 1: 15, 3000: 15, 3001: 30, 6000: 30, 6201: 60, 1_000_000: 120} {
		if got := int(intervalFor(jobs).Seconds()); got != want {
			t.Errorf("%d jobs report each %d s, want %d", jobs, got, want)
		}
	}
}
