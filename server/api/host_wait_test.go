package api_test

import (
	"fmt"
	"testing"
	"time"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func TestAReadThatWaitsForAHostSeesConditionsAndPresence(t *testing.T) {
	w, admin, a, h := newAttending(t)
	id := h.Host.Id
	seen := func() api.Host { return get[api.Host](admin, "/api/v1/hosts/"+id) }
	changed := func(what string, change func()) api.Host {
		t.Helper()
		before := seen()
		// Who asks a moment too late must not wait either, so it is asked with what was seen.
		got := admin.parked(fmt.Sprintf("/api/v1/hosts/%s?wait=30&if_version=%d", id, before.Version))
		change()
		after := into[api.Host](<-got)
		if after.Version <= before.Version {
			t.Errorf("%s: version %d after %d", what, after.Version, before.Version)
		}
		return after
	}
	flush := func() {
		t.Helper()
		if err := w.store.FlushContacts(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	write := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if err := w.store.Write(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	a.sync(0)
	if got := changed("the first contact", flush); got.Presence != api.PresenceOnline {
		t.Errorf("got %s after the first contact", got.Presence)
	}
	a.sync(0)
	version := seen().Version
	if flush(); seen().Version != version {
		t.Error("a further contact raised the version")
	}
	c := fleet.Condition{ObjectType: store.ObjectHost, ObjectID: id, Code: "disk_full", Severity: fleet.Warn, Message: "m"}
	raise := func() { write(func(tx *store.Tx) error { _, err := tx.RaiseCondition(t.Context(), c); return err }) }
	if got := changed("a condition", raise); len(got.Conditions) != 1 || got.Conditions[0].Code != "disk_full" {
		t.Errorf("got %+v", got.Conditions)
	}
	version = seen().Version
	if raise(); seen().Version != version {
		t.Error("a condition that held already raised the version")
	}
	cleared := changed("its end", func() {
		write(func(tx *store.Tx) error {
			_, err := tx.ClearCondition(t.Context(), c.ObjectType, c.ObjectID, c.Code)
			return err
		})
	})
	if len(cleared.Conditions) != 0 {
		t.Errorf("got %+v", cleared.Conditions)
	}
	gone := changed("silence", func() {
		w.pass(3 * time.Minute)
		flush()
	})
	if gone.Presence != api.PresenceOffline {
		t.Errorf("got %s after the silence", gone.Presence)
	}
}
