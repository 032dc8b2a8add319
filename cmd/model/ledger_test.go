package model_test

import (
	"sync"
	"time"

	"restic-manager/agent/runner"
)

// ledger is what really happened to the jobs of a history, kept where no crash and no
// fault reaches. What the server says in the end is held against it.
type ledger struct {
	mu       sync.Mutex
	accounts map[string]*account
}

// account is what really happened to one job.
type account struct {
	runs      []*run
	snapshots []string // that its restic put into the repository
}

// run is one execution of a job: there must be no second one.
type run struct {
	life  *pulse      // of the agent's process that began it
	tries int         // which attempt of its job it is
	began time.Time   // when restic was let go
	said  []time.Time // when each line of its log was written
	notes []string    // that were surely recorded, in order
	maybe []string    // that were about to be recorded when the agent died
	ended *runner.Ending
}

func newLedger() *ledger { return &ledger{accounts: map[string]*account{}} }

// account gives a job's account; the caller holds the lock.
func (l *ledger) account(job string) *account {
	if l.accounts[job] == nil {
		l.accounts[job] = &account{}
	}
	return l.accounts[job]
}

// begin opens a run.
func (l *ledger) begin(job string, attempt int, life *pulse) *run {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &run{life: life, tries: attempt}
	a := l.account(job)
	a.runs = append(a.runs, r)
	return r
}

// change changes a run, or reads it.
func (l *ledger) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
}

func (l *ledger) snapshot(job, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(job)
	a.snapshots = append(a.snapshots, id)
}
