package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func TestAHostIsAsLargeAsTheNewestSnapshotsOfItsSchedules(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, _ *clock) {
		own, shared := addRepository(t, s, "own"), addRepository(t, s, "shared")
		web, db, idle := addHost(t, s, "web-1"), addHost(t, s, "db-1"), addHost(t, s, "idle")
		etc, home, dump := addSchedule(t, s, web, own, "etc"), addSchedule(t, s, web, own, "home"), addSchedule(t, s, db, shared, "dump")
		addSchedule(t, s, web, shared, "never ran")
		row := func(id string, sch *fleet.Schedule, at fleet.Time, bytes int64) fleet.Snapshot {
			return fleet.Snapshot{RepositoryID: sch.RepositoryID, ID: id, HostID: sch.HostID, ScheduleID: sch.ID, Time: at, FirstSeen: at, LastSeen: at, Hostname: "h", Paths: "[]", Tags: "[]", Bytes: bytes}
		}
		see(t, s, row("a", etc, 1, 900), row("b", etc, 2, 10), row("c", home, 1, 5), row("d", home, 3, 0), row("e", dump, 1, 7))
		write(t, s, func(tx *store.Tx) error {
			doc, err := fleet.NewDoc(fleet.RepositoryHealth{MeasuredAt: 1, StoredBytes: 4})
			if err != nil {
				return err
			}
			return tx.SaveHealth(t.Context(), own.ID, doc)
		})
		got, err := s.HostSizes(t.Context(), []fleet.HostID{web.ID, db.ID, idle.ID})
		if err != nil {
			t.Fatal(err)
		}
		want := map[fleet.HostID]store.HostSize{web.ID: {Source: 15, Stored: 4, Shared: true}, db.ID: {Source: 7, Shared: true}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		write(t, s, func(tx *store.Tx) error {
			doc, err := fleet.NewDoc(fleet.RepositoryHealth{MeasuredAt: 2, StoredBytes: 40})
			if err != nil {
				return err
			}
			return tx.SaveHealth(t.Context(), shared.ID, doc)
		})
		if got, err = s.HostSizes(t.Context(), []fleet.HostID{web.ID}); err != nil || got[web.ID] != (store.HostSize{Source: 15, Stored: 44, Measured: true, Shared: true}) {
			t.Errorf("got %+v, %v", got[web.ID], err)
		}
	})
}
