package notify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"restic-manager/server/fleet"
)

// ntfy publishes to a topic of an ntfy server.
var ntfy = Kind{
	Name: "ntfy", Title: "ntfy",
	Description: "Publishes to a topic of ntfy.sh or of your own ntfy server, for notifications on a telephone.",
	Fields: []Field{
		{Name: "server", Label: "Server", Type: URL, Required: true, Where: true, Default: "https://ntfy.sh"},
		{Name: "topic", Label: "Topic", Type: Password, Required: true, Secret: true,
			Help: "Whoever knows the topic of a public server can read it, so it is kept like a password."},
		{Name: "token", Label: "Access token", Type: Password, Secret: true, Help: "Or a user and password; or neither."},
		{Name: "username", Label: "User", Type: Text},
		{Name: "password", Label: "Password", Type: Password, Secret: true},
	},
	Check: func(c Config, out *Egress) fleet.Fields {
		var found fleet.Fields
		if e := checkDestination(c.Get("server"), out); e != nil {
			found = append(found, e.At("/settings/server"))
		}
		if inTheOpen(c) { //guard:notify-open
			found = append(found, fleet.Errorf(fleet.InvalidField,
				"Over http:// the access token or password would travel in the open: give an address with https://, or leave them out.").At("/settings/server"))
		}
		if t := c.Get("topic"); t != "" && !ntfyTopic.MatchString(t) {
			found = append(found, fleet.Errorf(fleet.InvalidField, "A topic has up to 64 letters, digits, - and _.").At("/secrets/topic"))
		}
		return found
	},
	New: func(c Config, out *Egress) Sender { return &ntfySender{c, out} },
}

// inTheOpen tells whether what opens the server would be sent to it unencrypted. What does
// not leave the machine may be.
func inTheOpen(c Config) bool {
	u, err := url.Parse(c.Get("server"))
	if c.Get("token") == "" && c.Get("password") == "" || err == nil && u.Scheme == "https" {
		return false
	}
	if err != nil {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() != "localhost" && (err != nil || !addr.Unmap().IsLoopback())
}

var errInTheOpen = errors.New("the access token or password is not sent over http://: give the channel an address with https://, or take them out of it")

var ntfyTopic = regexp.MustCompile(`^[-_A-Za-z0-9]{1,64}$`)

// maxNtfy is how long a message of ntfy may be, with room to spare.
const maxNtfy = 3500

type ntfySender struct {
	config Config
	out    *Egress
}

// Send publishes as JSON, so that nothing of the message is a header.
func (s *ntfySender) Send(ctx context.Context, m *Message) error {
	if inTheOpen(s.config) { //guard:notify-open-token
		return errInTheOpen // from before this was refused
	}
	text := m.Text
	if len(text) > maxNtfy {
		text = strings.ToValidUTF8(text[:maxNtfy], "") + "…"
	}
	priority, tag := 3, "information_source"
	switch {
	case m.Kind == fleet.DeliverResolved:
		tag = "white_check_mark"
	case m.Severity == fleet.Critical:
		priority, tag = 5, "rotating_light"
	case m.Severity == fleet.Warn:
		priority, tag = 4, "warning"
	}
	body, err := json.Marshal(map[string]any{
		"topic": s.config.Get("topic"), "title": m.Subject, "message": text, "priority": priority, "tags": []string{tag}, "click": m.Link,
	})
	if err != nil {
		return err
	}
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	switch {
	case s.config.Get("token") != "":
		header.Set("Authorization", "Bearer "+s.config.Get("token"))
	case s.config.Get("username") != "":
		pair := s.config.Get("username") + ":" + s.config.Get("password")
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	}
	return s.out.post(ctx, strings.TrimRight(s.config.Get("server"), "/")+"/", header, body)
}
