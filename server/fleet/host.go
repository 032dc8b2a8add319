package fleet

import "time"

// Profile is what the policy file written at enrolment allows.
type Profile string

const (
	Guarded  Profile = "guarded"
	Trusting Profile = "trusting"
)

// Presence is how a host looks from here, at one moment.
type Presence string

const (
	Never    Presence = "never"    // no agent has enrolled yet
	Online   Presence = "online"   // its parked request is in time
	Offline  Presence = "offline"  // its parked request is overdue
	Disabled Presence = "disabled" // an admin took it out of service
)

// Availability says whether a host is expected to be there at all times.
type Availability string

const (
	AlwaysOn  Availability = "always_on"
	ComeAndGo Availability = "come_and_go" // sleeps and travels
)

// ProtectionState sums up what is known of a host's backups. The contract says what
// each means.
type ProtectionState string

const (
	Protected    ProtectionState = "protected"
	AtRisk       ProtectionState = "at_risk"
	Unprotected  ProtectionState = "unprotected"
	Asleep       ProtectionState = "asleep"
	NotScheduled ProtectionState = "not_scheduled"
	NeverBacked  ProtectionState = "never"
)

// Host is a machine. Everything from LastContact on is written by its agent's
// requests or rolled up from its jobs in the transaction that changes them.
type Host struct {
	ID           HostID       `db:"id"`
	Name         string       `db:"name"`
	Tags         List         `db:"tags"`
	Profile      Profile      `db:"profile"`
	Disabled     bool         `db:"disabled"`
	Availability Availability `db:"availability"`
	Version      int64        `db:"version"` // raised by each change that a page shows
	CreatedAt    Time         `db:"created_at"`
	EnrolledAt   Time         `db:"enrolled_at"`
	Prefixes     List         `db:"prefixes"`      // repository locations that its enrolment line allows
	SnapshotHost string       `db:"snapshot_host"` // restic's --host: the machine's name at first enrolment, never changed

	LastContact     Time   `db:"last_contact"`
	ContactDeadline Time   `db:"contact_deadline"` // later than this without a request is offline
	OS              string `db:"os"`
	Arch            string `db:"arch"`
	AgentVersion    string `db:"agent_version"`
	ResticVersion   string `db:"restic_version"`
	Policy          Doc    `db:"policy"`        // the contract's PolicyReport
	Health          Doc    `db:"health"`        // the contract's HealthProblem list
	Spool           Doc    `db:"spool"`         // the contract's SpoolSummary
	LastExchange    Doc    `db:"last_exchange"` // the contract's LastExchange
	ClockOffset     int64  `db:"clock_offset"`  // milliseconds, agent minus server

	CommandSeq     int64  `db:"command_seq"`     // number of the last command made
	AckedSeq       int64  `db:"acked_seq"`       // number up to which the agent has journaled
	JournalID      string `db:"journal_id"`      // the journal that AckedSeq is about
	SessionNo      int64  `db:"session_no"`      // number of the last session opened
	ConfigRevision int64  `db:"config_revision"` // raised by each change of what the agent works by
	ConfigInForce  int64  `db:"config_in_force"`
	ConfigError    string `db:"config_error"`

	Schedules        int   `db:"schedules"`
	EnabledSchedules int   `db:"enabled_schedules"`
	TimedSchedules   int   `db:"timed_schedules"` // enabled and not manual
	Snapshots        int   `db:"snapshots"`
	ActiveJobs       int   `db:"active_jobs"`
	LastBackup       JobID `db:"last_backup"` // the newest backup job that has finished
	LastGoodBackup   Time  `db:"last_good_backup"`

	Offers             Doc             `db:"offers"`   // the contract's Offers
	Absences           Doc             `db:"absences"` // the contract's Absence list
	Protection         ProtectionState `db:"protection"`
	ProtectionReason   string          `db:"protection_reason"`
	ProtectionSince    Time            `db:"protection_since"`
	ProtectionSchedule ScheduleID      `db:"protection_schedule"` // the one that the reason is about
	BreachAt           Time            `db:"breach_at"`           // of the first schedule; 0: none has an objective
	NextSlot           Time            `db:"next_slot"`
	Unchecked          Time            `db:"unchecked"` // the first of its schedules' slots of which a word of the agent is wanted; 0: none
	Away               bool            `db:"away"`      // its silence was noticed, see Standing
}

// Presence tells how the host looks at a moment.
func (h *Host) Presence(now time.Time) Presence {
	switch {
	case h.Disabled:
		return Disabled
	case h.EnrolledAt.IsZero():
		return Never
	case At(now) > h.ContactDeadline:
		return Offline
	}
	return Online
}

// Drift tells whether the agent works by another configuration than the one wanted.
func (h *Host) Drift() bool {
	return !h.EnrolledAt.IsZero() && h.ConfigInForce != h.ConfigRevision
}

// Installation is one enrolment of a host: an identity that can sign in. It is
// active from its first sign-in on; then the ones before it are superseded, cannot
// sign in again and are kept as history. A host has at most one that is active.
type Installation struct {
	ID             string `db:"id"` // the agent's install_id
	HostID         HostID `db:"host_id"`
	SecretHash     string `db:"secret_hash"` // SHA-256 in hex
	NextSecretHash string `db:"next_secret_hash"`
	NextUntil      Time   `db:"next_until"` // until when both hashes work
	Active         bool   `db:"active"`
	SupersededAt   Time   `db:"superseded_at"`
	CreatedAt      Time   `db:"created_at"`
}

// EnrolmentToken is a one-time right to become a host's agent. Its secret exists
// only in the line that was pasted.
type EnrolmentToken struct {
	ID         TokenID `db:"id"`
	HostID     HostID  `db:"host_id"`
	SecretHash string  `db:"secret_hash"`
	CreatedAt  Time    `db:"created_at"`
	ExpiresAt  Time    `db:"expires_at"`
	RevokedAt  Time    `db:"revoked_at"`
	UsedAt     Time    `db:"used_at"`
	UsedBy     string  `db:"used_by"` // install_id
}

// State tells whether the token can be used at a moment.
func (t *EnrolmentToken) State(now time.Time) string {
	switch {
	case !t.UsedAt.IsZero():
		return "used"
	case !t.RevokedAt.IsZero():
		return "revoked"
	case At(now) >= t.ExpiresAt:
		return "expired"
	}
	return "open"
}

// Session is a process life of an agent.
type Session struct {
	ID           SessionID `db:"id"`
	HostID       HostID    `db:"host_id"`
	No           int64     `db:"no"`
	InstallID    string    `db:"install_id"`
	BootID       string    `db:"boot_id"`
	OpenedAt     Time      `db:"opened_at"`
	SupersededAt Time      `db:"superseded_at"`
	ClosedAt     Time      `db:"closed_at"`
}
