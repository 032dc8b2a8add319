package cmd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Proving many guards in one process.
//
// To start a test's program, and to make what the tests of a package share (a database
// to copy, the key of repositories), takes longer than most of the tests. So a shard of
// twins is proven in one process: of each test first a run without each of its guards,
// then one with all of them. That last run tells that nothing that the ones before left
// behind makes the test fail, and that they failed for want of their guards.
//
// What this does not prove (the process died, a run passed, the last one failed) is
// proven again by itself: see prove.

// A shard is twins of one package of tests that one process proves.
type shard struct {
	pkg    string // its folder
	clause string // of its files: p or p_test
	twins  []twin
}

// shardSize is how many twins a shard has, but for the last ones of one test.
const shardSize = 14

// shards deals the twins out, those of a test together.
func shards(fsys fs.FS, twins []twin) ([]shard, error) {
	type home struct{ pkg, clause string }
	var homes []home
	byHome := map[home][]twin{}
	for _, t := range twins {
		clause, err := declared(fsys, t)
		if err != nil {
			return nil, err
		}
		at := home{t.pkg, clause}
		if byHome[at] == nil {
			homes = append(homes, at)
		}
		byHome[at] = append(byHome[at], t)
	}
	var list []shard
	for _, at := range homes {
		own := byHome[at]
		slices.SortStableFunc(own, func(a, b twin) int { return strings.Compare(a.test, b.test) })
		for len(own) > 0 {
			n := min(shardSize, len(own))
			for n < len(own) && own[n].test == own[n-1].test {
				n++
			}
			list = append(list, shard{at.pkg, at.clause, own[:n]})
			own = own[n:]
		}
	}
	return list, nil
}

// The variable that tells a driver what to run, and what it prints between the runs.
const (
	runsName   = "GUARD_RUNS"
	runMark    = "\nguard run: "
	driverName = "TestGuardsTogether"
)

// driver is added to each package of tests with twins. It runs tests by itself, so that
// one process can run them again and again, each time without another guard.
const driver = `package %[1]s

import (
	guardflag "flag"
	guardfmt "fmt"
	guardos "os"
	guardregexp "regexp"
	guardstrings "strings"
	guardtesting "testing"
	guardtime "time"
)

func %[2]s(t *guardtesting.T) {
	tests := map[string]func(*guardtesting.T){%[3]s}
	for _, run := range guardstrings.Fields(guardos.Getenv(%[4]q)) {
		guardfmt.Print(%[5]q, run, "\n")
		name, off, _ := guardstrings.Cut(run, "/")
		guardos.Setenv(%[6]q, off)
		guardflag.Set("test.run", "^"+name+"$")
		guardflag.Set("test.skip", "^"+name+"$/^%[7]s$")
		late := guardtime.AfterFunc(2*guardtime.Minute, func() { panic("it does not end: " + run) })
		guardtesting.RunTests(guardregexp.MatchString, []guardtesting.InternalTest{{Name: name, F: tests[name]}})
		late.Stop()
	}
	guardfmt.Print(%[5]q, "over\n")
}
`

// driverOf writes the driver of a package of tests.
func driverOf(clause string, twins []twin) []byte {
	var entries strings.Builder
	var names []string
	for _, t := range twins {
		names = append(names, t.test)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		fmt.Fprintf(&entries, "\n\t\t%q: %s,", name, name)
	}
	return fmt.Appendf(nil, driver, clause, driverName+clause, entries.String()+"\n\t", runsName, runMark, switchName, quickShare)
}

// proveTogether proves the shards, several at a time, and returns what was proven.
func (p *prover) proveTogether(t *testing.T, list []shard) map[twin]bool {
	t.Helper()
	var mu sync.Mutex
	proven := map[twin]bool{}
	ctx := t.Context()
	t.Run("together", func(t *testing.T) {
		for i, s := range list {
			t.Run(fmt.Sprintf("%s %d", s.pkg, i), func(t *testing.T) {
				t.Parallel()
				own, err := p.together(ctx, s)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d of %d guards are proven", len(own), len(s.twins))
				for _, left := range s.twins {
					if !slices.Contains(own, left) {
						t.Logf("by itself: %s by %s", left.guard, left.test)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for _, t := range own {
					proven[t] = true
				}
			})
		}
	})
	return proven
}

// together proves the twins of a shard, as far as one process can, and returns those
// that it proved.
func (p *prover) together(ctx context.Context, s shard) ([]twin, error) {
	binary, err := p.binary(ctx, s.pkg)
	if err != nil {
		return nil, err
	}
	var proven []twin
	for left := s.twins; len(left) > 0; {
		out, err := p.drive(ctx, binary, s, left)
		if err != nil {
			return nil, err
		}
		var said []run
		said, left = heard(out, left)
		proven = append(proven, provenBy(said)...)
	}
	return proven, nil
}

// drive runs the tests of twins in one process and returns what it said. How the
// process ended says nothing: most of its tests fail.
func (p *prover) drive(ctx context.Context, binary string, s shard, twins []twin) ([]byte, error) {
	var runs []string
	for i, t := range twins {
		runs = append(runs, t.test+"/"+t.guard)
		if i+1 == len(twins) || twins[i+1].test != t.test {
			runs = append(runs, t.test+"/")
		}
	}
	cmd := exec.CommandContext(ctx, binary, "-test.v", "-test.timeout=0", "-test.run=^"+driverName+s.clause+"$")
	cmd.Dir = filepath.Join(p.root, filepath.FromSlash(s.pkg))
	cmd.Env = append(os.Environ(), switchName+"=", runsName+"="+strings.Join(runs, " "))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return out, nil
}

// A run is what a process said of one run of a test.
type run struct {
	twin           // of the guard that was off; none is off when it has no name
	passed, failed bool
}

// heard reads what a process said of twins, and returns those that another one is to
// prove: where it died, those of the same test without the one that it died of, and all
// behind them.
func heard(out []byte, twins []twin) (said []run, left []twin) {
	for part := range bytes.SplitSeq(out, []byte(runMark)) {
		line, text, _ := bytes.Cut(part, []byte("\n"))
		if string(line) == "over" {
			return said, nil
		}
		test, guard, ok := strings.Cut(string(line), "/")
		if !ok {
			continue // what is said before the first run
		}
		ended := func(how string) bool {
			return regexp.MustCompile(`(?m)^--- ` + how + `: ` + regexp.QuoteMeta(test) + ` \(`).Match(text)
		}
		said = append(said, run{twin{guard: guard, pkg: twins[0].pkg, test: test}, ended("PASS"), ended("FAIL")})
	}
	if len(said) == 0 {
		return nil, nil
	}
	died := said[len(said)-1].twin
	said = slices.DeleteFunc(said, func(r run) bool { return r.test == died.test })
	done := true
	for _, t := range twins {
		if done = done && t.test != died.test; done {
			continue
		}
		if t != died && (t.test != died.test || died.guard != "") {
			left = append(left, t)
		}
	}
	return said, left
}

// provenBy returns the twins whose test failed without their guard and passed after all
// that with every guard on.
func provenBy(said []run) []twin {
	var proven []twin
	for _, r := range said {
		stands := slices.ContainsFunc(said, func(o run) bool { return o.test == r.test && o.guard == "" && o.passed && !o.failed })
		if r.guard != "" && stands && r.failed && !r.passed {
			proven = append(proven, r.twin)
		}
	}
	return proven
}
