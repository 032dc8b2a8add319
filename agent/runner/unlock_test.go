package runner

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// TestOnlyLocksOfTheDeadAreSweptAway has a repository locked by somebody, and looks whose
// lock is removed from its folder.
func TestOnlyLocksOfTheDeadAreSweptAway(t *testing.T) {
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
