package fleet

import (
	"fmt"
	"strings"

	"restic-manager/restic"
)

type (
	AlertID    string
	ChannelID  string
	DeliveryID string
)

// AlertState is how far an alert has come.
type AlertState string

const (
	AlertRaised       AlertState = "raised"
	AlertAcknowledged AlertState = "acknowledged" // somebody looks after it: no reminders
	AlertSilenced     AlertState = "silenced"     // nobody is told until a time
	AlertResolved     AlertState = "resolved"     // its cause went away, or a person closed it
)

// Alert is one cause that needs a person, with all that it touches. At most one of
// a key is open.
type Alert struct {
	ID           AlertID    `db:"id"`
	Key          string     `db:"alert_key"` // names the cause: the same cause has the same key
	Code         string     `db:"code"`
	SubjectType  string     `db:"subject_type"` // what it is about, beside its objects
	SubjectID    string     `db:"subject_id"`
	Severity     Severity   `db:"severity"`
	State        AlertState `db:"state"`
	Rank         int        `db:"severity_rank"` // for lists: 0 when resolved
	Title        string     `db:"title"`
	Message      string     `db:"message"`
	NextStep     string     `db:"next_step"`
	Objects      Doc        `db:"objects"` // []AlertObject, the first MaxAlertObjects
	ObjectsTotal int        `db:"objects_total"`
	Fact         string     `db:"fact"`    // what was seen; one closed by hand comes back with another fact alone
	Content      string     `db:"content"` // hash of everything shown
	RaisedAt     Time       `db:"raised_at"`
	LastSeenAt   Time       `db:"last_seen_at"`
	GoneSince    Time       `db:"gone_since"` // its cause was not there when last looked; 0: it was
	RemindedAt   Time       `db:"reminded_at"`
	AckedAt      Time       `db:"acked_at"`
	AckedBy      string     `db:"acked_by"`
	SilencedTo   Time       `db:"silenced_to"`
	ResolvedAt   Time       `db:"resolved_at"`
	ResolvedBy   string     `db:"resolved_by"` // empty: its cause went away
	Note         string     `db:"note"`
	Version      int64      `db:"version"`
}

// Open tells whether the alert has not been resolved.
func (a *Alert) Open() bool { return a.State != AlertResolved }

// MaxAlertObjects is how many objects an alert names; the others are counted.
const MaxAlertObjects = 50

// Types of an alert's objects.
const (
	ObjectHost       = "host"
	ObjectRepository = "repository"
	ObjectSchedule   = "schedule"
	ObjectChannel    = "channel"
	ObjectFleet      = "fleet"
)

// AlertObject is something that an alert touches.
type AlertObject struct {
	Type    string `json:"object_type"`
	ID      string `json:"object_id"`
	Name    string `json:"name"`
	Message string `json:"message,omitempty"`
	Job     JobID  `json:"job_id,omitempty"`
	Since   Time   `json:"since,omitempty"`

	Host HostID `json:"-"` // whose it is, for filters and routes
}

// AlertRule changes what raises an alert, for the fleet, a tag or a host.
type AlertRule struct {
	Scope     string   `json:"scope"` // "fleet", "tag", "host"
	Tag       string   `json:"tag,omitempty"`
	Host      HostID   `json:"host_id,omitempty"`
	Code      string   `json:"code"`
	Enabled   *bool    `json:"enabled,omitempty"`   // nil: as it is
	Severity  Severity `json:"severity,omitempty"`  // empty: as it is
	Threshold *int64   `json:"threshold,omitempty"` // nil: as it is
}

// AlertRules is all rules of a fleet.
type AlertRules struct {
	Rules       []AlertRule `json:"rules"`
	RemindAfter int64       `json:"remind_after_s"` // seconds; 0: never
	Version     int64       `json:"-"`
}

// Order ranks severities; an unknown one is the lowest.
func (s Severity) Order() int {
	switch s {
	case Critical:
		return 3
	case Warn:
		return 2
	case Info:
		return 1
	}
	return 0
}

// Notice is what is told of an alert: as much of it as a message needs, kept with the
// delivery, since the alert goes on changing.
type Notice struct {
	Kind         DeliveryKind  `json:"kind"` // raised, reminder or resolved
	Alert        AlertID       `json:"alert_id"`
	Code         string        `json:"code"`
	Severity     Severity      `json:"severity"`
	Title        string        `json:"title"`
	Message      string        `json:"message"`
	NextStep     string        `json:"next_step,omitempty"`
	Objects      []AlertObject `json:"objects"`
	ObjectsTotal int           `json:"objects_total"`
	RaisedAt     Time          `json:"raised_at"`
	At           Time          `json:"at"`
	ResolvedBy   string        `json:"resolved_by,omitempty"`
}

// Subject is one line for a notice.
func (n *Notice) Subject() string {
	switch n.Kind {
	case DeliverResolved:
		return "Over: " + n.Title
	case DeliverReminder:
		return "Still: " + n.Title
	}
	return n.Title
}

// Word is a severity for people.
func (s Severity) Word() string {
	switch s {
	case Critical:
		return "Critical"
	case Warn:
		return "Warning"
	}
	return "Information"
}

// Text is a notice as a plain message.
func (n *Notice) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n%s\n", n.Severity.Word(), n.Subject(), n.Message)
	if n.NextStep != "" && n.Kind != DeliverResolved {
		fmt.Fprintf(&b, "\nWhat to do: %s\n", n.NextStep)
	}
	const shown = 10
	for i, o := range n.Objects {
		if i == shown {
			break
		}
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "- %s", o.Name)
		if line, _, _ := strings.Cut(o.Message, "\n"); line != "" && !strings.Contains(n.Message, strings.TrimSuffix(line, ".")) {
			fmt.Fprintf(&b, ": %s", line)
		}
		b.WriteByte('\n')
	}
	if n.ObjectsTotal > shown {
		fmt.Fprintf(&b, "… and %d more\n", n.ObjectsTotal-shown)
	}
	return b.String()
}

// ResticTooOld tells whether a host's restic is older than what agents accept. A
// version that cannot be read is not judged.
func ResticTooOld(version string) bool {
	v, err := restic.ParseVersion(version)
	return err == nil && v.Less(restic.MinVersion)
}
