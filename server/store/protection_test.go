package store_test

import (
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func addTimed(t *testing.T, s *store.Store, h *fleet.Host, name, cron string) *fleet.Schedule {
	t.Helper()
	sch := &fleet.Schedule{ID: fleet.NewID[fleet.ScheduleID](), HostID: h.ID, RepositoryID: addRepository(t, s, name).ID, Name: name,
		Paths: fleet.NewList([]string{"/etc"}), Cron: cron, Zone: "UTC", Enabled: true}
	write(t, s, func(tx *store.Tx) error { return tx.CreateSchedule(t.Context(), sch) })
	return sch
}

// foretold brings every host up to date that time has passed over.
func foretold(t *testing.T, s *store.Store) int {
	t.Helper()
	hosts, err := s.HostsToJudge(t.Context(), fleet.At(s.Now()), false, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range hosts {
		write(t, s, func(tx *store.Tx) error { return tx.Foretell(t.Context(), id) })
	}
	return len(hosts)
}

func TestTheNextSlotsOfTheFleetAreForetold(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		web, db := addHost(t, s, "web"), addHost(t, s, "db")
		nightly, hourly := addTimed(t, s, web, "nightly", "0 2 * * *"), addTimed(t, s, db, "hourly", "0 * * * *")
		out := addHost(t, s, "out of service")
		addTimed(t, s, out, "never", "* * * * *")
		write(t, s, func(tx *store.Tx) error { h := *out; h.Disabled = true; return tx.UpdateHost(t.Context(), &h) })
		for range 3 {
			foretold(t, s)
			if n := foretold(t, s); n != 0 {
				t.Errorf("%d hosts are to be judged again at once", n)
			}
			o, err := s.Overview(t.Context())
			if err != nil || len(o.DueNext) != 2 || o.NextBreach == nil {
				t.Fatalf("overview %+v, %v", o, err)
			}
			if due := o.DueNext[0]; due.ScheduleID != hourly.ID || due.HostName != "db" || due.At.Time() != c.now().UTC().Truncate(time.Hour).Add(time.Hour) {
				t.Errorf("next is %+v", due)
			}
			if due := o.DueNext[1]; due.ScheduleID != nightly.ID {
				t.Errorf("then comes %+v", due)
			}
			c.advance(time.Hour)
		}
		if err := s.VerifyRollups(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// As a database is after the migration that brought these columns.
func TestSchedulesOfBeforeTheRollupsAreTakenIn(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web")
		sch := addTimed(t, s, h, "nightly", "0 2 * * *")
		write(t, s, func(tx *store.Tx) error {
			for _, statement := range []string{
				`UPDATE schedules SET timing_since = 0, timing_version = 0, checked_until = 0, unchecked = 0, overdue_at = 0, next_slot = 0, breach_at = 0`,
				`UPDATE hosts SET protection = 'not_scheduled', protection_since = 0, breach_at = 0, next_slot = 0, unchecked = 0, enrolled_at = 1`,
			} {
				if _, err := tx.Exec(t.Context(), statement); err != nil {
					return err
				}
			}
			return nil
		})
		if err := s.VerifyRollups(t.Context()); err != nil {
			t.Errorf("before anybody looked: %v", err)
		}
		if n := foretold(t, s); n != 1 {
			t.Errorf("%d hosts were taken in", n)
		}
		got, err := s.Schedule(t.Context(), h.ID, sch.ID)
		if err != nil || got.CheckedUntil != fleet.At(c.now()) || got.NextSlot.IsZero() || got.BreachAt.IsZero() || got.TimingVersion != got.Version {
			t.Errorf("got %+v, %v", got, err)
		}
		if host := readHost(t, s, h.ID); host.Protection != fleet.NeverBacked || host.NextSlot != got.NextSlot {
			t.Errorf("got %+v", host)
		}
		if err := s.VerifyRollups(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWrongNumbersOfProtectionAreFound(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, _ *clock) {
		h := addHost(t, s, "web")
		addTimed(t, s, h, "nightly", "0 2 * * *")
		for name, statement := range map[string]string{
			"host " + string(h.ID): `UPDATE hosts SET protection = 'protected'`,
			"schedule ":            `UPDATE schedules SET missed = 3`,
			" of host ":            `INSERT INTO host_days (host_id, day, succeeded) SELECT id, 20000, 1 FROM hosts`,
		} {
			if err := s.VerifyRollups(t.Context()); err != nil {
				t.Fatalf("before: %v", err)
			}
			write(t, s, func(tx *store.Tx) error { _, err := tx.Exec(t.Context(), statement); return err })
			if err := s.VerifyRollups(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: got %v", statement, err)
			}
			write(t, s, func(tx *store.Tx) error {
				for _, mend := range []string{`UPDATE hosts SET protection = 'never'`, `UPDATE schedules SET missed = 0`, `DELETE FROM host_days`} {
					if _, err := tx.Exec(t.Context(), mend); err != nil {
						return err
					}
				}
				return nil
			})
		}
		hosts, schedules, err := s.Protected(t.Context(), "", 10)
		if err != nil || len(hosts) != 1 || len(schedules[h.ID]) != 1 {
			t.Errorf("the facts of the fleet: %v, %v, %v", hosts, schedules, err)
		}
	})
}
