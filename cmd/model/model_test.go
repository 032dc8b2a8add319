// Package model_test plays invented histories of the whole product in virtual time:
// the real server on its real database and real agents with their real journals, in
// one process, with a network, a storage and a fate that do everything that goes wrong
// in years within minutes. Each history comes from a seed. It ends in peace: the
// network heals, nobody is killed any more, and everything must settle. Then what the
// server says is held against what really happened. It holds tests alone.
//
// # Vocabulary
//
//   - A world is one history: a server, machines, the lines between them, people.
//   - A plane is the control plane: a data folder, and lives that come and go over it.
//   - A machine is a host: a state folder, and lives of its agent that come and go.
//   - A life is one process. A life that is killed writes and says nothing more from
//     that moment on; what its disk has by then is what the next life finds.
//   - A line is the way of one machine to the server: an HTTP proxy with all faults.
//   - The depot is the storage; processes in it stand for restic's, and outlive agents.
//   - The ledger is what really happened, kept where nothing fails.
//
// # What is killed where
//
// An agent is killed before and after each write that its disk is made to remember
// (spool.Steps), at any moment, and while a restic of it works. The server is killed
// before and after any commit, and at any moment. coverage counts all of it, and a run
// that never hit one of them fails.
//
// # Replaying
//
// A seed that fails is run alone by RM_SEED=17, which logs more. Chance is drawn by
// the seed, but goroutines that are ready in the same moment are run in any order, so a
// failure may take several runs (-count) to come back.
package model_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// CI plays five hundred histories: the rarest of what coverage expects of them happens
// in one of fifty. `make proof` plays ten thousand.

// Environment of the test.
const (
	envSeed  = "RM_SEED"  // this seed alone
	envSeeds = "RM_SEEDS" // so many, from 1 on, or from one to another: 500, 1001-2000
	envProof = "RM_PROOF" // ten thousand
)

// wholeRun is how many seeds must hit what coverage expects, proofRun how many all of it.
const (
	wholeRun = 500
	proofRun = 10_000
)

// regressions are seeds above wholeRun that have found something once.
func regressions() []uint64 { return []uint64{567} }

// seeds lists the histories to be played.
func seeds(t *testing.T) []uint64 {
	t.Helper()
	number := func(text string) uint64 {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s and %s hold seeds: %v", envSeed, envSeeds, err)
		}
		return n
	}
	first, last := uint64(1), uint64(wholeRun)
	switch one, some := os.Getenv(envSeed), os.Getenv(envSeeds); {
	case one != "":
		return []uint64{number(one)}
	case some != "":
		from, to, isRange := strings.Cut(some, "-")
		if last = number(from); isRange {
			first, last = number(from), number(to)
		}
	case os.Getenv(envProof) != "":
		last = proofRun
	}
	list := regressions()
	for seed := first; seed <= last; seed++ {
		list = append(list, seed)
	}
	return list
}

func TestModel(t *testing.T) {
	watchCommits()
	// Histories make much garbage and keep little: it is collected by the gigabyte.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	dir := scratch(t)
	cover := newCoverage()
	base := newTemplate(t, filepath.Join(dir, "template"))
	list := seeds(t)
	var next, played atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(list)); i = next.Add(1) - 1 {
				seed, own := list[i], filepath.Join(dir, fmt.Sprint("world-", i))
				t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
					played.Add(1)
					play(t, seed, base, cover, own)
				})
				_ = os.RemoveAll(own)
			}
		})
	}
	workers.Wait()
	t.Logf("%d histories\n%s", played.Load(), cover.table())
	if played.Load() < wholeRun {
		return
	}
	for _, what := range cover.missed(played.Load()) {
		t.Errorf("never hit in %d histories: %s", played.Load(), what)
	}
}

// scratch is a folder for what the histories write, in memory where the system has
// such: the model asks whether what was written is found again by another process, not
// whether it outlasts the machine, and pays for no disk.
func scratch(t *testing.T) string {
	t.Helper()
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "restic-manager-model-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
