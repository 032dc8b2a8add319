package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"restic-manager/agent/policy"
	"restic-manager/agent/spool"
	"restic-manager/agent/stage"
	"restic-manager/restic"
)

// Codes of restores, beside those of restic and of the policy.
const (
	CodeRestorePathUnsafe = "restore_path_unsafe"
	CodeNoSpace           = "no_space"
	CodeRestoreFolder     = "restore_folder_failed" // the private folder could not be made or looked at
)

// restorePlan is what a restore may do, by the policy as it was when the job was admitted.
type restorePlan struct {
	rules   *policy.Policy
	paths   []string // in the snapshot, the outermost; none for everything
	inPlace bool
	parent  string         // of the private folder
	targets []stage.Target // of a restore in place
	put     stage.Rules
}

// permitRestore asks the policy where a restore may write.
func permitRestore(t *Task, rules *policy.Policy) error {
	plan := restorePlan{
		rules: rules, paths: stage.Outermost(t.Params.Strings("paths")), inPlace: t.Params.String("target") == restic.TargetInPlace,
		parent: rules.StagingDir(),
		put:    stage.Rules{Overwrite: t.Params.String("overwrite"), Keep: rules.OwnFolders()},
	}
	if plan.parent == "" {
		return &policy.Refusal{Code: policy.CodeRestoreTargetDenied, What: "this host has no folder for restores", Next: "set restore.staging_dir in the policy file as root"}
	}
	t.restore = plan
	if !plan.inPlace {
		return nil
	}
	paths := plan.paths
	if len(paths) == 0 {
		paths = []string{"/"}
	}
	for _, path := range paths {
		real, err := stage.Resolve(path)
		if err != nil {
			return err
		}
		if err := rules.AllowInPlace(real); err != nil { //guard:permit-restore
			return err
		}
		plan.targets = append(plan.targets, stage.Target{Path: path, Real: real})
	}
	parent, err := stage.Beside(plan.targets, plan.parent)
	if err != nil {
		return err
	}
	plan.parent = parent
	t.restore = plan
	return nil
}

// restoring is one restore under way.
type restoring struct {
	*Task
	plan   restorePlan
	folder *stage.Folder
	rows   *rows
	facts  restoreFacts
	errors int64 // entries that were not restored, or not put in place
	keep   bool  // the private folder stays
}

type restoreFacts struct {
	TargetPath    string   `json:"target_path"`
	PlannedFiles  int64    `json:"planned_files"`
	PlannedBytes  int64    `json:"planned_bytes"`
	RestoredFiles int64    `json:"restored_files"`
	RestoredBytes int64    `json:"restored_bytes"`
	SkippedFiles  int64    `json:"skipped_files"`
	Errors        int64    `json:"errors"`
	Stripped      int64    `json:"stripped"`
	Verified      bool     `json:"verified"`
	Fenced        bool     `json:"fenced"`
	NotRestored   []string `json:"not_restored,omitempty"`
}

// notInSnapshot is what the row of a path says that was chosen in vain.
const notInSnapshot = "is not in the snapshot"

// restoreRow is a row of the result.
type restoreRow struct {
	Path   string `json:"path"`
	What   string `json:"what"`
	Detail string `json:"detail"`
}

// runRestore restores into a private folder, takes privileges away, and for a restore in
// place moves what is there to where it was.
func runRestore(ctx context.Context, t *Task) *Ending {
	if _, e := t.pinned(ctx); e != nil {
		return e
	}
	id := t.Params.String("snapshot_id")
	if _, e := perform(ctx, t, restic.Snapshots{ID: id}); e != nil {
		return e
	}
	folder, err := stage.Make(t.restore.parent, t.Job.ID, t.runner.now())
	if err != nil {
		return failed(CodeRestoreFolder, "the private folder for the restore could not be made: "+err.Error(),
			"look at "+t.restore.parent+" on the host: the agent must be able to write there (under systemd by a drop-in with ReadWritePaths= if it is below /etc, /usr or /boot)")
	}
	r := &restoring{Task: t, plan: t.restore, folder: folder, rows: t.rows(ctx)}
	r.facts.Fenced, r.facts.NotRestored = restic.CanFence(), stage.Lost()
	defer r.clear()
	e := r.carryOut(ctx)
	r.facts.Errors = r.errors
	if r.facts.PlannedFiles > 0 {
		e.facts(r.facts)
	}
	return r.close(e)
}

// clear removes the private folder, unless somebody wants what is in it.
func (r *restoring) clear() {
	if r.keep {
		r.record("close folder", r.folder.Close())
		return
	}
	r.record("remove folder", r.folder.Remove())
}

func (r *restoring) record(what string, err error) {
	if err != nil {
		r.runner.log.Error("restore", "job", r.Job.ID, "step", what, "folder", r.folder.Path(), "err", err)
		r.Say(what + ": " + err.Error())
	}
}

// close hands over the rows. A restore is what it is, whether or not they arrive.
func (r *restoring) close(e *Ending) *Ending {
	n, err := r.rows.Close()
	if err != nil {
		e.addMessage("the list of what was stripped or failed could not be handed over")
		return e
	}
	e.Rows = n
	return e
}

func (r *restoring) carryOut(ctx context.Context) *Ending {
	if e := r.look(ctx); e != nil {
		return e
	}
	if r.Params.Bool("dry_run") {
		return r.foretell(ctx)
	}
	r.Note("restores into " + r.folder.Path())
	if !r.facts.Fenced {
		r.Say("this kernel cannot fence restic, so only its own care keeps it in that folder")
	}
	items, e := r.restore(ctx)
	if e != nil {
		return e
	}
	if e := r.examine(ctx, items); e != nil {
		return e
	}
	if r.plan.inPlace {
		return r.putInPlace(ctx)
	}
	r.keep = true
	r.facts.TargetPath = r.folder.Restored()
	return r.done("restored " + r.amount(r.facts.RestoredFiles, r.facts.RestoredBytes) + " to " + r.facts.TargetPath)
}

// target names where the entries go, for people.
func (r *restoring) target() string {
	switch {
	case !r.plan.inPlace:
		return r.plan.parent
	case len(r.plan.targets) == 1:
		return r.plan.targets[0].Real
	}
	return fmt.Sprintf("%s and %d more", r.plan.targets[0].Real, len(r.plan.targets)-1)
}

func (r *restoring) amount(entries, bytes int64) string {
	return r.entries(entries) + ", " + humanize.IBytes(uint64(max(0, bytes)))
}

func (r *restoring) entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return strings.ReplaceAll(humanize.Comma(n), ",", " ") + " entries"
}

func (r *restoring) op() restic.Restore {
	return restic.Restore{
		SnapshotID: r.Params.String("snapshot_id"), Paths: r.plan.paths, Folder: r.folder.Open(),
		NoLock: r.readsOnly(), Limits: r.limits,
	}
}

// readsOnly reports whether the repository is read without a lock: a foreign one, and as a
// folder, which belongs to another user.
func (t *Task) readsOnly() bool { return t.foreign || t.Repository.Maintenance != nil }

// look finds out how much it is, and whether there is room for it.
func (r *restoring) look(ctx context.Context) *Ending {
	op := r.op()
	op.DryRun = true
	r.phase = "looking how much it is"
	planned, e := perform(ctx, r.Task, op)
	if e != nil {
		return e
	}
	r.facts.PlannedFiles, r.facts.PlannedBytes = planned.Value.TotalFiles, planned.Value.TotalBytes
	if err := r.plan.rules.AllowBytes(planned.Value.TotalBytes); err != nil {
		e := refusedByPolicy(err)
		e.Result = spool.Failed
		return e
	}
	return r.margin(r.folder).fits("restore", planned.Value.TotalBytes, planned.Value.TotalFiles)
}

// foretell is the ending of a dry run: what was chosen in vain makes it one like the restore's.
func (r *restoring) foretell(ctx context.Context) *Ending {
	if e := r.seek(ctx); e != nil {
		return e
	}
	r.facts.TargetPath = r.target()
	e := outcomeOf(fmt.Sprintf("it would restore %s to %s", r.amount(r.facts.PlannedFiles, r.facts.PlannedBytes), r.target()))
	if r.errors > 0 { //guard:restore-foretold
		e.Result, e.Code = spool.Warning, string(restic.CodeRestoreIncomplete)
		e.addMessage(fmt.Sprintf("of the %d paths that were chosen, the snapshot does not have %d", len(r.plan.paths), r.errors))
		e.NextStep = "see the rows of the result, and choose what the snapshot has"
	}
	return e
}

// mostSought is how long the paths are that one listing is asked for: Windows allows a command
// of 32 767 characters.
const mostSought = 16 << 10

// seek looks for each path that was chosen: restic says nothing of one that is not there.
func (r *restoring) seek(ctx context.Context) *Ending {
	for rest := r.plan.paths; len(rest) > 0; {
		n, length := 0, 0
		absent := map[string]bool{}
		for ; n < len(rest) && (n == 0 || length+len(rest[n]) < mostSought); n++ {
			absent[rest[n]] = rest[n] != "/"
			length += len(rest[n])
		}
		_, e := perform(ctx, r.Task, restic.List{SnapshotID: r.Params.String("snapshot_id"), Paths: rest[:n], Each: func(node restic.Node) error {
			delete(absent, node.Path)
			return nil
		}})
		if e != nil && e.Code != string(restic.CodePathNotFound) {
			return e
		}
		for _, path := range rest[:n] {
			if absent[path] {
				r.errors++
				r.row(path, "missing", notInSnapshot)
			}
		}
		rest = rest[n:]
	}
	return nil
}

// restore has restic restore, and returns what it could not.
func (r *restoring) restore(ctx context.Context) (restic.ItemList, *Ending) {
	op := r.op()
	op.Verify, op.Fence = r.Params.Bool("verify"), r.facts.Fenced
	r.phase = "restoring"
	watched, over := r.margin(r.folder).watch(ctx)
	result, e := perform(watched, r.Task, op)
	if e = over(e); e != nil {
		e.addMessage("what was restored until then was removed again")
		return result.Items, e
	}
	r.facts.Verified = op.Verify && result.Outcome == restic.Succeeded
	return result.Items, nil
}

// putInPlace moves what was restored to where it was.
func (r *restoring) putInPlace(ctx context.Context) *Ending {
	r.phase = "putting in place"
	r.Progress(spool.Progress{At: r.runner.now().UTC(), Phase: r.phase})
	counts, err := r.folder.Put(ctx, r.plan.targets, r.plan.put, r.tell)
	r.facts.TargetPath = r.target()
	r.facts.RestoredFiles, r.facts.RestoredBytes, r.facts.SkippedFiles = counts.Entries, counts.Bytes, counts.Skipped
	r.errors += counts.Failed
	said := r.amount(counts.Entries, counts.Bytes)
	var unsafe *stage.Unsafe
	switch {
	case ctx.Err() != nil:
		e := stopped(ctx)
		e.addMessage(said + " had been put in place, the rest was not touched")
		return e
	case errors.As(err, &unsafe):
		r.keep = true
		e := refusedByPolicy(err)
		e.Result = spool.Failed
		e.addMessage(said + " had been put in place; the rest lies in " + r.folder.Restored())
		return e
	case err != nil:
		r.keep = true
		return failed(CodeRestoreFolder, fmt.Sprintf("%s were put in place, then that failed: %s; the rest lies in %s", said, err, r.folder.Restored()),
			"look at the disk, and take what you need from that folder")
	case counts.Failed > 0:
		r.keep = true
		said += "; what could not be put there lies in " + r.folder.Restored()
	case counts.Skipped > 0:
		said += fmt.Sprintf("; %d entries were left as they were", counts.Skipped)
	}
	return r.done("put " + said + ", in place")
}

// done is the ending of a restore that came to its end.
func (r *restoring) done(message string) *Ending {
	e := outcomeOf(message)
	if r.facts.Stripped > 0 {
		e.addMessage(fmt.Sprintf("%d privileges (set-uid and set-gid bits, device nodes, file capabilities) were taken away", r.facts.Stripped))
	}
	if len(r.facts.NotRestored) > 0 {
		e.addMessage("this agent cannot restore " + strings.Join(r.facts.NotRestored, ", "))
	}
	if r.errors > 0 { //guard:restore-truth
		e.Result, e.Code = spool.Warning, string(restic.CodeRestoreIncomplete)
		e.addMessage(fmt.Sprintf("%d entries are not as they were in the snapshot", r.errors))
		e.NextStep = "see the rows of the result, and restore what is missing again"
	}
	return e
}
