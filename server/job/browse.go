package job

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"restic-manager/restic/listing"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Browsing: an agent lists a snapshot once, in blocks as package restic/listing cuts
// them; they are kept one by one, and a click reads two or three of them.

// OperationIndex makes the index of a snapshot.
const OperationIndex = "index"

// ArtifactIndex is that index, as listing.Writer writes it.
const ArtifactIndex = "index"

// The bounds of indexes.
const (
	// DefaultBrowseBytes is how many bytes all indexes take together where the options say
	// nothing.
	DefaultBrowseBytes = 1 << 30

	maxIndex      = 256 << 20       // of one: ten million entries take 100 MiB
	indexBatch    = 1 << 20         // of blocks that are written in a transaction
	indexBlocks   = 200             // the same, by their number
	maxIndexing   = 16              // that are made at the same time
	indexingFor   = time.Hour       // for how long one counts as being made: a million entries take minutes
	indexRest     = time.Hour       // within which the rest of one comes whose job has ended
	indexStart    = 5 * time.Minute // until an agent that is online has begun
	usedEvery     = time.Minute     // how exactly it is known when an index was used
	dropSlice     = 500             // blocks that are removed in a transaction
	dropSlices    = 400             // and in a round
	abandonedText = "Who was to list the snapshot is gone, or has not handed over all of it."
)

// maxIndex is how many bytes an index has at most: one that would leave no room for any
// other is not taken.
func (s *Service) maxIndex() int64 { return min(maxIndex, s.browseBytes()) }

func (s *Service) browseBytes() int64 { return cmp.Or(s.BrowseBytes, DefaultBrowseBytes) }

// errListed stops a transaction in which a snapshot turns out to have an index, or one
// that is being made.
var errListed = errors.New("the snapshot has an index, or one that is being made")

// Index sees to it that a snapshot can be browsed: where there is no index and none is
// being made, a host that is online lists it.
//
// It fails with NotFound, RepositoryNotReady, NoHostOnline and TooManyRequests.
func (s *Service) Index(ctx context.Context, actor Actor, repository fleet.RepositoryID, id string) error {
	snapshot, err := s.Store.Snapshot(ctx, repository, id)
	if err != nil {
		return err
	}
	switch l, err := s.Store.Index(ctx, repository, id); {
	case err != nil && !fleet.Is(err, fleet.NotFound):
		return err
	case err == nil && l.State == fleet.IndexReady:
		return nil
	case err == nil && l.State == fleet.IndexBuilding:
		if j, err := s.Store.Job(ctx, l.JobID); err == nil && j.Active() {
			return nil
		}
	}
	n, err := s.Store.BuildingIndexes(ctx, fleet.At(s.Store.Now().Add(-indexingFor)))
	if err != nil {
		return err
	}
	if n >= maxIndexing { //guard:index-crowd
		return fleet.Errorf(fleet.TooManyRequests, "%d snapshots are being made browsable; try again when some of them are.", n)
	}
	host, err := s.reader(ctx, actor, repository, snapshot)
	if err != nil {
		return err
	}
	params, err := json.Marshal(map[string]string{fieldSnapshot: id})
	if err != nil {
		return err
	}
	_, _, err = s.Enqueue(ctx, actor, Request{
		Host: host, Operation: OperationIndex, Repository: repository, Params: params, StartWithin: indexStart, once: true,
	})
	if errors.Is(err, errListed) {
		return nil
	}
	return err
}

// claimIndex makes a new job of the operation the one that makes the index.
func (w *wish) claimIndex(ctx context.Context, tx *store.Tx, j *fleet.Job) error {
	id, err := indexed(j)
	if err != nil {
		return err
	}
	if _, err := tx.Snapshot(ctx, j.RepositoryID, id); err != nil {
		if fleet.Is(err, fleet.NotFound) {
			return fleet.Wrap(fleet.InvalidField, err, "No such snapshot of this repository is known; list its snapshots first.").At("/params/" + fieldSnapshot)
		}
		return err
	}
	won, err := tx.ClaimIndex(ctx, j.RepositoryID, id, j.ID, !w.once)
	if err == nil && !won {
		return errListed
	}
	return err
}

// indexed is the snapshot that a job makes the index of.
func indexed(j *fleet.Job) (string, error) {
	var params struct {
		Snapshot string `json:"snapshot_id"`
	}
	if err := j.Params.Read(&params); err != nil {
		return "", fmt.Errorf("read the params of job %s: %w", j.ID, err)
	}
	return params.Snapshot, nil
}

// settleIndex says that an index will not come where its job has ended without it. One
// that comes all the same is taken.
func settleIndex(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome) error {
	if j.Operation != OperationIndex || j.RepositoryID == "" {
		return nil
	}
	id, err := indexed(j)
	if err != nil {
		return err
	}
	message := orElse(o.Message, "The job ended as "+o.Result+" and handed over no index.")
	_, err = tx.FailIndex(ctx, j.RepositoryID, id, j.ID, clip(message, 2000))
	return err
}

// takeIndex keeps the blocks of an index that has come whole, in slices. Done again, it
// does the same. One that nobody waits for is let go.
func (s *Service) takeIndex(ctx context.Context, j *fleet.Job, size int64) error {
	id, err := indexed(j)
	if err != nil {
		return err
	}
	l := &fleet.Index{RepositoryID: j.RepositoryID, SnapshotID: id, JobID: j.ID}
	wanted := false
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		if wanted, err = tx.ResumeIndex(ctx, l); err != nil || wanted {
			return err
		}
		return endArtifact(ctx, tx, j.ID, ArtifactIndex, size)
	})
	if err != nil || !wanted {
		return err
	}
	err = s.inSlices(ctx, func(tx *store.Tx) (more bool, err error) { return tx.ClearIndexBlocks(ctx, l, dropSlice) })
	if err != nil {
		return err
	}
	parts := &partReader{ctx: ctx, service: s, job: j.ID, name: ArtifactIndex}
	found, err := s.split(ctx, parts, l)
	switch {
	case parts.err != nil:
		return parts.err
	case errors.Is(err, errListed): // by another request, or it is not wanted any more
		return s.Store.Write(ctx, func(tx *store.Tx) error { return endArtifact(ctx, tx, j.ID, ArtifactIndex, size) })
	case errors.Is(err, listing.ErrDamaged): //guard:index-damaged
		return s.refuseIndex(ctx, j, l, size, err)
	case err != nil:
		return err
	}
	l.Entries = found.Entries
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.FinishIndex(ctx, l); err != nil {
			return err
		}
		return endArtifact(ctx, tx, j.ID, ArtifactIndex, size)
	})
}

// split writes the blocks of an index.
func (s *Service) split(ctx context.Context, parts *partReader, l *fleet.Index) (listing.Summary, error) {
	var batch []fleet.IndexBlock
	held := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		goesOn := false
		err := s.Store.Write(ctx, func(tx *store.Tx) (err error) {
			goesOn, err = tx.AddIndexBlocks(ctx, l, batch)
			return err
		})
		if err == nil && !goesOn {
			err = errListed
		}
		l.Bytes += int64(held)
		batch, held = batch[:0], 0
		return err
	}
	found, err := listing.Split(parts, func(b listing.Block) error {
		batch = append(batch, fleet.IndexBlock{
			RepositoryID: l.RepositoryID, SnapshotID: l.SnapshotID, Kind: b.Kind, Number: int64(b.Number), Data: b.Data,
		})
		if held += len(b.Data); held < indexBatch && len(batch) < indexBlocks {
			return nil
		}
		return flush()
	})
	if err != nil {
		return found, err
	}
	return found, flush()
}

// refuseIndex lets a damaged index go and says so to its agent and to whoever waits.
func (s *Service) refuseIndex(ctx context.Context, j *fleet.Job, l *fleet.Index, size int64, cause error) error {
	failed := false
	err := s.Store.Write(ctx, func(tx *store.Tx) (err error) {
		failed, err = tx.FailIndex(ctx, l.RepositoryID, l.SnapshotID, j.ID, "The index that came was damaged; make it again.")
		if err != nil || failed {
			return errors.Join(err, tx.DropArtifact(ctx, j.ID, ArtifactIndex))
		}
		return endArtifact(ctx, tx, j.ID, ArtifactIndex, size) // another request has taken it meanwhile
	})
	if err != nil || !failed {
		return err
	}
	return fleet.Wrap(fleet.InvalidField, cause, "The index is damaged. Make it again.")
}

// endArtifact removes an artifact's parts and marks it as taken over.
func endArtifact(ctx context.Context, tx *store.Tx, id fleet.JobID, name string, size int64) error {
	if err := tx.DropArtifact(ctx, id, name); err != nil {
		return err
	}
	return tx.AddArtifactPart(ctx, store.ArtifactPart{JobID: id, Name: name, Offset: size, Data: []byte{}, At: tx.Now})
}

// Used notes that an index is used, to the minute.
func (s *Service) Used(ctx context.Context, l *fleet.Index) error {
	if fleet.At(s.Store.Now().Add(-usedEvery)) < l.UsedAt {
		return nil
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error { return tx.UseIndex(ctx, l) })
}

// Spoilt notes that an index turned out to be damaged, so that it can be made again.
func (s *Service) Spoilt(ctx context.Context, l *fleet.Index) error {
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.SpoilIndex(ctx, l, "The index turned out to be damaged; make it again.")
		return err
	})
}

// RetainIndexes keeps all indexes within their bound: those that were not used for
// longest are given up, and what was given up is removed in slices.
func (s *Service) RetainIndexes(ctx context.Context) error {
	err := s.Store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.FailAbandonedIndexes(ctx, tx.Now.Add(-indexRest), abandonedText); err != nil {
			return err
		}
		size, err := tx.IndexBytes(ctx)
		for err == nil && size > s.browseBytes() {
			var l *fleet.Index
			if l, err = tx.LeastUsedIndex(ctx); err == nil {
				size -= l.Bytes
				err = tx.DropIndex(ctx, l)
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("give up indexes of snapshots: %w", err)
	}
	left := dropSlices
	err = s.inSlices(ctx, func(tx *store.Tx) (more bool, err error) {
		left--
		more, err = tx.DropIndexBlocks(ctx, dropSlice)
		return more && left > 0, err
	})
	if err != nil {
		return fmt.Errorf("remove indexes of snapshots: %w", err)
	}
	return nil
}

// GiveUpIndexes removes all indexes of a repository. Who is about to delete it does this
// first: their blocks would go in one transaction with it, and nobody else could write
// meanwhile.
func (s *Service) GiveUpIndexes(ctx context.Context, id fleet.RepositoryID) error {
	err := s.Store.Write(ctx, func(tx *store.Tx) error { return tx.DropIndexesOf(ctx, id) })
	if err == nil {
		err = s.inSlices(ctx, func(tx *store.Tx) (bool, error) { return tx.DropIndexBlocks(ctx, dropSlice) })
	}
	if err != nil {
		return fmt.Errorf("remove the indexes of repository %s: %w", id, err)
	}
	return nil
}

// inSlices does one transaction after the other while there is more to do, so that others
// write between them.
func (s *Service) inSlices(ctx context.Context, slice func(tx *store.Tx) (more bool, err error)) error {
	for more := true; more; {
		err := s.Store.Write(ctx, func(tx *store.Tx) (err error) {
			more, err = slice(tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
