package fleet

// IndexState says whether a snapshot can be browsed.
type IndexState string

const (
	IndexNone     IndexState = "none"
	IndexBuilding IndexState = "building" // its job was ordered
	IndexReady    IndexState = "ready"
	IndexFailed   IndexState = "failed"
	// IndexDropped is none, as far as anybody sees: what is left of it is being removed.
	IndexDropped IndexState = "dropped"
)

// Index is the index by which a snapshot is browsed. Its blocks are package
// restic/listing's.
type Index struct {
	RepositoryID RepositoryID `db:"repository_id"`
	SnapshotID   string       `db:"snapshot_id"`
	State        IndexState   `db:"state"`
	JobID        JobID        `db:"job_id"`  // that makes it or has made it
	Message      string       `db:"message"` // why it could not be made
	Entries      int64        `db:"entries"`
	Bytes        int64        `db:"bytes"` // of its blocks
	MadeAt       Time         `db:"made_at"`
	UsedAt       Time         `db:"used_at"` // to the minute
	Version      int64        `db:"version"`
	Stale        bool         `db:"stale"` // blocks are still there that are no part of it
}

// IndexBlock is a block of an index.
type IndexBlock struct {
	RepositoryID RepositoryID `db:"repository_id"`
	SnapshotID   string       `db:"snapshot_id"`
	Kind         int          `db:"kind"`
	Number       int64        `db:"number"`
	Data         []byte       `db:"data"`
}
