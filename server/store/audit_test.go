package store_test

import (
	"fmt"
	"testing"

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
