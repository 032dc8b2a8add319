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
	if err := w.checkPlace(ctx, tx, op.With(given)); err != nil {
		return nil, err
	}
	if err := w.findSecondPassword(ctx, tx, op, given); err != nil {
		return nil, err
	}
	if err := w.findDoubted(ctx, tx, op, given); err != nil {
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
	fieldSecret          = "secret_id"
	fieldSecretVersion   = "secret_version"
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
