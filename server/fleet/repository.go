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

	Hosts        int  `db:"hosts"`
	Schedules    int  `db:"schedules"`
	Snapshots    int  `db:"snapshots"`
	LastSnapshot Time `db:"last_snapshot"`
}

// Slot is what a credential is for.
type Slot string

const (
	PasswordSlot Slot = "password" // the repository's own password
	AppendSlot   Slot = "append"   // the backend's credential on hosts; cannot delete
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
}
