package fleet

// Channel is a way to tell a person.
type Channel struct {
	ID        ChannelID `db:"id"`
	Name      string    `db:"name"`
	Kind      string    `db:"kind"`
	Enabled   bool      `db:"enabled"`
	Settings  Doc       `db:"settings"` // map[string]string, by the kind's fields
	Sealed    string    `db:"sealed"`   // the secrets, map[string]string, bound to id and SealedVersion
	SealedAs  int64     `db:"sealed_version"`
	SecretSet List      `db:"secrets_set"` // names of the secrets that have a value
	Route     Doc       `db:"route"`       // ChannelRoute
	Version   int64     `db:"version"`
	CreatedAt Time      `db:"created_at"`

	FailingSince Time `db:"failing_since"` // 0: the last attempt worked
	RetryAt      Time `db:"retry_at"`      // no attempt before
	Failures     int  `db:"failures"`      // in a row
	NextReport   Time `db:"next_report"`   // 0: none
	NextPing     Time `db:"next_ping"`     // 0: none
}

// ChannelRoute is what is told through a channel and when.
type ChannelRoute struct {
	MinSeverity Severity `json:"min_severity,omitempty"` // empty: Warn
	Tags        []string `json:"tags,omitempty"`
	Resolved    *bool    `json:"resolved,omitempty"` // nil: true
	Digest      string   `json:"digest,omitempty"`   // "none", "hourly", "daily"
	Quiet       []Window `json:"quiet,omitempty"`
	Zone        string   `json:"zone,omitempty"`   // empty: UTC
	Report      string   `json:"report,omitempty"` // "none", "daily", "weekly"
	At          string   `json:"at,omitempty"`     // "08:00"
}

// DeliveryKind says what a delivery is.
type DeliveryKind string

const (
	DeliverRaised   DeliveryKind = "raised"
	DeliverReminder DeliveryKind = "reminder"
	DeliverResolved DeliveryKind = "resolved"
	DeliverDigest   DeliveryKind = "digest"
	DeliverReport   DeliveryKind = "report"
	DeliverPing     DeliveryKind = "ping"
	DeliverTest     DeliveryKind = "test"
)

// DeliveryState is how far a delivery has come.
type DeliveryState string

const (
	DeliveryPending DeliveryState = "pending"
	DeliverySent    DeliveryState = "sent"
	DeliveryFailed  DeliveryState = "failed"
)

// Delivery is one message for one channel: first a promise, written in the
// transaction that has something to tell, then the record of what came of it.
type Delivery struct {
	ID        DeliveryID    `db:"id"`
	ChannelID ChannelID     `db:"channel_id"`
	AlertID   AlertID       `db:"alert_id"` // empty: of none, or of several
	Kind      DeliveryKind  `db:"kind"`
	State     DeliveryState `db:"state"`
	Subject   string        `db:"subject"`
	Body      Doc           `db:"body"` // Parcel
	Held      bool          `db:"held"` // waits to be gathered with others
	Attempts  int           `db:"attempts"`
	Error     string        `db:"error"`
	CreatedAt Time          `db:"created_at"`
	NextAt    Time          `db:"next_attempt_at"`
	LeaseTo   Time          `db:"lease_to"`
	SentAt    Time          `db:"sent_at"`
}

// Parcel is what a delivery carries.
type Parcel struct {
	Notices []Notice `json:"notices,omitempty"`
	Text    string   `json:"text,omitempty"` // of what is not about notices
	HTML    string   `json:"html,omitempty"`
	Trouble bool     `json:"trouble,omitempty"` // of a ping: the fleet is not protected
}
