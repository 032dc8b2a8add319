package notify_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/notify"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestTwoReplicasSendEachMessageOnce(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url, nil)
		r := newReceiver(t, nil)
		c := w.channel(notify.Spec{Kind: "webhook", Secrets: map[string]string{"url": r.URL, "secret": signing}})
		for round := range 10 {
			n := dead
			n.Alert = fleet.AlertID(fmt.Sprintf("a-%d", round))
			w.promise(c, n)
			var both sync.WaitGroup
			for _, s := range []*notify.Service{w.service, w.replica(nil)} {
				both.Go(func() {
					if err := s.Flush(t.Context()); err != nil {
						t.Errorf("flush: %v", err)
					}
				})
			}
			both.Wait()
			w.pass(time.Second)
		}
		ids := map[string]int{}
		for _, q := range r.requests() {
			ids[q.header.Get("Webhook-Id")]++
		}
		if len(ids) != 10 || len(r.requests()) != 10 {
			t.Errorf("%d messages of %d ids, want 10 each", len(r.requests()), len(ids))
		}
	})
}

func TestAMessageThatIsBeingSentIsNotSentByAnother(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		w := newWorld(t, url, nil)
		arrived, release := make(chan struct{}), make(chan struct{})
		r := newReceiver(t, func(n int, _ http.ResponseWriter) {
			if n == 1 {
				close(arrived)
				<-release
			}
		})
		c := w.channel(notify.Spec{Kind: "webhook", Secrets: map[string]string{"url": r.URL, "secret": signing}})
		w.promise(c, dead)
		var first sync.WaitGroup
		first.Go(func() {
			if err := w.service.Flush(t.Context()); err != nil {
				t.Errorf("flush: %v", err)
			}
		})
		<-arrived
		err := w.replica(nil).Flush(t.Context())
		close(release)
		first.Wait()
		if n := len(r.requests()); err != nil || n != 1 {
			t.Errorf("%d requests, want 1; %v", n, err)
		}
	})
}

func TestAServerThatStopsBlamesNoChannel(t *testing.T) {
	w := lite(t)
	ctx, stop := context.WithCancel(t.Context())
	released := make(chan struct{})
	r := newReceiver(t, func(n int, _ http.ResponseWriter) {
		if n == 1 {
			stop()
			<-released
		}
	})
	c := w.channel(notify.Spec{Kind: "webhook", Secrets: map[string]string{"url": r.URL, "secret": signing}})
	w.promise(c, dead)
	w.must(w.service.Flush(ctx))
	close(released)
	now, err := w.store.Channel(t.Context(), c.ID)
	w.must(err)
	if d := w.deliveries(c)[0]; d.State != fleet.DeliveryPending || d.Error != "" || !now.FailingSince.IsZero() {
		t.Errorf("state %s, error %q, failing since %d", d.State, d.Error, now.FailingSince)
	}
	w.flush() // the next one
	if d := w.deliveries(c)[0]; d.State != fleet.DeliverySent {
		t.Errorf("afterwards: %s", d.State)
	}
}

func TestWhatComesAtOnceOrWasHeldBackIsOneMessage(t *testing.T) {
	w := lite(t)
	r := newReceiver(t, nil)
	c := w.channel(notify.Spec{Kind: "webhook", Secrets: map[string]string{"url": r.URL, "secret": signing}})
	for i := range 3 { // few: each by itself
		n := dead
		n.Alert = fleet.AlertID(fmt.Sprintf("few-%d", i))
		w.promise(c, n)
	}
	w.flush()
	if n := len(r.requests()); n != 3 {
		t.Errorf("%d messages for three alerts, want 3", n)
	}
	for i := range 300 {
		n := dead
		n.Alert = fleet.AlertID(fmt.Sprintf("many-%d", i))
		if i%3 == 0 {
			n.Kind = fleet.DeliverResolved
		}
		w.promise(c, n)
	}
	w.flush()
	got := r.requests()[3:]
	if len(got) != 1 {
		t.Fatalf("%d messages for three hundred alerts at once, want 1", len(got))
	}
	data, _ := got[0].json(t)["data"].(map[string]any)
	if data["subject"] != "200 alerts, 100 over" {
		t.Errorf("subject %v", data["subject"])
	}
	if left, err := w.store.PendingDeliveries(t.Context()); err != nil || left != 0 {
		t.Errorf("%d deliveries left, %v", left, err)
	}
}

func TestAMessageIsGivenUpAfterADayAndTheChannelGoesOn(t *testing.T) {
	w := lite(t)
	down := true
	r := newReceiver(t, func(_ int, w http.ResponseWriter) {
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	c := w.channel(notify.Spec{Kind: "webhook", Secrets: map[string]string{"url": r.URL, "secret": signing}})
	w.promise(c, dead)
	for range 26 {
		w.flush()
		w.pass(time.Hour)
	}
	if d := w.deliveries(c)[0]; d.State != fleet.DeliveryFailed {
		t.Errorf("after a day: %s after %d attempts", d.State, d.Attempts)
	}
	down = false
	id := w.promise(c, dead)
	w.pass(time.Hour)
	w.flush()
	d, err := w.store.Delivery(t.Context(), id)
	w.must(err)
	if d.State != fleet.DeliverySent {
		t.Errorf("the next one: %s %s", d.State, d.Error)
	}
}

func TestWhatWasHeldBackForADayIsTriedAgainToo(t *testing.T) {
	w := lite(t)
	r := newReceiver(t, func(n int, w http.ResponseWriter) {
		if n == 1 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	c := w.channel(notify.Spec{Kind: "webhook", Secrets: map[string]string{"url": r.URL, "secret": signing}})
	id := w.promise(c, dead)
	w.pass(25 * time.Hour) // as a digest does, or a server that was away
	w.flush()
	w.pass(time.Minute)
	w.flush()
	d, err := w.store.Delivery(t.Context(), id)
	w.must(err)
	if d.State != fleet.DeliverySent || d.Attempts != 2 {
		t.Errorf("%s after %d attempts: %s", d.State, d.Attempts, d.Error)
	}
}

func TestASealedSecretOpensOnlyInItsOwnRow(t *testing.T) {
	w := lite(t)
	r := newReceiver(t, nil)
	a := w.channel(notify.Spec{Name: "a", Kind: "webhook", Secrets: map[string]string{"url": r.URL, "secret": signing}})
	b := w.channel(notify.Spec{Name: "b", Kind: "webhook", Secrets: map[string]string{"url": r.URL, "secret": signing}})
	w.write(func(tx *store.Tx) error {
		row, err := tx.LockChannel(t.Context(), b.ID)
		if err != nil {
			return err
		}
		row.Sealed = a.Sealed
		return tx.SaveChannel(t.Context(), row)
	})
	w.promise(b, dead)
	w.flush()
	if d := w.deliveries(b)[0]; d.State != fleet.DeliveryPending || len(r.requests()) > 0 || !strings.Contains(d.Error, "cannot be opened") {
		t.Errorf("state %s, error %q, %d requests", d.State, d.Error, len(r.requests()))
	}
}

func TestAChannelKeepsSecretsThatAreLeftOut(t *testing.T) {
	w := lite(t)
	r := newReceiver(t, nil)
	c := w.channel(notify.Spec{Kind: "webhook", Secrets: map[string]string{"url": r.URL, "secret": signing, "previous_secret": older}})
	replace := func(secrets map[string]string) error {
		return w.store.Write(t.Context(), func(tx *store.Tx) error {
			row, err := tx.LockChannel(t.Context(), c.ID)
			if err != nil {
				return err
			}
			return w.service.Replace(t.Context(), tx, row, notify.Spec{Name: "renamed", Kind: "webhook", Enabled: true, Secrets: secrets})
		})
	}
	w.must(replace(map[string]string{"previous_secret": ""}))
	row, err := w.store.Channel(t.Context(), c.ID)
	w.must(err)
	if row.SecretSet != `["secret","url"]` || row.Name != "renamed" {
		t.Errorf("secrets %s of %s", row.SecretSet, row.Name)
	}
	w.promise(c, dead)
	w.flush()
	if n := len(r.requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	if err := replace(map[string]string{"secret": ""}); !fleet.Is(err, fleet.InvalidField) {
		t.Errorf("a required secret was removed: %v", err)
	}
}

// Who may write a channel may not read its secrets: not by having them sent elsewhere
// either.
func TestASecretDoesNotFollowItsChannelToAnotherServer(t *testing.T) {
	for _, k := range []struct {
		kind, moved, to, secret string
		settings, secrets       map[string]string
	}{
		{"ntfy", "server", "https://elsewhere.test", "/secrets/token", map[string]string{}, map[string]string{"topic": "backups", "token": "tk_abcdef"}},
		{"email", "server", "elsewhere.test", "/secrets/password",
			map[string]string{"server": "mail.test", "username": "ana", "from": "a@mail.test", "to": "b@mail.test"}, map[string]string{"password": "pass"}},
		{"email", "port", "2525", "/secrets/password",
			map[string]string{"server": "mail.test", "username": "ana", "from": "a@mail.test", "to": "b@mail.test"}, map[string]string{"password": "pass"}},
	} {
		w := lite(t)
		c := w.channel(notify.Spec{Kind: k.kind, Settings: k.settings, Secrets: k.secrets})
		replace := func(settings, secrets map[string]string) error {
			return w.store.Write(t.Context(), func(tx *store.Tx) error {
				row, err := tx.LockChannel(t.Context(), c.ID)
				if err != nil {
					return err
				}
				return w.service.Replace(t.Context(), tx, row, notify.Spec{Name: "c", Kind: k.kind, Enabled: true, Settings: settings, Secrets: secrets})
			})
		}
		moved := maps.Clone(k.settings)
		moved[k.moved] = k.to
		given := maps.Clone(k.secrets)
		delete(given, strings.TrimPrefix(k.secret, "/secrets/"))
		if err := replace(moved, given); fieldOf(err) != k.secret {
			t.Errorf("%s to another %s: %v at %q, want %s", k.kind, k.moved, err, fieldOf(err), k.secret)
		}
		w.must(replace(k.settings, nil)) // where it was they are kept
		w.must(replace(moved, k.secrets))
	}
}

func TestMistakesInAChannelAreNamedByTheirField(t *testing.T) {
	w := lite(t)
	w.service.Out = notify.NewEgress(false, false, nil)
	fine := func(kind string) notify.Spec {
		switch kind {
		case "email":
			return notify.Spec{Kind: kind, Settings: map[string]string{"server": "mail.example.org", "from": "a@example.org", "to": "b@example.org"}, Secrets: map[string]string{}}
		case "ntfy":
			return notify.Spec{Kind: kind, Settings: map[string]string{}, Secrets: map[string]string{"topic": "t"}}
		}
		return notify.Spec{Kind: kind, Settings: map[string]string{}, Secrets: map[string]string{"url": "https://example.org/x", "secret": signing}}
	}
	for _, c := range []struct{ kind, part, name, value, field string }{
		{"pigeon", "", "", "", "/kind"},
		{"webhook", "secrets", "url", "ftp://example.org/", "/secrets/url"},
		{"webhook", "secrets", "url", "https://user:pass@example.org/", "/secrets/url"},
		{"webhook", "secrets", "url", "http://169.254.169.254/latest", "/secrets/url"},
		{"webhook", "secrets", "url", "http://[::ffff:127.0.0.1]/", "/secrets/url"},
		{"webhook", "secrets", "url", "", "/secrets/url"},
		{"webhook", "secrets", "secret", "whsec_short", "/secrets/secret"},
		{"webhook", "settings", "url", "https://example.org", "/settings/url"},
		{"webhook", "settings", "colour", "red", "/settings/colour"},
		{"ntfy", "secrets", "topic", "a/b", "/secrets/topic"},
		{"ntfy", "secrets", "token", "a\r\nX-Evil: 1", "/secrets/token"},
		{"email", "settings", "from", "a@example.org\r\nBcc: eve@example.org", "/settings/from"},
		{"email", "settings", "from", "nobody", "/settings/from"},
		{"email", "settings", "to", "b@example.org, nobody", "/settings/to"},
		{"email", "settings", "server", "127.0.0.1", "/settings/server"},
		{"email", "settings", "server", "mail.example.org:25", "/settings/server"},
		{"email", "settings", "port", "70000", "/settings/port"},
		{"email", "settings", "security", "rot13", "/settings/security"},
	} {
		spec := fine(c.kind)
		spec.Name = "c"
		switch c.part {
		case "settings":
			spec.Settings[c.name] = c.value
		case "secrets":
			spec.Secrets[c.name] = c.value
		}
		err := w.store.Write(t.Context(), func(tx *store.Tx) error {
			_, err := w.service.Create(t.Context(), tx, spec)
			return err
		})
		if !fleet.Is(err, fleet.InvalidField) || fieldOf(err) != c.field {
			t.Errorf("%s %s %q: %v at %q, want %s", c.kind, c.name, c.value, err, fieldOf(err), c.field)
		}
		if c.value != "" && err != nil && strings.Contains(err.Error(), c.value) && c.part == "secrets" && c.kind == "ntfy" {
			t.Errorf("the error repeats a secret: %v", err)
		}
	}
	for address, refused := range map[string]bool{
		"http://ntfy.example.org": true, "http://192.168.1.5:8080": true, "HTTP://ntfy.example.org": true, "http://127.0.0.1.example.org": true,
		"https://ntfy.example.org": false,
	} {
		for _, name := range []string{"token", "password", ""} {
			spec := fine("ntfy")
			spec.Name = "open " + name + address
			spec.Settings["server"] = address
			if name != "" {
				spec.Secrets[name] = "tk_abcdef"
			}
			err := w.store.Write(t.Context(), func(tx *store.Tx) error {
				_, err := w.service.Create(t.Context(), tx, spec)
				return err
			})
			if want := refused && name != ""; want != (err != nil) || want && fieldOf(err) != "/settings/server" {
				t.Errorf("ntfy at %s with %q: %v at %q", address, name, err, fieldOf(err))
			}
		}
	}
	spec := fine("email")
	spec.Name = "open password"
	spec.Settings["security"], spec.Settings["username"] = "none", "ana"
	err := w.store.Write(t.Context(), func(tx *store.Tx) error {
		_, err := w.service.Create(t.Context(), tx, spec)
		return err
	})
	if fieldOf(err) != "/settings/security" {
		t.Errorf("a password in the open: %v", err)
	}
}

func fieldOf(err error) string {
	switch e := err.(type) { //nolint:errorlint // as they come
	case fleet.Fields:
		return e[0].Field
	case *fleet.Error:
		return e.Field
	}
	return ""
}

func TestAReportComesByMailAtItsHour(t *testing.T) {
	p := newPostOffice(t, false)
	w := lite(t)
	route := fleet.ChannelRoute{Report: "daily", At: "08:30", Zone: "Europe/Berlin"}
	c := w.channel(notify.Spec{Kind: "email", Route: route, Settings: map[string]string{
		"server": "127.0.0.1", "port": p.port(), "security": "none", "from": "a@example.org", "to": "b@example.org"}})
	for i, state := range []fleet.ProtectionState{fleet.Protected, fleet.Protected, fleet.Unprotected} {
		h := &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: fmt.Sprintf("web-%d", i), Profile: fleet.Guarded, Protection: state}
		w.write(func(tx *store.Tx) error {
			if err := tx.CreateHost(t.Context(), h); err != nil || i > 0 {
				return err
			}
			_, err := tx.CreateJob(t.Context(), &fleet.Job{ID: fleet.NewID[fleet.JobID](), HostID: h.ID, Operation: "backup", Trigger: fleet.BySchedule,
				State: fleet.Finished, Result: fleet.Succeeded, CreatedAt: tx.Now, FinishedAt: tx.Now.Add(time.Hour)})
			return err
		})
	}
	a := &fleet.Alert{ID: fleet.NewID[fleet.AlertID](), Key: "k", Code: "objective_missed", Severity: fleet.Critical, Rank: 3, State: fleet.AlertRaised,
		Title: "web-2: <b>no</b> good backup", Message: "Late."}
	w.write(func(tx *store.Tx) error {
		_, err := tx.CreateAlert(t.Context(), a, nil)
		return err
	})
	for range 30 * 4 { // past 07:30 UTC of the next day
		w.pass(15 * time.Minute)
		w.flush()
	}
	letters := p.taken()
	if len(letters) != 1 {
		t.Fatalf("%d reports in 30 hours, want 1; %+v", len(letters), w.deliveries(c))
	}
	text, html := letters[0].parts["text/plain"], letters[0].parts["text/html"]
	for _, want := range []string{"- 2 protected", "- 1 unprotected", "Critical: web-2: <b>no</b> good backup. Late.", "- 1 succeeded", "08:30"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text does not say %q:\n%s", want, text)
		}
	}
	if !strings.Contains(html, "web-2: &lt;b&gt;no&lt;/b&gt; good backup") {
		t.Errorf("html:\n%s", html)
	}
}
