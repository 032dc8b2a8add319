package alert_test

import (
	"strings"
	"testing"
	"time"

	"restic-manager/server/alert"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// repository adds a usable repository that a host backs up to.
func (w *world) repository(name string, h *fleet.Host) *fleet.Repository {
	w.Helper()
	r := &fleet.Repository{ID: fleet.NewID[fleet.RepositoryID](), Name: name, Location: "rest:https://nas.test/" + name + "/", State: fleet.RepositoryReady}
	w.must(r.SetPlan(fleet.MaintenancePlan{Check: "0 6 * * *"}, fleet.At(w.now())))
	w.write(func(tx *store.Tx) error {
		if err := tx.CreateRepository(w.Context(), r); err != nil {
			return err
		}
		return tx.CreateSchedule(w.Context(), &fleet.Schedule{
			ID: fleet.NewID[fleet.ScheduleID](), HostID: h.ID, RepositoryID: r.ID, Name: "daily", Paths: fleet.NewList([]string{"/etc"}), Manual: true, Enabled: true,
		})
	})
	return r
}

func (w *world) sick(r *fleet.Repository, health fleet.RepositoryHealth) {
	w.Helper()
	doc, err := fleet.NewDoc(health)
	w.must(err)
	w.write(func(tx *store.Tx) error { return tx.SaveHealth(w.Context(), r.ID, doc) })
}

// TestTheHealthOfRepositoriesRaisesAndResolvesAlerts goes through every condition that a
// repository's maintenance brings.
func TestTheHealthOfRepositoriesRaisesAndResolvesAlerts(t *testing.T) {
	each(t, func(w *world) {
		r := w.repository("nas", w.host("web-1"))
		for _, c := range []struct {
			code     string
			severity fleet.Severity
		}{
			{alert.CheckFailed, fleet.Critical}, {alert.PruneBlocked, fleet.Warn}, {alert.ForeignObjects, fleet.Warn},
			{alert.SuspectSnapshots, fleet.Warn}, {alert.KeysChanged, fleet.Warn}, {alert.MaintenanceNotAllowed, fleet.Warn},
			{alert.MaintenanceFolder, fleet.Warn}, {alert.MaintenanceFolderGone, fleet.Critical},
		} {
			w.write(func(tx *store.Tx) error {
				_, err := tx.RaiseCondition(t.Context(), fleet.Condition{
					ObjectType: store.ObjectRepository, ObjectID: string(r.ID), Code: c.code, Severity: c.severity, Message: "It is so.", NextStep: "Mend it.",
				})
				return err
			})
			w.round(3)
			w.want(c.code, w.open(), c.code+"/"+string(c.severity)+"/raised")
			w.write(func(tx *store.Tx) error {
				_, err := tx.ClearCondition(t.Context(), store.ObjectRepository, string(r.ID), c.code)
				return err
			})
			w.round(3)
			w.want(c.code+" is over", w.open(), "")
			w.pass(2 * time.Hour) // apart, so that the repository does not seem to flap
		}
	})
}

func TestARepositoryThatIsNotCheckedOrNearlyFullRaisesAnAlert(t *testing.T) {
	each(t, func(w *world) {
		r := w.repository("nas", w.host("web-1"))
		w.round(2)
		w.want("a new one", w.open(), "")
		w.pass(36 * 24 * time.Hour)
		w.round(3)
		w.want("never checked", w.open(), "check_overdue/warning/raised")
		now := fleet.At(w.now())
		w.sick(r, fleet.RepositoryHealth{LastGoodCheck: now, MeasuredAt: now, StoredBytes: 100, GrowthPerDay: 10, FreeBytes: 50, TotalBytes: 1000})
		w.round(3)
		w.want("checked, and nearly full", w.open(), "repository_nearly_full/warning/raised")
		full := w.list(store.AlertFilter{Open: true})
		if len(full) != 1 || !strings.Contains(full[0].Message, "5 % of its storage are free") || !strings.Contains(full[0].Message, "full on 2026-04-12") {
			w.Errorf("it says %q", full[0].Message)
		}
		w.sick(r, fleet.RepositoryHealth{LastGoodCheck: now, MeasuredAt: now, StoredBytes: 100, FreeBytes: 500, TotalBytes: 1000})
		w.round(3)
		w.want("roomy", w.open(), "")
	})
}
