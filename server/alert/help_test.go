package alert_test

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"restic-manager/server/alert"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// world is a database, a service and a clock that a test moves.
type world struct {
	testing.TB
	store  *store.Store
	alerts *alert.Service
	micros atomic.Int64
	url    string
}

func newWorld(t testing.TB, url string) *world {
	t.Helper()
	w := &world{TB: t, url: url}
	w.micros.Store(time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC).UnixMicro())
	w.store = storetest.Open(t, url, store.Options{Now: w.now})
	w.alerts = w.replica()
	return w
}

func each(t *testing.T, test func(w *world)) {
	t.Helper()
	storetest.EachURL(t, func(t *testing.T, url string) { test(newWorld(t, url)) })
}

func (w *world) replica() *alert.Service {
	return &alert.Service{Store: w.store, Log: slog.New(slog.DiscardHandler), AuditEvery: time.Minute, Tells: func(kind string) bool { return kind != "ping" }}
}

func (w *world) now() time.Time { return time.UnixMicro(w.micros.Load()).UTC() }

func (w *world) pass(d time.Duration) { w.micros.Add(d.Microseconds()) }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) write(fn func(*store.Tx) error) {
	w.Helper()
	w.must(w.store.Write(w.Context(), fn))
}

// round evaluates n times.
func (w *world) round(n int) {
	w.Helper()
	for range n {
		w.pass(15 * time.Second)
		w.must(w.alerts.Round(w.Context()))
	}
}

// host adds a host that is in touch for a year.
func (w *world) host(name string, tags ...string) *fleet.Host {
	w.Helper()
	now := fleet.At(w.now())
	h := &fleet.Host{
		ID: fleet.NewID[fleet.HostID](), Name: name, Tags: fleet.NewList(tags), Profile: fleet.Guarded, EnrolledAt: now,
		LastContact: now, ContactDeadline: now.Add(365 * 24 * time.Hour),
	}
	w.write(func(tx *store.Tx) error { return tx.CreateHost(w.Context(), h) })
	return h
}

// hold raises or clears a condition of a host.
func (w *world) hold(h *fleet.Host, code string, severity fleet.Severity, holds bool) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		if !holds {
			_, err := tx.ClearCondition(w.Context(), store.ObjectHost, string(h.ID), code)
			return err
		}
		_, err := tx.RaiseCondition(w.Context(), fleet.Condition{
			ObjectType: store.ObjectHost, ObjectID: string(h.ID), Code: code, Severity: severity, Message: "It is so.", NextStep: "Mend it.",
		})
		return err
	})
}

// channel adds a channel with a route.
func (w *world) channel(name, kind string, route fleet.ChannelRoute) *fleet.Channel {
	w.Helper()
	doc, err := fleet.NewDoc(route)
	w.must(err)
	c := &fleet.Channel{ID: fleet.NewID[fleet.ChannelID](), Name: name, Kind: kind, Enabled: true, Settings: "{}", Route: doc}
	w.write(func(tx *store.Tx) error { return tx.CreateChannel(w.Context(), c) })
	return c
}

// told gives what a channel has been promised, oldest first.
func (w *world) told(c *fleet.Channel) string {
	w.Helper()
	list, _, err := w.store.Deliveries(w.Context(), c.ID, store.Page{Size: 200})
	w.must(err)
	var words []string
	for i := len(list) - 1; i >= 0; i-- {
		word := string(list[i].Kind)
		if list[i].Held {
			word += "@" + list[i].NextAt.Time().Format("02 15:04")
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func (w *world) list(f store.AlertFilter) []fleet.Alert {
	w.Helper()
	list, _, err := w.store.Alerts(w.Context(), f, store.Page{Size: 200})
	w.must(err)
	return list
}

// open gives the codes and states of the alerts that are open.
func (w *world) open() string {
	w.Helper()
	var words []string
	for _, a := range w.list(store.AlertFilter{Open: true}) {
		words = append(words, fmt.Sprintf("%s/%s/%s", a.Code, a.Severity, a.State))
	}
	return strings.Join(words, " ")
}

func (w *world) want(step, got, want string) {
	w.Helper()
	if got != want {
		w.Errorf("%s: got %q, want %q", step, got, want)
	}
}

func lite(t *testing.T) *world {
	t.Helper()
	return newWorld(t, storetest.SQLite(t))
}
