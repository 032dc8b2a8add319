package job

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// The limits of an artifact.
const (
	MaxPart         = 512 << 10
	maxArtifact     = 64 << 20 // compressed; of one host, twice as much may not be whole yet
	maxListing      = 1 << 30  // decompressed
	maxListingLine  = 1 << 20
	maxListingLines = 1_000_000
	listingBatch    = 500 // rows of a transaction
)

// ArtifactSnapshots is the whole listing of a repository: gzip of one Snapshot a
// line.
const ArtifactSnapshots = "snapshots"

// Part is a piece of a large result.
type Part struct {
	Job    fleet.JobID
	Name   string
	Offset int64
	Last   bool
	Data   []byte
}

// PutPart takes a part of an artifact, in order, and the whole when the last one has
// come. It tells the offset of the next part. Repeating a part is harmless.
//
// It fails with NotFound, AgentMismatch, ArtifactOffset (with expected_offset),
// BodyTooLarge, TooManyRequests while the host has too much under way, and with InvalidField where the whole is not what it should be.
func (s *Service) PutPart(ctx context.Context, a Agent, p Part) (next int64, complete bool, err error) {
	j, err := s.Store.Job(ctx, p.Job)
	if err != nil {
		return 0, false, err
	}
	switch {
	case j.HostID != a.Host: //guard:agent-artifact
		return 0, false, fleet.Errorf(fleet.AgentMismatch, "This job is another host's.")
	case !takesArtifact(j, p.Name): //guard:artifact-name
		return 0, false, fleet.Errorf(fleet.NotFound, "This job takes no such artifact.")
	case len(p.Data) > MaxPart || p.Offset < 0 || p.Offset > s.most(p.Name)-int64(len(p.Data)): //guard:artifact-size
		return 0, false, fleet.Errorf(fleet.BodyTooLarge, "A part has at most %d bytes, this artifact %d.", MaxPart, s.most(p.Name))
	case len(p.Data) == 0 && !p.Last:
		return 0, false, fleet.Errorf(fleet.Invalid, "A part holds something.")
	}
	if p.Name == ArtifactRows {
		return s.putRows(ctx, j, p)
	}
	var taken bool
	err = s.Store.Write(ctx, func(tx *store.Tx) error {
		next, taken, err = addPart(ctx, tx, a.Host, p, s.most(p.Name))
		return err
	})
	if err != nil {
		return 0, false, err
	}
	if taken || !p.Last {
		return next, taken, nil
	}
	take := s.takeListing
	if p.Name == ArtifactIndex {
		take = s.takeIndex
	}
	if err := take(ctx, j, next); err != nil {
		return 0, false, fmt.Errorf("take %s of job %s: %w", p.Name, j.ID, err)
	}
	return next, true, nil
}

// takesArtifact tells whether a job may hand over an artifact.
func takesArtifact(j *fleet.Job, name string) bool {
	switch name {
	case ArtifactIndex:
		return j.Operation == OperationIndex && j.RepositoryID != ""
	case ArtifactSnapshots, ArtifactRows:
		return j.RepositoryID != ""
	}
	return false
}

// most is how many bytes an artifact has at most; of a host, twice as many may be under
// way.
func (s *Service) most(name string) int64 {
	if name == ArtifactIndex {
		return s.maxIndex()
	}
	return maxArtifact
}

// addPart writes a part where it belongs. taken says that the whole was taken over
// before.
func addPart(ctx context.Context, tx *store.Tx, host fleet.HostID, p Part, most int64) (next int64, taken bool, err error) {
	if _, err := tx.LockJob(ctx, p.Job); err != nil {
		return 0, false, err
	}
	size, taken, err := tx.ArtifactSize(ctx, p.Job, p.Name)
	if err != nil {
		return 0, false, err
	}
	end := p.Offset + int64(len(p.Data))
	switch {
	case end <= size: // it is here
		return size, taken, nil
	case p.Offset != size || taken:
		e := fleet.Errorf(fleet.ArtifactOffset, "The next part begins at %d.", size)
		e.Extra = map[string]int64{"expected_offset": size}
		return 0, false, e
	}
	waiting, err := tx.ArtifactBytes(ctx, host, p.Name)
	if err != nil {
		return 0, false, err
	}
	if waiting+int64(len(p.Data)) > 2*most { //guard:artifacts-host
		return 0, false, fleet.Errorf(fleet.TooManyRequests,
			"This host has more than %d bytes under way that are not whole; what is begun is taken first, or forgotten after a day.", 2*most)
	}
	return end, false, tx.AddArtifactPart(ctx, store.ArtifactPart{JobID: p.Job, Name: p.Name, Offset: p.Offset, Data: p.Data, At: tx.Now})
}

// listingMargin is how much older than the job's start a listing is taken to be: replicas
// measure the database's clock, and not to the millisecond. What is removed within it of
// having been seen stays in lists until the next listing.
const listingMargin = 5 * time.Second

// takeListing replaces what is known of a repository's snapshots by a whole listing.
// It is written in slices, so that reports get through between them, and nothing is
// removed before all of it was read; done again, it does the same.
//
// A snapshot that is not in the listing is gone, unless it was seen after the
// listing was made: jobs of other hosts report theirs meanwhile.
func (s *Service) takeListing(ctx context.Context, j *fleet.Job, size int64) error {
	made := j.CreatedAt
	if !j.StartedAt.IsZero() {
		made = min(made, j.StartedAt)
	}
	parts := &partReader{ctx: ctx, service: s, job: j.ID, name: ArtifactSnapshots}
	err := readListing(parts, func(slice []Snapshot) error {
		return s.Store.Write(ctx, func(tx *store.Tx) error { return see(ctx, tx, j, slice) })
	})
	var damaged *listingError
	switch {
	case parts.err != nil:
		return parts.err
	case errors.As(err, &damaged):
		drop := s.Store.Write(ctx, func(tx *store.Tx) error { return tx.DropArtifact(ctx, j.ID, ArtifactSnapshots) })
		return errors.Join(fleet.Wrap(fleet.InvalidField, err, "The listing is damaged: %s. Send it again.", damaged.text), drop)
	case err != nil:
		return err
	}
	return s.Store.Write(ctx, func(tx *store.Tx) error {
		if believed, err := believedOfGone(ctx, tx, j); err != nil {
			return err
		} else if believed { //guard:listing-gone
			if err := inherit(ctx, tx, j, made); err != nil {
				return err
			}
			if _, err := tx.DropUnseenSnapshots(ctx, j.RepositoryID, made.Add(-listingMargin)); err != nil {
				return err
			}
		}
		if err := tx.CountSnapshots(ctx, j.RepositoryID); err != nil {
			return err
		}
		if err := confirmSeen(ctx, tx, j.RepositoryID); err != nil {
			return err
		}
		if err := tx.DropArtifact(ctx, j.ID, ArtifactSnapshots); err != nil {
			return err
		}
		tx.Touch(fleet.TopicSnapshots, string(j.RepositoryID))
		return tx.AddArtifactPart(ctx, store.ArtifactPart{JobID: j.ID, Name: ArtifactSnapshots, Offset: size, Data: []byte{}, At: tx.Now})
	})
}

// believedOfGone tells whether what a job does not list is taken for gone. Where a host
// maintains the repository, no other can remove anything there, and so none is believed
// that the snapshots of others are gone.
func believedOfGone(ctx context.Context, tx *store.Tx, j *fleet.Job) (bool, error) {
	r, err := tx.Repository(ctx, j.RepositoryID)
	if fleet.Is(err, fleet.NotFound) {
		return false, nil
	}
	return err == nil && (r.MaintenanceHost == "" || r.MaintenanceHost == j.HostID), err
}

// confirmSeen takes what is now seen for confirmed, and looks again at the conditions
// of the hosts that made it.
func confirmSeen(ctx context.Context, tx *store.Tx, repository fleet.RepositoryID) error {
	confirmed, err := tx.ConfirmJobs(ctx, repository)
	if err != nil {
		return err
	}
	looked := map[fleet.HostID]bool{}
	for i := range confirmed {
		j := &confirmed[i]
		touch(tx, j)
		if err := noteConfirmed(ctx, tx, j); err != nil {
			return err
		}
		if looked[j.HostID] {
			continue
		}
		looked[j.HostID] = true
		if err := backupConditions(ctx, tx, j); err != nil {
			return err
		}
	}
	return nil
}

// see writes a slice of a listing.
func see(ctx context.Context, tx *store.Tx, j *fleet.Job, slice []Snapshot) error {
	rows := make([]fleet.Snapshot, len(slice))
	for i := range slice {
		rows[i] = slice[i].row(j.RepositoryID, tx.Now)
	}
	if err := attribute(ctx, tx, j.RepositoryID, rows); err != nil {
		return err
	}
	return tx.SeeSnapshots(ctx, rows)
}

// listingError says what is wrong with a listing.
type listingError struct{ text string }

func (e *listingError) Error() string { return e.text }

// readListing decompresses and checks a listing and hands it on in slices.
func readListing(compressed io.Reader, take func([]Snapshot) error) error {
	plain, err := gzip.NewReader(bufio.NewReader(compressed))
	if err != nil {
		return &listingError{"it is not gzip"}
	}
	lines := bufio.NewScanner(io.LimitReader(plain, maxListing))
	lines.Buffer(make([]byte, 64<<10), maxListingLine)
	slice := make([]Snapshot, 0, listingBatch)
	n := 0
	for lines.Scan() {
		if n++; n > maxListingLines { //guard:listing-lines
			return &listingError{"it has more lines than are taken"}
		}
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var snapshot Snapshot
		if err := json.Unmarshal(lines.Bytes(), &snapshot); err != nil {
			return &listingError{fmt.Sprintf("line %d is no snapshot", n)}
		}
		snapshot.fit() //guard:listing-fit
		if wrong := snapshot.wrong(); wrong != "" {
			return &listingError{fmt.Sprintf("line %d: %s", n, wrong)}
		}
		if slice = append(slice, snapshot); len(slice) == listingBatch {
			if err := take(slice); err != nil {
				return err
			}
			slice = slice[:0]
		}
	}
	if err := lines.Err(); err != nil {
		return &listingError{"it cannot be decompressed, or a line is too long"}
	}
	// The scanner stops at the limit as at an end; only the stream's own end has its
	// checksum verified.
	if _, err := plain.Read(make([]byte, 1)); err != io.EOF {
		return &listingError{"it is longer than is taken"}
	}
	if len(slice) == 0 {
		return nil
	}
	return take(slice)
}

// partReader reads an artifact's parts one after the other.
type partReader struct {
	ctx     context.Context //nolint:containedctx // io.Reader has none, and this one lives for one call
	service *Service
	job     fleet.JobID
	name    string
	offset  int64
	rest    []byte
	err     error // of the database, not of the listing
}

func (r *partReader) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		part, err := r.service.Store.ArtifactPart(r.ctx, r.job, r.name, r.offset)
		if fleet.Is(err, fleet.NotFound) {
			return 0, io.EOF
		}
		if err != nil {
			r.err = err
			return 0, err
		}
		if len(part.Data) == 0 {
			return 0, io.EOF
		}
		r.rest = part.Data
		r.offset += int64(len(part.Data))
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
