package runner

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"restic-manager/agent/policy"
	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// Recipe is how one operation is done.
type Recipe struct {
	Operation string

	// Run does it. Its context is cancelled with ErrCancelled or ErrStopping as
	// the cause; it returns when no process is left.
	Run func(context.Context, *Task) *Ending

	// Recover looks for what a Run left that nobody saw the end of, and returns nil
	// if it could not find out. A nil Recover knows that there is nothing to find.
	Recover func(context.Context, *Task) *Ending

	// Permit asks the host's policy about more than the repository; nil for nothing more.
	Permit func(*Task, *policy.Policy) error

	// Left takes the place of Recover for what a Run leaves on this host alone: no
	// repository is opened for it.
	Left func(*Task) *Ending

	// Alone says that no other job of this host may be in the repository meanwhile,
	// although restic itself would let it.
	Alone bool

	// InFolder says that it works in the repository's folder by itself, where the job gets
	// at it there, and not only through restic.
	InFolder bool
}

// Recipes returns how every operation of restic.Operations is done.
func Recipes() []Recipe {
	return []Recipe{
		{Operation: "init", Run: runInit, Recover: recoverInit, Alone: true},
		{Operation: "identify", Run: runIdentify},
		{Operation: "backup", Run: runBackup, Recover: recoverBackup},
		{Operation: "preview", Run: runPreview},
		{Operation: "snapshots", Run: runSnapshots},
		{Operation: "locks", Run: runLocks},
		{Operation: "retention", Run: runRetention, InFolder: true},
		{Operation: "forget", Run: runForget, InFolder: true},
		{Operation: "prune", Run: runPrune, InFolder: true},
		{Operation: "inspect", Run: runInspect, InFolder: true},
		{Operation: "ls", Run: runLs},
		{Operation: "index", Run: runIndex},
		{Operation: "find", Run: runFind},
		{Operation: "stats", Run: runStats},
		{Operation: "diff", Run: runDiff},
		{Operation: "dump", Run: runDump, Permit: permitDump, Left: leftByDump},
		{Operation: "restore", Run: runRestore, Permit: permitRestore, Left: leftByRestore},
		{Operation: "check", Run: runCheck},
		{Operation: "unlock", Run: runUnlock},
		{Operation: "tag", Run: runTag, Recover: recoverReplaced, InFolder: true},
		{Operation: "copy", Run: runCopy, Permit: permitCopy},
		{Operation: "rewrite", Run: runRewrite, Recover: recoverReplaced, InFolder: true},
		{Operation: "key-add", Run: runKeyAdd, Alone: true, InFolder: true},
		{Operation: "key-remove", Run: runKeyRemove, InFolder: true},
		{Operation: "repair-index", Run: runRepairIndex, InFolder: true},
		{Operation: "repair-snapshots", Run: runRepairSnapshots, Recover: recoverReplaced, InFolder: true},
		{Operation: "repair-packs", Run: runRepairPacks, InFolder: true},
	}
}

// Task is what a recipe works with: an admitted job.
type Task struct {
	Job        spool.Job
	Operation  restic.Operation
	Params     restic.Params
	Repository Repository
	Schedule   Schedule // of a backup
	foreign    bool     // the repository came along with the command, and what opens it is not kept

	SnapshotHost string
	Excludes     []string // of a backup: the schedule's, then those of the policy

	recipe  Recipe
	runner  *Runner
	reach   reach
	uploads []*upload // results under way
	access  restic.Access
	scripts
	limits  restic.Limits // of this attempt
	restore restorePlan
	phase   string // of its progress; "" for what a backup's numbers say

	from      Repository         // of a copy
	origin    reach              // of a copy: how that is reached
	parent    string             // of a backup: the schedule's last snapshot, where it is looked for
	listed    []restic.Key       // as they were listed last
	holder    *restic.LockHolder // who had the repository locked, as restic said last
	swept     int                // locks of dead processes that this attempt has removed
	lockCount int                // how many locks there were when they were listed
	killed    bool               // a restic of this attempt did not end by itself
	process   restic.ProcessRef  // that works for the job, or did last
	stands    string             // where the folder really is that the job works in as its owner,
	owner     restic.RunAs       // and who that is
	seen      string             // the id of the repository, once it was opened and is the one that it has been
	probed    Deletion           // what this job's own probe of the credential found, if it made one
}

// Note adds an event to the job.
func (t *Task) Note(message string) {
	t.runner.record("note", t.Job, t.runner.spool.Note(context.Background(), t.Job.ID, clip(message, 4000), nil))
}

// Progress replaces the last sample of how far the job is.
func (t *Task) Progress(p spool.Progress) { t.runner.spool.Progress(t.Job.ID, p) }

// Say adds a line of our own to the job's log.
func (t *Task) Say(text string) {
	t.runner.spool.Log(t.Job.ID, spool.Line{At: time.Now(), Stream: spool.Agent, Text: text})
}

// perform runs one restic for the task. The Ending is nil when restic succeeded,
// or made a snapshot with something left out of it.
func perform[T any](ctx context.Context, t *Task, op restic.Op[T]) (restic.Result[T], *Ending) {
	if e := t.stay(); e != nil {
		return restic.Result[T]{}, e
	}
	t.Say("restic " + op.Name())
	result, err := restic.Run(ctx, t.runner.restic, op, t.access, t.handlers())
	t.detach()
	if result.Holder != nil {
		t.holder = result.Holder
	}
	t.killed = t.killed || result.Killed || result.ExitCode == -1
	switch {
	case err != nil && ctx.Err() != nil:
		return result, stopped(ctx)
	case errors.Is(err, errNotRecorded):
		return result, failed(CodeJournalFailed, err.Error(), nextJournal)
	case err != nil:
		return result, notRun(err)
	case result.Outcome == restic.Cancelled:
		e := ofFailure(result.Outcome, result.ExitCode, result.Failure)
		why := stopped(ctx)
		e.Result, e.Code, e.Message, e.NextStep = why.Result, why.Code, why.Message, why.NextStep
		if result.Killed {
			e.Message = clip(e.Message+"; it did not end by itself and was killed, so a lock of it may be left", 4000)
		}
		return result, e
	case result.Outcome == restic.Failed:
		return result, t.known(ofFailure(result.Outcome, result.ExitCode, result.Failure))
	}
	return result, nil
}

// detach notes that a process has ended.
func (t *Task) detach() {
	t.runner.record("detach", t.Job, t.runner.spool.Attach(context.Background(), t.Job.ID, nil))
	t.runner.own.ended(t.process.PID, time.Now())
}

// known turns a repository that is not there into an alarm where it is known to
// have been there: it must never be made anew in the place of the lost one.
func (t *Task) known(e *Ending) *Ending {
	if e.Code != string(restic.CodeRepoNotFound) || t.Repository.ResticID == "" {
		return e
	}
	said := e.Message
	e.Code = CodeRepoMissing
	e.Message = clip("the repository is gone from its location, where it was before: "+said, 4000)
	e.NextStep = nextMissing
	switch folder := t.reach.folder(); t.orFolder(CodeRepoMissing) {
	case CodeMaintenanceFolder:
		e.Code = CodeMaintenanceFolder
		e.Message = clip("there is no repository in "+folder+", where this host is to maintain it: "+said, 4000)
		e.NextStep = nextFolder + nextMissing
	case CodeMaintenanceFolderGone:
		e.Code = CodeMaintenanceFolderGone
		e.Message = clip("the repository is gone from "+folder+", where this host maintains it: "+said, 4000)
		e.NextStep = nextMount + nextMissing
	}
	return e
}

// orFolder is the code of a repository that is not where the job looked for it, which is an
// alarm where hosts back up to that place. In a folder where this host alone works nobody need
// have lost it: it is the wrong one if this host has never seen the repository there, and
// else perhaps on a disk that is not mounted.
func (t *Task) orFolder(alarm string) string {
	if t.reach.folder() == "" || t.Repository.Location.Equal(t.reach.location) { //guard:folder-of-hosts
		return alarm
	}
	ledger, err := t.openLedger(t.Repository.ResticID)
	if err != nil || !ledger.Born.IsZero() { //guard:folder-known
		return CodeMaintenanceFolderGone
	}
	return CodeMaintenanceFolder
}

// nextMissing is what to do about a repository that is not where it was.
const nextMissing = "find out what happened to the storage; do not initialise it again, its backups may still be brought back"

// What to do first where the repository is not in the folder where it is to be maintained.
const (
	nextFolder = "correct the repository's folder under Maintenance, if it lies elsewhere on this host; else "
	nextMount  = "mount the disk that the folder is on, if it is not mounted; else "
)

// errNotRecorded is why a process that the disk does not know of was not started.
var errNotRecorded = errors.New("the process could not be recorded on the disk, so it was not started")

const nextJournal = "make room in the agent's state directory, or look at its disk"

// handlers record what a restic says.
func (t *Task) handlers() restic.Handlers {
	streams := map[restic.Stream]spool.Stream{restic.Stdout: spool.Stdout, restic.Stderr: spool.Stderr}
	return restic.Handlers{
		Started: func(ref restic.ProcessRef) error {
			text, err := json.Marshal(ref)
			if err == nil {
				err = t.runner.spool.Attach(context.Background(), t.Job.ID, text)
			}
			if err != nil {
				return errors.Join(errNotRecorded, err)
			}
			t.process = ref
			t.runner.own.began(ref, time.Now())
			return nil
		},
		Line: func(l restic.Line) {
			t.runner.spool.Log(t.Job.ID, spool.Line{At: l.Time, Stream: streams[l.Stream], Text: l.Text})
		},
		Progress: func(p restic.Progress) {
			sample := progressOf(p)
			if t.phase != "" && !p.Retrying {
				sample.Phase = t.phase
			}
			t.Progress(sample)
		},
	}
}
