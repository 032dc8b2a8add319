package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestARepositoryIsInitialisedByOneOfManyJobs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := addRepository(t, s, "main")
		var winner atomic.Value
		var won atomic.Int64
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				job := fleet.JobID(fmt.Sprint("job-", i))
				writeBeside(t, s, func(tx *store.Tx) error {
					ok, err := tx.ClaimInit(t.Context(), r.ID, job)
					if ok {
						won.Add(1)
						winner.Store(job)
					}
					return err
				})
			})
		}
		all.Wait()
		got, err := s.Repository(t.Context(), r.ID)
		if err != nil || won.Load() != 1 || got.State != fleet.RepositoryInitialising || got.InitJob != winner.Load() {
			t.Errorf("%d jobs claimed it, %+v, %v", won.Load(), got, err)
		}
	})
}

func TestOnlyTheJobThatClaimedItFinishesAnInit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h, r := addHost(t, s, "web-1"), addRepository(t, s, "main")
		addSchedule(t, s, h, r, "etc")
		before := readHost(t, s, h.ID)
		step := func(fn func(tx *store.Tx) (bool, error)) (ok bool) {
			t.Helper()
			write(t, s, func(tx *store.Tx) (err error) { ok, err = fn(tx); return err })
			return ok
		}
		finish := func(job fleet.JobID, state fleet.RepositoryState) bool {
			return step(func(tx *store.Tx) (bool, error) { return tx.FinishInit(t.Context(), r.ID, job, state, "rid", "kid") })
		}
		claim := func(job fleet.JobID) bool {
			return step(func(tx *store.Tx) (bool, error) { return tx.ClaimInit(t.Context(), r.ID, job) })
		}
		retry := func() bool {
			return step(func(tx *store.Tx) (bool, error) { return tx.RetryInit(t.Context(), r.ID) })
		}
		if finish("j1", fleet.RepositoryReady) {
			t.Error("an init that nobody claimed was finished")
		}
		if !claim("j1") || finish("j2", fleet.RepositoryReady) || retry() {
			t.Error("only j1 may go on")
		}
		if !finish("j1", fleet.RepositoryFailed) || finish("j1", fleet.RepositoryReady) || claim("j3") {
			t.Error("a failed init is finished once, and stays until a person retries")
		}
		if !retry() || !claim("j3") || !finish("j3", fleet.RepositoryReady) || retry() || claim("j4") {
			t.Error("after a retry another job may do it, and then none")
		}
		got, err := s.Repository(t.Context(), r.ID)
		if err != nil || got.State != fleet.RepositoryReady || got.ResticID != "rid" || got.KeyID != "kid" {
			t.Errorf("%+v, %v", got, err)
		}
		if after := readHost(t, s, h.ID); after.ConfigRevision == before.ConfigRevision {
			t.Error("the host's configuration does not tell that the repository is ready")
		}
	})
}

func TestARepositoryInUseIsNotDeleted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h, r := addHost(t, s, "web-1"), addRepository(t, s, "main")
		sch := addSchedule(t, s, h, r, "etc")
		remove := func() error {
			return s.Write(t.Context(), func(tx *store.Tx) error { return tx.DeleteRepository(t.Context(), r.ID) })
		}
		wantCode(t, remove(), fleet.RepositoryInUse)
		write(t, s, func(tx *store.Tx) error { return tx.DeleteSchedule(t.Context(), h.ID, sch.ID) })
		if err := remove(); err != nil {
			t.Error(err)
		}
		wantCode(t, remove(), fleet.NotFound)
	})
}

func TestAHostUsesItsOwnCredentialBeforeTheCommonOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		one, two := addHost(t, s, "web-1"), addHost(t, s, "web-2")
		r, elsewhere := addRepository(t, s, "main"), addRepository(t, s, "elsewhere")
		addSchedule(t, s, one, r, "etc")
		addSchedule(t, s, two, r, "etc")
		put := func(repository fleet.RepositoryID, host fleet.HostID, slot fleet.Slot, name string) {
			write(t, s, func(tx *store.Tx) error {
				return tx.PutCredential(t.Context(), &fleet.Credential{ID: fleet.NewID[fleet.CredentialID](), RepositoryID: repository,
					HostID: host, Slot: slot, Username: name, Version: 1})
			})
		}
		put(r.ID, "", fleet.PasswordSlot, "common password")
		put(r.ID, "", fleet.AppendSlot, "common")
		put(r.ID, one.ID, fleet.AppendSlot, "own")
		put(elsewhere.ID, "", fleet.AppendSlot, "not theirs")
		for host, want := range map[fleet.HostID]string{one.ID: "own", two.ID: "common"} {
			for name, read := range map[string]func() ([]fleet.Credential, error){
				"of the host": func() ([]fleet.Credential, error) { return s.CredentialsOfHost(t.Context(), host) },
				"for the two": func() ([]fleet.Credential, error) { return s.CredentialsFor(t.Context(), host, r.ID) },
			} {
				list, err := read()
				if err != nil || len(list) != 2 || list[0].Slot != fleet.AppendSlot || list[0].Username != want || list[1].Slot != fleet.PasswordSlot {
					t.Errorf("%s: %+v, %v; want %q and the password", name, list, err, want)
				}
			}
		}
	})
}

func TestACredentialIsReplacedVersionByVersion(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h, r := addHost(t, s, "web-1"), addRepository(t, s, "main")
		addSchedule(t, s, h, r, "etc")
		c := &fleet.Credential{ID: fleet.NewID[fleet.CredentialID](), RepositoryID: r.ID, Slot: fleet.AppendSlot, Sealed: "one", Version: 1}
		put := func(c fleet.Credential) error {
			return s.Write(t.Context(), func(tx *store.Tx) error { return tx.PutCredential(t.Context(), &c) })
		}
		if err := put(*c); err != nil {
			t.Fatal(err)
		}
		before := readHost(t, s, h.ID)
		again := *c
		again.ID = fleet.NewID[fleet.CredentialID]()
		wantCode(t, put(again), fleet.VersionConflict)
		c.Version, c.Sealed = 3, "three"
		wantCode(t, put(*c), fleet.VersionConflict)
		c.Version, c.Sealed = 2, "two"
		if err := put(*c); err != nil {
			t.Error(err)
		}
		got, err := s.Credential(t.Context(), r.ID, "", fleet.AppendSlot)
		if err != nil || got.Sealed != "two" || got.Version != 2 {
			t.Errorf("%+v, %v", got, err)
		}
		if after := readHost(t, s, h.ID); after.ConfigRevision != before.ConfigRevision+1 {
			t.Errorf("the host's configuration went from %d to %d", before.ConfigRevision, after.ConfigRevision)
		}
		missing := *c
		missing.ID, missing.RepositoryID, missing.Version = fleet.NewID[fleet.CredentialID](), "nothing", 1
		wantCode(t, put(missing), fleet.NotFound)
	})
}

func TestARepositoryIsEditedListedAndFoundByItsHosts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h, r := addHost(t, s, "web-1"), addRepository(t, s, "main")
		addRepository(t, s, "other")
		addSchedule(t, s, h, r, "etc")
		r, err := s.Repository(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		revision := readHost(t, s, h.ID).ConfigRevision
		r.Name, r.SheetSaved, r.AllowDeletingCredential = "renamed", true, true
		write(t, s, func(tx *store.Tx) error { return tx.UpdateRepository(t.Context(), r) })
		got, err := s.Repository(t.Context(), r.ID)
		if diff := cmp.Diff(r, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
		if now := readHost(t, s, h.ID).ConfigRevision; now != revision+1 {
			t.Errorf("the host's configuration went from revision %d to %d, though it holds what was edited", revision, now)
		}
		r.Name = "other"
		err = s.Write(t.Context(), func(tx *store.Tx) error { return tx.UpdateRepository(t.Context(), r) })
		wantCode(t, err, fleet.NameTaken)

		for range 2 {
			write(t, s, func(tx *store.Tx) error { return tx.SetCanDelete(t.Context(), r.ID, "no") })
		}
		list, next, err := s.Repositories(t.Context(), store.RepositoryFilter{}, store.Page{Size: 1})
		if err != nil || len(list) != 1 || list[0].Name != "other" || next == "" {
			t.Fatalf("%+v, %q, %v", list, next, err)
		}
		list, next, err = s.Repositories(t.Context(), store.RepositoryFilter{}, store.Page{Size: 1, Token: next})
		if err != nil || len(list) != 1 || list[0].Name != "renamed" || list[0].CanDelete != "no" || list[0].Version != got.Version+1 || next != "" {
			t.Errorf("%+v, %q, %v", list, next, err)
		}
		if of, err := s.RepositoriesOfHost(t.Context(), h.ID); err != nil || len(of) != 1 || of[0].ID != r.ID {
			t.Errorf("of the host: %+v, %v", of, err)
		}
		if of, err := s.HostsOfRepository(t.Context(), r.ID); err != nil || len(of) != 1 || of[0].ID != h.ID {
			t.Errorf("of the repository: %+v, %v", of, err)
		}
		if of, err := s.SchedulesOfRepository(t.Context(), r.ID); err != nil || len(of) != 1 {
			t.Errorf("schedules: %+v, %v", of, err)
		}
	})
}
