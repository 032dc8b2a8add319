package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestEveryAuditedChangeExtendsOneChain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for i := range 5 {
			err := s.Update(t.Context(), fleet.Audit{Actor: "ada", Action: "test.change", Detail: fmt.Sprint(i)}, func(tx *store.Tx) error {
				tx.Audit.ObjectName = "web-1"
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		n, err := s.VerifyAudit(t.Context())
		if err != nil || n != 5 {
			t.Fatalf("chain of %d entries, %v; want 5 that hold", n, err)
		}
		list, next, err := s.AuditEntries(t.Context(), store.AuditFilter{Actor: "ada"}, store.Page{Size: 3})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 3 || list[0].Seq != 5 || list[0].ObjectName != "web-1" || next == "" {
			t.Fatalf("first page: %+v, next %q", list, next)
		}
	})
}

func TestAnEntryIsWrittenWithItsChangeOrNotAtAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		err := s.Update(t.Context(), fleet.Audit{Action: "test.change"}, func(tx *store.Tx) error { return errOops })
		if !errors.Is(err, errOops) {
			t.Fatal(err)
		}
		if list, _, err := s.AuditEntries(t.Context(), store.AuditFilter{}, store.Page{}); err != nil || len(list) != 0 {
			t.Errorf("%d entries for a change that failed, %v", len(list), err)
		}
	})
}

func TestConcurrentChangesAreNumberedWithoutGaps(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				err := s.Update(t.Context(), fleet.Audit{Action: "test.change"}, func(tx *store.Tx) error {
					if i%4 == 0 {
						return errOops
					}
					return nil
				})
				if err != nil && !errors.Is(err, errOops) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n, err := s.VerifyAudit(t.Context()); err != nil || n != 30 {
			t.Errorf("chain of %d entries, %v; want 30 that hold", n, err)
		}
	})
}

func TestAnAlteredAuditLogIsNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		statement string
		firstBad  int64
	}{
		"an entry is changed":              {`UPDATE audit SET detail = 'nothing happened' WHERE seq = 3`, 3},
		"an actor is changed":              {`UPDATE audit SET actor = 'eve' WHERE seq = 1`, 1},
		"an entry is removed":              {`DELETE FROM audit WHERE seq = 4`, 4},
		"the first is removed":             {`DELETE FROM audit WHERE seq = 1`, 1},
		"the last is removed":              {`DELETE FROM audit WHERE seq = 5`, 5},
		"everything is removed":            {`DELETE FROM audit`, 1},
		"a hash is made to fit its change": {`UPDATE audit SET prev_hash = 'x' WHERE seq = 2`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := storetest.New(t)
			for i := range 5 {
				err := s.Update(t.Context(), fleet.Audit{Actor: "ada", Action: "test.change", Detail: fmt.Sprint(i)}, func(*store.Tx) error { return nil })
				if err != nil {
					t.Fatal(err)
				}
			}
			write(t, s, func(tx *store.Tx) error { _, err := tx.Exec(t.Context(), c.statement); return err })
			holds, err := s.VerifyAudit(t.Context())
			if err == nil || holds != c.firstBad-1 {
				t.Errorf("%d entries hold, %v; want %d and an error", holds, err, c.firstBad-1)
			}
		})
	}
}

func TestAuditEntriesAreFilteredAndPaged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for i := range 9 {
			a := fleet.Audit{Actor: []string{"ada", "bob", "cy"}[i%3], Action: "host.create", ObjectID: fmt.Sprint(i % 2)}
			if err := s.Update(t.Context(), a, func(*store.Tx) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		var got []int64
		p := store.Page{Size: 1}
		for {
			list, next, err := s.AuditEntries(t.Context(), store.AuditFilter{Actor: "ada", Action: "host.create", ObjectID: "0"}, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				got = append(got, e.Seq)
			}
			if p.Token = next; next == "" {
				break
			}
		}
		if diff := cmp.Diff([]int64{7, 1}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAFilterOfTheAuditLogHasOneText(t *testing.T) {
	f := store.AuditFilter{Actor: "a", Action: "b", ObjectID: "c"}
	first := f.Where()
	for range 100 {
		if again := f.Where(); again != first {
			t.Fatalf("%q, then %q: each would be prepared by itself", first, again)
		}
	}
}
