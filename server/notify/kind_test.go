package notify_test

import (
	"fmt"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"restic-manager/server/fleet"
	"restic-manager/server/notify"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

// TestATokenOfAnOldChannelIsNotSentInTheOpen has a channel that was made before that was
// refused.
func TestATokenOfAnOldChannelIsNotSentInTheOpen(t *testing.T) {
	w := lite(t)
	c := w.channel(notify.Spec{Kind: "ntfy", Settings: map[string]string{"server": "https://ntfy.test"}, Secrets: map[string]string{"topic": "t", "token": "tk_abcdef"}})
	row, err := w.store.Channel(t.Context(), c.ID)
	w.must(err)
	row.Settings = `{"server":"http://ntfy.test"}`
	w.write(func(tx *store.Tx) error { return tx.SaveChannel(t.Context(), row) })
	w.promise(c, dead)
	w.flush()
	if d := w.deliveries(c)[0]; !strings.Contains(d.Error, "is not sent over http://") {
		t.Errorf("error %q", d.Error)
	}
}

func TestAWebhookCarriesASignatureThatTheLibraryVerifies(t *testing.T) {
	w := lite(t)
	r := newReceiver(t, nil)
	c := w.channel(notify.Spec{Kind: "webhook", Secrets: map[string]string{"url": r.URL + "/hook", "secret": signing, "previous_secret": older}})
	id := w.promise(c, dead)
	w.flush()
	got := r.requests()
	if len(got) != 1 {
		t.Fatalf("%d requests, want 1", len(got))
	}
	for _, secret := range []string{signing, older} { // a receiver that has the new secret, and one that does not
		verifier, err := standardwebhooks.NewWebhook(secret)
		w.must(err)
		if err := verifier.Verify(got[0].body, got[0].header); err != nil {
			t.Errorf("signature: %v", err)
		}
		if verifier.Verify(append(got[0].body, ' '), got[0].header) == nil {
			t.Error("a body that was changed verifies")
		}
	}
	if got[0].header.Get("Webhook-Id") != string(id) || got[0].path != "/hook" {
		t.Errorf("id %q at %q", got[0].header.Get("Webhook-Id"), got[0].path)
	}
	body := got[0].json(t)
	data, _ := body["data"].(map[string]any)
	alerts, _ := data["alerts"].([]any)
	first, _ := alerts[0].(map[string]any)
	if body["type"] != "alert.raised" || first["code"] != "repository_unreachable" || data["link"] != "https://backup.test/alerts/"+string(dead.Alert) {
		t.Errorf("body %s", got[0].body)
	}
}

func TestNtfyGetsJSONWithPriorityAndAuthorization(t *testing.T) {
	w := lite(t)
	r := newReceiver(t, nil)
	token := w.channel(notify.Spec{Name: "token", Kind: "ntfy", Settings: map[string]string{"server": r.URL}, Secrets: map[string]string{"topic": "backups", "token": "tk_abcdef"}})
	pair := w.channel(notify.Spec{Name: "pair", Kind: "ntfy", Settings: map[string]string{"server": r.URL + "/", "username": "ana"},
		Secrets: map[string]string{"topic": "backups", "password": "pass word"}})
	w.promise(token, dead)
	over := dead
	over.Kind, over.Title = fleet.DeliverResolved, "line\r\nbreak"
	w.promise(pair, over)
	w.flush()
	seen := map[string]map[string]any{}
	for _, q := range r.requests() {
		kind, _, _ := strings.Cut(q.header.Get("Authorization"), " ")
		seen[kind] = q.json(t)
	}
	if b := seen["Bearer"]; b == nil || b["priority"] != 5.0 || b["topic"] != "backups" || b["title"] != dead.Title {
		t.Errorf("critical: %v", seen["Bearer"])
	}
	if b := seen["Basic"]; b == nil || b["priority"] != 3.0 || !strings.HasPrefix(b["title"].(string), "Over: line") {
		t.Errorf("over: %v", seen["Basic"])
	}
}

func TestMailGoesToEveryRecipientEncryptedAndSignedIn(t *testing.T) {
	for _, security := range []string{"starttls", "tls", "none"} {
		t.Run(security, func(t *testing.T) {
			p := newPostOffice(t, security == "tls")
			w := newWorld(t, storetest.SQLite(t), p.roots)
			spec := notify.Spec{Kind: "email", Secrets: map[string]string{}, Settings: map[string]string{
				"server": "127.0.0.1", "port": p.port(), "security": security, "from": "Backups <backups@example.org>", "to": "ana@example.org, ben@example.org\ncleo@example.org",
			}}
			if security != "none" {
				p.user, p.password = "mailer", "mail pass"
				spec.Settings["username"], spec.Secrets["password"] = p.user, p.password
			}
			c := w.channel(spec)
			evil := dead
			evil.Title = "nas\r\nBcc: eve@example.org\r\n\r\nhello ✓"
			id := w.promise(c, evil)
			w.flush()
			letters := p.taken()
			if len(letters) != 1 {
				t.Fatalf("%d mails, want 1; deliveries %+v", len(letters), w.deliveries(c))
			}
			l := letters[0]
			if len(l.to) != 3 || l.encrypted != (security != "none") || l.user != p.user {
				t.Errorf("to %v, encrypted %t, signed in as %q", l.to, l.encrypted, l.user)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(l.header.Get("Subject"))
			if err != nil || l.header.Get("Bcc") != "" || strings.ContainsFunc(subject, unicode.IsControl) {
				t.Errorf("a title became a header, or more than a line: %v %q %v", err, subject, l.header)
			}
			if got := l.header.Get("Message-Id"); got != "<"+string(id)+"@example.org>" {
				t.Errorf("message id %s", got)
			}
			if text := l.parts["text/plain"]; !strings.Contains(text, "Connection refused.") || !strings.Contains(text, "web-1") {
				t.Errorf("text %q", text)
			}
		})
	}
}

func TestMailInsistsOnEncryptionThatItWasToldToUse(t *testing.T) {
	p := newPostOffice(t, false)
	w := lite(t) // which does not trust the post office's certificate
	c := w.channel(notify.Spec{Kind: "email", Settings: map[string]string{
		"server": "127.0.0.1", "port": p.port(), "from": "a@example.org", "to": "b@example.org",
	}})
	w.promise(c, dead)
	w.flush()
	if d := w.deliveries(c)[0]; d.State != fleet.DeliveryPending || !strings.Contains(d.Error, "certificate") || len(p.taken()) > 0 {
		t.Errorf("state %s, error %q, %d mails", d.State, d.Error, len(p.taken()))
	}
}

func TestAMailServerThatSaysTooMuchIsLeft(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan int, 1)
	go func() {
		n := 0
		defer func() { said <- n }()
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		line := []byte("220-" + strings.Repeat("x", 60<<10)) // and it never ends
		for n < 64<<20 && err == nil {
			var wrote int
			wrote, err = conn.Write(line)
			n += wrote
		}
	}()
	w := lite(t)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	c := w.channel(notify.Spec{Kind: "email", Settings: map[string]string{
		"server": "127.0.0.1", "port": port, "from": "a@example.org", "to": "b@example.org",
	}})
	w.promise(c, dead)
	w.flush()
	_ = listener.Close()
	if d := w.deliveries(c)[0]; !strings.Contains(d.Error, "says too much") {
		t.Errorf("state %s, error %q", d.State, d.Error)
	}
	if n := <-said; n >= 64<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

func TestAPingSaysWhetherAllIsWell(t *testing.T) {
	w := lite(t)
	r := newReceiver(t, nil)
	c := w.channel(notify.Spec{Kind: "healthchecks", Settings: map[string]string{"interval_minutes": "5"}, Secrets: map[string]string{"url": r.URL + "/ping/abc-def"}})
	host := &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: "web-1", Profile: fleet.Guarded, Protection: fleet.Protected}
	w.write(func(tx *store.Tx) error { return tx.CreateHost(t.Context(), host) })
	w.flush()
	w.flush()
	bad := &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: "web-2", Profile: fleet.Guarded, Protection: fleet.Unprotected}
	w.write(func(tx *store.Tx) error { return tx.CreateHost(t.Context(), bad) })
	w.pass(5 * time.Minute)
	w.flush()
	w.write(func(tx *store.Tx) error { return tx.DeleteHost(t.Context(), bad.ID) })
	w.pass(5 * time.Minute)
	w.flush()
	var paths []string
	for _, q := range r.requests() {
		paths = append(paths, q.path)
	}
	if want := []string{"/ping/abc-def", "/ping/abc-def/fail", "/ping/abc-def"}; !slices.Equal(paths, want) {
		t.Errorf("pings %v, want %v; deliveries %+v", paths, want, w.deliveries(c))
	}
	if text := string(r.requests()[1].body); text != "1 hosts unprotected" {
		t.Errorf("the reason is %q", text)
	}
}

// kindsToTry is a channel of every kind at a receiver that fails twice.
func kindsToTry(t *testing.T, r *receiver, p *postOffice) map[string]notify.Spec {
	t.Helper()
	specs := map[string]notify.Spec{
		"webhook":      {Kind: "webhook", Secrets: map[string]string{"url": r.URL, "secret": signing}},
		"ntfy":         {Kind: "ntfy", Settings: map[string]string{"server": r.URL}, Secrets: map[string]string{"topic": "t"}},
		"healthchecks": {Kind: "healthchecks", Secrets: map[string]string{"url": r.URL}},
		"email": {Kind: "email", Settings: map[string]string{"server": "127.0.0.1", "port": p.port(), "security": "none",
			"from": "a@example.org", "to": "b@example.org"}},
	}
	for _, k := range notify.Kinds {
		if _, there := specs[k.Name]; !there {
			t.Errorf("kind %s is not tried: add it", k.Name)
		}
	}
	return specs
}

func TestEveryKindIsTriedAgainUntilItWorks(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url, nil)
		for _, k := range notify.Kinds {
			r := newReceiver(t, func(n int, w http.ResponseWriter) {
				if n <= 2 {
					w.WriteHeader(http.StatusBadGateway)
				}
			})
			p := newPostOffice(t, false)
			p.refuse = 2
			c := w.channel(kindsToTry(t, r, p)[k.Name])
			if !k.Pings {
				w.promise(c, dead)
			}
			var states []string
			for range 4 {
				w.flush()
				d := w.deliveries(c)[0]
				states = append(states, fmt.Sprintf("%s/%d", d.State, d.Attempts))
				w.pass(40 * time.Second) // past the longest of these waits
			}
			if want := []string{"pending/1", "pending/2", "sent/3", "sent/3"}; !slices.Equal(states, want) {
				t.Errorf("%s: %v, want %v", k.Name, states, want)
			}
			if n := len(r.requests()) + p.tried; n != 3 {
				t.Errorf("%s: %d attempts arrived, want 3", k.Name, n)
			}
			now, err := w.store.Channel(t.Context(), c.ID)
			w.must(err)
			if !now.FailingSince.IsZero() {
				t.Errorf("%s: still failing", k.Name)
			}
		}
	})
}
