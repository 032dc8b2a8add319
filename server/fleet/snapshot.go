package fleet

// Snapshot is a restic snapshot as last seen. Its id is restic's full one.
type Snapshot struct {
	RepositoryID RepositoryID `db:"repository_id"`
	ID           string       `db:"id"`
	HostID       HostID       `db:"host_id"`     // empty: not made by a host of ours
	ScheduleID   ScheduleID   `db:"schedule_id"` // of the job
	JobID        JobID        `db:"job_id"`      // whose own report names it; empty: none
	Time         Time         `db:"time_at"`     // as the snapshot claims
	FirstSeen    Time         `db:"first_seen"`  // as we saw it
	LastSeen     Time         `db:"last_seen"`
	Hostname     string       `db:"hostname"`
	Username     string       `db:"username"`
	Paths        List         `db:"paths"`
	Tags         List         `db:"tags"`
	Files        int64        `db:"files"`
	Bytes        int64        `db:"bytes"`
	BytesAdded   int64        `db:"bytes_added"`
	Original     string       `db:"original"` // the one that it was made of, by its own word; empty: none
}
