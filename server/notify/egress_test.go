package notify_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/notify"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestDestinationsThatAreNeverTold(t *testing.T) {
	for _, c := range []struct {
		address              string
		loopback, publicOnly bool
		denied               bool
	}{
		{"127.0.0.1", false, false, true},
		{"127.8.9.10", false, false, true},
		{"::1", false, false, true},
		{"::ffff:127.0.0.1", false, false, true},
		{"64:ff9b::7f00:1", false, false, true},
		{"2002:7f00:1::", false, false, true},
		{"::ffff:169.254.169.254", true, false, true},
		{"169.254.169.254", true, false, true},
		{"64:ff9b::a9fe:a9fe", true, false, true},
		{"fe80::1", true, false, true},
		{"fe80::1%1", true, false, true},
		{"fd00:ec2::254", true, false, true},
		{"100.100.100.200", true, false, true},
		{"0.0.0.0", true, false, true},
		{"::", true, false, true},
		{"224.0.0.1", true, false, true},
		{"255.255.255.255", true, false, true},
		{"10.0.0.1", false, true, true},
		{"100.64.0.1", false, true, true},
		{"fd12::1", false, true, true},
	} {
		out := notify.NewEgress(c.loopback, c.publicOnly, nil)
		conn, err := out.Dial(t.Context(), "tcp", net.JoinHostPort(c.address, "9"))
		if err == nil {
			_ = conn.Close()
		}
		var denied *notify.Denied
		if errors.As(err, &denied) != c.denied {
			t.Errorf("%s (loopback %t, public only %t): %v", c.address, c.loopback, c.publicOnly, err)
		}
	}
}

var denied = regexp.MustCompile(`^nothing is sent to [0-9.:]+: it is this machine itself, which only the server's option notify_loopback allows$`)

func TestANameThatLeadsToThisMachineIsRefusedWhenItIsDialled(t *testing.T) {
	r := newReceiver(t, nil)
	_, port, err := net.SplitHostPort(r.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w := lite(t)
	w.service.Out = notify.NewEgress(false, false, nil)
	c := w.channel(notify.Spec{Kind: "webhook", Secrets: map[string]string{"url": "http://localhost:" + port + "/", "secret": signing}})
	w.promise(c, dead)
	w.flush()
	if d := w.deliveries(c)[0]; !denied.MatchString(d.Error) || len(r.requests()) > 0 {
		t.Errorf("error %q, %d requests", d.Error, len(r.requests()))
	}
	p := newPostOffice(t, false)
	mail := w.channel(notify.Spec{Kind: "email", Settings: map[string]string{"server": "localhost", "port": p.port(), "security": "none", "from": "a@example.org", "to": "b@example.org"}})
	w.promise(mail, dead)
	w.flush()
	if d := w.deliveries(mail)[0]; !denied.MatchString(d.Error) || len(p.taken()) > 0 {
		t.Errorf("mail: error %q, %d mails", d.Error, len(p.taken()))
	}
}

func TestRedirectsAreNotFollowedAndAnswersNotShown(t *testing.T) {
	inside := newReceiver(t, nil)
	w := lite(t)
	for _, c := range []struct {
		name   string
		answer func(int, http.ResponseWriter)
		want   string
	}{
		{"redirect", func(_ int, w http.ResponseWriter) {
			w.Header().Set("Location", inside.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "redirects are not followed"},
		{"endless answer", func(_ int, w http.ResponseWriter) {
			w.WriteHeader(http.StatusInternalServerError)
			for range 64 {
				if _, err := io.WriteString(w, strings.Repeat("inner secret ", 1<<12)); err != nil {
					return // it was not read to its end
				}
			}
		}, "answered 500"},
		{"gone", func(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusGone) }, "410"},
	} {
		r := newReceiver(t, c.answer)
		channel := w.channel(notify.Spec{Name: c.name, Kind: "webhook", Secrets: map[string]string{"url": r.URL, "secret": signing}})
		w.promise(channel, dead)
		w.flush()
		d := w.deliveries(channel)[0]
		if !strings.Contains(d.Error, c.want) || strings.Contains(d.Error, "inner secret") {
			t.Errorf("%s: error %q, want %q", c.name, d.Error, c.want)
		}
		if want := fleet.DeliveryPending; c.name != "gone" && d.State != want || c.name == "gone" && d.State != fleet.DeliveryFailed {
			t.Errorf("%s: state %s", c.name, d.State)
		}
	}
	if n := len(inside.requests()); n > 0 {
		t.Errorf("%d requests came by a redirect", n)
	}
}

func TestErrorsHoldNoSecrets(t *testing.T) {
	p := newPostOffice(t, false)
	p.user, p.password = "mailer", "right"
	w := newWorld(t, storetest.SQLite(t), p.roots)
	const canary = "canary-7f/3a 91"
	address := "http://127.0.0.1:1/canary-7f/x?token=canary-7f"
	specs := []notify.Spec{
		{Kind: "webhook", Secrets: map[string]string{"url": address, "secret": signing}},
		{Kind: "healthchecks", Secrets: map[string]string{"url": address}},
		{Kind: "ntfy", Settings: map[string]string{"server": "http://127.0.0.1:1"}, Secrets: map[string]string{"topic": "canary-7f", "token": canary}},
		{Kind: "email", Settings: map[string]string{"server": "127.0.0.1", "port": p.port(), "from": "a@example.org", "to": "b@example.org", "username": "mailer", "auth": "plain"},
			Secrets: map[string]string{"password": canary}}, // the server repeats it
	}
	for _, spec := range specs {
		c := w.channel(spec)
		if notify.Tells(spec.Kind) {
			w.promise(c, dead)
		}
		w.flush()
		d := w.deliveries(c)[0]
		if d.Error == "" || strings.Contains(d.Error, "canary") {
			t.Errorf("%s: error %q", spec.Kind, d.Error)
		}
		again, err := w.service.Test(t.Context(), fleet.Audit{Actor: "ana", Action: "channel.test"}, c.ID)
		w.must(err)
		if again.State != fleet.DeliveryFailed || strings.Contains(again.Error, "canary") {
			t.Errorf("%s: test %s %q", spec.Kind, again.State, again.Error)
		}
		// Nor does the database hold them openly.
		row, err := w.store.Channel(t.Context(), c.ID)
		w.must(err)
		if strings.Contains(fmt.Sprintf("%+v", *row), "canary") || row.Sealed == "" {
			t.Errorf("%s: the row holds a secret: %+v", spec.Kind, *row)
		}
	}
	entries, _, err := w.store.AuditEntries(t.Context(), store.AuditFilter{}, store.Page{})
	w.must(err)
	if len(entries) != len(specs) || strings.Contains(fmt.Sprint(entries), "canary") {
		t.Errorf("audit: %v", entries)
	}
}
