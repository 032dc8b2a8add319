package fleet

// RepositoryState says how far a repository has come.
type RepositoryState string

const (
	RepositoryNew          RepositoryState = "new"          // waits for a host that can initialise or identify it
	RepositoryInitialising RepositoryState = "initialising" // its one init or identify job exists
	RepositoryReady        RepositoryState = "ready"
	RepositoryFailed       RepositoryState = "failed" // the job failed; a person must look
)

// Repository is a restic repository. Its password and credentials are Credential
// rows, sealed.
type Repository struct {
	ID                      RepositoryID    `db:"id"`
	Name                    string          `db:"name"`
	Location                string          `db:"location"`
	Existing                bool            `db:"existing"` // said to exist: identified, never initialised
	State                   RepositoryState `db:"state"`
	ResticID                string          `db:"restic_id"`
	KeyID                   string          `db:"key_id"`
	PasswordMadeHere        bool            `db:"password_made_here"`
	SheetSaved              bool            `db:"sheet_saved"`
	AllowDeletingCredential bool            `db:"allow_deleting_credential"`
	CanDelete               string          `db:"can_delete"` // what the last probe saw: "yes", "no", "unknown"
	InitJob                 JobID           `db:"init_job"`
	Version                 int64           `db:"version"`
	CreatedAt               Time            `db:"created_at"`

	MaintenanceHost     HostID `db:"maintenance_host"`     // empty: nobody maintains it
	MaintenanceLocation string `db:"maintenance_location"` // its folder at that host; empty: by credential
	Plan                Doc    `db:"plan"`                 // MaintenancePlan
	Health              Doc    `db:"health"`               // RepositoryHealth

	NextRetention Time `db:"next_retention"` // when the plan's jobs are due; 0: never
	NextPrune     Time `db:"next_prune"`
	NextCheck     Time `db:"next_check"`
	NextMeasure   Time `db:"next_measure"`

	HoldJob   JobID `db:"hold_job"`   // the exclusive job that runs or is next; empty: none
	HoldSince Time  `db:"hold_since"` // when it became the next
	HoldUntil Time  `db:"hold_until"` // until when new backups are held back for it; 0: they are not

	Hosts        int  `db:"hosts"`
	Schedules    int  `db:"schedules"`
	Snapshots    int  `db:"snapshots"`
	LastSnapshot Time `db:"last_snapshot"`
}

// MaintenancePlan says when the server queues what keeps a repository healthy. An
// empty cron means never by itself.
type MaintenancePlan struct {
	Zone       string `json:"zone,omitempty"`
	Retention  string `json:"retention,omitempty"`
	Prune      string `json:"prune,omitempty"`
	Check      string `json:"check,omitempty"`
	CheckParts int    `json:"check_parts,omitempty"` // 0: as many as make all read within a month
	Measure    string `json:"measure,omitempty"`
}

// RepositoryHealth is what was found out about a repository; zero values are not
// known.
type RepositoryHealth struct {
	MeasuredAt     Time    `json:"measured_at,omitempty"`
	StoredBytes    int64   `json:"stored_bytes,omitempty"`
	PlainBytes     int64   `json:"plain_bytes,omitempty"` // the same data before compression
	SourceBytes    int64   `json:"source_bytes,omitempty"`
	Blobs          int64   `json:"blobs,omitempty"`
	GrowthPerDay   int64   `json:"growth_per_day,omitempty"`
	FreeBytes      int64   `json:"free_bytes,omitempty"`
	TotalBytes     int64   `json:"total_bytes,omitempty"`
	LastCheck      JobID   `json:"last_check,omitempty"`
	LastGoodCheck  Time    `json:"last_good_check,omitempty"`
	ReadShare      float64 `json:"read_share,omitempty"` // of the data, by checks of the last 35 days
	Reads          []Read  `json:"reads,omitempty"`      // what ReadShare is made of
	LastPrune      JobID   `json:"last_prune,omitempty"`
	LastRetention  JobID   `json:"last_retention,omitempty"`
	UndoUntil      Time    `json:"undo_until,omitempty"`
	Locks          int     `json:"locks,omitempty"`
	LocksSeen      Time    `json:"locks_seen,omitempty"`
	LocksJob       JobID   `json:"locks_job,omitempty"`
	Keys           int     `json:"keys,omitempty"`
	ForeignObjects int64   `json:"foreign_objects,omitempty"`
	Suspects       int64   `json:"suspects,omitempty"`
	Inspect        JobID   `json:"inspect,omitempty"`
	AppendProven   Time    `json:"append_proven,omitempty"`
}

// Read is a part of a repository's data that a check has read.
type Read struct {
	At    Time `json:"at"`
	Part  int  `json:"part"` // from 1
	Parts int  `json:"parts"`
}

// RepositoryDay is a measurement of a day of UTC, the last one.
type RepositoryDay struct {
	RepositoryID RepositoryID `db:"repository_id"`
	Day          int64        `db:"day"` // since 1970
	StoredBytes  int64        `db:"stored_bytes"`
	PlainBytes   int64        `db:"plain_bytes"`
	SourceBytes  int64        `db:"source_bytes"`
	Snapshots    int64        `db:"snapshots"`
}

// Lock is a lock of a repository as last listed.
type Lock struct {
	RepositoryID RepositoryID `db:"repository_id"`
	ID           string       `db:"id"`
	Hostname     string       `db:"hostname"`
	Username     string       `db:"username"`
	PID          int64        `db:"pid"`
	Exclusive    bool         `db:"exclusive"`
	CreatedAt    Time         `db:"created_at"` // when it was made or last refreshed
	HostID       HostID       `db:"host_id"`    // the host of ours by that name, empty: none or several
	Alive        string       `db:"alive"`      // "yes", "no", "unknown"
	AliveAt      Time         `db:"alive_at"`
	SeenAt       Time         `db:"seen_at"`
}

// Slot is what a credential is for.
type Slot string

const (
	PasswordSlot Slot = "password" // the repository's own password
	AppendSlot   Slot = "append"   // the backend's credential on hosts; cannot delete
	// MaintenanceSlot is the backend's credential that can delete: handed to the
	// maintenance host for one job.
	MaintenanceSlot Slot = "maintenance"
	// SecondPasswordSlot is a password that is to open the repository, too: handed to the
	// maintenance host for the job that adds it.
	SecondPasswordSlot Slot = "second_password"
)

// Credential is one sealed secret of a repository, for all hosts or for one.
type Credential struct {
	ID           CredentialID `db:"id"`
	RepositoryID RepositoryID `db:"repository_id"`
	HostID       HostID       `db:"host_id"` // empty: for all hosts
	Slot         Slot         `db:"slot"`
	Username     string       `db:"username"`
	Location     string       `db:"location"` // where that host reaches the repository; empty: the repository's own
	Sealed       string       `db:"sealed"`   // by server/secret, bound to table, id, column and version
	Version      int64        `db:"version"`
	UpdatedAt    Time         `db:"updated_at"`

	// Of a SecondPasswordSlot.
	KeyID  string `db:"key_id"` // the key that it opens the repository with, as was proven; empty: nothing is proven
	KeyAt  Time   `db:"key_at"` // when that was found out
	Former int64  `db:"former"` // its version while hosts used it as the repository's password; 0: they never did
}

// PasswordWait is a host that has not fetched a repository's password since it was
// exchanged.
type PasswordWait struct {
	RepositoryID RepositoryID `db:"repository_id"`
	HostName     string       `db:"host_name"`
	Hosts        int          `db:"hosts"` // how many such hosts the repository has
}
