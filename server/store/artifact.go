package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

// ArtifactPart is a piece of a result that comes in parts. One without data marks
// the end: the whole was taken over and its parts are gone.
type ArtifactPart struct {
	JobID  fleet.JobID `db:"job_id"`
	Name   string      `db:"name"`
	Offset int64       `db:"offset_at"`
	Data   []byte      `db:"data"`
	At     fleet.Time  `db:"at"`
}

// ArtifactSize tells how many bytes of an artifact have come, and whether it was
// taken over.
func (q Queries) ArtifactSize(ctx context.Context, id fleet.JobID, name string) (size int64, taken bool, err error) {
	var row struct {
		Rows  int64 `db:"n"`
		Size  int64 `db:"size"`
		Empty int64 `db:"empty"`
	}
	err = q.get(ctx, &row, `SELECT COUNT(*) AS n, COALESCE(MAX(offset_at + LENGTH(data)), 0) AS size,
		COALESCE(SUM(CASE WHEN LENGTH(data) = 0 THEN 1 ELSE 0 END), 0) AS empty
		FROM artifact_parts WHERE job_id = ? AND name = ?`, id, name)
	if err != nil {
		return 0, false, fmt.Errorf("read the parts of %s of job %s: %w", name, id, err)
	}
	return row.Size, row.Empty > 0, nil
}

// ArtifactBytes tells how many bytes of artifacts of a name of a host's jobs are kept.
func (q Queries) ArtifactBytes(ctx context.Context, host fleet.HostID, name string) (size int64, err error) {
	err = q.get(ctx, &size, `SELECT COALESCE(SUM(LENGTH(p.data)), 0) FROM artifact_parts p JOIN jobs j ON j.id = p.job_id
		WHERE j.host_id = ? AND p.name = ?`, host, name)
	if err != nil {
		return 0, fmt.Errorf("count the artifacts of host %s: %w", host, err)
	}
	return size, nil
}

// ArtifactPart reads the part at an offset. NotFound behind the last one.
func (q Queries) ArtifactPart(ctx context.Context, id fleet.JobID, name string, offset int64) (*ArtifactPart, error) {
	var p ArtifactPart
	err := q.get(ctx, &p, `SELECT job_id, name, offset_at, data, at FROM artifact_parts WHERE job_id = ? AND name = ? AND offset_at = ?`, id, name, offset)
	return one(&p, err, "part of %s at %d of job %s", name, offset, id)
}

// AddArtifactPart writes a part.
func (tx *Tx) AddArtifactPart(ctx context.Context, p ArtifactPart) error {
	_, err := tx.named(ctx, insert("artifact_parts", "job_id, name, offset_at, data, at"), p)
	return err
}

// DropArtifact removes an artifact's parts.
func (tx *Tx) DropArtifact(ctx context.Context, id fleet.JobID, name string) error {
	_, err := tx.exec(ctx, `DELETE FROM artifact_parts WHERE job_id = ? AND name = ?`, id, name)
	return err
}

// DropOldArtifacts removes parts that came before a moment: their rest never will.
func (tx *Tx) DropOldArtifacts(ctx context.Context, before fleet.Time) error {
	_, err := tx.exec(ctx, `DELETE FROM artifact_parts WHERE at < ?`, before)
	return err
}
