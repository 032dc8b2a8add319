package fleet

// ListingState says whether a snapshot can be browsed.
type ListingState string

const (
	ListingNone     ListingState = "none"
	ListingBuilding ListingState = "building" // its job was ordered
	ListingReady    ListingState = "ready"
	ListingFailed   ListingState = "failed"
	// ListingDropped is none, as far as anybody sees: what is left of it is being removed.
	ListingDropped ListingState = "dropped"
)

// Listing is the index by which a snapshot is browsed. Its blocks are package
// restic/listing's.
type Listing struct {
	RepositoryID RepositoryID `db:"repository_id"`
	SnapshotID   string       `db:"snapshot_id"`
	State        ListingState `db:"state"`
	JobID        JobID        `db:"job_id"`  // that makes it or has made it
	Message      string       `db:"message"` // why it could not be made
	Entries      int64        `db:"entries"`
	Bytes        int64        `db:"bytes"` // of its blocks
	MadeAt       Time         `db:"made_at"`
	UsedAt       Time         `db:"used_at"` // to the minute
	Version      int64        `db:"version"`
}

// ListingBlock is a block of an index.
type ListingBlock struct {
	RepositoryID RepositoryID `db:"repository_id"`
	SnapshotID   string       `db:"snapshot_id"`
	Kind         int          `db:"kind"`
	Number       int64        `db:"number"`
	Data         []byte       `db:"data"`
}
