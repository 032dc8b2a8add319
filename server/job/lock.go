package job

import (
	"context"
	"fmt"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// LocksSeen are the locks of a repository as they were last listed.
type LocksSeen struct {
	At    fleet.Time  // 0: never
	Job   fleet.JobID // that listed them
	Locks []LockSeen
}

// LockSeen is a lock with what is known of its holder.
type LockSeen struct {
	fleet.Lock
	HostName string
	Job      *fleet.Job // of ours that made it; nil: not known
}

// lockSlack is how much before its job's begin a lock may be made, by clocks that
// differ.
const lockSlack = 2 * time.Minute

// Locks reads the locks that were last seen in a repository. NotFound when there is no
// such repository.
func (s *Service) Locks(ctx context.Context, id fleet.RepositoryID) (*LocksSeen, error) {
	var seen LocksSeen
	err := s.Store.View(ctx, func(q store.Queries) error {
		r, err := q.Repository(ctx, id)
		if err != nil {
			return err
		}
		var health fleet.RepositoryHealth
		if err := r.Health.Read(&health); err != nil {
			return fmt.Errorf("read the health of repository %s: %w", id, err)
		}
		seen.At, seen.Job = health.LocksSeen, health.LocksJob
		locks, err := q.Locks(ctx, id)
		if err != nil {
			return err
		}
		names, _ := locking()
		jobs, err := q.JobsAt(ctx, id, names)
		if err != nil {
			return err
		}
		var hosts []fleet.HostID
		for _, l := range locks {
			hosts = append(hosts, l.HostID)
		}
		called, err := q.HostNames(ctx, hosts)
		if err != nil {
			return err
		}
		for _, l := range locks {
			seen.Locks = append(seen.Locks, LockSeen{Lock: l, HostName: called[l.HostID], Job: holderOf(&l, jobs)})
		}
		return nil
	})
	return &seen, err
}

// holderOf finds the job that made a lock: the only one of its host that had begun then.
func holderOf(l *fleet.Lock, jobs []fleet.Job) *fleet.Job {
	var found *fleet.Job
	for i := range jobs {
		j := &jobs[i]
		if l.HostID == "" || j.HostID != l.HostID || !j.OnAgent() || j.StartedAt.IsZero() || l.CreatedAt.Add(lockSlack) < j.StartedAt {
			continue
		}
		if found != nil {
			return nil
		}
		found = j
	}
	return found
}
