package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const (
	listingCols      = "repository_id, snapshot_id, state, job_id, message, entries, bytes, made_at, used_at, version"
	listingBlockCols = "repository_id, snapshot_id, kind, number, data"
)

// Listing reads the index of a snapshot. NotFound when there is none; one that was
// dropped may still be there.
func (q Queries) Listing(ctx context.Context, repository fleet.RepositoryID, snapshot string) (*fleet.Listing, error) {
	var l fleet.Listing
	err := q.get(ctx, &l, `SELECT `+listingCols+` FROM listings WHERE repository_id = ? AND snapshot_id = ?`, repository, snapshot)
	return one(&l, err, "index of snapshot %s", snapshot)
}

// ListingBlocks reads the blocks of a kind from a number on, in order, at most so many.
func (q Queries) ListingBlocks(ctx context.Context, l *fleet.Listing, kind, from, most int) ([]fleet.ListingBlock, error) {
	var list []fleet.ListingBlock
	err := q.all(ctx, &list, `SELECT `+listingBlockCols+` FROM listing_blocks
		WHERE repository_id = ? AND snapshot_id = ? AND kind = ? AND number >= ? AND number < ? ORDER BY number`,
		l.RepositoryID, l.SnapshotID, kind, from, from+most)
	if err != nil {
		return nil, fmt.Errorf("read block %d of kind %d of the index of snapshot %s: %w", from, kind, l.SnapshotID, err)
	}
	return list, nil
}

// BuildingListings counts the indexes that jobs are making which were ordered since a
// moment and whose agents are not silent.
func (q Queries) BuildingListings(ctx context.Context, since fleet.Time) (n int, err error) {
	err = q.get(ctx, &n, `SELECT COUNT(*) FROM listings l JOIN jobs j ON j.id = l.job_id
		WHERE l.state = 'building' AND j.state NOT IN ('finished', 'unresponsive') AND j.created_at > ?`, since)
	return n, err
}

// ClaimListing makes a job the one that makes a snapshot's index, and tells whether it
// is: it is not while another one is at it, nor where there is an index already, unless
// anew says to make it once more.
func (tx *Tx) ClaimListing(ctx context.Context, repository fleet.RepositoryID, snapshot string, job fleet.JobID, anew bool) (bool, error) {
	l := &fleet.Listing{
		RepositoryID: repository, SnapshotID: snapshot, State: fleet.ListingBuilding, JobID: job, UsedAt: tx.Now,
		Version: int64(tx.Now), // above those of an index that was here before and is gone
	}
	n, err := tx.named(ctx, insert("listings", listingCols)+` ON CONFLICT (repository_id, snapshot_id) DO NOTHING`, l)
	if err == nil && n == 0 {
		n, err = tx.reclaimListing(ctx, l, anew)
	}
	if err != nil {
		return false, fmt.Errorf("claim the index of snapshot %s: %w", snapshot, err)
	}
	if n == 0 {
		return false, nil
	}
	tx.Touch(fleet.TopicSnapshots, snapshot)
	return true, tx.dropBlocks(ctx, repository, snapshot)
}

// reclaimListing gives an index that is there to another job. Its row is locked before
// its job is looked at, since a statement sees only the jobs of when it began.
func (tx *Tx) reclaimListing(ctx context.Context, l *fleet.Listing, anew bool) (int64, error) {
	var was fleet.Listing
	err := tx.get(ctx, &was, `UPDATE listings SET version = version WHERE repository_id = ? AND snapshot_id = ? RETURNING `+listingCols, l.RepositoryID, l.SnapshotID)
	if err != nil {
		return 0, err
	}
	if was.State == fleet.ListingReady && !anew {
		return 0, nil
	}
	if was.State == fleet.ListingBuilding {
		var active int
		err := tx.get(ctx, &active, `SELECT COUNT(*) FROM jobs WHERE id = ? AND state <> 'finished'`, was.JobID)
		if err != nil || active > 0 {
			return 0, err
		}
	}
	return tx.exec(ctx, `UPDATE listings SET state = 'building', job_id = ?, message = '', entries = 0, bytes = 0, made_at = 0, used_at = ?, version = version + 1
		WHERE repository_id = ? AND snapshot_id = ?`, l.JobID, tx.Now, l.RepositoryID, l.SnapshotID)
}

func (tx *Tx) dropBlocks(ctx context.Context, repository fleet.RepositoryID, snapshot string) error {
	_, err := tx.exec(ctx, `DELETE FROM listing_blocks WHERE repository_id = ? AND snapshot_id = ?`, repository, snapshot)
	if err != nil {
		return fmt.Errorf("remove the blocks of the index of snapshot %s: %w", snapshot, err)
	}
	return nil
}

// ResumeListing takes a failed index of a job for one that is being made again: what the
// job made has come after all. It tells whether the index is being made by that job.
func (tx *Tx) ResumeListing(ctx context.Context, l *fleet.Listing) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE listings SET state = 'building', message = '', used_at = ?, version = version + CASE WHEN state = 'failed' THEN 1 ELSE 0 END
		WHERE repository_id = ? AND snapshot_id = ? AND job_id = ? AND state IN ('building', 'failed')`, tx.Now, l.RepositoryID, l.SnapshotID, l.JobID)
	if n > 0 {
		tx.Touch(fleet.TopicSnapshots, l.SnapshotID)
	}
	return n > 0, err
}

// AddListingBlocks writes blocks of an index that a job is making, and tells whether it
// still is. Blocks that are there stay.
func (tx *Tx) AddListingBlocks(ctx context.Context, l *fleet.Listing, blocks []fleet.ListingBlock) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE listings SET used_at = ? WHERE repository_id = ? AND snapshot_id = ? AND job_id = ? AND state = 'building'`,
		tx.Now, l.RepositoryID, l.SnapshotID, l.JobID)
	if err != nil || n == 0 {
		return false, err
	}
	if _, err := tx.named(ctx, insert("listing_blocks", listingBlockCols)+` ON CONFLICT DO NOTHING`, blocks); err != nil {
		return false, fmt.Errorf("write blocks of the index of snapshot %s: %w", l.SnapshotID, err)
	}
	return true, nil
}

// FinishListing says that an index is whole, if its job is still the one that makes it.
func (tx *Tx) FinishListing(ctx context.Context, l *fleet.Listing) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE listings SET state = 'ready', message = '', entries = ?, bytes = ?, made_at = ?, used_at = ?, version = version + 1
		WHERE repository_id = ? AND snapshot_id = ? AND job_id = ? AND state = 'building'`,
		l.Entries, l.Bytes, tx.Now, tx.Now, l.RepositoryID, l.SnapshotID, l.JobID)
	if n > 0 {
		tx.Touch(fleet.TopicSnapshots, l.SnapshotID)
	}
	return n > 0, err
}

// FailListing says why an index that a job was making will not come, and removes what
// there is of it. Where another job is at it, nothing happens.
func (tx *Tx) FailListing(ctx context.Context, repository fleet.RepositoryID, snapshot string, job fleet.JobID, message string) (bool, error) {
	return tx.spoilListing(ctx, repository, snapshot, job, fleet.ListingBuilding, message)
}

// SpoilListing is FailListing of an index that is there and turned out to be damaged.
func (tx *Tx) SpoilListing(ctx context.Context, l *fleet.Listing, message string) (bool, error) {
	return tx.spoilListing(ctx, l.RepositoryID, l.SnapshotID, l.JobID, fleet.ListingReady, message)
}

func (tx *Tx) spoilListing(ctx context.Context, repository fleet.RepositoryID, snapshot string, job fleet.JobID, from fleet.ListingState, message string) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE listings SET state = 'failed', message = ?, entries = 0, bytes = 0, made_at = 0, version = version + 1
		WHERE repository_id = ? AND snapshot_id = ? AND job_id = ? AND state = ?`, message, repository, snapshot, job, from)
	if err != nil || n == 0 {
		return false, err
	}
	tx.Touch(fleet.TopicSnapshots, snapshot)
	return true, tx.dropBlocks(ctx, repository, snapshot)
}

// UseListing notes that an index is used.
func (tx *Tx) UseListing(ctx context.Context, l *fleet.Listing) error {
	_, err := tx.exec(ctx, `UPDATE listings SET used_at = ? WHERE repository_id = ? AND snapshot_id = ? AND used_at < ?`,
		tx.Now, l.RepositoryID, l.SnapshotID, tx.Now)
	return err
}

// ListingBytes tells how many bytes all indexes take together that are not dropped.
func (q Queries) ListingBytes(ctx context.Context) (size int64, err error) {
	err = q.get(ctx, &size, `SELECT COALESCE(SUM(bytes), 0) FROM listings WHERE state = 'ready'`)
	return size, err
}

// LeastUsedListing reads the index that was not used for longest. NotFound when there is
// none.
func (q Queries) LeastUsedListing(ctx context.Context) (*fleet.Listing, error) {
	var l fleet.Listing
	err := q.get(ctx, &l, `SELECT `+listingCols+` FROM listings WHERE state = 'ready' ORDER BY used_at, repository_id, snapshot_id LIMIT 1`)
	return one(&l, err, "index")
}

// DropListing gives an index up; DropListingBlocks removes it.
func (tx *Tx) DropListing(ctx context.Context, l *fleet.Listing) error {
	n, err := tx.exec(ctx, `UPDATE listings SET state = 'dropped', version = version + 1
		WHERE repository_id = ? AND snapshot_id = ? AND version = ?`, l.RepositoryID, l.SnapshotID, l.Version)
	if n > 0 {
		tx.Touch(fleet.TopicSnapshots, l.SnapshotID)
	}
	return err
}

// dropListingsOfGone gives up the indexes of a repository's snapshots that are not there
// any more.
func (tx *Tx) dropListingsOfGone(ctx context.Context, repository fleet.RepositoryID) error {
	_, err := tx.exec(ctx, `UPDATE listings SET state = 'dropped', version = version + 1 WHERE repository_id = ? AND state <> 'dropped'
		AND NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.repository_id = listings.repository_id AND s.id = listings.snapshot_id)`, repository)
	if err != nil {
		return fmt.Errorf("drop the indexes of snapshots of repository %s: %w", repository, err)
	}
	return nil
}

// FailAbandonedListings says of indexes that will not come that they will not, and
// removes what there is of them: their job is gone, with its host, or it has ended and
// nothing was written since a moment.
func (tx *Tx) FailAbandonedListings(ctx context.Context, since fleet.Time, message string) error {
	var list []fleet.Listing
	err := tx.all(ctx, &list, `SELECT `+listingCols+` FROM listings WHERE state = 'building' AND (
		NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = listings.job_id)
		OR used_at < ? AND EXISTS (SELECT 1 FROM jobs j WHERE j.id = listings.job_id AND j.state = 'finished'))
		ORDER BY used_at LIMIT 100`, since)
	if err != nil {
		return fmt.Errorf("look for indexes that nobody makes any more: %w", err)
	}
	for _, l := range list {
		if _, err := tx.FailListing(ctx, l.RepositoryID, l.SnapshotID, l.JobID, message); err != nil {
			return err
		}
	}
	return nil
}

// DropListingBlocks removes blocks of an index that was dropped, at most so many, and
// the index itself with the last ones. It tells whether there may be more to remove.
func (tx *Tx) DropListingBlocks(ctx context.Context, most int) (more bool, err error) {
	var l fleet.Listing
	err = tx.get(ctx, &l, `SELECT `+listingCols+` FROM listings WHERE state = 'dropped' ORDER BY repository_id, snapshot_id LIMIT 1`)
	if found, err := one(&l, err, "dropped index"); found == nil || err != nil {
		if fleet.Is(err, fleet.NotFound) {
			return false, nil
		}
		return false, err
	}
	n, err := tx.exec(ctx, `DELETE FROM listing_blocks WHERE repository_id = ? AND snapshot_id = ? AND (kind, number) IN (
		SELECT kind, number FROM listing_blocks WHERE repository_id = ? AND snapshot_id = ? ORDER BY kind, number LIMIT ?)`,
		l.RepositoryID, l.SnapshotID, l.RepositoryID, l.SnapshotID, most)
	if err != nil || n == int64(most) {
		return true, err
	}
	_, err = tx.exec(ctx, `DELETE FROM listings WHERE repository_id = ? AND snapshot_id = ? AND state = 'dropped'`, l.RepositoryID, l.SnapshotID)
	return true, err
}

// place names a list whose positions are text that somebody else gives.
type place struct {
	Of   string
	Args []string
}

// Position reads where a page of a list begins that is not the store's: "" is its
// beginning. The list is named by its kind and by what else decides what is in it.
func (p Page) Position(kind string, args ...string) (at string, err error) {
	_, err = p.after(place{kind, args}, &at)
	return at, err
}

// PositionToken makes the token of the page that begins at a position; "" for none.
func PositionToken(at, kind string, args ...string) (string, error) {
	if at == "" {
		return "", nil
	}
	_, token, err := paged(Page{Size: 1}, place{kind, args}, []string{at, at}, func(s *string) []any { return []any{*s} })
	return token, err
}
