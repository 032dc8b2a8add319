package job

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Codes of conditions that the health of a repository brings.
const (
	CodeCheckFailed    = "check_failed"
	CodePruneBlocked   = "prune_blocked"
	CodeForeignObjects = "foreign_objects"
	CodeSuspects       = "suspect_snapshots"
	CodeKeysChanged    = "keys_changed"
)

// The operations that a plan orders.
const (
	OperationRetention = "retention"
	OperationPrune     = "prune"
	OperationCheck     = "check"
	OperationStats     = "stats"
	OperationInspect   = "inspect"
	OperationLocks     = "locks"
	OperationUnlock    = "unlock"
	OperationForget    = "forget"
)

// The operations on keys.
const (
	OperationKeyAdd    = "key-add"
	OperationKeyRemove = "key-remove"
)

// finding is a job that ended, with what it found out, on its way into the health of its
// repository.
type finding struct {
	job        *fleet.Job
	out        Outcome
	health     *fleet.RepositoryHealth
	maintainer fleet.HostID // empty: none
	now        fleet.Time
}

// facts are the members of results that health is made of; nil: not told.
type facts struct {
	Mode           string     `json:"mode"`       // of stats
	TotalSize      *int64     `json:"total_size"` // of stats: by its mode
	PlainBytes     *int64     `json:"total_uncompressed_size"`
	Blobs          *int64     `json:"total_blob_count"`
	Snapshots      *int64     `json:"snapshots_count"`
	FreeBytes      *int64     `json:"free_bytes"`
	TotalBytes     *int64     `json:"total_bytes"`
	Keys           *int       `json:"keys"`
	ForeignKeys    *int       `json:"foreign_keys"` // that the maintenance host did not know
	ForeignObjects *int64     `json:"foreign_objects"`
	Suspects       *int64     `json:"suspects"`
	UndoUntil      *time.Time `json:"undo_until"`
	DryRun         *bool      `json:"dry_run"`
	Errors         int64      `json:"errors"` // of a check
	PacksBroken    int64      `json:"packs_broken"`
	KeyID          string     `json:"key_id"`  // of key-add
	KeyIDs         []string   `json:"key_ids"` // all, or the first of more
}

// fillers says for each operation how what it found out fills the health of its
// repository. Only good results come here, but for those that say so.
var fillers = map[string]func(ctx context.Context, tx *store.Tx, f *finding, found *facts) error{
	OperationStats:     measured,
	OperationInspect:   inspected,
	OperationCheck:     checked,
	OperationPrune:     pruned,
	OperationRetention: thinnedOut,
	OperationForget:    thinnedOut,
	OperationLocks:     locksListed,
	OperationUnlock:    locksListed,
	OperationIdentify:  keysListed,
	OperationKeyAdd:    keyAdded,
	OperationKeyRemove: keyRemoved,
}

// noteHealth puts what a job found out to the health of its repository, and raises or
// clears what follows from it.
func noteHealth(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome) error {
	if j.RepositoryID == "" {
		return nil
	}
	fill := fillers[j.Operation]
	if fill == nil && o.CanDelete != "no" {
		return nil
	}
	r, err := tx.LockRepository(ctx, j.RepositoryID)
	if fleet.Is(err, fleet.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	op, _ := restic.OperationNamed(j.Operation)
	if !op.At(restic.PlaceHost) && j.HostID != r.MaintenanceHost { //guard:health-maintainer
		fill = nil // another host maintains it by now
	}
	var health fleet.RepositoryHealth
	if err := r.Health.Read(&health); err != nil {
		return fmt.Errorf("read the health of repository %s: %w", r.ID, err)
	}
	if o.CanDelete == "no" {
		health.AppendProven = max(health.AppendProven, j.FinishedAt)
	}
	if fill != nil {
		var found facts
		if err := readFacts(o.Facts, &found); err != nil { //guard:facts-shape
			found = facts{} // of an agent that names them otherwise: nothing is known
		}
		if err := fill(ctx, tx, &finding{job: j, out: o, health: &health, maintainer: r.MaintenanceHost, now: tx.Now}, &found); err != nil {
			return err
		}
	}
	doc, err := fleet.NewDoc(health)
	if err != nil {
		return fmt.Errorf("encode the health of repository %s: %w", r.ID, err)
	}
	return tx.SaveHealth(ctx, r.ID, doc)
}

func readFacts(raw json.RawMessage, into *facts) error {
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return err
	}
	for _, n := range []**int64{
		&into.TotalSize, &into.PlainBytes, &into.Blobs, &into.Snapshots, &into.FreeBytes, &into.TotalBytes, &into.ForeignObjects, &into.Suspects,
	} {
		if *n != nil && (**n < 0 || **n > maxFact) { //guard:fact-size
			*n = nil
		}
	}
	if u := into.UndoUntil; u != nil && (u.UTC().Year() < 2000 || u.UTC().Year() > 2200) { //guard:fact-time
		into.UndoUntil = nil
	}
	return nil
}

// maxFact is above any number of bytes that a repository has; sums of a thousand such fit.
const maxFact = 1 << 50

func put[T any](into *T, value *T) {
	if value != nil {
		*into = *value
	}
}

// measuredTogether is within which the parts of a measurement come.
const measuredTogether = 12 * time.Hour

// older tells whether something newer of the kind is known already: reports come late.
func (f *finding) older(than fleet.Time) bool { return f.job.FinishedAt < than }

// olderThan is older than what a job said; one that is gone says nothing any more.
func (f *finding) olderThan(ctx context.Context, tx *store.Tx, id fleet.JobID) (bool, error) {
	if id == "" || id == f.job.ID {
		return false, nil
	}
	last, err := tx.Job(ctx, id)
	if fleet.Is(err, fleet.NotFound) {
		return false, nil
	}
	return err == nil && f.older(last.FinishedAt), err
}

// The modes of stats that health is made of.
const (
	statsStored = "raw-data"
	statsSource = "restore-size"
)

// measured keeps what stats of all snapshots measured, by its mode.
func measured(ctx context.Context, tx *store.Tx, f *finding, found *facts) error {
	var given struct {
		Snapshot string `json:"snapshot_id"`
	}
	if f.job.Params.Read(&given) != nil || given.Snapshot != "" {
		return nil
	}
	h := f.health
	if !f.job.Result.Good() || found.TotalSize == nil || f.older(h.MeasuredAt.Add(-measuredTogether)) {
		return nil
	}
	switch found.Mode {
	case statsStored:
		put(&h.StoredBytes, found.TotalSize)
		put(&h.PlainBytes, found.PlainBytes)
		put(&h.Blobs, found.Blobs)
		h.MeasuredAt = max(h.MeasuredAt, f.job.FinishedAt)
	case statsSource: // what is stored is as old as it was
		put(&h.SourceBytes, found.TotalSize)
	default:
		return nil
	}
	day := fleet.RepositoryDay{
		RepositoryID: f.job.RepositoryID, Day: fleet.DayOf(f.job.FinishedAt),
		StoredBytes: h.StoredBytes, PlainBytes: h.PlainBytes, SourceBytes: h.SourceBytes,
	}
	put(&day.Snapshots, found.Snapshots)
	if h.StoredBytes == 0 {
		return nil // only the other half is known yet
	}
	if err := tx.PutRepositoryDay(ctx, day); err != nil {
		return err
	}
	days, err := tx.RepositoryDays(ctx, day.RepositoryID, fleet.GrowthSince(f.now))
	if err != nil {
		return err
	}
	h.GrowthPerDay = fleet.Growth(days)
	f.space()
	return nil
}

// space keeps how much room the storage has, where the job looked at it. Where a host
// maintains the repository, the storage is that host's.
func (f *finding) space() {
	if f.maintainer != "" && f.job.HostID != f.maintainer { //guard:health-space
		return
	}
	if s := f.out.Storage; s != nil && s.TotalBytes > 0 && s.TotalBytes < maxFact && s.FreeBytes >= 0 && s.FreeBytes < maxFact {
		f.health.FreeBytes, f.health.TotalBytes = s.FreeBytes, s.TotalBytes
	}
}

func inspected(ctx context.Context, tx *store.Tx, f *finding, found *facts) error {
	h := f.health
	if err := keysListed(ctx, tx, f, found); err != nil {
		return err
	}
	if late, err := f.olderThan(ctx, tx, h.Inspect); err != nil || late || !f.job.Result.Good() { //guard:inspect-late
		return err
	}
	h.Inspect = f.job.ID
	f.space()
	if found.TotalBytes != nil && *found.TotalBytes > 0 {
		put(&h.TotalBytes, found.TotalBytes)
		put(&h.FreeBytes, found.FreeBytes)
	}
	if h.MeasuredAt.IsZero() {
		h.MeasuredAt = f.job.FinishedAt
	}
	put(&h.ForeignObjects, found.ForeignObjects)
	put(&h.Suspects, found.Suspects)
	if found.UndoUntil != nil {
		h.UndoUntil = fleet.At(*found.UndoUntil)
	}
	put(&h.Keys, found.Keys)
	added := 0
	put(&added, found.ForeignKeys)
	for _, c := range []struct {
		code       string
		holds      bool
		told       bool
		text, next string
	}{
		{CodeForeignObjects, h.ForeignObjects > 0, found.ForeignObjects != nil,
			fmt.Sprintf("Its folder holds %d files that restic did not make or cannot read.", h.ForeignObjects),
			"Look at the job's rows: a broken or hostile host may have put them there. They do not stop restores."},
		{CodeSuspects, h.Suspects > 0, found.Suspects != nil,
			fmt.Sprintf("It holds %d snapshots that are odd in themselves, such as of another time than they were first seen at; those that no host has told of are not counted.", h.Suspects),
			"Look at the job's rows. They are neither counted as backups to keep nor removed until somebody decides."},
		{CodeKeysChanged, added > 0, found.ForeignKeys != nil,
			fmt.Sprintf("It has %d keys, of which %d were added without the maintenance host knowing.", h.Keys, added),
			"Find out who added one; a key that nobody knows can be removed at the maintenance host."},
	} {
		if !c.told {
			continue
		}
		err := hold(ctx, tx, c.holds, fleet.Condition{
			ObjectType: store.ObjectRepository, ObjectID: string(f.job.RepositoryID), Code: c.code, Severity: fleet.Warn, JobID: f.job.ID,
			Message: c.text, NextStep: c.next,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pruned keeps the last prune. One that refused to go on, since what it would remove
// could not be trusted or kept aside, needs a person.
func pruned(ctx context.Context, tx *store.Tx, f *finding, found *facts) error {
	h, j := f.health, f.job
	if late, err := f.olderThan(ctx, tx, h.LastPrune); err != nil || late { //guard:prune-late
		return err
	}
	blocked := j.Result == fleet.Failed && strings.HasPrefix(f.out.Code, CodePruneBlocked)
	if j.Result.Good() || j.Result == fleet.Failed {
		h.LastPrune = j.ID
	}
	if found.UndoUntil != nil {
		h.UndoUntil = fleet.At(*found.UndoUntil)
	}
	if !blocked && !j.Result.Good() {
		return nil
	}
	return hold(ctx, tx, blocked, fleet.Condition{
		ObjectType: store.ObjectRepository, ObjectID: string(j.RepositoryID), Code: CodePruneBlocked, Severity: fleet.Warn, JobID: j.ID,
		Message:  "Prune refused to go on: " + orElse(f.out.Message, "see its log."),
		NextStep: orElse(f.out.NextStep, "Look at the job; until then nothing is removed, and the storage fills up."),
	})
}

func thinnedOut(ctx context.Context, tx *store.Tx, f *finding, found *facts) error {
	if found.DryRun != nil && *found.DryRun {
		return nil
	}
	late, err := f.olderThan(ctx, tx, f.health.LastRetention)
	if err != nil {
		return err
	}
	if !late && f.job.Operation == OperationRetention && (f.job.Result.Good() || f.job.Result == fleet.Failed) {
		f.health.LastRetention = f.job.ID
	}
	if f.job.Result.Good() && found.UndoUntil != nil {
		f.health.UndoUntil = max(f.health.UndoUntil, fleet.At(*found.UndoUntil))
	}
	return nil
}
