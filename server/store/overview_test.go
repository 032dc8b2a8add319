package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func TestTheOverviewAddsUpWhatRowsSay(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		now := fleet.At(c.now())
		if o, err := s.Overview(t.Context()); err != nil || cmp.Diff(store.Overview{}, *o) != "" {
			t.Errorf("of nothing: %+v, %v", o, err)
		}
		write(t, s, func(tx *store.Tx) error {
			for name, h := range map[string]fleet.Host{
				"online":   {EnrolledAt: now, ContactDeadline: now.Add(time.Minute), TimedSchedules: 1, ActiveJobs: 2},
				"offline":  {EnrolledAt: now, ContactDeadline: now - 1, ActiveJobs: 1},
				"never":    {},
				"disabled": {Disabled: true, EnrolledAt: now, ContactDeadline: now.Add(time.Minute), ActiveJobs: 5},
			} {
				h.ID, h.Name = fleet.NewID[fleet.HostID](), name
				if err := tx.CreateHost(t.Context(), &h); err != nil {
					return err
				}
			}
			for name, r := range map[string]fleet.Repository{
				"a": {State: fleet.RepositoryReady, Snapshots: 4, Health: `{"stored_bytes":6000000000,"source_bytes":30,"growth_per_day":-3}`},
				"b": {State: fleet.RepositoryNew, Snapshots: 3}, "c": {State: fleet.RepositoryReady, Health: `{"stored_bytes":4,"growth_per_day":10}`},
			} {
				r.ID, r.Name = fleet.NewID[fleet.RepositoryID](), name
				health := r.Health
				r.Health = ""
				if err := tx.CreateRepository(t.Context(), &r); err != nil {
					return err
				}
				if health == "" {
					continue
				}
				if err := tx.SaveHealth(t.Context(), r.ID, health); err != nil {
					return err
				}
			}
			_, err := tx.RaiseCondition(t.Context(), fleet.Condition{ObjectType: store.ObjectRepository, ObjectID: "x", Code: "y"})
			return err
		})
		want := store.Overview{Hosts: 3, Online: 1, Offline: 1, Never: 1, NotScheduled: 2, ActiveJobs: 3,
			Snapshots: 7, Repositories: 3, RepositoriesReady: 2, Measured: 2, StoredBytes: 6000000004, SourceBytes: 30, GrowthPerDay: 7, Conditions: 1, Unscheduled: 3}
		before := s.Stats().Statements
		if o, err := s.Overview(t.Context()); err != nil || cmp.Diff(want, *o) != "" {
			t.Errorf("%+v, %v; want %+v", o, err, want)
		}
		if n := s.Stats().Statements - before; n != 5 {
			t.Errorf("%d statements, want 5", n)
		}
	})
}
