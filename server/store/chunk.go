package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const chunkCols = "job_id, seq, first_line, lines, bytes, from_at, to_at, data"

// LogChunks reads chunks of a job's log after a number, in order, with their data.
func (q Queries) LogChunks(ctx context.Context, id fleet.JobID, after int64, limit int) ([]fleet.LogChunk, error) {
	var chunks []fleet.LogChunk
	err := q.all(ctx, &chunks, `SELECT `+chunkCols+` FROM log_chunks WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?`, id, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the log of job %s: %w", id, err)
	}
	return chunks, nil
}

// LogChunk reads one chunk. NotFound when there is none of that number.
func (q Queries) LogChunk(ctx context.Context, id fleet.JobID, seq int64) (*fleet.LogChunk, error) {
	var c fleet.LogChunk
	err := q.get(ctx, &c, `SELECT `+chunkCols+` FROM log_chunks WHERE job_id = ? AND seq = ?`, id, seq)
	return one(&c, err, "log chunk %d of job %s", seq, id)
}

// LogChunkAt finds the number of the last chunk that begins at or before a line; 0
// when there is none.
func (q Queries) LogChunkAt(ctx context.Context, id fleet.JobID, line int64) (int64, error) {
	var seq int64
	err := q.get(ctx, &seq, `SELECT COALESCE(MAX(seq), 0) FROM log_chunks WHERE job_id = ? AND first_line <= ?`, id, line)
	return seq, err
}

// AppendLog writes chunks of a job that is locked.
func (tx *Tx) AppendLog(ctx context.Context, chunks []fleet.LogChunk) error {
	const rows = 20 // of a statement: eight values each, and chunks are large
	for len(chunks) > 0 {
		n := min(rows, len(chunks))
		if _, err := tx.named(ctx, insert("log_chunks", chunkCols), chunks[:n]); err != nil {
			return fmt.Errorf("append the log of job %s: %w", chunks[0].JobID, err)
		}
		chunks = chunks[n:]
	}
	return nil
}
