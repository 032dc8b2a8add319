package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// slotsShown is how many of the next fire times are foretold.
const slotsShown = 5

// ListSchedules lists a host's schedules by name. A host has few, so they are read
// at once and cut into pages here.
func (h *Handlers) ListSchedules(ctx context.Context, r ListSchedulesRequestObject) (ListSchedulesResponseObject, error) {
	host, err := h.store.Host(ctx, fleet.HostID(r.HostId))
	if err != nil {
		return nil, err
	}
	all, err := h.store.Schedules(ctx, host.ID)
	if err != nil {
		return nil, err
	}
	part, next, err := pageOf(all, r.Params.PageSize, r.Params.PageToken, func(s *fleet.Schedule) string { return string(s.ID) })
	if err != nil {
		return nil, err
	}
	views, err := h.viewSchedules(ctx, host, part)
	if err != nil {
		return nil, err
	}
	return ListSchedules200JSONResponse{Schedules: views, NextPageToken: next}, nil
}

// pageOf cuts a page out of a short list that was read whole; the token is the id
// of the last item of the page before.
func pageOf[T any](all []T, size int, token string, id func(*T) string) ([]T, string, error) {
	if token != "" {
		i := slices.IndexFunc(all, func(item T) bool { return id(&item) == token })
		if i < 0 {
			return nil, "", fleet.Errorf(fleet.InvalidPageToken, "The page token is damaged or its place is gone; begin again without one.").At("page_token")
		}
		all = all[i+1:]
	}
	if size <= 0 {
		size = store.DefaultPageSize
	}
	if len(all) <= size {
		return all, "", nil
	}
	return all[:size], id(&all[size-1]), nil
}

// CreateSchedule makes a schedule.
func (h *Handlers) CreateSchedule(ctx context.Context, r CreateScheduleRequestObject) (CreateScheduleResponseObject, error) {
	s := &fleet.Schedule{ID: fleet.NewID[fleet.ScheduleID](), HostID: fleet.HostID(r.HostId)}
	if err := fill(s, r.Body); err != nil {
		return nil, err
	}
	err := h.store.Update(ctx, auth.Audit(ctx, "schedule.create"), func(tx *store.Tx) (err error) {
		about(tx, "schedule", string(s.ID), s.Name)
		if err := tx.CreateSchedule(ctx, s); err != nil {
			return err
		}
		tx.Audit.Detail, err = describe(ctx, tx, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	view, err := h.scheduleChanged(ctx, s)
	return CreateSchedule201JSONResponse(view), err
}

// ReadSchedule reads a schedule.
func (h *Handlers) ReadSchedule(ctx context.Context, r ReadScheduleRequestObject) (ReadScheduleResponseObject, error) {
	host, err := h.store.Host(ctx, fleet.HostID(r.HostId))
	if err != nil {
		return nil, err
	}
	view, err := h.viewSchedule(ctx, host, fleet.ScheduleID(r.ScheduleId))
	return ReadSchedule200JSONResponse(view), err
}

// ReplaceSchedule replaces everything that people write into a schedule.
func (h *Handlers) ReplaceSchedule(ctx context.Context, r ReplaceScheduleRequestObject) (ReplaceScheduleResponseObject, error) {
	var s *fleet.Schedule
	err := h.store.Update(ctx, auth.Audit(ctx, "schedule.update"), func(tx *store.Tx) (err error) {
		if s, err = tx.Schedule(ctx, fleet.HostID(r.HostId), fleet.ScheduleID(r.ScheduleId)); err != nil {
			return err
		}
		if seen := r.Params.IfVersion; seen != 0 && seen != s.Version {
			return fleet.Errorf(fleet.VersionConflict, "Somebody changed this schedule meanwhile; read it again and repeat your change.").At("if_version")
		}
		if err := fill(s, r.Body); err != nil {
			return err
		}
		about(tx, "schedule", string(s.ID), s.Name)
		if err := tx.ReplaceSchedule(ctx, s); err != nil {
			return err
		}
		tx.Audit.Detail, err = describe(ctx, tx, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	view, err := h.scheduleChanged(ctx, s)
	return ReplaceSchedule200JSONResponse(view), err
}

// DeleteSchedule deletes a schedule; its jobs and snapshots stay.
func (h *Handlers) DeleteSchedule(ctx context.Context, r DeleteScheduleRequestObject) (DeleteScheduleResponseObject, error) {
	host, id := fleet.HostID(r.HostId), fleet.ScheduleID(r.ScheduleId)
	err := h.store.Update(ctx, auth.Audit(ctx, "schedule.delete"), func(tx *store.Tx) error {
		s, err := tx.Schedule(ctx, host, id)
		if err != nil {
			return err
		}
		about(tx, "schedule", string(id), s.Name)
		return tx.DeleteSchedule(ctx, host, id)
	})
	return DeleteSchedule204Response{}, err
}

// fill writes what people gave into a schedule and checks it.
func fill(s *fleet.Schedule, spec *ScheduleSpec) error {
	s.Name, s.RepositoryID = spec.Name, fleet.RepositoryID(spec.RepositoryId)
	s.Paths, s.Excludes, s.Tags = fleet.NewList(spec.Paths), fleet.NewList(spec.Excludes), fleet.NewList(spec.Tags)
	s.Manual, s.Cron, s.Zone = spec.Manual, spec.Cron, spec.Zone
	s.Enabled = spec.Enabled == nil || *spec.Enabled
	s.Source, s.Objective = spec.Source, spec.ObjectiveS
	options := ScheduleOptions{}
	if spec.Options != nil {
		options = *spec.Options
	}
	encoded, err := fleet.NewDoc(options)
	if err != nil {
		return err
	}
	s.Options = encoded
	keep := Retention{}
	if spec.Retention != nil {
		keep = *spec.Retention
	}
	retention, err := fleet.NewDoc(keep)
	if err != nil {
		return err
	}
	s.Retention = retention
	return s.Check()
}

// describe says in the audit log what a schedule does from now on.
func describe(ctx context.Context, tx *store.Tx, s *fleet.Schedule) (string, error) {
	host, err := tx.Host(ctx, s.HostID)
	if err != nil {
		return "", err
	}
	repository, err := tx.Repository(ctx, s.RepositoryID)
	if err != nil {
		return "", err
	}
	when := "manual"
	if !s.Manual {
		when = s.Cron + " " + s.Zone
	}
	what := "paths " + listed(s.Paths.Items())
	if s.Source != "" {
		what = "source " + s.Source
	}
	return fmt.Sprintf("host %s; repository %s; %s; excludes %s; when %s; enabled %t; keep %s; options %s; objective %d s",
		quoted(host.Name), quoted(repository.Name), what, listed(s.Excludes.Items()), quoted(when), s.Enabled, plainly(s.Retention), plainly(s.Options), s.Objective), nil
}

// scheduleChanged gives a repository that nobody has initialised yet its chance,
// and the schedule as it is now.
func (h *Handlers) scheduleChanged(ctx context.Context, s *fleet.Schedule) (Schedule, error) {
	h.prepare(ctx, s.RepositoryID)
	host, err := h.store.Host(ctx, s.HostID)
	if err != nil {
		return Schedule{}, err
	}
	return h.viewSchedule(ctx, host, s.ID)
}

func (h *Handlers) viewSchedule(ctx context.Context, host *fleet.Host, id fleet.ScheduleID) (Schedule, error) {
	s, err := h.store.Schedule(ctx, host.ID, id)
	if err != nil {
		return Schedule{}, err
	}
	views, err := h.viewSchedules(ctx, host, []fleet.Schedule{*s})
	if err != nil {
		return Schedule{}, err
	}
	return views[0], nil
}

func (h *Handlers) viewSchedules(ctx context.Context, host *fleet.Host, list []fleet.Schedule) ([]Schedule, error) {
	known, last := newNames(), []fleet.JobID{}
	for i := range list {
		known.want("", list[i].RepositoryID, "")
		if list[i].LastJob != "" {
			last = append(last, list[i].LastJob)
		}
	}
	if err := known.read(ctx, h.store); err != nil {
		return nil, err
	}
	briefs, err := h.briefs(ctx, last)
	if err != nil {
		return nil, err
	}
	views := make([]Schedule, len(list))
	for i := range list {
		if views[i], err = h.toSchedule(&list[i], host, known); err != nil {
			return nil, err
		}
		views[i].LastJob = briefs[list[i].LastJob]
	}
	return views, nil
}

func (h *Handlers) toSchedule(s *fleet.Schedule, host *fleet.Host, known *names) (Schedule, error) {
	view := Schedule{
		Id: string(s.ID), HostId: string(s.HostID), Name: s.Name,
		RepositoryId: string(s.RepositoryID), RepositoryName: known.repositories[s.RepositoryID],
		Paths: s.Paths.Items(), Excludes: s.Excludes.Items(), Tags: s.Tags.Items(),
		Manual: s.Manual, Cron: s.Cron, Zone: s.Zone, Enabled: s.Enabled, NextRuns: s.NextSlots(h.store.Now(), slotsShown),
		Version: s.Version, Drift: s.Drift(host), LastGoodAt: s.LastGood.Time(),
		CreatedAt: s.CreatedAt.Time(), UpdatedAt: s.UpdatedAt.Time(),
	}
	view.Source, view.ObjectiveS, view.Words = s.Source, s.Objective, s.Words()
	view.EffectiveObjectiveS = int64(s.EffectiveObjective(host.Availability) / time.Second)
	view.BreachAt = s.BreachAt.Time()
	if err := errors.Join(s.Retention.Read(&view.Retention), s.Options.Read(&view.Options)); err != nil {
		return Schedule{}, fmt.Errorf("read schedule %s: %w", s.ID, err)
	}
	var err error
	if view.Warnings, err = warningsOf(&view, host); err != nil {
		return Schedule{}, fmt.Errorf("read what host %s offers: %w", host.ID, err)
	}
	return view, nil
}
