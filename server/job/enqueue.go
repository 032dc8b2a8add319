package job

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"restic-manager/server/fleet"
)

// The operations that the server itself asks for; restic's list has them all.
const (
	OperationBackup    = "backup"
	OperationInit      = "init"
	OperationIdentify  = "identify"
	OperationSnapshots = "snapshots"
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
}

// Enqueue makes a job and queues its command. A schedule has at most one job that
// waits to be picked up: where one does, that one comes back and created is false.
// The host may be away; the job then waits, and expires after StartWithin.
//
// A backup into a repository that nobody has initialised yet is queued behind the
// repository's init on the same host.
//
// It fails with NotFound, HostNotEnrolled, HostDisabled, ScheduleDisabled,
// PickASchedule, RepositoryNotReady, UnknownOperation, UnknownField and
// InvalidField.
func (s *Service) Enqueue(ctx context.Context, actor Actor, r Request) (j *fleet.Job, created bool, err error) {
	return nil, false, errors.ErrUnsupported
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
