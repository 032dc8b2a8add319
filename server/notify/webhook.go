package notify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"restic-manager/server/fleet"
)

// webhook posts JSON with a signature by which the receiver knows who sent it.
var webhook = Kind{
	Name: "webhook", Title: "Webhook",
	Description: "Posts JSON with a Standard Webhooks signature, which ready-made libraries verify. A receiver knows a message that is sent again by its webhook-id.",
	Fields: []Field{
		{Name: "url", Label: "Address", Type: URL, Required: true, Secret: true, Help: "Where to post to. It is kept like a password, since some addresses are one."},
		{Name: "secret", Label: "Signing secret", Type: Password, Required: true, Secret: true,
			Help: "whsec_ and 24 to 64 bytes in base64; openssl rand -base64 32 makes the second part. The receiver needs the same."},
		{Name: "previous_secret", Label: "Previous signing secret", Type: Password, Secret: true,
			Help: "Also signed with, until every receiver has the new one; then remove it."},
	},
	Check: func(c Config, out *Egress) fleet.Fields {
		var found fleet.Fields
		if e := checkDestination(c.Get("url"), out); e != nil {
			found = append(found, e.At("/secrets/url"))
		}
		for _, name := range []string{"secret", "previous_secret"} {
			if s := c.Get(name); s != "" && !signingSecret(s) {
				found = append(found, fleet.Errorf(fleet.InvalidField, "This is no signing secret: give whsec_ and 24 to 64 bytes in base64.").At("/secrets/"+name))
			}
		}
		return found
	},
	New: func(c Config, out *Egress) Sender { return &webhookSender{c, out} },
}

func signingSecret(s string) bool {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
	return err == nil && len(raw) >= 24 && len(raw) <= 64
}

type webhookSender struct {
	config Config
	out    *Egress
}

// hook is the body: Standard Webhooks' three members.
type hook struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      hookData  `json:"data"`
}

type hookData struct {
	Subject string      `json:"subject"`
	Text    string      `json:"text"`
	Link    string      `json:"link,omitempty"`
	Alerts  []hookAlert `json:"alerts"`
}

type hookAlert struct {
	ID           string              `json:"id"`
	Event        string              `json:"event"` // raised, reminder, resolved
	Code         string              `json:"code"`
	Severity     string              `json:"severity"`
	Title        string              `json:"title"`
	Message      string              `json:"message"`
	NextStep     string              `json:"next_step,omitempty"`
	RaisedAt     time.Time           `json:"raised_at"`
	Objects      []map[string]string `json:"objects"`
	ObjectsTotal int                 `json:"objects_total"`
}

// Send posts the message, signed with each secret.
func (s *webhookSender) Send(ctx context.Context, m *Message) error {
	body, err := json.Marshal(hookOf(m))
	if err != nil {
		return err
	}
	now := time.Now()
	var signatures []string
	for _, name := range []string{"secret", "previous_secret"} {
		if s.config.Get(name) == "" {
			continue
		}
		signer, err := standardwebhooks.NewWebhook(s.config.Get(name))
		if err != nil {
			return err
		}
		signature, err := signer.Sign(m.ID, now, body)
		if err != nil {
			return err
		}
		signatures = append(signatures, signature)
	}
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("Webhook-Id", m.ID)
	header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	header.Set("Webhook-Signature", strings.Join(signatures, " ")) //guard:notify-signature
	return s.out.post(ctx, s.config.Get("url"), header, body)
}

func hookOf(m *Message) hook {
	h := hook{Type: "alert." + string(m.Kind), Timestamp: m.At.UTC(), Data: hookData{Subject: m.Subject, Text: m.Text, Link: m.Link, Alerts: []hookAlert{}}}
	switch m.Kind {
	case fleet.DeliverReport, fleet.DeliverTest:
		h.Type = string(m.Kind)
	}
	for _, n := range m.Notices {
		a := hookAlert{
			ID: string(n.Alert), Event: string(n.Kind), Code: n.Code, Severity: string(n.Severity), Title: n.Title, Message: n.Message,
			NextStep: n.NextStep, RaisedAt: n.RaisedAt.Time(), Objects: []map[string]string{}, ObjectsTotal: n.ObjectsTotal,
		}
		for _, o := range n.Objects {
			a.Objects = append(a.Objects, map[string]string{"type": o.Type, "id": o.ID, "name": o.Name, "message": o.Message})
		}
		h.Data.Alerts = append(h.Data.Alerts, a)
	}
	return h
}
