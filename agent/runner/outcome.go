package runner

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"restic-manager/agent/spool"
	"restic-manager/restic"
)

// Codes of results that come neither from restic nor from the policy file.
const (
	CodeCancelled            = "cancelled"
	CodeCancelledBeforeStart = "cancelled_before_start"
	CodeTookTooLong          = "took_too_long"
	CodeStartTooLate         = "start_too_late"
	CodeConfigNotInForce     = "config_not_in_force"
	CodeRepoMissing          = "repo_missing"
	CodeRepositoryChanged    = "repository_changed"
	CodeCredentialCanDelete  = "credential_can_delete"
	CodeSecretUnavailable    = "secret_unavailable"
	CodeJournalFailed        = "journal_failed"
	CodeAgentStopped         = "agent_stopped"
	CodeAgentDied            = "agent_died"
	CodeSnapshotNotListed    = "snapshot_not_listed"
	CodeEndNotSeen           = "end_not_seen"
	CodeInitInterrupted      = "init_interrupted"
	CodeListingNotDelivered  = "listing_not_delivered"
	CodeKeyKnown             = "key_known"
)

// Ending is how a job ended, by facts: an outcome, and the snapshot it made as
// the repository lists it.
type Ending struct {
	spool.Outcome
	Snapshot *spool.Snapshot
}

func end(result spool.Result, code, message, next string) Ending {
	return Ending{Outcome: spool.Outcome{
		Result: result, Code: clip(code, 60), Message: clip(message, 4000), NextStep: clip(next, 2000),
	}}
}

func rejected(code, message, next string) *Ending {
	e := end(spool.Rejected, code, message, next)
	return &e
}

func failed(code, message, next string) *Ending {
	e := end(spool.Failed, code, message, next)
	return &e
}

// notRun is the ending of a job whose restic was not started.
func notRun(err error) *Ending {
	var refused *restic.Error
	if errors.As(err, &refused) {
		return failed(string(refused.Code), said(refused), refused.Next)
	}
	return failed(string(restic.CodeResticNotStarted), err.Error(), "")
}

// ofFailure is the ending of a job whose restic ran and did not succeed.
func ofFailure(outcome restic.Outcome, exit int, failure *restic.Error) *Ending {
	results := map[restic.Outcome]spool.Result{
		restic.Warning: spool.Warning, restic.Cancelled: spool.Cancelled, restic.Failed: spool.Failed,
	}
	e := Ending{Outcome: spool.Outcome{Result: results[outcome], ResticExitCode: exit}}
	if failure != nil {
		e.Code, e.Message, e.NextStep = string(failure.Code), clip(said(failure), 4000), clip(failure.Next, 2000)
	}
	return &e
}

// said is a failure in plain words, with restic's own behind them.
func said(e *restic.Error) string {
	if e.Detail == "" || strings.Contains(e.Message, e.Detail) {
		return e.Message
	}
	return fmt.Sprintf("%s (restic: %s)", e.Message, e.Detail)
}

// Limits of the contract.
const (
	maxWarnings    = 200
	newestWarnings = 50 // of those, kept from the end of a longer list
	maxWarningPath = 8000
	maxWarningText = 2000
)

// warnings lists what a snapshot lacks: sources that do not exist, then what could
// not be read, the first and the last where there are too many. total counts all.
func warnings(missing []string, items restic.ItemList) (list []spool.FileWarning, total int64) {
	for _, path := range missing {
		list = append(list, spool.FileWarning{Path: clip(path, maxWarningPath), Message: "does not exist", During: "look"})
	}
	unreadable := append(append([]restic.Item{}, items.First...), items.Last...)
	if room := max(0, maxWarnings-len(list)); len(unreadable) > room {
		tail := min(newestWarnings, room)
		unreadable = append(unreadable[:room-tail], unreadable[len(unreadable)-tail:]...)
	}
	for _, item := range unreadable {
		list = append(list, spool.FileWarning{
			Path: clip(item.Path, maxWarningPath), Message: clip(item.Message, maxWarningText), During: clip(item.During, 40),
		})
	}
	return list[:min(len(list), maxWarnings)], int64(len(missing) + items.Count)
}

func statsOf(s restic.BackupSummary) *spool.Stats {
	return &spool.Stats{
		FilesNew: s.FilesNew, FilesChanged: s.FilesChanged, FilesUnmodified: s.FilesUnmodified,
		DirsNew: s.DirsNew, DirsChanged: s.DirsChanged, DirsUnmodified: s.DirsUnmodified,
		FilesProcessed: s.TotalFilesProcessed, BytesProcessed: s.TotalBytesProcessed,
		DataAdded: s.DataAdded, DataAddedPacked: s.DataAddedPacked,
		ResticDurationMs: int64(s.TotalDuration * 1000),
	}
}

// recordOf is a snapshot as it travels.
func recordOf(s restic.Snapshot) spool.Snapshot {
	record := spool.Snapshot{
		Id: s.ID, Time: s.Time.UTC(), Hostname: clip(s.Host, 255), Username: clip(s.User, 255),
		Paths: restic.CutTexts(s.Paths), Tags: restic.CutTexts(s.Tags), Tree: s.Tree, Parent: s.Parent, Original: s.Original, ProgramVersion: clip(s.ProgramVersion, 100),
	}
	if record.Paths == nil {
		record.Paths = []string{}
	}
	if s.Summary != nil {
		record.Files = s.Summary.TotalFilesProcessed
		record.Bytes = s.Summary.TotalBytesProcessed
		record.BytesAdded = s.Summary.DataAddedPacked
	}
	return record
}

// progressOf is a sample as it travels.
func progressOf(p restic.Progress) spool.Progress {
	sample := spool.Progress{
		At: p.Time.UTC(), Percent: min(100, max(0, p.PercentDone*100)), Phase: phaseOf(p),
		FilesDone: p.FilesDone, FilesTotal: p.TotalFiles, BytesDone: p.BytesDone, BytesTotal: p.TotalBytes,
		Errors: p.Errors,
	}
	if !p.Retrying { // else nobody knows
		sample.EtaS = p.SecondsRemaining
	}
	if p.SecondsElapsed > 0 {
		sample.BytesPerS = p.BytesDone / p.SecondsElapsed
	}
	for _, file := range p.CurrentFiles[:min(len(p.CurrentFiles), 20)] {
		sample.CurrentFiles = append(sample.CurrentFiles, clip(file, 4000))
	}
	return sample
}

// phaseOf tells reading apart from the upload that goes on when all is read, and both from
// waiting for the storage.
func phaseOf(p restic.Progress) string {
	switch {
	case p.Retrying:
		return "trying the storage again"
	case p.TotalBytes == 0:
		return "scanning"
	case p.PercentDone >= 1:
		return "uploading the rest"
	}
	return "backing up"
}

// clip cuts text to at most n bytes, between characters.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	cut := n - len("…")
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// elapsed fills in how long the job took from its start, by the monotonic clock.
func (e *Ending) elapsed(since time.Time) { e.DurationMs = time.Since(since).Milliseconds() }
