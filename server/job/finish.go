package job

import (
	"context"
	"fmt"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// finish takes the result that a job's agent gives. It replaces one that the server
// gave, and one that the agent gave before it knew better.
func (s *Service) finish(ctx context.Context, tx *store.Tx, host *fleet.Host, j *fleet.Job, e *Event) error {
	o := *e.Outcome
	if o.SnapshotID == "" && e.Snapshot != nil {
		o.SnapshotID = e.Snapshot.ID
	}
	before, err := counted(j)
	if err != nil {
		return err
	}
	j.Late = j.Late || j.State == fleet.Finished && j.Result.OursToRevise()
	j.FinishedAt = onOurClock(host, e.At, tx.Now)
	if e.Snapshot != nil {
		if err := seeSnapshot(ctx, tx, j, e.Snapshot); err != nil {
			return err
		}
	}
	if err := s.close(ctx, tx, j, o, before); err != nil {
		return err
	}
	// The road from command to result is whole again.
	for _, code := range []string{CodeJournalLost, CodeServerSetBack} {
		if _, err := tx.ClearCondition(ctx, store.ObjectHost, string(host.ID), code); err != nil {
			return err
		}
	}
	return nil
}

// end gives a job the result that only the server can tell, and writes it: expired,
// lost, or cancelled before any agent saw it.
func (s *Service) end(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome) error {
	before, err := counted(j)
	if err != nil {
		return err
	}
	j.FinishedAt = tx.Now
	if err := s.close(ctx, tx, j, o, before); err != nil {
		return err
	}
	touch(tx, j)
	return tx.SaveJob(ctx, j)
}

// close puts the outcome to the job and does everything that follows from it, in
// one transaction: rollups, the repository's life, conditions. before is what the job
// counted for until now. The caller writes the job.
//
// What a job found out about its repository counts once, when it ends: an agent that gives
// another result later corrects what is said of its own job, and no more.
func (s *Service) close(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome, before fleet.Day) error {
	again := !j.Active() && !j.Result.OursToRevise()
	if j.Active() {
		if err := tx.CountActiveJob(ctx, j.HostID, -1); err != nil {
			return err
		}
	}
	doc, err := fleet.NewDoc(o)
	if err != nil {
		return fmt.Errorf("encode the outcome of job %s: %w", j.ID, err)
	}
	j.State, j.Result, j.Outcome = fleet.Finished, fleet.Result(o.Result), doc
	j.WaitingOn, j.WaitingCode, j.Progress, j.LeaseUntil, j.Held = "", "", "", 0, false
	if o.SnapshotID != "" {
		j.SnapshotID = o.SnapshotID
	}
	if err := confirm(ctx, tx, j, o); err != nil {
		return err
	}
	if _, err := tx.WithdrawCommands(ctx, j.ID, true); err != nil {
		return err
	}
	if j.Operation == OperationBackup {
		if err := tx.NoteBackup(ctx, j, protects(j)); err != nil {
			return err
		}
		if err := recount(ctx, tx, before, j); err != nil {
			return err
		}
		if err := settleEnd(ctx, tx, j, o); err != nil {
			return err
		}
	}
	if err := s.tellRepository(ctx, tx, j, o, again); err != nil {
		return err
	}
	if err := settleIndex(ctx, tx, j, o); err != nil {
		return err
	}
	return s.makeRoom(ctx, tx, j)
}

// tellRepository does what a job's end means for its repository, and for its host.
func (s *Service) tellRepository(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome, again bool) error {
	if again { //guard:finished-twice
		return hostConditions(ctx, tx, j)
	}
	if err := s.settleRepository(ctx, tx, j, o); err != nil {
		return err
	}
	if err := outcomeConditions(ctx, tx, j, o); err != nil {
		return err
	}
	if err := listAgain(ctx, tx, j, o); err != nil {
		return err
	}
	return noteHealth(ctx, tx, j, o)
}

// protects tells whether a finished backup is one to rely on: it ended well and
// names its snapshot.
func protects(j *fleet.Job) bool { return j.Result.Good() && j.SnapshotID != "" }

// confirm marks a backup whose snapshot nobody has seen in the repository: an agent
// may claim a success, but a claim is no backup.
func confirm(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome) error {
	j.Unconfirmed = j.Operation == OperationBackup && j.Result.Good() && !(o.Confirmed && j.SnapshotID != "") //guard:unconfirmed
	if !j.Unconfirmed || j.SnapshotID == "" || j.RepositoryID == "" {
		return nil
	}
	seen, err := tx.Snapshot(ctx, j.RepositoryID, j.SnapshotID)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err == nil && seen.JobID == j.ID {
		j.Unconfirmed = false
	}
	return err
}

// seeSnapshot writes the snapshot that a job made. Whose it is follows from the job,
// not from what the snapshot claims.
func seeSnapshot(ctx context.Context, tx *store.Tx, j *fleet.Job, snapshot *Snapshot) error {
	if j.RepositoryID == "" {
		return nil
	}
	listed, err := tx.Snapshot(ctx, j.RepositoryID, snapshot.ID)
	known := err == nil
	if err != nil && !fleet.Is(err, fleet.NotFound) {
		return err
	}
	if known {
		if theirs, err := ofAnother(ctx, tx, j, listed); err != nil || theirs { //guard:snapshot-stolen
			return err
		}
	}
	row := snapshot.row(j.RepositoryID, tx.Now)
	row.HostID, row.ScheduleID, row.JobID = j.HostID, j.ScheduleID, j.ID
	if err := tx.SeeSnapshots(ctx, []fleet.Snapshot{row}); err != nil || known && listed.HostID != "" {
		return err
	}
	if known { // it was listed before anybody told of its job
		return tx.CountSnapshotOfHost(ctx, row.HostID)
	}
	tx.Touch(fleet.TopicSnapshots, string(j.RepositoryID))
	tx.Touch(fleet.TopicRepositories, string(j.RepositoryID))
	return tx.CountSnapshot(ctx, &row)
}

// row is a snapshot as it is stored.
func (s *Snapshot) row(repository fleet.RepositoryID, seen fleet.Time) fleet.Snapshot {
	original := s.Original
	if !resticIDForm.MatchString(original) {
		original = ""
	}
	return fleet.Snapshot{
		RepositoryID: repository, ID: s.ID, Time: fleet.At(s.Time), FirstSeen: seen, LastSeen: seen,
		Hostname: s.Hostname, Username: s.Username, Paths: fleet.NewList(restic.CutTexts(s.Paths)), Tags: fleet.NewList(restic.CutTexts(s.Tags)),
		Files: s.Files, Bytes: s.Bytes, BytesAdded: s.BytesAdded, Original: original,
	}
}
