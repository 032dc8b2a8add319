package job

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

// wish is a request with everything that it names.
type wish struct {
	host        *fleet.Host
	schedule    *fleet.Schedule   // nil: none
	repository  *fleet.Repository // nil: none
	operation   string
	params      fleet.Doc
	trigger     fleet.Trigger
	createdBy   string
	startWithin time.Duration
	claims      bool         // the job makes the repository usable
	access      fleet.HostID // whose append credential is used; empty: the host's own
	once        bool         // see Request
	typed       string       // for the audit log: what a person typed
}

func (s *Service) resolve(ctx context.Context, tx *store.Tx, r Request) (*wish, error) {
	op, ok := restic.OperationNamed(r.Operation)
	if !ok {
		return nil, fleet.Errorf(fleet.UnknownOperation, "There is no such operation; the list of operations names them all.").At("/operation")
	}
	host, err := tx.Host(ctx, r.Host)
	if err != nil {
		return nil, err
	}
	switch {
	case host.Disabled:
		return nil, fleet.Errorf(fleet.HostDisabled, "%s is disabled; enable it first.", host.Name)
	case host.EnrolledAt.IsZero():
		return nil, fleet.Errorf(fleet.HostNotEnrolled, "%s has no agent yet; run its enrolment line on the machine first.", host.Name)
	}
	w := &wish{
		host: host, operation: r.Operation, once: r.once,
		trigger:     cmp.Or(r.Trigger, fleet.ByRunNow),
		startWithin: min(max(cmp.Or(r.StartWithin, defaultStartWithin), minStartWithin), maxStartWithin),
	}
	given, err := members(r.Params)
	if err != nil {
		return nil, err
	}
	if err := w.findSchedule(ctx, tx, op, r, given); err != nil {
		return nil, err
	}
	if err := w.findRepository(ctx, tx, op, r, given); err != nil {
		return nil, err
	}
	if err := w.checkPlace(ctx, tx, op); err != nil {
		return nil, err
	}
	if err := w.checkParams(given); err != nil {
		return nil, err
	}
	return w, w.confirm(op, given, r.Confirm)
}

// The members of params that the server fills in.
const (
	fieldSchedule        = "schedule_id"
	fieldScheduleVersion = "schedule_version"
	fieldRepository      = "repository_id"
)

func takes(op restic.Operation, field string) bool {
	return slices.ContainsFunc(op.Fields, func(f restic.Field) bool { return f.Name == field })
}

func (w *wish) findSchedule(ctx context.Context, tx *store.Tx, op restic.Operation, r Request, given map[string]any) error {
	if !takes(op, fieldSchedule) {
		if r.Schedule != "" {
			return fleet.Errorf(fleet.InvalidField, "This operation takes no schedule.").At("/schedule_id")
		}
		return nil
	}
	id, err := same(string(r.Schedule), given, fieldSchedule)
	if err != nil {
		return err
	}
	if id != "" {
		w.schedule, err = tx.Schedule(ctx, w.host.ID, fleet.ScheduleID(id))
	} else {
		var all []fleet.Schedule
		if all, err = tx.Schedules(ctx, w.host.ID); err == nil {
			w.schedule, err = fleet.PickForRunNow(all)
		}
	}
	if err != nil {
		return err
	}
	if !w.schedule.Enabled {
		return fleet.Errorf(fleet.ScheduleDisabled, "The schedule %s is switched off; switch it on first.", w.schedule.Name)
	}
	given[fieldSchedule] = w.schedule.ID
	given[fieldScheduleVersion] = w.schedule.Version
	return nil
}

func (w *wish) findRepository(ctx context.Context, tx *store.Tx, op restic.Operation, r Request, given map[string]any) error {
	if w.schedule != nil {
		if r.Repository != "" && r.Repository != w.schedule.RepositoryID {
			return fleet.Errorf(fleet.InvalidField, "The schedule backs up to another repository.").At("/repository_id")
		}
		var err error
		w.repository, err = tx.Repository(ctx, w.schedule.RepositoryID)
		return err
	}
	if !takes(op, fieldRepository) {
		return nil
	}
	id, err := same(string(r.Repository), given, fieldRepository)
	if err != nil {
		return err
	}
	if id == "" {
		return fleet.Errorf(fleet.InvalidField, "Name the repository.").At("/repository_id")
	}
	list, err := tx.RepositoriesKnown(ctx, w.host.ID)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].ID == fleet.RepositoryID(id) {
			w.repository = &list[i]
			given[fieldRepository] = id
			return nil
		}
	}
	if op.Anywhere {
		return w.findAnywhere(ctx, tx, fleet.RepositoryID(id), given)
	}
	return fleet.Errorf(fleet.InvalidField, "%s has no schedule that backs up to this repository; make one first.", w.host.Name).At("/repository_id")
}

// same is an id that may be given beside params, in them, or twice alike.
func same(beside string, given map[string]any, field string) (string, error) {
	inside, _ := given[field].(string)
	if beside != "" && inside != "" && beside != inside {
		return "", fleet.Errorf(fleet.InvalidField, "This differs from %s beside params.", field).At("/params/" + field)
	}
	return cmp.Or(beside, inside), nil
}

// members decodes params so far that members can be filled in. What is wrong with
// them otherwise is restic's validator's to say.
func members(params json.RawMessage) (map[string]any, error) {
	given := map[string]any{}
	if len(bytes.TrimSpace(params)) == 0 {
		return given, nil
	}
	d := json.NewDecoder(bytes.NewReader(params))
	d.UseNumber()
	if err := d.Decode(&given); err != nil {
		return nil, fleet.Wrap(fleet.InvalidField, err, "Send params as one JSON object.").At("/params")
	}
	if given == nil { // null
		given = map[string]any{}
	}
	return given, nil
}

// checkParams hands the completed params to the one validator and keeps them.
func (w *wish) checkParams(given map[string]any) error {
	doc, err := fleet.NewDoc(given)
	if err != nil {
		return fmt.Errorf("encode params: %w", err)
	}
	_, err = restic.ValidateParams(w.operation, json.RawMessage(doc))
	var wrong restic.Errors
	if errors.As(err, &wrong) {
		return fieldErrors(wrong)
	}
	w.params = doc
	return err
}

func fieldErrors(wrong restic.Errors) error {
	var fields fleet.Fields
	for _, e := range wrong {
		code := fleet.InvalidField
		if e.Code == restic.CodeUnknownField {
			code = fleet.UnknownField
		}
		text := e.Message
		if e.Next != "" {
			text += "; " + e.Next
		}
		fields = append(fields, fleet.Errorf(code, "%s: %s.", e.Field, text).At("/params/"+e.Field))
	}
	return fields.Err()
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
		if err := w.claimListing(ctx, tx, j); err != nil {
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
