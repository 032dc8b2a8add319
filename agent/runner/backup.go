package runner

import (
	"context"
	"errors"
	"fmt"
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
	seen := t.sourcesSeen()
	return carryOut(ctx, t).tellPlaces(t, seen)
}

// carryOut runs restic and tells what came of it by facts.
func carryOut(ctx context.Context, t *Task) *Ending {
	result, e := perform(ctx, t, t.backup())
	if e != nil {
		return t.unseen(ctx, e)
	}
	e = &Ending{Outcome: spool.Outcome{Result: spool.Succeeded, ResticExitCode: result.ExitCode}}
	if result.Outcome == restic.Warning {
		e = ofFailure(result.Outcome, result.ExitCode, result.Failure)
	}
	e.SnapshotId = result.Value.SnapshotID
	e.Stats = statsOf(result.Value)
	e.Warnings, e.WarningsTotal = warnings(result.Value.MissingSources, result.Items)
	t.Say(saved(result.Value, e.WarningsTotal))
	return t.confirm(ctx, e)
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
}

// unseen looks for the snapshot of a restic that died under a living agent.
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
