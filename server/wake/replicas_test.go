package wake_test

import (
	"context"
	"database/sql"
	"net"
	"net/url"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
	"restic-manager/server/wake"
)

func TestAReplicaWakesThoseWhoWaitInAnother(t *testing.T) {
	at := storetest.PostgreSQL(t)
	here, there := storetest.Open(t, at, store.Options{}), storetest.Open(t, at, store.Options{})
	w, v := newWaker(t, here), newWaker(t, there)
	run(t, w, v)
	host := addHost(t, here)
	agent, cancel := v.Subscribe(wake.Host(host))
	defer cancel()
	page, cancelPage := v.Subscribe(wake.Job("j1"))
	defer cancelPage()
	reader, cancelReader := v.Subscribe(wake.Changes)
	defer cancelReader()
	// No command and no entry of the feed lets the poll find the host. It is woken
	// once because the other begins to listen; then only a notification can do it.
	for range 3 {
		untilHeard(t, agent, func() { w.Publish(wake.Host(host)) })
	}

	if err := here.Write(t.Context(), func(tx *store.Tx) error { tx.Touch(fleet.TopicJobs, "j1"); return nil }); err != nil {
		t.Fatal(err)
	}
	await(t, page)
	await(t, reader)
}

func TestALostConnectionIsMadeAgainAndEverybodyWoken(t *testing.T) {
	at := storetest.PostgreSQL(t)
	here, there := storetest.Open(t, at, store.Options{}), storetest.Open(t, at, store.Options{})
	w, v := newWaker(t, here), newWaker(t, there)
	run(t, w, v)
	topic, cancel := v.Subscribe("host/a")
	defer cancel()
	untilHeard(t, topic, func() { w.Publish("host/a") })

	unrelated, cancelUnrelated := v.Subscribe("host/nobody-publishes-this")
	defer cancelUnrelated()
	db, err := sql.Open("pgx", at)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var killed int
	err = db.QueryRowContext(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND query LIKE 'LISTEN%'`).Scan(&killed)
	if err != nil || killed == 0 {
		t.Fatalf("killed %d listening connections, %v", killed, err)
	}
	await(t, unrelated)
	untilHeard(t, topic, func() { w.Publish("host/a") })
}

func TestWithoutNotificationsThePollFindsCommandsAndChanges(t *testing.T) {
	at := storetest.PostgreSQL(t)
	here := storetest.Open(t, at, store.Options{})
	there := storetest.Open(t, at, store.Options{ListenURL: deafURL(t, at)})
	w, v := newWaker(t, here), newWaker(t, there)
	run(t, w, v)
	host := addHost(t, here)
	agent, cancel := v.Subscribe(wake.Host(host))
	defer cancel()
	page, cancelPage := v.Subscribe(wake.Job("j1"))
	defer cancelPage()
	err := here.Write(t.Context(), func(tx *store.Tx) error {
		tx.Touch(fleet.TopicJobs, "j1")
		return tx.CreateCommand(t.Context(), &fleet.Command{HostID: host, ID: fleet.NewID[string](), Kind: "run",
			JobID: fleet.NewID[fleet.JobID](), Epoch: 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	await(t, agent)
	await(t, page)
}

// deafURL is an address where nobody answers.
func deafURL(t *testing.T, at string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = l.Addr().String()
	return u.String()
}

func addHost(t *testing.T, s *store.Store) fleet.HostID {
	t.Helper()
	h := fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: "web-1", Profile: fleet.Guarded}
	err := s.Write(context.WithoutCancel(t.Context()), func(tx *store.Tx) error { return tx.CreateHost(t.Context(), &h) })
	if err != nil {
		t.Fatal(err)
	}
	return h.ID
}

// untilHeard repeats a publication until the other side hears: it begins to listen
// at some time after its start.
func untilHeard(t *testing.T, woken <-chan struct{}, publish func()) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		publish()
		select {
		case <-woken:
			return
		case <-tick.C:
		}
	}
	t.Fatalf("not heard within %s", patience)
}
