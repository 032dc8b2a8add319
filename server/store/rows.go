package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const rowChunkCols = "job_id, offset_at, first_row, row_count, data"

// RowsCame is how much of a job's result has come.
type RowsCame struct {
	Bytes  int64 `db:"bytes"`
	Rows   int64 `db:"n"`
	Chunks int64 `db:"chunks"`
}

// RowsSize tells how much of a job's result has come.
func (q Queries) RowsSize(ctx context.Context, id fleet.JobID) (came RowsCame, err error) {
	err = q.get(ctx, &came, `SELECT COALESCE(MAX(offset_at + LENGTH(data)), 0) AS bytes, COALESCE(MAX(first_row + row_count - 1), 0) AS n, COUNT(*) AS chunks
		FROM row_chunks WHERE job_id = ?`, id)
	if err != nil {
		return came, fmt.Errorf("count the rows of job %s: %w", id, err)
	}
	return came, nil
}

// RowsOfHost tells how many bytes of results are kept of a host's jobs.
func (q Queries) RowsOfHost(ctx context.Context, host fleet.HostID) (bytes int64, err error) {
	err = q.get(ctx, &bytes, `SELECT COALESCE(SUM(LENGTH(c.data)), 0) FROM row_chunks c JOIN jobs j ON j.id = c.job_id WHERE j.host_id = ?`, host)
	if err != nil {
		return 0, fmt.Errorf("count the results of host %s: %w", host, err)
	}
	return bytes, nil
}

// RowChunk reads the chunk that holds a row. NotFound behind the last one.
func (q Queries) RowChunk(ctx context.Context, id fleet.JobID, row int64) (*fleet.RowChunk, error) {
	var c fleet.RowChunk
	err := q.get(ctx, &c, `SELECT `+rowChunkCols+` FROM row_chunks WHERE job_id = ? AND first_row <= ? AND first_row + row_count > ?`, id, row, row)
	return one(&c, err, "row %d of job %s", row, id)
}

// AddRowChunk writes the next chunk of a job that is locked.
func (tx *Tx) AddRowChunk(ctx context.Context, c *fleet.RowChunk) error {
	if _, err := tx.named(ctx, insert("row_chunks", rowChunkCols), c); err != nil {
		return fmt.Errorf("add rows of job %s: %w", c.JobID, err)
	}
	return nil
}

// CompleteRows notes that all rows of a job's result have come.
func (tx *Tx) CompleteRows(ctx context.Context, id fleet.JobID, rows int64) error {
	if _, err := tx.exec(ctx, `UPDATE jobs SET row_count = ?, version = version + 1 WHERE id = ?`, rows, id); err != nil {
		return fmt.Errorf("complete the rows of job %s: %w", id, err)
	}
	tx.Touch(fleet.TopicJobs, string(id))
	return nil
}

// RowPage reads which row a page begins behind, from its token: 0 for the first page.
func RowPage(id fleet.JobID, p Page) (after int64, err error) {
	_, err = p.after(id, &after)
	return max(0, after), err
}

// RowToken makes the token of the page behind a row.
func RowToken(id fleet.JobID, row int64) (string, error) {
	_, token, err := paged(Page{Size: 1}, id, []int64{row, row + 1}, func(n *int64) []any { return []any{*n} })
	return token, err
}
