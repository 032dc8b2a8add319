package notify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"restic-manager/server/fleet"
)

// Sender sends one message, once. Its error says why that failed; ErrGone when the
// receiver wants nothing more.
type Sender interface {
	Send(ctx context.Context, m *Message) error
}

// Message is what a kind makes its own form of.
type Message struct {
	ID       string // of the delivery: the same when it is sent again
	Kind     fleet.DeliveryKind
	Severity fleet.Severity
	Subject  string
	Text     string
	HTML     string // empty: there is no such form
	Notices  []fleet.Notice
	Trouble  bool   // of a ping: the fleet is not protected
	Link     string // where the pages are
	At       time.Time
}

// Types of fields.
const (
	Text     = "text"
	Number   = "number"
	Choice   = "choice"
	URL      = "url"
	List     = "list"
	Password = "password"
)

// Field is something that a person fills in.
type Field struct {
	Name, Label, Help string
	Type              string
	Required, Secret  bool
	Where             bool     // says to whom the secrets are sent
	Options           []string // of a choice
	Default           string
	Min, Max          int // of a number
}

// Kind is a way to tell people.
type Kind struct {
	Name, Title, Description string
	Fields                   []Field
	Pings                    bool // says at intervals that all is well, and nothing of alerts
	// Check finds mistakes beyond the fields' own; nil: there are none.
	Check func(c Config, out *Egress) fleet.Fields
	New   func(c Config, out *Egress) Sender
}

// Kinds lists every kind.
var Kinds = []Kind{email, webhook, ntfy, healthchecks}

// KindOf finds a kind by name.
func KindOf(name string) (*Kind, bool) {
	i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return nil, false
	}
	return &Kinds[i], true
}

// Tells tells whether channels of a kind are told of alerts.
func Tells(kind string) bool {
	k, known := KindOf(kind)
	return known && !k.Pings
}

// Config is the values of a channel's fields, secrets among them.
type Config struct {
	kind   *Kind
	values map[string]string
}

// Get gives a field's value, or its default.
func (c Config) Get(name string) string {
	if v := c.values[name]; v != "" {
		return v
	}
	for _, f := range c.kind.Fields {
		if f.Name == name {
			return f.Default
		}
	}
	return ""
}

// Int gives a number's value.
func (c Config) Int(name string) int {
	n, _ := strconv.Atoi(c.Get(name)) // it was checked
	return n
}

// List gives the items of a list.
func (c Config) List(name string) []string {
	var items []string
	for _, item := range strings.FieldsFunc(c.Get(name), func(r rune) bool { return r == ',' || r == '\n' || r == '\r' || r == ';' }) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// secrets gives the values that no text may show.
func (c Config) secrets() []string {
	var list []string
	for _, f := range c.kind.Fields {
		if v := c.values[f.Name]; f.Secret && v != "" {
			list = append(list, v)
		}
	}
	return list
}

// check finds every mistake in a channel's values.
func (k *Kind) check(settings, secrets map[string]string, out *Egress) (Config, error) {
	c := Config{kind: k, values: map[string]string{}}
	var found fleet.Fields
	field := func(name string) *Field {
		i := slices.IndexFunc(k.Fields, func(f Field) bool { return f.Name == name })
		if i < 0 {
			return nil
		}
		return &k.Fields[i]
	}
	for _, part := range []struct {
		pointer string
		values  map[string]string
		secret  bool
	}{{"/settings", settings, false}, {"/secrets", secrets, true}} {
		for name, value := range part.values {
			f := field(name)
			if f == nil || f.Secret != part.secret {
				found = append(found, fleet.Errorf(fleet.InvalidField, "A channel of this kind has no such field here.").At(part.pointer+"/"+name))
				continue
			}
			if text := f.check(value); text != "" {
				found = append(found, fleet.Errorf(fleet.InvalidField, "%s: %s", f.Label, text).At(part.pointer+"/"+name))
			}
			c.values[name] = value
		}
	}
	for _, f := range k.Fields {
		pointer := "/settings/"
		if f.Secret {
			pointer = "/secrets/"
		}
		if f.Required && c.Get(f.Name) == "" {
			found = append(found, fleet.Errorf(fleet.InvalidField, "%s is required.", f.Label).At(pointer+f.Name))
		}
	}
	if len(found) == 0 && k.Check != nil {
		found = k.Check(c, out)
	}
	slices.SortFunc(found, func(a, b *fleet.Error) int { return strings.Compare(a.Field, b.Field) })
	return c, found.Err()
}

// check says what is wrong with a value; empty: nothing.
func (f *Field) check(value string) string {
	if value == "" {
		return ""
	}
	bad := func(r rune) bool { return unicode.IsControl(r) && !(f.Type == List && (r == '\n' || r == '\r')) }
	if strings.ContainsFunc(value, bad) { //guard:notify-control
		return "line breaks and other control characters are not allowed."
	}
	switch f.Type {
	case Number:
		n, err := strconv.Atoi(value)
		if err != nil || n < f.Min || n > f.Max {
			return fmt.Sprintf("give a whole number from %d to %d.", f.Min, f.Max)
		}
	case Choice:
		if !slices.Contains(f.Options, value) {
			return "choose one of " + strings.Join(f.Options, ", ") + "."
		}
	case URL:
		return checkURL(value)
	}
	return ""
}

// checkURL says what is wrong with an address of a receiver.
func checkURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return "give a whole address such as https://example.org/path."
	case u.Scheme != "https" && u.Scheme != "http": //guard:notify-scheme
		return "only https:// and http:// are possible."
	case u.User != nil:
		return "a user and password do not belong into an address; there are fields for them where they are possible."
	}
	return ""
}

// checkDestination refuses an address that is written as a number and that Egress
// would not dial. Names are looked at when they are dialled.
func checkDestination(text string, out *Egress) *fleet.Error {
	host := text
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		host = u.Hostname()
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil
	}
	var denied *Denied
	if errors.As(out.allow(addr), &denied) {
		return fleet.Errorf(fleet.InvalidField, "Nothing is sent to %s: it is %s. Give another address.", denied.address, denied.why)
	}
	return nil
}
