package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func addUser(t *testing.T, s *store.Store, name string, role fleet.Role) *fleet.User {
	t.Helper()
	u := &fleet.User{ID: fleet.NewID[fleet.UserID](), Name: name, Role: role, PasswordHash: "$argon2id$x"}
	write(t, s, func(tx *store.Tx) error { return tx.CreateUser(t.Context(), u) })
	return u
}

func TestTheSetUpMakesOneAccountAndIsNeverReopened(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var made, refused atomic.Int64
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				u := &fleet.User{ID: fleet.NewID[fleet.UserID](), Name: fmt.Sprint("admin-", i), Role: fleet.Admin}
				switch err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateFirstUser(t.Context(), u) }); {
				case err == nil:
					made.Add(1)
				case fleet.Is(err, fleet.SetupDone):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if made.Load() != 1 || refused.Load() != 19 {
			t.Errorf("%d accounts made and %d refused", made.Load(), refused.Load())
		}
		write(t, s, func(tx *store.Tx) error { _, err := tx.Exec(t.Context(), `DELETE FROM users`); return err })
		if done, err := s.SetUp(t.Context()); err != nil || !done {
			t.Errorf("set up without accounts: %v, %v; it shall stay done", done, err)
		}
	})
}

func TestUsersAreReadListedAndEdited(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ada, bob := addUser(t, s, "ada", fleet.Admin), addUser(t, s, "bob", fleet.Viewer)
		got, err := s.UserByName(t.Context(), "ada")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ada, got); diff != "" {
			t.Error(diff)
		}
		_, err = s.UserByName(t.Context(), "nobody")
		wantCode(t, err, fleet.NotFound)
		bob.Role = fleet.Operator
		write(t, s, func(tx *store.Tx) error { return tx.UpdateUser(t.Context(), bob, true) })
		write(t, s, func(tx *store.Tx) error { return tx.SignedIn(t.Context(), bob.ID) })
		got, err = s.User(t.Context(), bob.ID)
		if err != nil || got.Role != fleet.Operator || got.Generation != 1 || got.LastSignIn.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
		bob.Name = "ada"
		err = s.Write(t.Context(), func(tx *store.Tx) error { return tx.UpdateUser(t.Context(), bob, false) })
		wantCode(t, err, fleet.NameTaken)
		list, next, err := s.Users(t.Context(), store.Page{Size: 1})
		if err != nil || len(list) != 1 || list[0].Name != "ada" {
			t.Fatalf("%+v, %v", list, err)
		}
		list, next, err = s.Users(t.Context(), store.Page{Size: 1, Token: next})
		if err != nil || len(list) != 1 || list[0].Name != "bob" || next != "" {
			t.Errorf("%+v, %q, %v", list, next, err)
		}
	})
}

func TestTheLastAdminWhoCanSignInStays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ada := addUser(t, s, "ada", fleet.Admin)
		out := addUser(t, s, "out", fleet.Admin)
		out.Disabled = true
		write(t, s, func(tx *store.Tx) error { return tx.UpdateUser(t.Context(), out, true) })
		for name, change := range map[string]func(tx *store.Tx) error{
			"demoted": func(tx *store.Tx) error {
				u := *ada
				u.Role = fleet.Viewer
				return tx.UpdateUser(t.Context(), &u, true)
			},
			"disabled": func(tx *store.Tx) error { u := *ada; u.Disabled = true; return tx.UpdateUser(t.Context(), &u, true) },
			"deleted":  func(tx *store.Tx) error { return tx.DeleteUser(t.Context(), ada.ID) },
		} {
			if err := s.Write(t.Context(), change); !fleet.Is(err, fleet.LastAdmin) {
				t.Errorf("the last admin was %s: %v", name, err)
			}
		}
		write(t, s, func(tx *store.Tx) error { return tx.DeleteUser(t.Context(), out.ID) })
	})
}

func TestTwoAdminsCannotRemoveEachOther(t *testing.T) {
	s := storetest.Open(t, storetest.PostgreSQL(t), store.Options{})
	ada, bob := addUser(t, s, "ada", fleet.Admin), addUser(t, s, "bob", fleet.Admin)
	begun, second := make(chan struct{}), make(chan error, 1)
	go func() {
		<-begun
		second <- s.Write(t.Context(), func(tx *store.Tx) error { return tx.DeleteUser(t.Context(), ada.ID) })
	}()
	write(t, s, func(tx *store.Tx) error {
		if err := tx.DeleteUser(t.Context(), bob.ID); err != nil {
			return err
		}
		close(begun)
		// The second is to decide while the first is not committed, or to wait for it.
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && len(second) == 0; {
			var waiting int
			err := s.Scalar(t.Context(), &waiting, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
			if err != nil || waiting > 0 {
				return err
			}
		}
		return nil
	})
	wantCode(t, <-second, fleet.LastAdmin)
}
