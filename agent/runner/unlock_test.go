package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// TestOnlyLocksOfTheDeadAreSweptAway has a repository locked by somebody, and looks whose
// lock is removed from its folder.
func TestOnlyLocksOfTheDeadAreSweptAway(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	gone := 1 << 22 // higher than any number of a process
	tests := []struct {
		name string
		host string
		pid  int
		age  time.Duration
		ours bool
		want bool // whether the lock stays
	}{
		{"our own dead restic", host, gone, time.Second, true, false},
		{"somebody's dead restic of this machine", host, gone, time.Hour, false, false},
		{"one that may be of another machine by our name", host, gone, time.Second, false, true},
		{"another machine's", host + "-2", gone, time.Hour, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lock, err := json.Marshal(map[string]any{"time": time.Now().Add(-test.age), "exclusive": true, "hostname": test.host, "username": "root", "pid": test.pid})
			if err != nil {
				t.Fatal(err)
			}
			fake := restictest.NewFake(t, fakeScript(catConfig(), says("backup", "", 11), says("list locks", fakeID, 0), says("cat lock", string(lock), 0)))
			p := newPlace(t, fake.Path())
			file := filepath.Join(p.config.Repositories[repositoryID].Location.Path(), "locks", fakeID)
			writeFile(t, file, "sealed")
			if test.ours {
				p.runner.own.began(restic.ProcessRef{PID: test.pid, Start: 1, Boot: "another"}, time.Now().Add(-time.Minute))
				p.runner.own.ended(test.pid, time.Now())
			}
			job := p.command("backup", backupParams())
			tries := 0
			p.runUntil(job, func() bool {
				now, err := p.spool.Job(job.ID)
				tries = now.LockTries
				return err == nil && tries > 0
			}, ErrCancelled)
			if _, err := os.Stat(file); (err == nil) != test.want {
				t.Errorf("after %d tries: %v\n%s", tries, err, fmt.Sprint(p.recorded(job.ID).messages()))
			}
			p.recorded(job.ID).want(spool.Cancelled, CodeCancelled)
		})
	}
}

// leaveLock has a real restic die in the repository, and returns its number.
func (p *place) leaveLock(bins restictest.Binaries, location, user, secret, locks string) int {
	p.t.Helper()
	c := exec.Command(bins.Restic, "backup", "--stdin")
	c.Env = []string{
		"RESTIC_REPOSITORY=" + location, "RESTIC_PASSWORD=" + password, "RESTIC_REST_USERNAME=" + user, "RESTIC_REST_PASSWORD=" + secret,
		"RESTIC_CACHE_DIR=" + p.t.TempDir(), "HOME=" + p.t.TempDir(),
	}
	if _, err := c.StdinPipe(); err != nil { // stays open
		p.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for range 2000 {
		if left, _ := filepath.Glob(filepath.Join(locks, "*")); len(left) > 0 && len(filepath.Base(left[0])) == 64 {
			break
		}
		<-poll.C
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	return c.Process.Pid
}

func TestLocksAreListedAndThoseOfTheDeadRemoved(t *testing.T) {
	t.Parallel()
	eachSuite(t, func(t *testing.T, suite string) {
		bins := restictest.Find(t, suite)
		p := newPlace(t, bins.Restic)
		server := restictest.StartRestServer(t, bins)
		p.onStorage(server)
		p.initialise()
		locks := filepath.Join(server.DataDir, server.User, "repository", "locks")
		pid := p.leaveLock(bins, server.Location("repository"), server.User, server.Password, locks)

		listed, _ := p.order("locks", nil)
		got := listed.want(spool.Succeeded, "").Locks
		if len(got) != 1 || got[0].Pid != pid || got[0].Alive != aliveUnknown {
			t.Fatalf("locks %+v", got)
		}
		// Nothing proves that the lock is this machine's: another may go by its name.
		done, id := p.order("unlock", nil)
		done.want(spool.Succeeded, "")
		done.wantFacts("unlock", map[string]any{"locks": 1.0, "removed": 0.0, "kept": 1.0})
		if rows := p.resultRows(id); len(rows) != 1 || rows[0]["removed"] != false || rows[0]["pid"] != float64(pid) {
			t.Errorf("rows %v", rows)
		}
		named := map[string]any{"lock_ids": []string{got[0].Id}}
		done, _ = p.order("unlock", named)
		done.want(spool.Failed, CodeLockInUse)

		p.runner.own.began(restic.ProcessRef{PID: pid, Start: 1, Boot: "an earlier one"}, time.Now().Add(-time.Minute))
		p.runner.own.ended(pid, time.Now())
		listed, _ = p.order("locks", nil)
		if got := listed.outcome().Locks; len(got) != 1 || got[0].Alive != aliveNo {
			t.Errorf("locks %+v", got)
		}
		done, _ = p.order("unlock", nil)
		done.want(spool.Succeeded, "")
		done.wantFacts("unlock", map[string]any{"locks": 1.0, "removed": 1.0, "kept": 0.0})
		if left, _ := filepath.Glob(filepath.Join(locks, "*")); len(left) != 0 {
			t.Errorf("left are %v", left)
		}
	})
}

func TestAtTheMaintenanceHostNamedLocksAreRemovedOnceTheyAreStale(t *testing.T) {
	t.Parallel()
	bins := restictest.Find(t, restictest.Suites()[0])
	p := maintained(t, restictest.Suites()[0])
	p.leaveLock(bins, p.folder(), "", "", filepath.Join(p.folder(), "locks"))
	listed, _ := p.order("locks", nil)
	lock := listed.outcome().Locks[0].Id
	done, _ := p.order("unlock", map[string]any{"force": true})
	done.want(spool.Rejected, "field_required")
	done, _ = p.order("unlock", map[string]any{"force": true, "lock_ids": []string{fakeID}})
	if said := done.want(spool.Succeeded, "").Message; said != "0 of 1 locks removed; those that were named are not there any more" {
		t.Errorf("of a lock that is not there it says: %s", said)
	}
	if left, _ := filepath.Glob(filepath.Join(p.folder(), "locks", "*")); len(left) != 1 {
		t.Fatalf("a lock that was not named is gone: %v", left)
	}
	done, _ = p.order("unlock", map[string]any{"force": true, "lock_ids": []string{lock}})
	if got := done.want(spool.Failed, CodeLockNotStale); !strings.Contains(got.NextStep, "half an hour") {
		t.Errorf("next step %q", got.NextStep)
	}
	file, old := filepath.Join(p.folder(), "locks", lock), time.Now().Add(-31*time.Minute)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	done, _ = p.order("unlock", map[string]any{"force": true, "lock_ids": []string{lock}})
	done.want(spool.Succeeded, "")
	if left, _ := filepath.Glob(filepath.Join(p.folder(), "locks", "*")); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}

// TestALockThatCannotBeReadKeepsNobodyFromTheOthers has one beside that of a dead restic,
// which anybody can upload who may add to the repository.
func TestALockThatCannotBeReadKeepsNobodyFromTheOthers(t *testing.T) {
	t.Parallel()
	bins := restictest.Find(t, restictest.Suites()[0])
	p := maintained(t, restictest.Suites()[0])
	pid := p.leaveLock(bins, p.folder(), "", "", filepath.Join(p.folder(), "locks"))
	junk := strings.Repeat("junk", 16)
	sum := sha256.Sum256([]byte(junk))
	id := hex.EncodeToString(sum[:])
	file := filepath.Join(p.folder(), "locks", id)
	writeFile(t, file, junk)
	listed, _ := p.order("locks", nil)
	got := listed.want(spool.Succeeded, "").Locks
	i := slices.IndexFunc(got, func(l spool.LockInfo) bool { return l.Id == id })
	if len(got) != 2 || i < 0 || got[i].Alive != aliveUnknown || got[1-i].Pid != pid {
		t.Fatalf("locks %+v", got)
	}
	p.runner.own.began(restic.ProcessRef{PID: pid, Start: 1, Boot: "an earlier one"}, time.Now().Add(-time.Minute))
	p.runner.own.ended(pid, time.Now())
	done, _ := p.order("unlock", nil)
	done.wantFacts("unlock", map[string]any{"locks": 2.0, "removed": 1.0, "kept": 1.0})
	if said := done.outcome().Message; !strings.Contains(said, "1 of 2 locks removed; the process of what was kept lives, or nothing proves") {
		t.Error(said)
	}
	force := map[string]any{"force": true, "lock_ids": []string{id}}
	done, _ = p.order("unlock", force)
	done.want(spool.Failed, CodeLockNotStale)
	old := time.Now().Add(-31 * time.Minute)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	done, _ = p.order("unlock", force)
	done.want(spool.Succeeded, "")
	if left, _ := filepath.Glob(filepath.Join(p.folder(), "locks", "*")); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}

// TestForceRemovesNoLockOfTheLiving judges locks of all kinds, the oldest there are.
func TestForceRemovesNoLockOfTheLiving(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.NewFake(t, fakeScript()).Path())
	task := &Task{runner: p.runner}
	lock := func(alive string, age time.Duration) heldLock {
		return heldLock{fakeID, restic.RepositoryLock{Time: time.Now().Add(-age), Host: "h"}, alive}
	}
	for _, test := range []struct {
		name string
		lock heldLock
		want string
	}{
		{"a living process here", lock(aliveYes, 100*time.Hour), CodeLockInUse},
		{"a dead process here", lock(aliveNo, time.Second), ""},
		{"another machine's, refreshed lately", lock("", 29*time.Minute), CodeLockNotStale},
		{"another machine's", lock("", 31*time.Minute), ""},
		{"one by this machine's name, refreshed lately", lock(aliveUnknown, 29*time.Minute), CodeLockNotStale},
		{"another machine's whose clock is ahead", lock("", -time.Hour), CodeLockNotStale},
	} {
		if got, detail := task.spares(test.lock, true); got != test.want {
			t.Errorf("%s: %q (%s), want %q", test.name, got, detail, test.want)
		}
	}
}

// TestAResticThatWasKilledLeavesNoLock kills one that works for a job, as the kernel does
// when memory runs out.
func TestAResticThatWasKilledLeavesNoLock(t *testing.T) {
	t.Parallel()
	p := maintained(t, restictest.Suites()[0])
	p.again()
	writeFile(t, filepath.Join(p.source, "big"), incompressible(4<<20))
	p.schedule(func(s *Schedule) {
		s.Bandwidth = []Bandwidth{{Window: mustWindow(t, "00:00", "00:00"), Limits: restic.Limits{UploadKiB: 16}}}
	})
	job := p.command("backup", backupParams())
	over := make(chan struct{})
	go func() { p.runner.Run(t.Context(), job); close(over) }()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for range 3000 {
		var ref restic.ProcessRef
		now, err := p.spool.Job(job.ID)
		left, _ := filepath.Glob(filepath.Join(p.folder(), "locks", "*"))
		if err == nil && len(left) > 0 && len(filepath.Base(left[0])) == 64 && json.Unmarshal(now.Process, &ref) == nil && ref.PID > 1 {
			if process, err := os.FindProcess(ref.PID); err == nil {
				_ = process.Kill()
			}
			break
		}
		<-poll.C
	}
	<-over
	p.recorded(job.ID).want(spool.Failed, "restic_killed")
	if left, _ := filepath.Glob(filepath.Join(p.folder(), "locks", "*")); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
	if said := strings.Join(p.recorded(job.ID).messages(), "\n"); !strings.Contains(said, "of this machine, which is dead") {
		t.Errorf("it does not say so:\n%s", said)
	}
}
