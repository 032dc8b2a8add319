//go:build !windows

package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// seeds gives the seeds of a test: a few each time, many in a proof, one that
// RM_SEED names to replay it.
func seeds(t *testing.T, few, many int) []uint64 {
	t.Helper()
	if text := os.Getenv("RM_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{n}
	}
	n := few
	if os.Getenv("RM_PROOF") != "" {
		n = many
	}
	var list []uint64
	for range n {
		list = append(list, uint64(rand.Uint32()))
	}
	return list
}

func TestNoFaultOfTheNetworkLosesAResultOrRunsAnythingTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repository := w.addRepository("faults", repositorySpec{})
	w.addHost("first", repository, []string{files(t, 3)}).backUp("succeeded")
	for _, f := range everyFault {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			work(t)
			w.backUpThrough(t, repository, 1, 2, 0.5, f)
		})
	}
	for _, seed := range seeds(t, 2, 20) {
		t.Run(fmt.Sprintf("all of them, seed %d", seed), func(t *testing.T) {
			t.Parallel()
			work(t)
			w.backUpThrough(t, repository, seed, 4, 0.35, everyFault...)
		})
	}
}

// backUpThrough runs backups behind a proxy that spoils a share of the exchanges,
// heals the network and demands one true result and one snapshot for each.
func (w *world) backUpThrough(t *testing.T, repository string, seed uint64, backups int, share float64, faults ...fault) {
	p := newFaultProxy(t, "http://"+w.addr, seed, 0)
	in := *w // the same world, told to this test
	in.t, in.api = t, &client{t: t, base: w.api.base, http: w.api.http}
	h := in.addHost(fmt.Sprintf("h%d %s", seed, faults[0]), repository, []string{files(t, 20)}, through("http://"+p.addr))
	p.set(share, faults...)
	var ids []string
	for range backups {
		j := h.runNow()
		ids = append(ids, j.ID)
		eventually(t, "the job is picked up", 2*time.Minute, func() bool {
			in.api.must("GET", "/api/v1/jobs/"+j.ID, nil, &j)
			return j.State != "pending"
		})
	}
	eventually(t, "something was spoilt", time.Minute, func() bool { return p.done() > 0 })
	p.set(0)
	for _, id := range ids {
		j := in.finished(id, 2*time.Minute)
		if j.Outcome.Result != "succeeded" {
			t.Errorf("job %s: %+v", id, j.Outcome)
		}
		in.wantDense(j)
	}
	in.wantOneSnapshotEach(repository, ids)
	t.Logf("%s", p.tally())
}

// tagged counts the snapshots in a repository by the job that their tag names, as
// plain restic lists them.
func (w *world) tagged(repository string) map[string]int {
	w.t.Helper()
	var list []struct{ Tags []string }
	out := w.restic(repository, "snapshots", "--json", "--no-lock")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	n := map[string]int{}
	for _, s := range list {
		for _, tag := range s.Tags {
			if id, ok := strings.CutPrefix(tag, "rm:job:"); ok {
				n[id]++
			}
		}
	}
	return n
}

func (w *world) wantOneSnapshotEach(repository string, ids []string) {
	w.t.Helper()
	n := w.tagged(repository)
	for _, id := range ids {
		if n[id] != 1 {
			w.t.Errorf("job %s has %d snapshots, want 1", id, n[id])
		}
	}
}

func TestNoKillLosesAResultOrRunsAnythingTwice(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds(t, 1, 15) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			killEverything(t, seed)
		})
	}
}

// killEverything runs backups while agent, server and restic are killed with -9 at
// random moments, and looks at what came out.
func killEverything(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, seed))
	w := newWorld(t)
	repository := w.addRepository("kills", repositorySpec{})
	h := w.addHost("victim", repository, []string{files(t, 1500)})
	h.backUp("succeeded")
	var ids []string
	for range 8 {
		j := h.runNow()
		ids = append(ids, j.ID)
		pause := time.Duration(r.IntN(2500)) * time.Millisecond
		<-time.After(pause) // the moment is the experiment
		switch who := []string{"agent", "server", "restic", "agent and server"}[r.IntN(4)]; who {
		case "agent":
			h.agent.kill()
			h.agent.again()
		case "server":
			w.server.kill()
			w.server.again()
		case "restic":
			for _, pid := range w.resticProcesses() {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		default:
			h.agent.kill()
			w.server.kill()
			w.server.again()
			h.agent.again()
		}
		w.waitReady()
		h.waitOnline()
		w.finished(j.ID, 3*time.Minute)
	}
	w.settled(ids)
	n := w.tagged(repository)
	tally := map[string]int{}
	for _, id := range ids {
		j := w.finished(id, time.Minute)
		tally[j.Outcome.Result]++
		w.wantDenseEvents(j)
		switch {
		case n[id] > 1:
			t.Errorf("job %s ran %d times", id, n[id])
		case j.Outcome.Result == "succeeded" && n[id] != 1:
			t.Errorf("job %s is called succeeded and has no snapshot", id)
		case j.Outcome.Result != "succeeded" && j.Outcome.SnapshotID == "" && n[id] == 1:
			t.Errorf("job %s is called %s and does not know of its snapshot: %+v", id, j.Outcome.Result, j.Outcome)
		}
	}
	t.Logf("seed %d: %v", seed, tally)
	if left := w.resticProcesses(); len(left) > 0 {
		t.Errorf("restic still runs: %v", left)
	}
}

// settled waits until no agent looks for what an interrupted job has left.
func (w *world) settled(ids []string) {
	w.t.Helper()
	for _, id := range ids {
		eventually(w.t, "job "+id+" has its final result", 3*time.Minute, func() bool {
			j := w.finished(id, time.Minute)
			return !strings.Contains(j.Outcome.Message, "is looked for")
		})
	}
}

// wantDenseEvents demands whole events with one end; a killed agent's log may have a
// hole. A job that was interrupted may end a second time, when its agent has found
// in the repository what became of it.
func (w *world) wantDenseEvents(j job) {
	w.t.Helper()
	var page struct {
		Events []struct {
			Seq     int64
			Kind    string
			Outcome struct{ Result string }
		}
	}
	w.api.must("GET", "/api/v1/jobs/"+j.ID+"/events", nil, &page)
	var ends []string
	for i, e := range page.Events {
		if e.Seq != int64(i+1) {
			w.t.Errorf("job %s: event %d has the number %d", j.ID, i+1, e.Seq)
		}
		if e.Kind == "finished" {
			ends = append(ends, e.Outcome.Result)
		}
	}
	if len(ends) == 2 && ends[0] == "interrupted" {
		ends = ends[1:]
	}
	if len(ends) != 1 || ends[0] != j.Outcome.Result {
		w.t.Errorf("job %s: ended as %v, its result is %s", j.ID, ends, j.Outcome.Result)
	}
}

// resticProcesses lists the processes of this world's restic that work on its
// storage.
func (w *world) resticProcesses() (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		exe, _ := os.Readlink(filepath.Join(dir, "exe"))
		env, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if exe == w.bins.Restic && strings.Contains(string(env), w.rest.Addr) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}
