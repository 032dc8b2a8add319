package job

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// The operations that the server itself asks for; restic's list has them all.
const (
	OperationBackup    = "backup"
	OperationInit      = "init"
	OperationIdentify  = "identify"
	OperationSnapshots = "snapshots"
)

// The kinds of commands.
const (
	commandRun    = "run"
	commandCancel = "cancel"
)

// How long a job waits to be picked up.
const (
	defaultStartWithin = 15 * time.Minute
	minStartWithin     = 10 * time.Second
	maxStartWithin     = 7 * 24 * time.Hour
)

// Request is a wish to run an operation on a host.
type Request struct {
	Host        fleet.HostID
	Operation   string
	Schedule    fleet.ScheduleID   // of a backup; empty: the one that run now of the host means
	Repository  fleet.RepositoryID // of an operation on a whole repository
	Params      json.RawMessage    // by the operation's fields; Schedule and Repository are filled in
	Trigger     fleet.Trigger      // empty: run-now
	StartWithin time.Duration      // the job expires if its agent has not picked it up by then; 0: 15 minutes
	Confirm     string             // the name that a person typed, where the operation wants that

	once bool // not where what it makes is there or being made
}

// errWaits stops a transaction in which another job of the schedule was found to
// wait.
var errWaits = errors.New("a job of this schedule waits already")

// Enqueue makes a job and queues its command. A schedule has at most one job that
// waits to be picked up: where one does, that one comes back and created is false.
// The host may be away; the job then waits, and expires after StartWithin.
//
// A backup into a repository that nobody has initialised yet is queued behind the
// repository's init on the same host.
//
// It fails with NotFound, HostNotEnrolled, HostDisabled, ScheduleDisabled,
// PickASchedule, RepositoryNotReady, UnknownOperation, UnknownField, InvalidField,
// NoMaintenanceHost, OperationElsewhere and ConfirmationNeeded.
//
// A job that locks the repository for itself waits at the server until it is its turn.
func (s *Service) Enqueue(ctx context.Context, actor Actor, r Request) (j *fleet.Job, created bool, err error) {
	err = s.Store.Update(ctx, actor.entry("job.create"), func(tx *store.Tx) error {
		j, err = s.make(ctx, tx, actor, r)
		return err
	})
	switch {
	case errors.Is(err, errWaits):
		return j, false, nil
	case errors.Is(err, errListed) && !r.once:
		err = fleet.Wrap(fleet.HostBusy, err, "Another job is making the index of this snapshot.")
	case errors.Is(err, errClaimed):
		err = fleet.Wrap(fleet.RepositoryNotReady, err, "Another job makes this repository usable at this moment; try again when it is done.")
	}
	if err != nil {
		return nil, false, err
	}
	return j, true, nil
}

// make makes a job in a transaction; it fails as Enqueue does, and with errWaits beside
// the job that waits.
func (s *Service) make(ctx context.Context, tx *store.Tx, actor Actor, r Request) (*fleet.Job, error) {
	w, err := s.resolve(ctx, tx, r)
	if err != nil {
		return nil, err
	}
	w.createdBy = actor.Name
	if err := w.makeUsable(ctx, tx); err != nil {
		return nil, err
	}
	j, err := w.enqueue(ctx, tx)
	if err != nil {
		return j, err
	}
	if j.Held {
		if err := s.takeTurns(ctx, tx, j.RepositoryID, ""); err != nil {
			return nil, err
		}
		if j, err = tx.Job(ctx, j.ID); err != nil {
			return nil, err
		}
	}
	tx.Audit.ObjectType, tx.Audit.ObjectID, tx.Audit.ObjectName = "job", string(j.ID), r.Operation
	tx.Audit.Detail = "on host " + w.host.Name + w.typed
	return j, nil
}

// RunNow backs a host up by its only enabled manual schedule, else by its only
// enabled one. It fails as Enqueue does, with PickASchedule where there is no such
// schedule.
func (s *Service) RunNow(ctx context.Context, actor Actor, host fleet.HostID, startWithin time.Duration) (j *fleet.Job, created bool, err error) {
	return s.Enqueue(ctx, actor, Request{Host: host, Operation: OperationBackup, StartWithin: startWithin})
}

// RunSchedule backs a host up by one of its schedules. It fails as Enqueue does.
func (s *Service) RunSchedule(ctx context.Context, actor Actor, host fleet.HostID, schedule fleet.ScheduleID, startWithin time.Duration) (j *fleet.Job, created bool, err error) {
	return s.Enqueue(ctx, actor, Request{Host: host, Operation: OperationBackup, Schedule: schedule, StartWithin: startWithin})
}

// enqueue writes job and command. Where another job of the schedule waits to be
// picked up it gives that one and errWaits.
func (w *wish) enqueue(ctx context.Context, tx *store.Tx) (*fleet.Job, error) {
	j := &fleet.Job{
		ID: fleet.NewID[fleet.JobID](), HostID: w.host.ID, Operation: w.operation, Params: w.params,
		Trigger: w.trigger, CreatedBy: w.createdBy, State: fleet.Pending, AccessHost: w.access,
		Epoch: 1, Attempt: 1, Version: 1, NextEventSeq: 1, NextLogSeq: 1,
		CreatedAt: tx.Now, ExpiresAt: tx.Now.Add(w.startWithin),
	}
	if w.schedule != nil {
		j.ScheduleID = w.schedule.ID
	}
	if w.repository != nil {
		j.RepositoryID = w.repository.ID
	}
	if w.repository != nil && lockOf(w.operation, w.params) == restic.LockExclusive { //guard:exclusive-held
		j.Held, j.State, j.WaitingOn = true, fleet.Waiting, "its turn"
	}
	created, err := tx.CreateJob(ctx, j)
	if err != nil {
		return nil, err
	}
	if !created {
		waiting, err := tx.PendingJob(ctx, j.ScheduleID)
		if fleet.Is(err, fleet.NotFound) { // it was picked up this very moment
			return nil, fleet.Wrap(fleet.HostBusy, err, "Another job of this schedule was just picked up; try again.")
		}
		if err != nil {
			return nil, err
		}
		return waiting, errWaits
	}
	if w.operation == OperationIndex {
		if err := w.claimIndex(ctx, tx, j); err != nil {
			return nil, err
		}
	}
	if !j.Held {
		if err := order(ctx, tx, j); err != nil {
			return nil, err
		}
	}
	if w.claims {
		won, err := tx.ClaimInit(ctx, w.repository.ID, j.ID)
		if err != nil {
			return nil, err
		}
		if !won { //guard:init-claim
			return nil, errClaimed
		}
	}
	return j, born(ctx, tx, j)
}

// order queues the command that has a job run.
func order(ctx context.Context, tx *store.Tx, j *fleet.Job) error {
	return tx.CreateCommand(ctx, &fleet.Command{
		HostID: j.HostID, ID: fleet.NewID[string](), Kind: commandRun, JobID: j.ID, Epoch: j.Epoch,
		Operation: j.Operation, Trigger: j.Trigger, Params: j.Params, StartBy: j.ExpiresAt,
	})
}

// born counts a new job in and tells everybody.
func born(ctx context.Context, tx *store.Tx, j *fleet.Job) error {
	if err := tx.CountActiveJob(ctx, j.HostID, 1); err != nil {
		return err
	}
	if j.Operation == OperationBackup { //guard:preview-is-no-run
		if err := tx.NoteScheduleJob(ctx, j); err != nil {
			return err
		}
	}
	touch(tx, j)
	tx.Wake(j.HostID)
	return nil
}

// touch tells who looks at a job or at what it belongs to.
func touch(tx *store.Tx, j *fleet.Job) {
	tx.Touch(fleet.TopicJobs, string(j.ID))
	tx.Touch(fleet.TopicHosts, string(j.HostID))
	if j.ScheduleID != "" {
		tx.Touch(fleet.TopicSchedules, string(j.ScheduleID))
	}
}
