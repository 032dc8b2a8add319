package store_test

import (
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
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

func TestListsGiveOnlyWhatNeedsAttention(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		host := func(name string) fleet.HostID {
			h := &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: name}
			write(t, s, func(tx *store.Tx) error { return tx.CreateHost(t.Context(), h) })
			return h.ID
		}
		repository := func(name string, saved bool) fleet.RepositoryID {
			r := &fleet.Repository{ID: fleet.NewID[fleet.RepositoryID](), Name: name, Location: "rest:http://" + name, SheetSaved: saved}
			write(t, s, func(tx *store.Tx) error { return tx.CreateRepository(t.Context(), r) })
			return r.ID
		}
		host("calm")
		repository("calm", true)
		repository("unsaved", false)
		for kind, id := range map[string]string{store.ObjectHost: string(host("locked")), store.ObjectRepository: string(repository("broken", true))} {
			write(t, s, func(tx *store.Tx) error {
				_, err := tx.RaiseCondition(t.Context(), fleet.Condition{ObjectType: kind, ObjectID: id, Code: "x", Severity: fleet.Warn})
				return err
			})
		}
		hosts, _, err := s.Hosts(t.Context(), store.HostFilter{Attention: true}, store.Page{})
		if err != nil || len(hosts) != 1 || hosts[0].Name != "locked" {
			t.Errorf("the hosts are %v, %v", hosts, err)
		}
		repositories, _, err := s.Repositories(t.Context(), store.RepositoryFilter{Attention: true}, store.Page{})
		if err != nil || len(repositories) != 2 || repositories[0].Name != "broken" || repositories[1].Name != "unsaved" {
			t.Errorf("the repositories are %v, %v", repositories, err)
		}
	})
}
