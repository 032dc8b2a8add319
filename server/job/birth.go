package job

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// The jobs that an agent may bear in a birthDay beside those of its schedules' slots,
// which are bounded by themselves: a slot a minute. Enough for a week of a schedule each
// minute that was deleted meanwhile.
const (
	maxBirths = 12_000
	birthDay  = 24 * time.Hour
)

// CodeTooManyJobs is the condition of a host whose agent bears more jobs than are taken.
const CodeTooManyJobs = "too_many_jobs"

func birthsKey(host fleet.HostID) string { return "births:" + string(host) }

// jobOf finds the job of an item, or makes it where the agent says how it began.
// A verdict says that there is none to append to.
func (s *Service) jobOf(ctx context.Context, tx *store.Tx, host *fleet.Host, it *Item) (*fleet.Job, *Verdict, error) {
	refused := &Verdict{Job: it.Job, NextEventSeq: 1, NextLogSeq: 1}
	j, err := tx.LockJob(ctx, it.Job)
	switch {
	case err == nil && j.HostID != host.ID: //guard:agent-job
		return nil, nil, fleet.Errorf(fleet.AgentMismatch, "This job is another host's.")
	case err == nil:
		return j, nil, nil
	case !fleet.Is(err, fleet.NotFound):
		return nil, nil, err
	case it.Opened == nil:
		refused.Outcome = TakenUnknown
		return nil, refused, nil
	case tx.Now.Time().Sub(it.Opened.At) > s.historyLimit(): //guard:report-closed
		refused.Outcome = TakenClosed
		return nil, refused, nil
	}
	return s.open(ctx, tx, host, it, refused)
}

// open makes the job that an agent bore itself.
func (s *Service) open(ctx context.Context, tx *store.Tx, host *fleet.Host, it *Item, refused *Verdict) (*fleet.Job, *Verdict, error) {
	o := it.Opened
	j := &fleet.Job{
		ID: it.Job, HostID: host.ID, Operation: clip(strings.ReplaceAll(o.Operation, "\x00", ""), maxKind), Trigger: o.Trigger, Slot: fleet.At(o.Slot),
		State: fleet.Acked, Epoch: max(it.Epoch, 1), Attempt: 1, Version: 1, NextEventSeq: 1, NextLogSeq: 1,
		CreatedAt: onOurClock(host, o.At, tx.Now), LeaseUntil: tx.Now.Add(leaseTime), LastReport: tx.Now,
	}
	if !slices.Contains(fleet.Triggers, j.Trigger) {
		j.Trigger = fleet.BySchedule
	}
	schedule, err := place(ctx, tx, host, o, j)
	if err != nil {
		return nil, nil, err
	}
	if !s.ofSlot(schedule, j, tx.Now) {
		tooMany, err := countBirth(ctx, tx, host)
		if err != nil {
			return nil, nil, err
		}
		if tooMany { //guard:agent-births
			refused.Outcome, refused.Message = TakenClosed, fmt.Sprintf("This host has begun more than %d jobs in a day that are of no slot of its schedules; this one is not taken.", maxBirths)
			return nil, refused, nil
		}
	}
	created, err := tx.CreateJob(ctx, j)
	if err != nil {
		return nil, nil, err
	}
	if !created { // by a report that runs beside this one
		return nil, nil, fleet.Errorf(fleet.Unavailable, "The job is being made at this moment.")
	}
	if err := born(ctx, tx, j); err != nil {
		return nil, nil, err
	}
	return j, nil, settleBirth(ctx, tx, j)
}

// ofSlot tells whether a job is the one of a slot that a schedule of the host can have
// had: there is at most one a minute.
func (s *Service) ofSlot(schedule *fleet.Schedule, j *fleet.Job, now fleet.Time) bool {
	if schedule == nil || schedule.Manual {
		return false
	}
	at := j.Slot.Time()
	if at.Second() != 0 || at.Nanosecond() != 0 { //guard:birth-minute
		return false
	}
	if j.Slot < now.Add(-s.historyLimit()) || j.Slot > now.Add(maxSkew) { //guard:birth-age
		return false
	}
	id, err := fleet.SlotJob(schedule.ID, j.Slot)
	if err != nil || id != j.ID { //guard:birth-id
		return false
	}
	return true
}

// countBirth counts a job that is of no slot, and tells whether those are too many.
func countBirth(ctx context.Context, tx *store.Tx, host *fleet.Host) (bool, error) {
	n, err := tx.CountFailure(ctx, birthsKey(host.ID), birthDay)
	if err != nil || n <= maxBirths {
		return false, err
	}
	if n > maxBirths+1 {
		return true, nil
	}
	if err := tx.Block(ctx, birthsKey(host.ID), birthDay); err != nil {
		return false, err
	}
	_, err = tx.RaiseCondition(ctx, fleet.Condition{
		ObjectType: store.ObjectHost, ObjectID: string(host.ID), Code: CodeTooManyJobs, Severity: fleet.Warn,
		Message:  fmt.Sprintf("The agent has begun more than %d jobs in a day that belong to no slot of its schedules. What it begins beyond that is not taken.", maxBirths),
		NextStep: "Find out whether the agent is the program that it should be; if not, revoke it and look after the machine.",
	})
	return true, err
}

// birthsSettled ends the condition once a day without too many jobs is over.
func birthsSettled(ctx context.Context, tx *store.Tx, host fleet.HostID) error {
	until, err := tx.BlockedUntil(ctx, birthsKey(host))
	if err != nil || !until.IsZero() {
		return err
	}
	_, err = tx.ClearCondition(ctx, store.ObjectHost, string(host), CodeTooManyJobs)
	return err
}

// saysOfRepository tells whether the server believes a job of the operation something about
// its repository as a whole, or lets it keep others out.
func saysOfRepository(operation string) bool {
	op, known := restic.OperationNamed(operation)
	return fillers[operation] != nil || known && (op.Lock == restic.LockExclusive || op.Slot == restic.SlotMaintenance)
}

// place fills in schedule and repository as far as they are the host's: an agent
// cannot put a job, or the snapshot that it makes, to what is another's. A schedule
// that was deleted meanwhile stays named. It gives the schedule where it is there.
func place(ctx context.Context, tx *store.Tx, host *fleet.Host, o *Opened, j *fleet.Job) (*fleet.Schedule, error) {
	list, err := tx.RepositoriesOfHost(ctx, host.ID)
	if err != nil {
		return nil, err
	}
	j.ScheduleID, j.RepositoryID = o.Schedule, o.Repository
	schedule, err := tx.Schedule(ctx, host.ID, o.Schedule)
	switch {
	case err == nil:
		j.RepositoryID = cmp.Or(o.Repository, schedule.RepositoryID)
	case !fleet.Is(err, fleet.NotFound):
		return nil, err
	default:
		schedule = nil
		names, err := tx.ScheduleNames(ctx, []fleet.ScheduleID{o.Schedule})
		if err != nil {
			return nil, err
		}
		if _, another := names[o.Schedule]; another || !uuidForm.MatchString(string(o.Schedule)) {
			j.ScheduleID = ""
		}
	}
	if saysOfRepository(o.Operation) { //guard:agent-opened-operation
		j.RepositoryID = "" // nobody ordered it: it says nothing of a repository, and is in nobody's way there
	}
	isTheirs := slices.ContainsFunc(list, func(r fleet.Repository) bool { return r.ID == j.RepositoryID })
	if !isTheirs { //guard:agent-opened
		j.RepositoryID = ""
	}
	return schedule, nil
}
