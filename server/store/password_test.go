package store_test

import (
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

// TestAnExchangeOfPasswordsIsWholeAndNamesWhoHasNotFetched.
func TestAnExchangeOfPasswordsIsWholeAndNamesWhoHasNotFetched(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r, elsewhere := addRepository(t, s, "main"), addRepository(t, s, "elsewhere")
		one, two, fresh, other := addHost(t, s, "web-1"), addHost(t, s, "web-2"), addHost(t, s, "fresh"), addHost(t, s, "other")
		for _, h := range []*fleet.Host{one, two, fresh} {
			addSchedule(t, s, h, r, "etc")
		}
		addSchedule(t, s, other, elsewhere, "etc")
		for _, h := range []*fleet.Host{one, two, other} {
			addToken(t, s, h, h.Name)
			if _, _, err := enrol(t, s, h.Name, "of "+h.Name, "s"); err != nil {
				t.Fatal(err)
			}
		}
		own := &fleet.Credential{ID: fleet.NewID[fleet.CredentialID](), RepositoryID: r.ID, Slot: fleet.PasswordSlot, Sealed: "own", Version: 1}
		second := &fleet.Credential{ID: fleet.NewID[fleet.CredentialID](), RepositoryID: r.ID, Slot: fleet.SecondPasswordSlot, Sealed: "second", Version: 1}
		write(t, s, func(tx *store.Tx) error {
			if err := tx.PutCredential(t.Context(), own); err != nil {
				return err
			}
			return tx.PutCredential(t.Context(), second)
		})
		revision := readHost(t, s, one.ID).ConfigRevision
		own.Sealed, own.Version = "second 2", 2
		second.Sealed, second.Version, second.KeyID, second.Former = "own 2", 2, "former key", 1
		write(t, s, func(tx *store.Tx) error {
			return tx.ExchangePasswords(t.Context(), r.ID, "second key", own, second)
		})
		got, err := s.Repository(t.Context(), r.ID)
		if err != nil || got.KeyID != "second key" || got.SheetSaved {
			t.Errorf("the repository is %+v, %v", got, err)
		}
		if kept, err := s.Credential(t.Context(), r.ID, "", fleet.SecondPasswordSlot); err != nil || kept.Sealed != "own 2" || kept.KeyID != "former key" || kept.Former != 1 {
			t.Errorf("the second is %+v, %v", kept, err)
		}
		if now := readHost(t, s, one.ID).ConfigRevision; now != revision+1 {
			t.Errorf("the configuration of a host went from %d to %d", revision, now)
		}
		waits := func() (names []string) {
			t.Helper()
			list, err := s.PasswordWaits(t.Context(), r.ID, elsewhere.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range list {
				if names = append(names, w.HostName); w.Hosts != len(list) || w.RepositoryID != r.ID {
					t.Errorf("%+v, of %d", w, len(list))
				}
			}
			return names
		}
		if got := waits(); len(got) != 2 || got[0] != "web-1" || got[1] != "web-2" {
			t.Errorf("not fetched have %v", got)
		}
		stale := *own
		stale.Version = 1
		for _, c := range []fleet.Credential{stale, *own} {
			write(t, s, func(tx *store.Tx) error { return tx.FetchedPassword(t.Context(), one.ID, c) })
			if list, err := s.PasswordWaitsOfHost(t.Context(), one.ID); err != nil || len(list) != int(2-c.Version) {
				t.Errorf("after version %d was fetched: %v, %v", c.Version, list, err)
			}
		}
		if got := waits(); len(got) != 1 || got[0] != "web-2" {
			t.Errorf("not fetched have %v", got)
		}
		write(t, s, func(tx *store.Tx) error { return tx.DeleteHost(t.Context(), two.ID) })
		if got := waits(); len(got) != 0 {
			t.Errorf("not fetched have %v, of which none is there", got)
		}
		// A conflict leaves both as they are.
		err = s.Write(t.Context(), func(tx *store.Tx) error {
			again := *own
			again.Version = 3
			return tx.ExchangePasswords(t.Context(), r.ID, "another key", &again, second)
		})
		wantCode(t, err, fleet.VersionConflict)
		if kept, err := s.Credential(t.Context(), r.ID, "", fleet.PasswordSlot); err != nil || kept.Version != 2 {
			t.Errorf("after a conflict the password is %+v, %v", kept, err)
		}
	})
}
