package runner

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"time"

	"restic-manager/restic"
)

// Whether the owner of a lock lives.
const (
	aliveYes     = "yes"
	aliveNo      = "no"
	aliveUnknown = "unknown"
)

// staleAfter is when restic itself takes a lock for left: it refreshes one that is in use
// each five minutes.
const staleAfter = 30 * time.Minute

// clockSlack is by how much two looks at the clock on the wall may differ.
const clockSlack = 5 * time.Second

// mostProcesses is how many processes of ours are remembered.
const mostProcesses = 256

// ownProcesses are those that this agent started, and those of its life before. A lock
// tells host and number of its process, and two machines may have one name: of one that
// we started ourselves we know more.
type ownProcesses struct {
	mu   sync.Mutex
	list []ownProcess // oldest first
}

// ownProcess is a process of ours; until is zero while we wait for its end.
type ownProcess struct {
	ref         restic.ProcessRef
	from, until time.Time
}

func (o *ownProcesses) began(ref restic.ProcessRef, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, ownProcess{ref: ref, from: at})
	if n := len(o.list) - mostProcesses; n > 0 {
		o.list = append([]ownProcess(nil), o.list[n:]...)
	}
}

func (o *ownProcesses) ended(pid int, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := len(o.list) - 1; i >= 0; i-- {
		if o.list[i].ref.PID == pid && o.list[i].until.IsZero() {
			o.list[i].until = at
			return
		}
	}
}

// inherit takes what the disk knows of a process that an earlier life of the agent
// started, and that was ended by now.
func (o *ownProcesses) inherit(process json.RawMessage, from, now time.Time) {
	var ref restic.ProcessRef
	if len(process) == 0 || json.Unmarshal(process, &ref) != nil {
		return
	}
	o.began(ref, from)
	o.ended(ref.PID, now)
}

// of returns our process that was at work when a lock was made or last refreshed.
func (o *ownProcesses) of(lock restic.RepositoryLock) (ownProcess, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := len(o.list) - 1; i >= 0; i-- {
		p := o.list[i]
		if p.ref.PID == lock.PID && !lock.Time.Before(p.from.Add(-clockSlack)) && (p.until.IsZero() || !lock.Time.After(p.until.Add(clockSlack))) {
			return p, true
		}
	}
	return ownProcess{}, false
}

// alive says whether the process of a lock lives, "" for one of another machine. "no" is
// proof: our own process that has ended; or no process of that number, one that is no
// restic, or a machine that was started since, together with a lock that nobody has
// refreshed for half an hour, since another machine may go by our name.
func (o *ownProcesses) alive(lock restic.RepositoryLock, now time.Time) string {
	if !thisMachine(lock.Host) {
		return ""
	}
	if p, ours := o.of(lock); ours {
		if p.ref.Gone() {
			return aliveNo
		}
		return aliveYes
	}
	seen, err := restic.LookAtProcess(lock.PID)
	if err != nil {
		return aliveUnknown
	}
	return judgeOwner(lock, seen, now)
}

func judgeOwner(lock restic.RepositoryLock, seen restic.SeenProcess, now time.Time) string {
	rebooted := !seen.Boot.IsZero() && lock.Time.Before(seen.Boot.Add(-time.Minute))
	if !seen.Gone && seen.Restic && !rebooted {
		return aliveYes
	}
	if now.Sub(lock.Time) < staleAfter { //guard:lock-young
		return aliveUnknown
	}
	return aliveNo
}

// thisMachine compares as restic writes it.
func thisMachine(host string) bool {
	name, err := os.Hostname()
	return err == nil && name != "" && strings.EqualFold(name, host)
}
