package notify

import (
	"context"
	"net/http"
	"strings"

	"restic-manager/server/fleet"
)

// healthchecks is a dead man's switch: somebody else notices when this server dies.
var healthchecks = Kind{
	Name: "healthchecks", Title: "Healthchecks-style ping",
	Description: "Pings an address while every host is protected and no critical alert is open, and its /fail otherwise. When pings stay away, whoever is pinged raises the alarm: also when this server is what failed.",
	Pings:       true,
	Fields: []Field{
		{Name: "url", Label: "Ping address", Type: URL, Required: true, Secret: true, Help: "Such as https://hc-ping.com/ and the check's id. It is kept like a password."},
		{Name: "interval_minutes", Label: "Every so many minutes", Type: Number, Default: "10", Min: 1, Max: 1440, Help: "The check's period at the receiver must be longer."},
	},
	Check: func(c Config, out *Egress) fleet.Fields {
		if e := checkDestination(c.Get("url"), out); e != nil {
			return fleet.Fields{e.At("/secrets/url")}
		}
		return nil
	},
	New: func(c Config, out *Egress) Sender { return &pingSender{c, out} },
}

type pingSender struct {
	config Config
	out    *Egress
}

// Send pings, with the reason as the body, which the receiver shows.
func (s *pingSender) Send(ctx context.Context, m *Message) error {
	address := strings.TrimRight(s.config.Get("url"), "/")
	if m.Trouble {
		address += "/fail"
	}
	header := http.Header{}
	header.Set("Content-Type", "text/plain; charset=utf-8")
	return s.out.post(ctx, address, header, []byte(m.Text))
}
