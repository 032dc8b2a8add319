package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// actor is the person of a request, as the verbs of server/job want to know them.
func actor(ctx context.Context) job.Actor {
	v := auth.VisitOf(ctx)
	person := auth.Person(ctx)
	return job.Actor{
		Name: v.Actor, Address: v.Address.String(), RequestID: v.ID,
		Operates: person != nil && person.Role.Allows(fleet.Operator),
	}
}

// CreateJob starts an operation on a host.
func (h *Handlers) CreateJob(ctx context.Context, r CreateJobRequestObject) (CreateJobResponseObject, error) {
	j, created, err := h.jobs.Enqueue(ctx, actor(ctx), job.Request{
		Host:        fleet.HostID(r.HostId),
		Operation:   r.Body.Operation,
		Schedule:    fleet.ScheduleID(r.Body.ScheduleId),
		Repository:  fleet.RepositoryID(r.Body.RepositoryId),
		Params:      r.Body.Params,
		Confirm:     r.Body.Confirm,
		StartWithin: time.Duration(r.Body.StartWithinS) * time.Second,
	})
	if err != nil {
		return nil, err
	}
	view, err := h.viewJob(ctx, j)
	if err != nil {
		return nil, err
	}
	if created {
		return CreateJob202JSONResponse(view), nil
	}
	return CreateJob200JSONResponse(view), nil
}

// RunSchedule runs a schedule now.
func (h *Handlers) RunSchedule(ctx context.Context, r RunScheduleRequestObject) (RunScheduleResponseObject, error) {
	var within time.Duration
	if r.Body != nil {
		within = time.Duration(r.Body.StartWithinS) * time.Second
	}
	j, created, err := h.jobs.RunSchedule(ctx, actor(ctx), fleet.HostID(r.HostId), fleet.ScheduleID(r.ScheduleId), within)
	if err != nil {
		return nil, err
	}
	view, err := h.viewJob(ctx, j)
	if err != nil {
		return nil, err
	}
	if created {
		return RunSchedule202JSONResponse(view), nil
	}
	return RunSchedule200JSONResponse(view), nil
}

// ListJobs lists jobs, newest first.
func (h *Handlers) ListJobs(ctx context.Context, r ListJobsRequestObject) (ListJobsResponseObject, error) {
	p := r.Params
	filter := store.JobFilter{
		Host: fleet.HostID(p.HostId), Repository: fleet.RepositoryID(p.RepositoryId), Schedule: fleet.ScheduleID(p.ScheduleId),
		State: fleet.JobState(p.State), Result: fleet.Result(p.Result), Operation: p.Operation, Trigger: fleet.Trigger(p.Trigger),
		Active: p.Active, From: fleet.At(p.From), To: fleet.At(p.To),
	}
	jobs, next, err := h.store.Jobs(ctx, filter, store.Page{Size: p.PageSize, Token: p.PageToken})
	if err != nil {
		return nil, err
	}
	known, err := h.namesOfJobs(ctx, jobs)
	if err != nil {
		return nil, err
	}
	page := JobPage{Jobs: make([]Job, len(jobs)), NextPageToken: next}
	for i := range jobs {
		if page.Jobs[i], err = toJob(&jobs[i], known); err != nil {
			return nil, err
		}
	}
	return ListJobs200JSONResponse(page), nil
}

// ReadJob reads a job, and waits for another version of it where that is asked for.
func (h *Handlers) ReadJob(ctx context.Context, r ReadJobRequestObject) (ReadJobResponseObject, error) {
	id := fleet.JobID(r.JobId)
	var j *fleet.Job
	err := h.wait(ctx, r.Params.Wait, topicOf(fleet.TopicJobs, id), func() (done bool, err error) {
		if j, err = h.watchedJob(ctx, id, r.Params.Wait); err != nil {
			return false, err
		}
		return j.Version != r.Params.IfVersion, nil
	})
	if err != nil {
		return nil, err
	}
	view, err := h.viewJob(ctx, j)
	return ReadJob200JSONResponse(view), err
}

// watchedJob reads a job; one that is waited for is marked as watched, so that its
// agent reports more often.
func (h *Handlers) watchedJob(ctx context.Context, id fleet.JobID, wait int) (*fleet.Job, error) {
	j, err := h.store.Job(ctx, id)
	if err != nil || wait == 0 {
		return j, err
	}
	return j, h.jobs.Watch(ctx, j)
}

// CancelJob asks for a job to be stopped.
func (h *Handlers) CancelJob(ctx context.Context, r CancelJobRequestObject) (CancelJobResponseObject, error) {
	j, err := h.jobs.Cancel(ctx, actor(ctx), fleet.JobID(r.JobId))
	if err != nil {
		return nil, err
	}
	view, err := h.viewJob(ctx, j)
	return CancelJob202JSONResponse(view), err
}

func (h *Handlers) viewJob(ctx context.Context, j *fleet.Job) (Job, error) {
	known, err := h.namesOfJobs(ctx, []fleet.Job{*j})
	if err != nil {
		return Job{}, err
	}
	return toJob(j, known)
}

func (h *Handlers) namesOfJobs(ctx context.Context, jobs []fleet.Job) (*names, error) {
	known := newNames()
	for i := range jobs {
		known.want(jobs[i].HostID, jobs[i].RepositoryID, jobs[i].ScheduleID)
	}
	return known, known.read(ctx, h.store)
}

func toJob(j *fleet.Job, known *names) (Job, error) {
	view := Job{
		Id: string(j.ID), HostId: string(j.HostID), HostName: known.hosts[j.HostID],
		RepositoryId: string(j.RepositoryID), RepositoryName: known.repositories[j.RepositoryID],
		ScheduleId: string(j.ScheduleID), ScheduleName: known.schedules[j.ScheduleID],
		Operation: j.Operation, Params: json.RawMessage("{}"), Trigger: Trigger(j.Trigger), Slot: j.Slot.Time(), MoreSlots: j.MoreSlots,
		CreatedBy: j.CreatedBy, State: JobState(j.State), WaitingOn: j.WaitingOn, Attempt: j.Attempt,
		Late: j.Late, Unconfirmed: j.Unconfirmed, CancelRequested: j.Cancel,
		CreatedAt: j.CreatedAt.Time(), ExpiresAt: j.ExpiresAt.Time(), StartedAt: j.StartedAt.Time(), FinishedAt: j.FinishedAt.Time(),
		Events: j.NextEventSeq - 1, LogSeq: j.NextLogSeq - 1, LogLines: j.LogLines, Version: j.Version,
	}
	if j.Params != "" {
		view.Params = json.RawMessage(j.Params)
	}
	if err := readDocs(doc{j.Outcome, &view.Outcome}, doc{j.Progress, &view.Progress}); err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", j.ID, err)
	}
	return view, nil
}

// doc is a stored document and the pointer that it is read into; without a document
// the pointer stays as it is.
type doc struct {
	from fleet.Doc
	into any
}

func readDocs(docs ...doc) error {
	for _, d := range docs {
		if err := d.from.Read(d.into); err != nil {
			return err
		}
	}
	return nil
}

// toBrief is a job in one line of another object.
func toBrief(j *fleet.Job) (*JobBrief, error) {
	var outcome struct {
		Message string `json:"message"`
	}
	if err := j.Outcome.Read(&outcome); err != nil {
		return nil, fmt.Errorf("read job %s: %w", j.ID, err)
	}
	brief := &JobBrief{
		Id: string(j.ID), Operation: j.Operation, State: JobState(j.State), Result: JobResult(j.Result),
		At: j.FinishedAt.Time(), Message: outcome.Message,
	}
	if j.FinishedAt.IsZero() {
		brief.At = j.CreatedAt.Time()
	}
	return brief, nil
}
