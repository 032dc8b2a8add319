package store_test

import (
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func TestAConditionKeepsSinceWhenItHolds(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web-1")
		condition := fleet.Condition{ObjectType: store.ObjectHost, ObjectID: string(h.ID), Code: "spool_full", Severity: fleet.Warn, Message: "half"}
		told := 0
		s.OnCommit(func(e store.Effects) { told += len(e.Changes) })
		raise := func() (raised bool) {
			write(t, s, func(tx *store.Tx) (err error) { raised, err = tx.RaiseCondition(t.Context(), condition); return err })
			return raised
		}
		since := fleet.At(c.now())
		if !raise() {
			t.Error("the first was not new")
		}
		c.advance(time.Minute)
		if raise() || told != 1 {
			t.Errorf("raising it again told %d times", told)
		}
		condition.Severity, condition.Message = fleet.Critical, "full"
		if raise() || told != 2 {
			t.Errorf("raising it worse told %d times in all, want 2", told)
		}
		list, err := s.Conditions(t.Context(), store.ObjectHost, string(h.ID), "another")
		if err != nil || len(list) != 1 || list[0].Since != since || list[0].Message != "full" || list[0].Severity != fleet.Critical {
			t.Errorf("%+v, %v", list, err)
		}
		clearIt := func() (gone *fleet.Condition) {
			write(t, s, func(tx *store.Tx) (err error) {
				gone, err = tx.ClearCondition(t.Context(), store.ObjectHost, string(h.ID), "spool_full")
				return err
			})
			return gone
		}
		if gone := clearIt(); gone == nil || gone.Since != since {
			t.Errorf("cleared %+v", gone)
		}
		if gone := clearIt(); gone != nil {
			t.Errorf("cleared %+v a second time", gone)
		}
		if !raise() {
			t.Error("raised after it was cleared it shall be new")
		}
	})
}
