package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"restic-manager/restic"
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
		jobs, err := jobsThatLock(ctx, q, id)
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

// maxRowsOfLocks is how many locks of a repository are kept.
const maxRowsOfLocks = 200

// locksListed keeps the locks that a job listed, each with the host of ours that its
// name means, where it means one alone.
func locksListed(ctx context.Context, tx *store.Tx, f *finding, _ *facts) error {
	j := f.job
	if !j.Result.Good() || f.older(f.health.LocksSeen) || j.Operation == OperationUnlock && f.out.Locks == nil {
		return nil
	}
	before, err := tx.Locks(ctx, j.RepositoryID)
	if err != nil {
		return err
	}
	known := map[string]fleet.Lock{}
	for _, l := range before {
		known[l.ID] = l
	}
	called := map[string]fleet.HostID{}
	var rows []fleet.Lock
	for _, l := range f.out.Locks[:min(len(f.out.Locks), maxRowsOfLocks)] {
		host, asked := called[l.Hostname]
		if !asked {
			if host, err = hostCalled(ctx, tx, l.Hostname); err != nil {
				return err
			}
			called[l.Hostname] = host
		}
		row := fleet.Lock{
			RepositoryID: j.RepositoryID, ID: l.ID, Hostname: l.Hostname, Username: l.Username, PID: int64(l.PID), Exclusive: l.Exclusive,
			CreatedAt: lockedAt(l.CreatedAt, j.FinishedAt), HostID: host, Alive: LockUnknown, SeenAt: j.FinishedAt,
		}
		if old, was := known[l.ID]; was && old.CreatedAt == row.CreatedAt {
			row.Alive, row.AliveAt = old.Alive, old.AliveAt
		}
		if host == j.HostID && (l.Alive == LockAlive || l.Alive == LockDead) { //guard:lock-alive
			row.Alive, row.AliveAt = l.Alive, j.FinishedAt
		}
		rows = append(rows, row)
	}
	f.health.Locks, f.health.LocksSeen, f.health.LocksJob = len(rows), j.FinishedAt, j.ID
	return tx.ReplaceLocks(ctx, j.RepositoryID, rows)
}

// oldestLock is before any restic.
var oldestLock = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// lockedAt is when a lock was made or last refreshed, by what somebody wrote into it: not
// before there was a restic, and not more than a day after it was seen.
func lockedAt(said time.Time, seen fleet.Time) fleet.Time {
	switch {
	case said.IsZero():
		return 0
	case said.Before(oldestLock): //guard:lock-past
		return fleet.At(oldestLock)
	case said.After(seen.Time().Add(24 * time.Hour)): //guard:lock-future
		return seen
	}
	return fleet.At(said)
}

// hostCalled is the host of ours that a lock's name means; empty where none or several
// are called so.
func hostCalled(ctx context.Context, tx *store.Tx, hostname string) (fleet.HostID, error) {
	hosts, err := tx.HostsCalled(ctx, hostname)
	if err != nil || len(hosts) != 1 {
		return "", err
	}
	return hosts[0].ID, nil
}

// When the server looks after locks by itself.
const (
	staleAfter   = 30 * time.Minute // restic refreshes its locks each five minutes
	locksSettle  = 2 * time.Minute  // for how long a listing is new
	unlockAgain  = 10 * time.Minute // between two tries at a host while a job waits
	unlockSeldom = 6 * time.Hour    // where none does
)

// SweepLocks looks after locks that may be of dead processes: where a job waits for a
// lock, or one was not refreshed for half an hour, the agent of its host is asked to
// remove it; it does so only where its process is dead. A lock of a machine that is not
// ours, or of a name that several hosts have, is left to people.
func (s *Service) SweepLocks(ctx context.Context) error {
	waiting, err := s.Store.RepositoriesLockedOut(ctx)
	if err != nil {
		return err
	}
	var errs []error // one repository's trouble does not hold up the others
	waits := map[fleet.RepositoryID]bool{}
	for _, id := range waiting {
		waits[id] = true
		if err := s.relist(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("list the locks of repository %s: %w", id, err))
		}
	}
	locks, err := s.Store.OwnedLocks(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	asked := map[string]bool{}
	now := fleet.At(s.Store.Now())
	for _, l := range locks {
		pause := unlockSeldom
		switch {
		case l.Alive == LockAlive && l.AliveAt.Add(unlockAgain) > now:
			continue
		case waits[l.RepositoryID]:
			pause = unlockAgain
		case l.Alive == LockAlive, l.CreatedAt.Add(staleAfter) > now:
			continue
		}
		key := string(l.RepositoryID) + string(l.HostID)
		if asked[key] {
			continue
		}
		asked[key] = true
		if err := s.sweepLock(ctx, &l, pause); err != nil {
			errs = append(errs, fmt.Errorf("look after a lock of repository %s: %w", l.RepositoryID, err))
		}
	}
	return errors.Join(errs...)
}

// sweepLock has a lock removed by its host, or listed anew where it may be gone.
func (s *Service) sweepLock(ctx context.Context, l *fleet.Lock, pause time.Duration) error {
	old, err := s.unlockedSince(ctx, l)
	if err != nil {
		return err
	}
	if old {
		return s.relist(ctx, l.RepositoryID)
	}
	return s.askOnce(ctx, l.RepositoryID, l.HostID, OperationUnlock, pause)
}

// unlockedSince tells whether locks were removed after this one was seen: it may be gone.
func (s *Service) unlockedSince(ctx context.Context, l *fleet.Lock) (bool, error) {
	last, _, err := s.Store.Jobs(ctx, store.JobFilter{Repository: l.RepositoryID, Operation: OperationUnlock, Result: fleet.Succeeded}, store.Page{Size: 1})
	return len(last) > 0 && last[0].FinishedAt > l.SeenAt, err
}

// relist has the locks of a repository listed where a job waits for one and the last
// listing is old.
func (s *Service) relist(ctx context.Context, id fleet.RepositoryID) error {
	r, err := s.Store.Repository(ctx, id)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var health fleet.RepositoryHealth
	if err := r.Health.Read(&health); err != nil {
		return fmt.Errorf("read the health of repository %s: %w", id, err)
	}
	if health.LocksSeen.Add(locksSettle) > fleet.At(s.Store.Now()) {
		return nil
	}
	host, err := s.HostFor(ctx, r, OperationLocks, nil)
	if fleet.Is(err, fleet.NoHostOnline) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.askOnce(ctx, id, host.ID, OperationLocks, locksSettle)
}

// askOnce orders an operation at a host that is online, unless one is under way or was
// ordered there a moment ago.
func (s *Service) askOnce(ctx context.Context, id fleet.RepositoryID, host fleet.HostID, operation string, pause time.Duration) error {
	if _, known := restic.OperationNamed(operation); !known {
		return nil
	}
	now := s.Store.Now()
	last, _, err := s.Store.Jobs(ctx, store.JobFilter{Host: host, Repository: id, Operation: operation}, store.Page{Size: 1})
	if err != nil {
		return err
	}
	if len(last) > 0 && (last[0].Active() || last[0].CreatedAt.Add(pause) > fleet.At(now)) { //guard:unlock-rate
		return nil
	}
	h, err := s.Store.Host(ctx, host)
	if fleet.Is(err, fleet.NotFound) || err == nil && h.Presence(now) != fleet.Online {
		return nil
	}
	if err != nil {
		return err
	}
	_, _, err = s.Enqueue(ctx, server(), Request{Host: host, Operation: operation, Repository: id, Trigger: fleet.ByMaintenance, StartWithin: unlockAgain})
	var refused *fleet.Error
	if errors.As(err, &refused) && refused.Err == nil {
		return nil // of another release, disabled this moment, or without a schedule there by now
	}
	return err
}
