package alert_test

import (
	"fmt"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

// BenchmarkRound evaluates a fleet of two thousand hosts, twenty of which fail.
func BenchmarkRound(b *testing.B) {
	w := newWorld(b, storetest.SQLite(b))
	r := &fleet.Repository{ID: fleet.NewID[fleet.RepositoryID](), Name: "nas", Location: "rest:https://nas.test/", State: fleet.RepositoryReady}
	w.write(func(tx *store.Tx) error { return tx.CreateRepository(b.Context(), r) })
	now := fleet.At(w.now())
	for part := range 2 {
		w.write(func(tx *store.Tx) error {
			for i := range 1000 {
				h := &fleet.Host{
					ID: fleet.NewID[fleet.HostID](), Name: fmt.Sprintf("host-%d-%d", part, i), Tags: `["prod","web"]`, Profile: fleet.Guarded,
					EnrolledAt: now, LastContact: now, ContactDeadline: now.Add(1e6 * time.Hour),
				}
				if err := tx.CreateHost(b.Context(), h); err != nil {
					return err
				}
				result := fleet.Succeeded
				if i < 10 {
					result = fleet.Failed
				}
				facts, err := fleet.NewDoc(fleet.ScheduleFacts{Job: "j", Result: result, Code: "restic_failed", At: now, Files: 1000, UsualFiles: 1000,
					RecentFiles: []int64{1, 2, 3, 4, 5, 6, 7}, RecentBytes: []int64{1, 2, 3, 4, 5, 6, 7}, Sources: []fleet.SourceSeen{{Path: "/etc", State: "ok"}}})
				if err != nil {
					return err
				}
				s := &fleet.Schedule{ID: fleet.NewID[fleet.ScheduleID](), HostID: h.ID, RepositoryID: r.ID, Name: "daily", Paths: `["/etc"]`,
					Cron: "0 3 * * *", Zone: "UTC", Enabled: true, Facts: facts}
				if err := tx.CreateSchedule(b.Context(), s); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for b.Loop() {
		w.round(1)
	}
}
