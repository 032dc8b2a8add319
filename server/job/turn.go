package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// The arbiter: a job that locks its repository for itself is born held, without a
// command. Whatever could make room for it asks fleet.TakeTurns, in its own transaction
// and with the repository's row locked: a job that is made or ends, and a loop that
// sees what only time changes.

// pickUp is how long a job whose turn it is may stay with an agent that was in touch a
// moment ago and does not take it.
const pickUp = 15 * time.Minute

// locking gives the names of the operations that may lock a repository.
var locking = sync.OnceValue(func() (names []string) {
	for _, op := range restic.Operations() {
		if op.Lock != restic.LockNone {
			names = append(names, op.Name)
		}
	}
	return names
})

// jobsThatLock reads the jobs of a repository that lock it and have not ended.
func jobsThatLock(ctx context.Context, q store.Queries, id fleet.RepositoryID) ([]fleet.Job, error) {
	jobs, err := q.JobsAt(ctx, id, locking())
	return slices.DeleteFunc(jobs, func(j fleet.Job) bool { return lockOf(j.Operation, j.Params) == restic.LockNone }), err
}

// lockOf tells how a job locks its repository: a dry run that only reads does not, so it
// waits for nobody's turn and is in nobody's way.
func lockOf(operation string, params fleet.Doc) restic.Lock {
	op, known := restic.OperationNamed(operation)
	if !known {
		return restic.LockNone
	}
	return op.LockOf(dryRun(params))
}

// dryRun tells whether a job only says what it would do.
func dryRun(params fleet.Doc) bool {
	var given struct {
		DryRun bool `json:"dry_run"`
	}
	return params.Read(&given) == nil && given.DryRun
}

// TakeTurns looks at every repository at which a job waits or holds others back. It is
// the net under what finish and enqueue do, and sees what time alone changes.
func (s *Service) TakeTurns(ctx context.Context) error {
	ids, err := s.Store.RepositoriesInTurn(ctx)
	if err != nil {
		return err
	}
	var errs []error // one repository's trouble does not hold up the others
	for _, id := range ids {
		err := s.Store.Write(ctx, func(tx *store.Tx) error { return s.takeTurns(ctx, tx, id, "") })
		if err != nil {
			errs = append(errs, fmt.Errorf("take turns at repository %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// makeRoom takes turns where a job has ended that may have been in another's way.
func (s *Service) makeRoom(ctx context.Context, tx *store.Tx, j *fleet.Job) error {
	if j.RepositoryID == "" || lockOf(j.Operation, j.Params) == restic.LockNone {
		return nil
	}
	some, err := tx.InTurn(ctx, j.RepositoryID)
	if err != nil || !some {
		return err
	}
	return s.takeTurns(ctx, tx, j.RepositoryID, j.ID)
}

// takeTurns decides whose turn it is at a repository and does what follows from it.
// ended is a job that ends in this transaction and is not written yet.
func (s *Service) takeTurns(ctx context.Context, tx *store.Tx, id fleet.RepositoryID, ended fleet.JobID) error {
	r, err := tx.LockRepository(ctx, id)
	if fleet.Is(err, fleet.NotFound) {
		if ended != "" {
			return nil // the loop ends what else waits there
		}
		return s.endHeldOf(ctx, tx, id)
	}
	if err != nil {
		return err
	}
	holders, err := holdersOf(ctx, tx, r, ended)
	if err != nil {
		return err
	}
	longest := cmp.Or(s.LongestHold, fleet.LongestHold)
	turn := fleet.TakeTurns(r, holders, longest, tx.Now)
	before := *r
	r.HoldJob, r.HoldSince, r.HoldUntil = "", 0, 0
	if turn.Next != nil {
		r.HoldJob, r.HoldSince, r.HoldUntil = turn.Next.Job.ID, turn.Since, turn.HoldUntil
	}
	if err := tx.SaveHold(ctx, r, before); err != nil {
		return err
	}
	if err := holdEnds(ctx, tx, r, &turn, longest); err != nil {
		return err
	}
	if turn.Grant != nil {
		if err := grant(ctx, tx, turn.Grant.Job.ID); err != nil {
			return err
		}
	}
	for i := range holders {
		j := holders[i].Job
		if text := clip(turn.Waits[j.ID], 500); j.Held && text != "" && text != j.WaitingOn {
			if err := waitOn(ctx, tx, j.ID, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// CodeExclusiveTooLong is the condition of a repository at which an exclusive job has run for
// so long that backups are not held back for it any more.
const CodeExclusiveTooLong = "exclusive_too_long"

// holdEnds says that a job has run for longer than backups are held back for it, until it
// ends.
func holdEnds(ctx context.Context, tx *store.Tx, r *fleet.Repository, turn *fleet.Turn, longest time.Duration) error {
	c := fleet.Condition{ObjectType: store.ObjectRepository, ObjectID: string(r.ID), Code: CodeExclusiveTooLong, Severity: fleet.Warn}
	if turn.Overlong {
		c.JobID = turn.Next.Job.ID
		c.Message = fmt.Sprintf("%s at %s has the repository for itself since %s, which is longer than %d hours. Backups are not held back for it any more; they begin if restic's own lock lets them.",
			restic.TitleOf(turn.Next.Job.Operation), turn.Next.Host, moment(turn.Since), longest/time.Hour)
		c.NextStep = "Look at the job's log; cancel it if it does not get on."
	}
	return hold(ctx, tx, turn.Overlong, c)
}

// holdersOf gathers the jobs that may lock a repository, with their hosts.
func holdersOf(ctx context.Context, tx *store.Tx, r *fleet.Repository, ended fleet.JobID) ([]fleet.Holder, error) {
	jobs, err := jobsThatLock(ctx, tx.Queries, r.ID)
	if err != nil {
		return nil, err
	}
	ids := make([]fleet.HostID, len(jobs))
	silent := false
	for i := range jobs {
		ids[i] = jobs[i].HostID
		silent = silent || jobs[i].State == fleet.Unresponsive
	}
	hosts, err := tx.HostsNamed(ctx, ids)
	if err != nil {
		return nil, err
	}
	gone := func(*fleet.Job) bool { return false }
	if silent {
		if gone, err = goneFrom(ctx, tx, r); err != nil {
			return nil, err
		}
	}
	var holders []fleet.Holder
	for i := range jobs {
		j := &jobs[i]
		host := hosts[j.HostID]
		if j.ID == ended || host == nil {
			continue
		}
		holders = append(holders, fleet.Holder{
			Job: j, Host: host.Name, Online: host.Presence(tx.Now.Time()) == fleet.Online, Gone: gone(j),
			Exclusive: lockOf(j.Operation, j.Params) == restic.LockExclusive,
		})
	}
	return holders, nil
}

// goneFrom tells of which silent jobs a listing of the locks, made after their leases
// ended, shows none of their host.
func goneFrom(ctx context.Context, tx *store.Tx, r *fleet.Repository) (func(*fleet.Job) bool, error) {
	var health fleet.RepositoryHealth
	if err := r.Health.Read(&health); err != nil {
		return nil, fmt.Errorf("read the health of repository %s: %w", r.ID, err)
	}
	locks, err := tx.Locks(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	unknown := false // a lock that may be anybody's
	held := map[fleet.HostID]bool{}
	for _, l := range locks {
		unknown = unknown || l.HostID == ""
		held[l.HostID] = true
	}
	return func(j *fleet.Job) bool {
		return j.State == fleet.Unresponsive && health.LocksSeen > j.LeaseUntil && !unknown && !held[j.HostID]
	}, nil
}

// grant gives a job its turn: now it gets its command.
func grant(ctx context.Context, tx *store.Tx, id fleet.JobID) error {
	j, err := tx.LockJob(ctx, id)
	if err != nil || !j.Held {
		return err
	}
	j.Held, j.State, j.WaitingOn = false, fleet.Pending, ""
	j.ExpiresAt = tx.Now.Add(pickUp)
	if err := order(ctx, tx, j); err != nil {
		return err
	}
	touch(tx, j)
	tx.Wake(j.HostID)
	return tx.SaveJob(ctx, j)
}

func waitOn(ctx context.Context, tx *store.Tx, id fleet.JobID, text string) error {
	j, err := tx.LockJob(ctx, id)
	if err != nil || !j.Held {
		return err
	}
	j.WaitingOn = text
	touch(tx, j)
	return tx.SaveJob(ctx, j)
}

// endHeldOf ends the jobs that wait for a repository that was deleted.
func (s *Service) endHeldOf(ctx context.Context, tx *store.Tx, id fleet.RepositoryID) error {
	jobs, err := jobsThatLock(ctx, tx.Queries, id)
	if err != nil {
		return err
	}
	for i := range jobs {
		if !jobs[i].Held {
			continue
		}
		j, err := tx.LockJob(ctx, jobs[i].ID)
		if err != nil {
			return err
		}
		if err := s.end(ctx, tx, j, Outcome{
			Result: string(fleet.Cancelled), Code: "repository_deleted", Message: "The repository was deleted while this job waited for it.",
		}); err != nil {
			return err
		}
	}
	return nil
}
