package store_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestAChangedScheduleIsAnotherConfigurationOfItsHost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h, r := addHost(t, s, "web-1"), addRepository(t, s, "main")
		start := h.ConfigRevision
		var woken int
		s.OnCommit(func(e store.Effects) { woken += len(e.Hosts) })

		sch := addSchedule(t, s, h, r, "etc")
		if sch.Version != 1 || sch.Revision != start+1 {
			t.Errorf("created at version %d, revision %d", sch.Version, sch.Revision)
		}
		sch.Cron, sch.Zone, sch.Manual = "0 3 * * *", "UTC", false
		write(t, s, func(tx *store.Tx) error { return tx.ReplaceSchedule(t.Context(), sch) })
		if sch.Version != 2 || sch.Revision != start+2 {
			t.Errorf("replaced at version %d, revision %d", sch.Version, sch.Revision)
		}
		got, err := s.Schedule(t.Context(), h.ID, sch.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sch, got); diff != "" {
			t.Error(diff)
		}
		write(t, s, func(tx *store.Tx) error { return tx.DeleteSchedule(t.Context(), h.ID, sch.ID) })
		if got := readHost(t, s, h.ID); got.ConfigRevision != start+3 {
			t.Errorf("the host's configuration is at %d after three changes from %d", got.ConfigRevision, start)
		}
		if woken != 3 {
			t.Errorf("the agent was woken %d times, want 3", woken)
		}
	})
}

func TestRollupsOfSchedulesAreWhatCountingGives(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		one, two := addHost(t, s, "web-1"), addHost(t, s, "web-2")
		a, b := addRepository(t, s, "a"), addRepository(t, s, "b")
		check := func(step string, wantHost [3]int, wantA, wantB [2]int) {
			t.Helper()
			h := readHost(t, s, one.ID)
			if got := [3]int{h.Schedules, h.EnabledSchedules, h.TimedSchedules}; got != wantHost {
				t.Errorf("%s: the host counts %v, want %v", step, got, wantHost)
			}
			for r, want := range map[fleet.RepositoryID][2]int{a.ID: wantA, b.ID: wantB} {
				got, err := s.Repository(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if counts := [2]int{got.Schedules, got.Hosts}; counts != want {
					t.Errorf("%s: repository %s counts %v, want %v", step, got.Name, counts, want)
				}
			}
		}
		first := addSchedule(t, s, one, a, "first")
		second := addSchedule(t, s, one, a, "second")
		addSchedule(t, s, two, a, "first")
		check("three created", [3]int{2, 2, 0}, [2]int{3, 2}, [2]int{0, 0})

		first.Manual, first.Cron, first.RepositoryID = false, "0 3 * * *", b.ID
		second.Enabled = false
		write(t, s, func(tx *store.Tx) error {
			if err := tx.ReplaceSchedule(t.Context(), first); err != nil {
				return err
			}
			return tx.ReplaceSchedule(t.Context(), second)
		})
		check("one moved, one disabled", [3]int{2, 1, 1}, [2]int{2, 2}, [2]int{1, 1})

		write(t, s, func(tx *store.Tx) error { return tx.DeleteSchedule(t.Context(), one.ID, first.ID) })
		check("one deleted", [3]int{1, 0, 0}, [2]int{2, 2}, [2]int{0, 0})

		if err := s.VerifyRollups(t.Context()); err != nil {
			t.Error(err)
		}
		write(t, s, func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE hosts SET snapshots = 7 WHERE id = ?`, two.ID)
			return err
		})
		if err := s.VerifyRollups(t.Context()); err == nil || !strings.Contains(err.Error(), string(two.ID)) {
			t.Errorf("a wrong number was not found: %v", err)
		}
	})
}

func TestASchedulesMistakesHaveTheirCodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h, other, r := addHost(t, s, "web-1"), addHost(t, s, "web-2"), addRepository(t, s, "main")
		sch := addSchedule(t, s, h, r, "etc")
		addSchedule(t, s, other, r, "etc") // the name is another host's
		create := func(c fleet.Schedule) error {
			c.ID = fleet.NewID[fleet.ScheduleID]()
			return s.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateSchedule(t.Context(), &c) })
		}
		wantCode(t, create(fleet.Schedule{HostID: h.ID, RepositoryID: r.ID, Name: "etc"}), fleet.NameTaken)
		wantCode(t, create(fleet.Schedule{HostID: "nobody", RepositoryID: r.ID, Name: "x"}), fleet.NotFound)
		wantCode(t, create(fleet.Schedule{HostID: h.ID, RepositoryID: "nothing", Name: "x"}), fleet.NotFound)

		stale := *sch
		write(t, s, func(tx *store.Tx) error { return tx.ReplaceSchedule(t.Context(), sch) })
		err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.ReplaceSchedule(t.Context(), &stale) })
		wantCode(t, err, fleet.VersionConflict)
		_, err = s.Schedule(t.Context(), other.ID, sch.ID)
		wantCode(t, err, fleet.NotFound)
		err = s.Write(t.Context(), func(tx *store.Tx) error { return tx.DeleteSchedule(t.Context(), other.ID, sch.ID) })
		wantCode(t, err, fleet.NotFound)
	})
}
