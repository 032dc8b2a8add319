package restic

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what stands for a secret wherever it is printed.
const redacted = "[redacted]"

// Secret is a text that must not be printed: fmt, JSON, text encodings and slog
// show "[redacted]", whatever the verb, also where the Secret is an unexported
// field of a printed struct. Only Reveal gives the text. The zero value is the
// empty secret. Secrets are compared with Equal, not with ==.
type Secret struct {
	// A pointer, because fmt prints unexported string fields without asking
	// for their methods; of a pointer it prints the address.
	text *string
}

var (
	_ fmt.Formatter    = Secret{}
	_ slog.LogValuer   = Secret{}
	_ json.Marshaler   = Secret{}
	_ json.Unmarshaler = (*Secret)(nil)
)

// errRedactedSecret refuses a printed secret that came back as a value.
var errRedactedSecret = errors.New("a secret cannot be the text " + redacted)

// NewSecret keeps text from being printed.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the secret text. Its callers are the places to review.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether the secret is empty; it serves the omitzero JSON option.
func (s Secret) IsZero() bool { return s.text == nil || *s.text == "" }

// Equal compares in a time that does not depend on the texts.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// Format prints "[redacted]" for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "[redacted]": what must travel is revealed on purpose.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// MarshalText returns "[redacted]".
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalJSON accepts a string, and null for the empty secret. It refuses
// "[redacted]", which is never a secret but a printed one coming back.
func (s *Secret) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err != nil {
		return errors.New("a secret must be a string") // the cause would quote it
	}
	if text == nil {
		*s = Secret{}
		return nil
	}
	return s.UnmarshalText([]byte(*text))
}

// UnmarshalText takes the text as it is, under the same rule as UnmarshalJSON.
func (s *Secret) UnmarshalText(text []byte) error {
	if string(text) == redacted { //guard:secret-redacted
		return errRedactedSecret
	}
	*s = NewSecret(string(text))
	return nil
}
