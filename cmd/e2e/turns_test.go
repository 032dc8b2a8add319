//go:build linux

package e2e_test

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// yard is a repository that many hosts back up to and that one maintains in its folder.
type yard struct {
	*world
	repository string
	folder     string
	nas        *host
	hosts      []*host
	db         *sql.DB

	mu    sync.Mutex
	waits map[string]int // what waiting jobs said that they wait for, without numbers
	mute  []string       // jobs that waited and did not say for what
}

const yardName = "shared"

// newYard makes the repository, its maintenance host and so many hosts.
func newYard(t *testing.T, hosts int) *yard {
	t.Helper()
	y := &yard{world: newWorld(t), waits: map[string]int{}}
	y.repository = y.addRepository(yardName, repositorySpec{})
	y.folder = y.rest.RepositoryDir(yardName)
	y.nas = y.addHost("nas", y.repository, []string{files(t, 3)})
	y.nas.policy("allow", "maintenance", "--under", y.folder)
	y.api.must("PUT", "/api/v1/repositories/"+y.repository+"/maintenance-host", obj{"host_id": y.nas.id, "location": y.folder}, nil)
	for i := range hosts {
		h, line := y.makeHost(fmt.Sprintf("web-%d", i+1), y.repository, []string{files(t, 20)})
		h.paste(line)
		h.launch()
		y.hosts = append(y.hosts, h)
	}
	for _, h := range y.hosts {
		h.waitOnline()
	}
	eventually(t, "the maintenance host is allowed to be one", time.Minute, func() bool {
		var r struct {
			State       string
			Maintenance struct{ Allowed string }
		}
		return y.api.call("GET", "/api/v1/repositories/"+y.repository, nil, &r) == nil && r.State == "ready" && r.Maintenance.Allowed == "yes"
	})
	db, err := sql.Open("sqlite", "file:"+filepath.Join(y.data, "server.db")+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	y.db = db
	return y
}

// policy edits the host's own policy file, as root does.
func (h *host) policy(args ...string) {
	h.w.t.Helper()
	c := exec.Command(filepath.Join(programs, "restic-manager-agent"), append([]string{"policy"}, args...)...)
	c.Env = append(c.Environ(), h.env...)
	if out, err := c.CombinedOutput(); err != nil {
		h.w.t.Fatalf("policy %v: %v\n%s", args, err, out)
	}
}

// inFolder runs plain restic in the repository's folder.
func (y *yard) inFolder(args ...string) []byte {
	y.t.Helper()
	c := exec.CommandContext(y.t.Context(), y.bins.Restic, append([]string{"--no-cache"}, args...)...)
	c.Env = []string{"RESTIC_REPOSITORY=" + y.folder, "RESTIC_PASSWORD=the password of " + yardName, "HOME=" + y.t.TempDir()}
	var words bytes.Buffer
	c.Stderr = &words
	out, err := c.Output()
	if err != nil {
		y.t.Fatalf("restic %v: %v\n%s%s", args, err, out, &words)
	}
	return out
}

// waste leaves data behind that no snapshot needs, in packs that another one needs too:
// what a forget leaves.
func (y *yard) waste() {
	y.t.Helper()
	dir := y.t.TempDir()
	for i := range 40 {
		content := make([]byte, 50<<10)
		_, _ = rand.Read(content) // never fails
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), content, 0o600); err != nil {
			y.t.Fatal(err)
		}
	}
	var summary struct {
		ID string `json:"snapshot_id"`
	}
	lines := bytes.Split(bytes.TrimSpace(y.inFolder("backup", "--json", "--host=old", dir)), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &summary); err != nil || len(summary.ID) != 64 {
		y.t.Fatalf("%v in %s", err, lines[len(lines)-1])
	}
	for i := range 20 {
		if err := os.Remove(filepath.Join(dir, strconv.Itoa(2*i))); err != nil {
			y.t.Fatal(err)
		}
	}
	y.inFolder("backup", "--quiet", "--host=old", dir)
	if err := os.Remove(filepath.Join(y.folder, "snapshots", summary.ID)); err != nil {
		y.t.Fatal(err)
	}
}

// locks are the names of the files in the repository's folder of locks.
func (y *yard) locks() []string {
	y.t.Helper()
	entries, err := os.ReadDir(filepath.Join(y.folder, "locks"))
	if err != nil {
		y.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if len(e.Name()) == 64 { // not one that is being written
			names = append(names, e.Name())
		}
	}
	return names
}

// packs counts the files of data.
func (y *yard) packs() int {
	all, _ := filepath.Glob(filepath.Join(y.folder, "data", "*", "*"))
	return len(all)
}

// busy has each host back up again and again until stop, which returns how the jobs ended.
// A server that is away is asked again.
func (y *yard) busy(hosts ...*host) (stop func() map[string]job) {
	var wait sync.WaitGroup
	var mu sync.Mutex
	over, ended := make(chan struct{}), map[string]job{}
	for _, h := range hosts {
		wait.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				var j job
				if y.api.call("POST", "/api/v1/hosts/"+h.id+"/schedules/"+h.schedule+"/run", obj{}, &j) != nil {
					<-time.After(100 * time.Millisecond)
					continue
				}
				y.await(&j)
				mu.Lock()
				ended[j.ID] = j
				mu.Unlock()
			}
		})
	}
	return func() map[string]job { close(over); wait.Wait(); return ended }
}

// await waits until a job has ended, and keeps what it says that it waits for. It does not
// end the test itself, so that it may run beside it.
func (y *yard) await(j *job) {
	end := time.Now().Add(5 * time.Minute)
	for j.State != "finished" && time.Now().Before(end) {
		if y.api.call("GET", fmt.Sprintf("/api/v1/jobs/%s?wait=5&if_version=%d", j.ID, j.Version), nil, j) != nil {
			<-time.After(100 * time.Millisecond)
			continue
		}
		y.heard(*j)
	}
}

// heard keeps what a waiting job waits for.
func (y *yard) heard(j job) {
	if j.State != "waiting" {
		return
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	if j.WaitingOn == "" {
		y.mute = append(y.mute, j.Operation+" "+j.ID)
		return
	}
	y.waits[j.Operation+": "+strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, j.WaitingOn)]++
}

// order asks for a prune at the maintenance host.
func (y *yard) order() job {
	y.t.Helper()
	var j job
	y.api.must("POST", "/api/v1/repositories/"+y.repository+"/jobs", obj{"operation": "prune", "confirm": yardName}, &j)
	return j
}

// patience makes it ten minutes that an exclusive job has been the next, once: the server
// then holds new backups back for it.
func (y *yard) patience(job string) {
	y.t.Helper()
	eventually(y.t, "the prune is the next or has its turn", time.Minute, func() bool {
		done, err := y.db.Exec(`UPDATE repositories SET hold_since = hold_since - 601000000, version = version + 1 WHERE id = ? AND hold_job = ?`, y.repository, job)
		if err != nil {
			y.t.Fatal(err)
		}
		n, err := done.RowsAffected()
		return err == nil && n == 1 || y.job(job).State == "finished"
	})
}

// job is a job now; no server, no word.
func (y *yard) job(id string) (j job) {
	if y.api.call("GET", "/api/v1/jobs/"+id, nil, &j) == nil {
		y.heard(j)
	}
	return j
}

// ends waits for a prune's end, and demands a result.
func (y *yard) ends(j job, want string) job {
	y.t.Helper()
	if y.await(&j); j.Outcome.Result != want {
		y.t.Errorf("the prune ended as %s %s (%s: %s), want %s; waiting on %q", j.State, j.Outcome.Result, j.Outcome.Code, j.Outcome.Message, want, j.WaitingOn)
	}
	return j
}

// restic is the agent's child that is a restic with such arguments, 0 where there is none.
func (h *host) restic(suits func(line string) bool) int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", h.agent.cmd.Process.Pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, field := range strings.Fields(string(text)) {
			line, _ := os.ReadFile("/proc/" + field + "/cmdline")
			if pid, err := strconv.Atoi(field); err == nil && strings.HasPrefix(string(line), h.w.bins.Restic+"\x00") && suits(string(line)) {
				return pid
			}
		}
	}
	return 0
}

// pruning is the restic that removes data, 0 where none does.
func (y *yard) pruning() int {
	return y.nas.restic(func(line string) bool {
		return strings.Contains(line, "\x00prune\x00") && !strings.Contains(line, "--dry-run")
	})
}

// freeze waits for the process of a job and stops it in its midst: it runs for moments at a
// time until it is there. On a busy machine it may be over before; then there is no process.
func (y *yard) freeze(id string, find func() int, there func() bool) (pid int) {
	y.t.Helper()
	eventually(y.t, "the process of job "+id, 3*time.Minute, func() bool {
		for end := time.Now().Add(time.Second); time.Now().Before(end); <-time.After(2 * time.Millisecond) {
			if pid == 0 || syscall.Kill(pid, syscall.SIGSTOP) != nil {
				if pid = find(); pid == 0 {
					continue
				}
				_ = syscall.Kill(pid, syscall.SIGSTOP)
			}
			if there() {
				return true
			}
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
		if y.job(id).State == "finished" {
			pid = 0
			return true
		}
		return false
	})
	return pid
}

// clean demands that nothing is locked any more and that restic finds no fault.
func (y *yard) clean(when string) {
	y.t.Helper()
	eventually(y.t, when+": nobody has a lock", time.Minute, func() bool { return len(y.locks()) == 0 })
	if out := string(y.inFolder("check", "--read-data")); !strings.Contains(out, "no errors were found") {
		y.t.Errorf("%s: %s", when, out)
	}
}

// all demands a good end of every backup, and of one that was killed that it is told.
func (y *yard) all(when string, ended map[string]job, killed ...string) {
	y.t.Helper()
	if len(ended) == 0 {
		y.t.Errorf("%s: there were no backups", when)
	}
	for id, j := range ended {
		if j.Outcome.Result != "succeeded" && !slices.Contains(killed, id) {
			y.t.Errorf("%s: the backup %s ended as %s %s (%s: %s), attempt %d", when, id, j.State, j.Outcome.Result, j.Outcome.Code, j.Outcome.Message, j.Attempt)
		}
	}
}

// A prune falls due on a repository that ten hosts back up to all the time: no backup
// fails, the prune gets its turn and ends, and whoever waits says for whom. Then each
// actor is killed with -9 in the midst of its work, while backups go on.
func TestTenHostsAndAPruneGetOnAndSurviveTheDeathOfEach(t *testing.T) {
	t.Parallel()
	y := newYard(t, 10)
	t.Logf("%s: ten hosts", time.Now().Format("15:04:05"))
	y.waste()
	y.api.must("PUT", "/api/v1/repositories/"+y.repository+"/maintenance-plan", obj{"zone": "UTC", "prune": "* * * * *"}, nil)
	stop := y.busy(y.hosts...)
	var due job
	eventually(t, "a prune is due", 2*time.Minute, func() bool {
		var list struct{ Jobs []job }
		y.api.must("GET", "/api/v1/jobs?repository_id="+y.repository+"&operation=prune", nil, &list)
		if len(list.Jobs) > 0 {
			due = list.Jobs[0]
		}
		return due.ID != ""
	})
	y.api.must("PUT", "/api/v1/repositories/"+y.repository+"/maintenance-plan", obj{"zone": "UTC"}, nil)
	y.patience(due.ID)
	y.ends(due, "succeeded")
	ended := stop()
	y.all("ten hosts", ended)
	if len(ended) < 20 {
		t.Errorf("%d backups of ten hosts are not all the time", len(ended))
	}
	y.clean("ten hosts")

	rounds := []struct {
		name string
		kill func(y *yard)
	}{
		{"the restic of the prune", (*yard).killPrune},
		{"the agent of the maintenance host", (*yard).killMaintainer},
		{"the server", (*yard).killServer},
		{"the restic of a backup", (*yard).killBackup},
		{"the agent of a host that backs up", (*yard).killHost},
	}
	times := 1
	if os.Getenv("RM_PROOF") != "" {
		times = 10
	}
	for i := range times * len(rounds) {
		round := rounds[i%len(rounds)]
		t.Logf("%s: the death of %s", time.Now().Format("15:04:05"), round.name)
		y.waste()
		round.kill(y)
		y.waste()
		next := y.order()
		y.ends(next, "succeeded")
		y.clean(round.name)
		if t.Failed() {
			t.Fatalf("after the death of %s", round.name)
		}
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	t.Logf("%d backups beside the first prune; waited for: %v", len(ended), y.waits)
	if len(y.mute) > 0 {
		t.Errorf("jobs waited and did not say for whom: %v", y.mute)
	}
	for _, words := range []string{"prune: Back up at web-", "it is the turn of Reclaim space at nas"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(y.waits)), func(on string) bool { return strings.Contains(on, words) }) {
			t.Errorf("nobody waited with the words %q: %v", words, y.waits)
		}
	}
}

// inThePrune orders a prune while three hosts back up, and stops its restic once it has
// written packs of its own.
func (y *yard) inThePrune() (prune job, pid int, stop func() map[string]job) {
	y.t.Helper()
	stop = y.busy(y.hosts[:3]...)
	for range 20 {
		prune = y.order()
		y.patience(prune.ID)
		before := -1
		pid = y.freeze(prune.ID, y.pruning, func() bool {
			if len(y.locks()) == 0 {
				return false
			}
			if before < 0 {
				before = y.packs()
			}
			return y.packs() > before
		})
		if pid != 0 {
			return prune, pid, stop
		}
		y.waste()
	}
	y.t.Fatal("no prune was found at work")
	return prune, pid, stop
}

func (y *yard) killPrune() {
	y.t.Helper()
	prune, pid, stop := y.inThePrune()
	_ = syscall.Kill(pid, syscall.SIGKILL)
	if y.await(&prune); prune.Outcome.Result == "succeeded" || prune.Outcome.Code == "" {
		y.t.Errorf("a prune whose restic was killed ended as %+v", prune.Outcome)
	}
	y.all("the restic of the prune", stop())
}

func (y *yard) killMaintainer() {
	y.t.Helper()
	prune, pid, stop := y.inThePrune()
	y.nas.agent.kill()
	if syscall.Kill(pid, 0) != nil {
		y.t.Error("its restic died with it: it was to be left behind")
	}
	y.nas.agent.again()
	if y.await(&prune); prune.Outcome.Result != "interrupted" {
		y.t.Errorf("a prune whose agent was killed ended as %+v", prune.Outcome)
	}
	y.all("the agent of the maintenance host", stop())
}

func (y *yard) killServer() {
	y.t.Helper()
	prune, pid, stop := y.inThePrune()
	y.server.kill()
	_ = syscall.Kill(pid, syscall.SIGCONT)
	eventually(y.t, "the prune's restic ends without the server", time.Minute, func() bool { return y.pruning() != pid })
	y.server.again()
	y.waitReady()
	y.ends(prune, "succeeded")
	y.all("the server", stop())
}

// inABackup stops the restic of a backup that has its lock, and orders a prune, which
// waits for it. Another restic, a person's, has a lock too and lives.
func (y *yard) inABackup() (h *host, backup, prune job, pid int) {
	y.t.Helper()
	h = y.hosts[0]
	for range 20 {
		backup = h.runNow()
		pid = y.freeze(backup.ID, func() int {
			return h.restic(func(line string) bool {
				return strings.Contains(line, "--tag=rm:job:"+backup.ID) && strings.Contains(line, "\x00backup\x00")
			})
		}, func() bool { return len(y.locks()) > 0 })
		if pid != 0 {
			break
		}
	}
	prune = y.order()
	eventually(y.t, "the prune waits for the backup", time.Minute, func() bool {
		j := y.job(prune.ID)
		return j.State == "waiting" && strings.Contains(j.WaitingOn, "Back up at web-1")
	})
	return h, backup, prune, pid
}

// living is a restic of a person that has a lock and is stopped.
func (y *yard) living() (lock string, release func()) {
	y.t.Helper()
	before := y.locks()
	c := exec.Command(y.bins.Restic, "--no-cache", "backup", "--host=person", "--stdin", "--stdin-filename=person")
	c.Env = []string{"RESTIC_REPOSITORY=" + y.folder, "RESTIC_PASSWORD=the password of " + yardName, "HOME=" + y.t.TempDir()}
	held, err := c.StdinPipe() // it backs up what never comes
	if err != nil {
		y.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		y.t.Fatal(err)
	}
	eventually(y.t, "a person's restic has a lock", time.Minute, func() bool {
		for _, name := range y.locks() {
			if !slices.Contains(before, name) {
				lock = name
			}
		}
		return lock != ""
	})
	return lock, func() { _ = held.Close(); _ = c.Wait() }
}

func (y *yard) killBackup() {
	y.t.Helper()
	_, backup, prune, pid := y.inABackup()
	dead := y.locks()
	lock, release := y.living()
	stop := y.busy(y.hosts[1:4]...)
	_ = syscall.Kill(pid, syscall.SIGKILL)
	if y.await(&backup); backup.Outcome.Result != "failed" || backup.Outcome.Code == "" {
		y.t.Errorf("a backup whose restic was killed ended as %+v", backup.Outcome)
	}
	eventually(y.t, "the dead restic's lock is removed", time.Minute, func() bool { return !slices.Contains(y.locks(), dead[0]) })
	y.patience(prune.ID)
	eventually(y.t, "the prune waits for the person's lock", 2*time.Minute, func() bool {
		j := y.job(prune.ID)
		return j.State == "waiting" && strings.Contains(j.WaitingOn, "the lock of process")
	})
	if !slices.Contains(y.locks(), lock) {
		y.t.Error("the lock of a process that lives was removed")
	}
	release()
	y.ends(prune, "succeeded")
	y.all("the restic of a backup", stop())
}

func (y *yard) killHost() {
	y.t.Helper()
	h, backup, prune, pid := y.inABackup()
	stop := y.busy(y.hosts[1:4]...)
	h.agent.kill()
	if syscall.Kill(pid, 0) != nil {
		y.t.Error("its restic died with it: it was to be left behind")
	}
	h.agent.again()
	if y.await(&backup); backup.Outcome.Result != "interrupted" {
		y.t.Errorf("a backup whose agent was killed ended as %+v", backup.Outcome)
	}
	y.patience(prune.ID)
	y.ends(prune, "succeeded")
	y.all("the agent of a host that backs up", stop())
}
