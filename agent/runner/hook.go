package runner

import (
	"context"
	"errors"
	"strconv"
	"time"

	"restic-manager/agent/policy"
	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// Hooks are the scripts of this host that a schedule has run around its backups, by
// name; "" is none. Together with the backup they are one attempt.
type Hooks struct {
	Before       string
	GoOn         bool // back up although Before failed
	AfterSuccess string
	AfterFailure string
	Timeout      time.Duration // of each; 0 is defaultHookTimeout
}

const defaultHookTimeout = 10 * time.Minute

// CodeHookFailed is of a hook that ran and failed. One that the host would not run has
// the policy's code.
const CodeHookFailed = "hook_failed"

// When a hook runs, as the contract and the hook's own environment say it.
const (
	hookBefore       = "before"
	hookAfterSuccess = "after_success"
	hookAfterFailure = "after_failure"
)

// lastHook is how long a hook may take after a backup that was told to end: what the
// hook before it has stopped, a database perhaps, must be started again.
const lastHook = 30 * time.Second

// scripts is what a Task knows of the scripts of its backup.
type scripts struct {
	source      restic.Script // the schedule's named source
	hookTrouble []*Ending     // what went wrong with hooks, and did not stop the backup
}

// runBackup makes a snapshot, between the hooks of the schedule.
func runBackup(ctx context.Context, t *Task) *Ending {
	if t.Schedule.Hooks.Before != "" {
		if e := t.exclusiveLock(ctx); e != nil { //guard:lock-before-hook
			return e
		}
	}
	e := t.before(ctx)
	if e == nil {
		e = makeSnapshot(ctx, t)
	}
	t.after(ctx, e)
	return e
}

// before runs the first hook. The Ending is nil when the backup may begin.
func (t *Task) before(ctx context.Context) *Ending {
	name := t.Schedule.Hooks.Before
	if name == "" {
		return nil
	}
	trouble := t.hook(ctx, hookBefore, name, nil)
	switch {
	case trouble == nil:
		return nil
	case ctx.Err() != nil:
		return stopped(ctx)
	case t.Schedule.Hooks.GoOn:
		t.hookTrouble = append(t.hookTrouble, trouble)
		t.Note(trouble.Message + "; the schedule says to go on")
		return nil
	}
	trouble.Message = clip(trouble.Message+"; the backup was not begun", 4000)
	return trouble
}

// after runs the hook for how the backup ended, and puts into the result what went
// wrong with hooks: never in the place of what the backup came to.
func (t *Task) after(ctx context.Context, e *Ending) {
	when, name := hookAfterFailure, t.Schedule.Hooks.AfterFailure
	if e.Result == spool.Succeeded || e.Result == spool.Warning {
		when, name = hookAfterSuccess, t.Schedule.Hooks.AfterSuccess
	}
	if name != "" {
		if ctx.Err() != nil {
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastHook)
			defer cancel()
			ctx = bounded
		}
		if trouble := t.hook(ctx, when, name, e); trouble != nil {
			t.hookTrouble = append(t.hookTrouble, trouble)
		}
	}
	for _, trouble := range t.hookTrouble {
		if e.Result == spool.Succeeded {
			e.Result, e.Code, e.Message, e.NextStep = spool.Warning, trouble.Code, trouble.Message, trouble.NextStep
			continue
		}
		e.Message = clip(e.Message+"; "+trouble.Message, 4000)
	}
}

// hook runs one hook, as it lies on the host at this moment. It returns what went
// wrong, or nil.
func (t *Task) hook(ctx context.Context, when, name string, e *Ending) *Ending {
	trouble := func(code, message, next string) *Ending {
		return failed(code, "the hook "+name+" ("+when+") "+message, next)
	}
	rules, err := t.runner.policy()
	var script restic.Script
	if err == nil {
		script, err = rules.Hook(name)
	}
	if err != nil { //guard:hook-allowed
		refused := refusedByPolicy(err)
		return trouble(refused.Code, "was not run: "+refused.Message, refused.NextStep)
	}
	timeout := t.Schedule.Hooks.Timeout
	if timeout <= 0 {
		timeout = defaultHookTimeout
	}
	t.Say("hook " + name + " (" + when + ")")
	t.Progress(spool.Progress{At: time.Now().UTC(), Phase: clip("hook "+name, 40)})
	result, err := t.runner.restic.RunHook(ctx, restic.Hook{
		Script: script, Env: t.variables(when, e), Timeout: timeout, Access: t.access,
	}, t.handlers())
	t.detach()
	switch {
	case errors.Is(err, errNotRecorded):
		return trouble(CodeJournalFailed, "was not run: "+err.Error(), nextJournal)
	case err != nil:
		return trouble(CodeHookFailed, "could not be run: "+err.Error(), "look at the agent's log")
	case result.End != restic.HookDone:
		return trouble(CodeHookFailed, result.Words(timeout), "look at its lines in the job's log, and try it on the host")
	}
	return nil
}

// variables are what a script learns of its job. Secrets are not among them.
func (t *Task) variables(when string, e *Ending) []restic.Variable {
	list := []restic.Variable{
		{Name: "RM_JOB_ID", Value: t.Job.ID},
		{Name: "RM_TRIGGER", Value: clip(t.Job.Trigger, 40)},
		{Name: "RM_ATTEMPT", Value: strconv.Itoa(t.Job.Attempt)},
		{Name: "RM_SCHEDULE_ID", Value: t.Schedule.ID},
		{Name: "RM_SCHEDULE_NAME", Value: clip(t.Schedule.Name, 200)},
	}
	if when != "" {
		list = append(list, restic.Variable{Name: "RM_HOOK", Value: when})
	} else {
		list = append(list, restic.Variable{Name: "RM_SOURCE", Value: t.Schedule.Source})
	}
	if e != nil {
		list = append(list, restic.Variable{Name: "RM_RESULT", Value: string(e.Result)},
			restic.Variable{Name: "RM_CODE", Value: e.Code}, restic.Variable{Name: "RM_SNAPSHOT_ID", Value: e.SnapshotId})
	}
	return list
}

// permitScripts asks about the scripts without which the backup would not begin. What
// the later hooks are refused for is a warning, when it is their turn.
func (t *Task) permitScripts(rules *policy.Policy) error {
	if t.Schedule.Source != "" {
		script, err := rules.Source(t.Schedule.Source)
		if err != nil { //guard:permit-source
			return err
		}
		t.source = script
	}
	if h := t.Schedule.Hooks; h.Before != "" && !h.GoOn {
		if _, err := rules.Hook(h.Before); err != nil { //guard:permit-hook
			return err
		}
	}
	return nil
}
