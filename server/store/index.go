package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const (
	indexCols      = "repository_id, snapshot_id, state, job_id, message, entries, bytes, made_at, used_at, version, stale"
	indexBlockCols = "repository_id, snapshot_id, kind, number, data"
)

// Index reads the index of a snapshot. NotFound when there is none; one that was
// dropped may still be there.
func (q Queries) Index(ctx context.Context, repository fleet.RepositoryID, snapshot string) (*fleet.Index, error) {
	var l fleet.Index
	err := q.get(ctx, &l, `SELECT `+indexCols+` FROM snapshot_indexes WHERE repository_id = ? AND snapshot_id = ?`, repository, snapshot)
	return one(&l, err, "index of snapshot %s", snapshot)
}

// IndexBlocks reads the blocks of a kind from a number on, in order, at most so many.
func (q Queries) IndexBlocks(ctx context.Context, l *fleet.Index, kind, from, most int) ([]fleet.IndexBlock, error) {
	var list []fleet.IndexBlock
	err := q.all(ctx, &list, `SELECT `+indexBlockCols+` FROM index_blocks
		WHERE repository_id = ? AND snapshot_id = ? AND kind = ? AND number >= ? AND number < ? ORDER BY number`,
		l.RepositoryID, l.SnapshotID, kind, from, from+most)
	if err != nil {
		return nil, fmt.Errorf("read block %d of kind %d of the index of snapshot %s: %w", from, kind, l.SnapshotID, err)
	}
	return list, nil
}

// BuildingIndexes counts the indexes that jobs are making which were ordered since a
// moment and whose agents are not silent.
func (q Queries) BuildingIndexes(ctx context.Context, since fleet.Time) (n int, err error) {
	err = q.get(ctx, &n, `SELECT COUNT(*) FROM snapshot_indexes l JOIN jobs j ON j.id = l.job_id
		WHERE l.state = 'building' AND j.state NOT IN ('finished', 'unresponsive') AND j.created_at > ?`, since)
	return n, err
}

// ClaimIndex makes a job the one that makes a snapshot's index, and tells whether it
// is: it is not while another one is at it, nor where there is an index already, unless
// anew says to make it once more.
func (tx *Tx) ClaimIndex(ctx context.Context, repository fleet.RepositoryID, snapshot string, job fleet.JobID, anew bool) (bool, error) {
	l := &fleet.Index{
		RepositoryID: repository, SnapshotID: snapshot, State: fleet.IndexBuilding, JobID: job, UsedAt: tx.Now,
		Version: int64(tx.Now), // above those of an index that was here before and is gone
	}
	n, err := tx.named(ctx, insert("snapshot_indexes", indexCols)+` ON CONFLICT (repository_id, snapshot_id) DO NOTHING`, l)
	if err == nil && n == 0 {
		n, err = tx.reclaimIndex(ctx, l, anew)
	}
	if err != nil {
		return false, fmt.Errorf("claim the index of snapshot %s: %w", snapshot, err)
	}
	if n == 0 {
		return false, nil
	}
	tx.Touch(fleet.TopicSnapshots, snapshot)
	return true, nil
}

// reclaimIndex gives an index that is there to another job, with the blocks that it has. Its row is locked before
// its job is looked at, since a statement sees only the jobs of when it began.
func (tx *Tx) reclaimIndex(ctx context.Context, l *fleet.Index, anew bool) (int64, error) {
	var was fleet.Index
	err := tx.get(ctx, &was, `UPDATE snapshot_indexes SET version = version WHERE repository_id = ? AND snapshot_id = ? RETURNING `+indexCols, l.RepositoryID, l.SnapshotID)
	if err != nil {
		return 0, err
	}
	if was.State == fleet.IndexReady && !anew {
		return 0, nil
	}
	if was.State == fleet.IndexBuilding {
		var active int
		err := tx.get(ctx, &active, `SELECT COUNT(*) FROM jobs WHERE id = ? AND state <> 'finished'`, was.JobID)
		if err != nil || active > 0 {
			return 0, err
		}
	}
	return tx.exec(ctx, `UPDATE snapshot_indexes SET state = 'building', job_id = ?, message = '', entries = 0, bytes = 0, made_at = 0, used_at = ?, version = version + 1, stale = TRUE
		WHERE repository_id = ? AND snapshot_id = ?`, l.JobID, tx.Now, l.RepositoryID, l.SnapshotID)
}

// ResumeIndex takes a failed index of a job for one that is being made again: what the
// job made has come after all. It tells whether the index is being made by that job.
func (tx *Tx) ResumeIndex(ctx context.Context, l *fleet.Index) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE snapshot_indexes SET state = 'building', message = '', used_at = ?, version = version + CASE WHEN state = 'failed' THEN 1 ELSE 0 END
		WHERE repository_id = ? AND snapshot_id = ? AND job_id = ? AND state IN ('building', 'failed')`, tx.Now, l.RepositoryID, l.SnapshotID, l.JobID)
	if n > 0 {
		tx.Touch(fleet.TopicSnapshots, l.SnapshotID)
	}
	return n > 0, err
}

// ClearIndexBlocks removes blocks that were there before an index was begun anew, at most
// so many, and tells whether there may be more. While there are, AddIndexBlocks writes
// nothing, so that no block is taken for one of the old ones.
func (tx *Tx) ClearIndexBlocks(ctx context.Context, l *fleet.Index, most int) (more bool, err error) {
	n, err := tx.exec(ctx, `UPDATE snapshot_indexes SET stale = TRUE WHERE repository_id = ? AND snapshot_id = ? AND stale`, l.RepositoryID, l.SnapshotID)
	if err != nil || n == 0 {
		return false, err
	}
	return tx.cutBlocks(ctx, l, most)
}

// cutBlocks removes blocks of an index whose row this transaction has locked, at most so
// many, and notes when there are none any more.
func (tx *Tx) cutBlocks(ctx context.Context, l *fleet.Index, most int) (more bool, err error) {
	n, err := tx.exec(ctx, `DELETE FROM index_blocks WHERE repository_id = ? AND snapshot_id = ? AND (kind, number) IN (
		SELECT kind, number FROM index_blocks WHERE repository_id = ? AND snapshot_id = ? ORDER BY kind, number LIMIT ?)`,
		l.RepositoryID, l.SnapshotID, l.RepositoryID, l.SnapshotID, most)
	if err != nil {
		return false, fmt.Errorf("remove blocks of the index of snapshot %s: %w", l.SnapshotID, err)
	}
	if n == int64(most) {
		return true, nil
	}
	_, err = tx.exec(ctx, `UPDATE snapshot_indexes SET stale = FALSE WHERE repository_id = ? AND snapshot_id = ?`, l.RepositoryID, l.SnapshotID)
	return false, err
}

// AddIndexBlocks writes blocks of an index that a job is making, and tells whether it
// still is, with none of another left. Blocks that are there stay.
func (tx *Tx) AddIndexBlocks(ctx context.Context, l *fleet.Index, blocks []fleet.IndexBlock) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE snapshot_indexes SET used_at = ? WHERE repository_id = ? AND snapshot_id = ? AND job_id = ? AND state = 'building' AND NOT stale`,
		tx.Now, l.RepositoryID, l.SnapshotID, l.JobID)
	if err != nil || n == 0 {
		return false, err
	}
	if _, err := tx.named(ctx, insert("index_blocks", indexBlockCols)+` ON CONFLICT DO NOTHING`, blocks); err != nil {
		return false, fmt.Errorf("write blocks of the index of snapshot %s: %w", l.SnapshotID, err)
	}
	return true, nil
}

// FinishIndex says that an index is whole, if its job is still the one that makes it.
func (tx *Tx) FinishIndex(ctx context.Context, l *fleet.Index) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE snapshot_indexes SET state = 'ready', message = '', entries = ?, bytes = ?, made_at = ?, used_at = ?, version = version + 1
		WHERE repository_id = ? AND snapshot_id = ? AND job_id = ? AND state = 'building' AND NOT stale`,
		l.Entries, l.Bytes, tx.Now, tx.Now, l.RepositoryID, l.SnapshotID, l.JobID)
	if n > 0 {
		tx.Touch(fleet.TopicSnapshots, l.SnapshotID)
	}
	return n > 0, err
}

// FailIndex says why an index that a job was making will not come; DropIndexBlocks removes
// what there is of it. Where another job is at it, nothing happens.
func (tx *Tx) FailIndex(ctx context.Context, repository fleet.RepositoryID, snapshot string, job fleet.JobID, message string) (bool, error) {
	return tx.spoilIndex(ctx, repository, snapshot, job, fleet.IndexBuilding, message)
}

// SpoilIndex is FailIndex of an index that is there and turned out to be damaged.
func (tx *Tx) SpoilIndex(ctx context.Context, l *fleet.Index, message string) (bool, error) {
	return tx.spoilIndex(ctx, l.RepositoryID, l.SnapshotID, l.JobID, fleet.IndexReady, message)
}

func (tx *Tx) spoilIndex(ctx context.Context, repository fleet.RepositoryID, snapshot string, job fleet.JobID, from fleet.IndexState, message string) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE snapshot_indexes SET state = 'failed', message = ?, entries = 0, bytes = 0, made_at = 0, version = version + 1, stale = TRUE
		WHERE repository_id = ? AND snapshot_id = ? AND job_id = ? AND state = ?`, message, repository, snapshot, job, from)
	if err != nil || n == 0 {
		return false, err
	}
	tx.Touch(fleet.TopicSnapshots, snapshot)
	return true, nil
}

// UseIndex notes that an index is used.
func (tx *Tx) UseIndex(ctx context.Context, l *fleet.Index) error {
	_, err := tx.exec(ctx, `UPDATE snapshot_indexes SET used_at = ? WHERE repository_id = ? AND snapshot_id = ? AND used_at < ?`,
		tx.Now, l.RepositoryID, l.SnapshotID, tx.Now)
	return err
}

// IndexBytes tells how many bytes all indexes take together that are not dropped.
func (q Queries) IndexBytes(ctx context.Context) (size int64, err error) {
	err = q.get(ctx, &size, `SELECT COALESCE(SUM(bytes), 0) FROM snapshot_indexes WHERE state = 'ready'`)
	return size, err
}

// LeastUsedIndex reads the index that was not used for longest. NotFound when there is
// none.
func (q Queries) LeastUsedIndex(ctx context.Context) (*fleet.Index, error) {
	var l fleet.Index
	err := q.get(ctx, &l, `SELECT `+indexCols+` FROM snapshot_indexes WHERE state = 'ready' ORDER BY used_at, repository_id, snapshot_id LIMIT 1`)
	return one(&l, err, "index")
}

// DropIndex gives an index up; DropIndexBlocks removes it.
func (tx *Tx) DropIndex(ctx context.Context, l *fleet.Index) error {
	n, err := tx.exec(ctx, `UPDATE snapshot_indexes SET state = 'dropped', version = version + 1
		WHERE repository_id = ? AND snapshot_id = ? AND version = ?`, l.RepositoryID, l.SnapshotID, l.Version)
	if n > 0 {
		tx.Touch(fleet.TopicSnapshots, l.SnapshotID)
	}
	return err
}

// dropIndexesOfGone gives up the indexes of a repository's snapshots that are not there
// any more.
func (tx *Tx) dropIndexesOfGone(ctx context.Context, repository fleet.RepositoryID) error {
	_, err := tx.exec(ctx, `UPDATE snapshot_indexes SET state = 'dropped', version = version + 1 WHERE repository_id = ? AND state <> 'dropped'
		AND NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.repository_id = snapshot_indexes.repository_id AND s.id = snapshot_indexes.snapshot_id)`, repository)
	if err != nil {
		return fmt.Errorf("drop the indexes of snapshots of repository %s: %w", repository, err)
	}
	return nil
}

// DropIndexesOf gives up all indexes of a repository.
func (tx *Tx) DropIndexesOf(ctx context.Context, repository fleet.RepositoryID) error {
	_, err := tx.exec(ctx, `UPDATE snapshot_indexes SET state = 'dropped', version = version + 1 WHERE repository_id = ? AND state <> 'dropped'`, repository)
	if err != nil {
		return fmt.Errorf("drop the indexes of repository %s: %w", repository, err)
	}
	return nil
}

// FailAbandonedIndexes says of indexes that will not come that they will not: their job
// is gone, with its host, or it has ended and nothing was written since a moment.
func (tx *Tx) FailAbandonedIndexes(ctx context.Context, since fleet.Time, message string) error {
	var list []fleet.Index
	err := tx.all(ctx, &list, `SELECT `+indexCols+` FROM snapshot_indexes WHERE state = 'building' AND (
		NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = snapshot_indexes.job_id)
		OR used_at < ? AND EXISTS (SELECT 1 FROM jobs j WHERE j.id = snapshot_indexes.job_id AND j.state = 'finished'))
		ORDER BY used_at LIMIT 100`, since)
	if err != nil {
		return fmt.Errorf("look for indexes that nobody makes any more: %w", err)
	}
	for _, l := range list {
		if _, err := tx.FailIndex(ctx, l.RepositoryID, l.SnapshotID, l.JobID, message); err != nil {
			return err
		}
	}
	return nil
}

// DropIndexBlocks removes blocks of an index that was dropped, or that failed or is begun
// anew, at most so many; a dropped one goes with its last ones. It tells whether there may
// be more to remove.
func (tx *Tx) DropIndexBlocks(ctx context.Context, most int) (more bool, err error) {
	var l fleet.Index
	err = tx.get(ctx, &l, `SELECT `+indexCols+` FROM snapshot_indexes WHERE state = 'dropped' OR stale ORDER BY repository_id, snapshot_id LIMIT 1`)
	if found, err := one(&l, err, "index to remove"); found == nil || err != nil {
		if fleet.Is(err, fleet.NotFound) {
			return false, nil
		}
		return false, err
	}
	// The row is locked: who claims the index meanwhile waits, and clears it first.
	n, err := tx.exec(ctx, `UPDATE snapshot_indexes SET stale = TRUE WHERE repository_id = ? AND snapshot_id = ? AND (state = 'dropped' OR stale)`,
		l.RepositoryID, l.SnapshotID)
	if err != nil || n == 0 {
		return true, err
	}
	if more, err := tx.cutBlocks(ctx, &l, most); err != nil || more {
		return true, err
	}
	_, err = tx.exec(ctx, `DELETE FROM snapshot_indexes WHERE repository_id = ? AND snapshot_id = ? AND state = 'dropped'`, l.RepositoryID, l.SnapshotID)
	return true, err
}
