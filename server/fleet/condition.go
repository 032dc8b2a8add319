package fleet

import "slices"

// Severity ranks conditions.
type Severity string

const (
	Info     Severity = "info"
	Warn     Severity = "warning"
	Critical Severity = "critical"
)

// Condition is something about a host or a repository that needs a person, kept
// while it holds. At most one per object and code.
type Condition struct {
	ObjectType string   `db:"object_type"` // "host", "repository"
	ObjectID   string   `db:"object_id"`
	Code       string   `db:"code"`
	Severity   Severity `db:"severity"`
	Message    string   `db:"message"`
	NextStep   string   `db:"next_step"`
	JobID      JobID    `db:"job_id"`
	Since      Time     `db:"since"`
}

// NextOf is the next step about jobs that failed, by what each of them said of it; one
// that said nothing said "".
func NextOf(said []string) string {
	switch said = slices.Compact(slices.Sorted(slices.Values(said))); {
	case len(said) > 1:
		return "Look at the jobs: each says what to do about it."
	case len(said) == 1 && said[0] != "":
		return said[0]
	}
	return "Look at the job, correct what it names, and run it again."
}

// Topic is what the changes feed speaks of.
type Topic string

const (
	TopicHosts        Topic = "hosts"
	TopicRepositories Topic = "repositories"
	TopicSchedules    Topic = "schedules"
	TopicJobs         Topic = "jobs"
	TopicSnapshots    Topic = "snapshots"
	TopicUsers        Topic = "users"
	TopicAudit        Topic = "audit"
	TopicAlerts       Topic = "alerts"
	TopicChannels     Topic = "channels"
)

// Change is a hint that something changed: read it again.
type Change struct {
	Topic Topic  `db:"topic"`
	ID    string `db:"id"`
}
