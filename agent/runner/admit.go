package runner

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"restic-manager/agent/policy"
	"restic-manager/agent/spool"
	"restic-manager/agent/stage"
	"restic-manager/restic"
)

// calledOff is the ending of a job that was cancelled before it began, nil for others.
func (r *Runner) calledOff(job spool.Job) *Ending {
	if current, err := r.spool.Job(job.ID); err != nil || !current.CancelRequested {
		return nil
	}
	e := cancelledWaiting(job)
	return &e
}

// overdue is the ending of a job that the agent did not come to in time, nil for others.
// One that waits for a hold has been come to, however long it waits; after a restart it
// counts again. One that waits for its next attempt has begun.
func (r *Runner) overdue(job spool.Job) *Ending {
	if job.Attempt > 0 || !job.Overdue(time.Now()) {
		return nil
	}
	e := end(spool.Expired, CodeStartTooLate,
		"the job was to begin by "+job.StartBy.UTC().Format(time.RFC3339)+", and the agent came to it later", "run it again")
	return &e
}

// admit decides whether this host does the job, and on what, within what policy and
// configuration allow. It starts nothing.
func (r *Runner) admit(job spool.Job) (*Task, *Ending) {
	rules, err := r.policy()
	if err != nil { //guard:runner-locked
		return nil, refusedByPolicy(err)
	}
	task := &Task{Job: job, runner: r}
	if refusal := task.understand(r.recipes); refusal != nil {
		return nil, refusal
	}
	if refusal := task.configure(r.config()); refusal != nil {
		return nil, refusal
	}
	if err := task.permit(rules); err != nil {
		return nil, refusedByPolicy(err)
	}
	if task.Schedule.ID != "" {
		if err := task.backup().Validate(); err != nil {
			return nil, refusedParams(err)
		}
	}
	return task, nil
}

// understand takes the operation and params of a job only if each is known.
func (t *Task) understand(recipes []Recipe) *Ending {
	var known bool
	t.Operation, known = restic.OperationNamed(t.Job.Operation)
	i := slices.IndexFunc(recipes, func(r Recipe) bool { return r.Operation == t.Job.Operation })
	if !known || i < 0 { //guard:runner-operation
		return rejected(string(restic.CodeUnknownOperation), "this agent does not know the operation",
			"update the agent if the server is newer")
	}
	t.recipe = recipes[i]
	params, err := restic.ValidateParams(t.Job.Operation, t.Job.Params)
	if err != nil { //guard:runner-params
		return refusedParams(err)
	}
	t.Params, t.Operation = params, t.Operation.With(params.Values())
	return nil
}

// refusedParams names the first mistake as the code, and all of them in words: of
// params, or of a schedule that restic must not be given.
func refusedParams(err error) *Ending {
	e := rejected(string(restic.CodeParamsInvalid), err.Error(), "correct the request")
	var all restic.Errors
	if errors.As(err, &all) && len(all) > 0 {
		e.Code = string(all[0].Code)
		if all[0].Next != "" {
			e.NextStep = clip(all[0].Next, 2000)
		}
	}
	return e
}

// configure finds the schedule and the repository in the configuration in force.
func (t *Task) configure(c Config) *Ending {
	t.SnapshotHost = c.SnapshotHost
	repository := t.Params.String("repository_id")
	if id := t.Params.String("schedule_id"); id != "" {
		asked := t.Params.Int("schedule_version")
		schedule, ok := c.Schedules[id]
		if !ok || schedule.Version < asked { //guard:runner-schedule
			return notInForce(fmt.Sprintf("version %d of the schedule is not in force on this host", asked))
		}
		t.Schedule, t.Excludes, repository = schedule, slices.Clone(schedule.Excludes), schedule.RepositoryID
	}
	var ok bool
	if id := t.Params.String("from_repository_id"); id != "" {
		if t.from, ok = c.Repositories[id]; !ok {
			return notInForce("the repository to copy from is not in the configuration in force on this host")
		}
	}
	if t.Repository, ok = c.Repositories[repository]; ok {
		return nil
	}
	if brought := t.Job.Repository; brought != nil && brought.Id == repository && t.Operation.Anywhere { //guard:runner-foreign
		return t.borrow(*brought)
	}
	if !ok { //guard:runner-repository
		return notInForce("the repository is not in the configuration in force on this host")
	}
	return nil
}

// borrow takes the repository that came along with the command, for this job alone.
func (t *Task) borrow(brought spool.Repository) *Ending {
	repository, err := t.runner.understand(brought)
	if err != nil {
		return rejected(string(restic.CodeParamsInvalid), "the repository that came with the job is not understood: "+err.Error(), "correct it at the server")
	}
	repository.Maintenance = nil
	t.Repository, t.foreign = repository, true
	return nil
}

func notInForce(message string) *Ending {
	return rejected(CodeConfigNotInForce, message, "wait until the host has its latest configuration, and run the job again")
}

// permit asks the host's policy about everything that the job would touch.
func (t *Task) permit(rules *policy.Policy) error {
	if err := t.choose(rules); err != nil {
		return err
	}
	location := t.reach.location.String()
	if err := rules.AllowOperation(t.Operation, location); err != nil { //guard:permit-operation
		return err
	}
	if !t.reach.maintained || t.reach.usual {
		if err := rules.AllowRepository(location); err != nil { //guard:permit-repository
			return err
		}
	}
	if t.recipe.Permit != nil {
		if err := t.recipe.Permit(t, rules); err != nil {
			return err
		}
	}
	if t.Schedule.ID == "" {
		return nil
	}
	if err := t.permitScripts(rules); err != nil {
		return err
	}
	if t.Schedule.Source != "" {
		return nil
	}
	excludes, err := t.excludes(rules)
	if err != nil {
		return err
	}
	if err := rules.AllowSources(t.Schedule.Paths, excludes); err != nil { //guard:permit-sources
		return err
	}
	o := t.Schedule.Options
	leaving := policy.LeavingOut{IfPresent: o.ExcludeIfPresent, LargerThan: o.ExcludeLargerThan, Caches: o.ExcludeCaches, OneFileSystem: o.OneFileSystem}
	if err := rules.AllowLeavingOut(t.Schedule.Paths, leaving); err != nil { //guard:permit-leaving
		return err
	}
	t.Excludes = append(excludes, rules.DeniedIn(t.Schedule.Paths)...) //guard:permit-excludes
	return nil
}

// refusedByPolicy says what the host itself forbids, with root's command.
func refusedByPolicy(err error) *Ending {
	var locked *policy.Locked
	var refusal *policy.Refusal
	var unsafe *stage.Unsafe
	switch {
	case errors.As(err, &locked):
		return rejected(locked.Code, locked.What, locked.Next)
	case errors.As(err, &refusal):
		return rejected(refusal.Code, refusal.What, refusal.Next)
	case errors.As(err, &unsafe):
		return rejected(CodeRestorePathUnsafe, unsafe.Error(), unsafe.Next)
	}
	return rejected(policy.CodeInsecure, "the policy file could not be read", "look at the agent's log on the host")
}

// maxJobs is how many jobs run at a time: a restic may take a gigabyte of memory
// and all of the disk, and a server that sends hundreds of jobs must not fell the host.
const maxJobs = 4

// wants lists what the job must have while it runs.
func (t *Task) wants() []want {
	lock := t.Operation.LockOf(t.Params.Bool("dry_run"))
	list := []want{{thing: "for a free place on this machine", key: "machine", most: maxJobs}, {
		thing: "on repository " + t.Repository.Name,
		key:   "repository " + t.Repository.ID,
		alone: t.recipe.Alone || lock == restic.LockExclusive,
	}}
	if lock != restic.LockNone { //guard:held-lockers
		list[1].repository = t.Repository.ID
	}
	if place := t.reach.location; !place.IsZero() {
		list = append(list, want{thing: list[1].thing, key: "location " + place.String(), alone: list[1].alone}) //guard:hold-location
	}
	if folder := t.reach.folder(); folder != "" && t.recipe.InFolder {
		list = append(list, want{thing: "in folder " + folder, key: "folder " + folder, alone: true}) //guard:hold-folder
	}
	if t.from.ID != "" {
		list = append(list, want{thing: "on repository " + t.from.Name, key: "repository " + t.from.ID, repository: t.from.ID})
	}
	if t.Schedule.ID != "" {
		list = append(list, want{thing: "of schedule " + t.Schedule.Name, key: "schedule " + t.Schedule.ID, alone: true})
	}
	return list
}
