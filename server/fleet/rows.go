package fleet

// RowChunk is a part of the rows of a job's result, as the agent compressed it: gzip
// of whole lines.
type RowChunk struct {
	JobID  JobID  `db:"job_id"`
	Offset int64  `db:"offset_at"` // of its first byte in the whole
	First  int64  `db:"first_row"` // from 1
	Count  int64  `db:"row_count"`
	Data   []byte `db:"data"`
}
