package api

import (
	"context"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
)

// Report takes an agent's records. Those with a result are let in first.
func (h *Handlers) Report(ctx context.Context, r ReportRequestObject) (ReportResponseObject, error) {
	report := toReport(r.Body)
	class := h.crowd.reports
	if report.Finishes() {
		class = h.crowd.results
	}
	release, err := class.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	verdicts, err := h.jobs.Report(ctx, agentOf(ctx), report)
	if err != nil {
		return nil, err
	}
	a := h.answered(ctx)
	answer := Report200JSONResponse{
		Protocol: a.Protocol, ServerTime: a.ServerTime, RequestId: a.RequestId, Items: make([]ReportVerdict, len(verdicts)),
	}
	for i, v := range verdicts {
		answer.Items[i] = ReportVerdict{
			JobId: string(v.Job), Outcome: v.Outcome, NextEventSeq: v.NextEventSeq, NextLogSeq: v.NextLogSeq,
			RejectedStream: v.RejectedStream, RejectedSeq: v.RejectedSeq, Message: v.Message,
			Desired: v.Desired, Detail: v.Detail, IntervalMs: v.Interval.Milliseconds(), LeaseS: int(v.Lease.Seconds()),
		}
	}
	return answer, nil
}

func toReport(b *ReportRequest) *job.Report {
	r := &job.Report{Session: fleet.SessionID(b.SessionId), Items: make([]job.Item, len(b.Items))}
	for i := range b.Items {
		r.Items[i] = toItem(&b.Items[i])
	}
	return r
}

func toItem(b *ReportItem) job.Item {
	it := job.Item{Job: fleet.JobID(b.JobId), Epoch: b.Epoch, Writer: b.WriterId, Phase: b.Phase, Events: make([]job.Event, len(b.Events))}
	if o := b.Opened; o != nil {
		it.Opened = &job.Opened{
			Operation: o.Operation, Trigger: fleet.Trigger(o.Trigger), Schedule: fleet.ScheduleID(o.ScheduleId),
			Repository: fleet.RepositoryID(o.RepositoryId), Slot: o.Slot, At: o.At,
		}
	}
	for i := range b.Events {
		it.Events[i] = fromEvent(&b.Events[i])
	}
	for _, c := range b.Log {
		it.Log = append(it.Log, fleet.LogChunk{
			Seq: c.Seq, FirstLine: c.FirstLine, Lines: c.Lines, Bytes: c.Bytes, From: fleet.At(c.From), To: fleet.At(c.To), Data: c.Data,
		})
	}
	if p := b.Progress; p != nil {
		it.Progress = &job.Progress{
			At: p.At, Percent: p.Percent, Phase: p.Phase, FilesDone: p.FilesDone, FilesTotal: p.FilesTotal,
			BytesDone: p.BytesDone, BytesTotal: p.BytesTotal, Errors: p.Errors, BytesPerS: p.BytesPerS, ETAS: p.EtaS,
			CurrentFiles: p.CurrentFiles,
		}
	}
	return it
}

func fromEvent(e *Event) job.Event {
	out := job.Event{Seq: e.Seq, At: e.At, Attempt: e.Attempt, Kind: e.Kind, Code: e.Code, Message: e.Message, Outcome: fromOutcome(e.Outcome)}
	if g := e.Gap; g != nil {
		out.Gap = &job.Gap{
			Stream: string(g.Stream), FirstSeq: g.FirstSeq, LastSeq: g.LastSeq, Lines: g.Lines, Bytes: g.Bytes, Reason: g.Reason,
		}
	}
	if s := e.Snapshot; s != nil {
		out.Snapshot = &job.Snapshot{
			ID: s.Id, Time: s.Time, Hostname: s.Hostname, Username: s.Username, Paths: append([]string{}, s.Paths...), Tags: s.Tags, Tree: s.Tree,
			Parent: s.Parent, Original: s.Original, ProgramVersion: s.ProgramVersion, Files: s.Files, Bytes: s.Bytes, BytesAdded: s.BytesAdded,
		}
	}
	return out
}

func fromOutcome(o *Outcome) *job.Outcome {
	if o == nil {
		return nil
	}
	out := &job.Outcome{
		Result: string(o.Result), Code: o.Code, Message: o.Message, NextStep: o.NextStep, ResticExitCode: o.ResticExitCode,
		SnapshotID: o.SnapshotId, Confirmed: o.Confirmed, WarningsTotal: o.WarningsTotal, DurationMs: o.DurationMs, CanDelete: o.CanDelete,
		RepositorySeen: o.RepositorySeen, LogNextSeq: o.LogNextSeq, Facts: o.Facts, Rows: o.Rows,
	}
	if s := o.Stats; s != nil {
		out.Stats = &job.BackupStats{
			FilesNew: s.FilesNew, FilesChanged: s.FilesChanged, FilesUnmodified: s.FilesUnmodified,
			DirsNew: s.DirsNew, DirsChanged: s.DirsChanged, DirsUnmodified: s.DirsUnmodified,
			FilesProcessed: s.FilesProcessed, BytesProcessed: s.BytesProcessed,
			DataAdded: s.DataAdded, DataAddedPacked: s.DataAddedPacked, ResticDurationMs: s.ResticDurationMs,
		}
	}
	if id := o.Repository; id != nil {
		out.Repository = &job.Identity{ResticID: id.ResticId, KeyID: id.KeyId, FormatVersion: id.FormatVersion, KeyCount: id.KeyCount}
	}
	for _, w := range o.Warnings {
		out.Warnings = append(out.Warnings, job.FileWarning{Path: w.Path, Message: w.Message, During: w.During})
	}
	for _, source := range o.Sources {
		out.Sources = append(out.Sources, job.SourceSeen{Path: source.Path, State: source.State})
	}
	if space := o.Storage; space != (StorageSpace{}) {
		out.Storage = &job.StorageSpace{FreeBytes: space.FreeBytes, TotalBytes: space.TotalBytes}
	}
	for _, l := range o.Locks {
		out.Locks = append(out.Locks, job.Lock{
			ID: l.Id, Hostname: l.Hostname, Username: l.Username, PID: l.Pid, Exclusive: l.Exclusive, CreatedAt: l.CreatedAt, Alive: l.Alive,
		})
	}
	return out
}
