package fleet

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// The ids are UUIDs in lower case, version 7 where we make them, so that they
// sort by age.
type (
	HostID       string
	RepositoryID string
	ScheduleID   string
	JobID        string
	UserID       string
	TokenID      string
	SessionID    string
	CredentialID string
)

// NewID makes an id.
func NewID[T ~string]() T { return T(uuid.Must(uuid.NewV7()).String()) }

// Time is a moment as it is stored: microseconds since 1970 UTC; 0 is "never".
type Time int64

// At converts; the zero time becomes "never".
func At(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMicro())
}

// Time converts back, in UTC; "never" becomes the zero time.
func (t Time) Time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(t)).UTC()
}

// IsZero tells "never".
func (t Time) IsZero() bool { return t == 0 }

// Add moves the moment.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Microseconds()) }

// List is a list of strings as it is stored: JSON text. The zero value is an empty
// list.
type List string

// NewList encodes; an empty list becomes "[]".
func NewList(items []string) List {
	if len(items) == 0 {
		return "[]"
	}
	b, err := json.Marshal(items)
	if err != nil { // strings always encode
		panic(err)
	}
	return List(b)
}

// Items decodes; never nil, so that it encodes as [].
func (l List) Items() []string {
	items := []string{}
	if l != "" {
		_ = json.Unmarshal([]byte(l), &items) // we wrote it; a damaged one reads as empty
	}
	return items
}

// Doc is a JSON document as it is stored. The zero value means there is none.
type Doc string

// NewDoc encodes a value; nil gives the empty Doc.
func NewDoc(v any) (Doc, error) {
	if v == nil {
		return "", nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	if string(b) == "null" {
		return "", nil
	}
	return Doc(b), nil
}

// Read decodes into v and leaves it alone when there is no document.
func (d Doc) Read(v any) error {
	if d == "" {
		return nil
	}
	return json.Unmarshal([]byte(d), v)
}
