package fleet

import "restic-manager/restic"

// Retention says how many snapshots to keep by each rule; 0 keeps none by it, and
// all zero keeps everything.
type Retention struct {
	Last       int `json:"keep_last,omitempty"`
	Hourly     int `json:"keep_hourly,omitempty"`
	Daily      int `json:"keep_daily,omitempty"`
	Weekly     int `json:"keep_weekly,omitempty"`
	Monthly    int `json:"keep_monthly,omitempty"`
	Yearly     int `json:"keep_yearly,omitempty"`
	WithinDays int `json:"keep_within_days,omitempty"`
}

// ScheduleOptions is how a schedule runs by itself. Its zero value is the contract's
// defaults but for what Normal fills in.
type ScheduleOptions struct {
	CatchUp       string          `json:"catch_up,omitempty"`       // "latest" or "skip"
	Jitter        int64           `json:"jitter_s,omitempty"`       // seconds
	Windows       []Window        `json:"windows,omitempty"`        // when a run may begin; none: at any time
	Bandwidth     []BandwidthRule `json:"bandwidth,omitempty"`      // the first that holds at the start
	MaxRun        int64           `json:"max_run_s,omitempty"`      // seconds; 0: no limit
	RetryAttempts int             `json:"retry_attempts,omitempty"` // beside the first
	RetryAfter    int64           `json:"retry_after_s,omitempty"`  // seconds, doubled with each attempt
	Hooks         *ScheduleHooks  `json:"hooks,omitempty"`

	Backup *restic.BackupOptions `json:"backup,omitempty"`
}

// Window is a part of the day in the schedule's zone. To at or before From means the
// next day; the days are those of From, none means all.
type Window struct {
	Days []string `json:"days,omitempty"` // "mon" to "sun"
	From string   `json:"from"`           // "22:30"
	To   string   `json:"to"`
}

// BandwidthRule limits an attempt that begins within its part of the day; 0 is no limit.
type BandwidthRule struct {
	Window
	Upload   int64 `json:"upload_kib_s,omitempty"`
	Download int64 `json:"download_kib_s,omitempty"`
}

// ScheduleHooks names scripts of the host's own directory.
type ScheduleHooks struct {
	Before        string `json:"before,omitempty"`
	BeforeFailure string `json:"before_failure,omitempty"` // "stop" or "go_on"
	AfterSuccess  string `json:"after_success,omitempty"`
	AfterFailure  string `json:"after_failure,omitempty"`
	Timeout       int64  `json:"timeout_s,omitempty"` // seconds, of each
}

// Schedule is what a host backs up, where to, when and how long it is kept: the
// only place that says so.
type Schedule struct {
	ID           ScheduleID   `db:"id"`
	HostID       HostID       `db:"host_id"`
	RepositoryID RepositoryID `db:"repository_id"`
	Name         string       `db:"name"` // unique per host
	Paths        List         `db:"paths"`
	Excludes     List         `db:"excludes"`
	Tags         List         `db:"tags"`
	Manual       bool         `db:"manual"` // fires only by run now
	Cron         string       `db:"cron"`
	Zone         string       `db:"zone"`
	Enabled      bool         `db:"enabled"`
	Retention    Doc          `db:"retention"`   // Retention
	Source       string       `db:"source"`      // a named source of the host instead of Paths
	Options      Doc          `db:"options"`     // ScheduleOptions
	Objective    int64        `db:"objective_s"` // seconds that the last good backup may be old; 0: by its cron
	Version      int64        `db:"version"`
	Revision     int64        `db:"revision"` // the host's ConfigRevision that brought this version
	CreatedAt    Time         `db:"created_at"`
	UpdatedAt    Time         `db:"updated_at"`

	LastJob  JobID `db:"last_job"`
	LastGood Time  `db:"last_good"`

	TimingSince   Time  `db:"timing_since"`   // since when cron, zone, manual and enabled are as they are
	TimingVersion int64 `db:"timing_version"` // the Version that brought them; 0: before there were rollups
	ClaimFrom     Time  `db:"claim_from"`     // the agent's claim: what it has looked after,
	ClaimUntil    Time  `db:"claim_until"`    // see SlotClaim in the contract
	CheckedUntil  Time  `db:"checked_until"`  // every slot up to here has a job, or needs none
	Unchecked     Time  `db:"unchecked"`      // the first slot after CheckedUntil; 0: none
	OverdueAt     Time  `db:"overdue_at"`     // when Unchecked is given up without a word of the agent
	SilentFrom    Time  `db:"silent_from"`    // the first slot given up so that no claim has explained; 0: none
	NextSlot      Time  `db:"next_slot"`      // 0: none
	BreachAt      Time  `db:"breach_at"`      // when the objective is or was missed; 0: no objective
	Missed        int64 `db:"missed"`         // slots missed since the last good backup
	Facts         Doc   `db:"facts"`          // ScheduleFacts
}

// ScheduleFacts is what is known of a schedule's last backup that ended, beside what
// is usual for it.
type ScheduleFacts struct {
	Job         JobID        `json:"job"`
	Result      Result       `json:"result"`
	Code        string       `json:"code,omitempty"`
	Message     string       `json:"message,omitempty"`
	NextStep    string       `json:"next_step,omitempty"`
	At          Time         `json:"at"`
	Unconfirmed bool         `json:"unconfirmed,omitempty"` // nobody has seen its snapshot in the repository
	Warnings    int64        `json:"warnings,omitempty"`
	Files       int64        `json:"files,omitempty"` // of the last good backup
	Bytes       int64        `json:"bytes,omitempty"`
	UsualFiles  int64        `json:"usual_files,omitempty"` // median of those before it; 0: not enough of them
	UsualBytes  int64        `json:"usual_bytes,omitempty"`
	RecentFiles []int64      `json:"recent_files,omitempty"` // what the medians are made of, oldest first
	RecentBytes []int64      `json:"recent_bytes,omitempty"`
	Sources     []SourceSeen `json:"sources,omitempty"`
	FreeBytes   int64        `json:"free_bytes,omitempty"` // of a repository that is a path
	TotalBytes  int64        `json:"total_bytes,omitempty"`
}

// SourceSeen is what the agent saw of a source before the backup.
type SourceSeen struct {
	Path  string `json:"path"`
	State string `json:"state"` // "ok", "missing", "empty"
}

// Drift tells whether the host's agent has this version not yet in force.
func (s *Schedule) Drift(h *Host) bool {
	return !h.EnrolledAt.IsZero() && h.ConfigInForce < s.Revision
}

// PickForRunNow finds the schedule that "run now" of a host means: its only
// enabled manual schedule, else its only enabled one. Everything else is
// PickASchedule.
func PickForRunNow(schedules []Schedule) (*Schedule, error) {
	var manual, enabled []*Schedule
	for i := range schedules {
		s := &schedules[i]
		if !s.Enabled {
			continue
		}
		enabled = append(enabled, s)
		if s.Manual {
			manual = append(manual, s)
		}
	}
	switch {
	case len(manual) == 1:
		return manual[0], nil
	case len(enabled) == 1:
		return enabled[0], nil
	case len(enabled) == 0:
		return nil, Errorf(PickASchedule, "This host has no enabled schedule; make or enable one under Schedules.")
	}
	return nil, Errorf(PickASchedule, "This host has %d enabled schedules; run the one you mean under Schedules.", len(enabled))
}
