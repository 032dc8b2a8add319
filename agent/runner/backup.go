package runner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// makeSnapshot makes a snapshot of what the schedule in force names, and looks
// whether the repository has it.
func makeSnapshot(ctx context.Context, t *Task) *Ending {
	// Seconds now against a quarter of an hour of retries later: a repository that
	// is away, changed or locked with another password is found out by a probe.
	if _, e := t.pinned(ctx); e != nil {
		return e
	}
	if t.Schedule.Options.SkipIfUnchanged {
		if e := t.findParent(ctx); e != nil {
			return e
		}
	}
	seen := t.sourcesSeen()
	return carryOut(ctx, t).tellPlaces(t, seen)
}

// findParent looks for the newest snapshot of the schedule: only that one may stand for a
// backup that is not made. restic itself would take any of the same host and paths,
// whoever made it.
func (t *Task) findParent(ctx context.Context) *Ending {
	listed, e := perform(ctx, t, restic.Snapshots{Tags: restic.OwnTags(t.Schedule.ID, ""), Host: t.SnapshotHost})
	if e != nil {
		return e
	}
	now := time.Now()
	var newest restic.Snapshot
	for _, s := range listed.Value {
		if s.Time.After(newest.Time) && !s.Time.After(now) && samePaths(s.Paths, t.Schedule.Paths) { //guard:parent-own
			newest = s
		}
	}
	t.parent = newest.ID
	return nil
}

func samePaths(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	for i := range b {
		b[i] = filepath.Clean(b[i])
	}
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, slices.Compact(b))
}

// CodeUnchanged is of a backup that made no snapshot, since nothing had changed.
const CodeUnchanged = "unchanged"

// runPreview says what a backup would store.
func runPreview(ctx context.Context, t *Task) *Ending {
	if _, e := t.pinned(ctx); e != nil {
		return e
	}
	b := t.backup()
	b.DryRun, b.Options.SkipIfUnchanged = true, false
	result, e := perform(ctx, t, b)
	if e != nil {
		return e
	}
	s := result.Value
	e = outcomeOf(fmt.Sprintf("a backup would look at %s files, %s, and add %s", strings.ReplaceAll(humanize.Comma(s.TotalFilesProcessed), ",", " "),
		humanize.IBytes(uint64(max(0, s.TotalBytesProcessed))), humanize.IBytes(uint64(max(0, s.DataAddedPacked)))))
	if result.Outcome == restic.Warning {
		told := ofFailure(result.Outcome, result.ExitCode, result.Failure)
		told.Message = clip(told.Message+"; "+e.Message, 4000)
		e = told
	}
	e.ResticExitCode = result.ExitCode
	e.Warnings, e.WarningsTotal = warnings(s.MissingSources, result.Items)
	e.facts(previewFacts{s.TotalFilesProcessed, s.TotalBytesProcessed, s.FilesNew, s.FilesChanged, s.DataAddedPacked, e.WarningsTotal})
	return e
}

type previewFacts struct {
	PlannedFiles int64 `json:"planned_files"`
	PlannedBytes int64 `json:"planned_bytes"`
	NewFiles     int64 `json:"new_files"`
	ChangedFiles int64 `json:"changed_files"`
	AddedBytes   int64 `json:"added_bytes"`
	Errors       int64 `json:"errors"`
}

// sentAgain is how often restic is started again within an attempt because an answer of the
// storage was lost: once more costs little, since what was stored is found by then.
const sentAgain = 3

// carryOut runs restic and tells what came of it by facts.
func carryOut(ctx context.Context, t *Task) *Ending {
	result, e := perform(ctx, t, t.backup())
	for again := 0; e != nil; again++ {
		e = t.unseen(ctx, e)
		if e.Code != string(restic.CodeRepoAnswerLost) || again == sentAgain {
			return e
		}
		t.Note(e.Message + "; it is started again, and uses what is stored already")
		result, e = perform(ctx, t, t.backup())
	}
	e = &Ending{Outcome: spool.Outcome{Result: spool.Succeeded, ResticExitCode: result.ExitCode}}
	if result.Outcome == restic.Warning {
		e = ofFailure(result.Outcome, result.ExitCode, result.Failure)
	}
	e.SnapshotId = result.Value.SnapshotID
	e.Stats = statsOf(result.Value)
	e.Warnings, e.WarningsTotal = warnings(result.Value.MissingSources, result.Items)
	if result.Value.Unchanged {
		return t.unchanged(ctx, e)
	}
	t.Say(saved(result.Value, e.WarningsTotal))
	return t.confirm(ctx, e)
}

// unchanged is the ending of a backup that is the snapshot before it, as long as the
// repository lists that one. It is not this job's own snapshot, and does not travel.
func (t *Task) unchanged(ctx context.Context, e *Ending) *Ending {
	e.SnapshotId = t.parent
	t.Say(fmt.Sprintf("nothing changed: snapshot %.8s stands for this backup", t.parent))
	e = t.confirm(ctx, e)
	if e.Result == spool.Succeeded {
		e.Code, e.Message = CodeUnchanged, "nothing has changed, so no snapshot was made: the one before it stands for this backup"
	}
	e.Snapshot = nil //guard:unchanged-owner
	return e
}

// saved tells restic's summary in words, for those who read the log: "snapshot
// 873190f6 saved: 2 000 files, 869 KiB, 325 KiB added".
func saved(s restic.BackupSummary, leftOut int64) string {
	files := strings.ReplaceAll(humanize.Comma(s.TotalFilesProcessed), ",", " ") + " files"
	if s.TotalFilesProcessed == 1 {
		files = "1 file"
	}
	text := fmt.Sprintf("snapshot %.8s saved: %s, %s, %s added", s.SnapshotID, files,
		humanize.IBytes(uint64(max(0, s.TotalBytesProcessed))), humanize.IBytes(uint64(max(0, s.DataAddedPacked))))
	if leftOut > 0 {
		text += fmt.Sprintf("; left out: %d", leftOut)
	}
	return text
}

func (t *Task) backup() restic.Backup {
	b := restic.Backup{
		Sources: t.Schedule.Paths, Excludes: t.Excludes,
		Host: t.SnapshotHost, Tags: t.Schedule.Tags,
		ScheduleID: t.Schedule.ID, JobID: t.Job.ID, Limits: t.limits,
		Options: t.Schedule.Options, Parent: t.parent,
	}
	if t.Schedule.Source != "" {
		b.Excludes, b.Named = nil, &restic.NamedSource{Script: t.source, Env: t.variables("", nil)}
	}
	return b
}

// confirmTries and confirmPause bound how long a job stays open for the listing of
// a snapshot that restic has already reported.
const (
	confirmTries = 3
	confirmPause = 5 * time.Second
)

// confirm lists the new snapshot by its full id. Without that the result stands
// unconfirmed; a listing that does not have it makes the backup a failure.
func (t *Task) confirm(ctx context.Context, e *Ending) *Ending {
	for try := 1; ; try++ {
		listed, problem := perform(ctx, t, restic.Snapshots{ID: e.SnapshotId})
		if problem == nil {
			record := recordOf(listed.Value[0])
			e.Snapshot, e.Confirmed = &record, true
			return e
		}
		if problem.Code == string(restic.CodeSnapshotNotFound) { //guard:snapshot-seen
			return failed(CodeSnapshotNotListed,
				fmt.Sprintf("restic reported snapshot %.12s…, but the repository does not list it", e.SnapshotId),
				"check the storage: what it has taken it must keep; then run the backup again")
		}
		if try == confirmTries || !pause(ctx, confirmPause) {
			t.Note("the new snapshot could not be listed: " + problem.Message)
			return e
		}
	}
}

// pause waits, and reports false when ctx ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// endless are the codes of a restic that did not come to say how its work ended.
var endless = []string{
	string(restic.CodeResticKilled), string(restic.CodeResticCrashed),
	string(restic.CodeResticNoResult), string(restic.CodeResticUnknownExit),
	string(restic.CodeRepoAnswerLost),
}

// unseen looks for the snapshot of a restic that died under a living agent, or that did not
// learn what the storage has taken.
func (t *Task) unseen(ctx context.Context, e *Ending) *Ending {
	if !slices.Contains(endless, e.Code) {
		return e
	}
	found, err := t.made(ctx)
	if err != nil || found == nil {
		return e
	}
	seen := *found
	seen.ResticExitCode = e.ResticExitCode
	seen.Message = clip(seen.Message+" ("+e.Message+")", 4000)
	return &seen
}

// recoverBackup looks for the snapshot of a backup that the agent died under.
func recoverBackup(ctx context.Context, t *Task) *Ending {
	found, err := t.made(ctx)
	switch {
	case err != nil:
		return nil
	case found != nil:
		return found
	}
	e := end(spool.Interrupted, CodeAgentDied,
		"the agent died while the backup ran, and it left no snapshot in the repository "+t.Repository.Name, "run it again")
	return &e
}

// made returns the ending of a backup whose snapshot is in the repository although
// nobody saw restic end, nil when there is none, and an error when that could not
// be found out. Only snapshots with the job's own tag count.
func (t *Task) made(ctx context.Context) (*Ending, error) {
	listed, problem := perform(ctx, t, restic.Snapshots{Tags: restic.OwnTags(t.Schedule.ID, t.Job.ID)})
	if problem != nil {
		return nil, errors.New(problem.Message)
	}
	if len(listed.Value) == 0 {
		return nil, nil
	}
	newest := slices.MaxFunc(listed.Value, func(a, b restic.Snapshot) int { return a.Time.Compare(b.Time) })
	record := recordOf(newest)
	if s := newest.Summary; t.Schedule.Source != "" && s != nil && s.TotalFilesProcessed == 0 { //guard:recovered-empty
		return failed(string(restic.CodeSourceEmpty), "nobody saw how restic ended, and the snapshot that it made of the named source is empty",
			"try the script on the host, and run it again"), nil
	}
	e := end(spool.Warning, CodeEndNotSeen,
		"the snapshot is in the repository, but nobody saw how restic ended: files that it could not read, if any, are not listed",
		"run it again to be sure that everything is in")
	e.SnapshotId, e.Confirmed, e.Snapshot = newest.ID, true, &record
	if s := newest.Summary; s != nil {
		e.Stats = &spool.Stats{
			FilesNew: s.FilesNew, FilesChanged: s.FilesChanged, FilesUnmodified: s.FilesUnmodified,
			FilesProcessed: s.TotalFilesProcessed, BytesProcessed: s.TotalBytesProcessed,
			DataAdded: s.DataAdded, DataAddedPacked: s.DataAddedPacked,
		}
	}
	return &e, nil
}
