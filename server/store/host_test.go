package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestAHostIsReadAsItWasCreated(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		want := &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: "Ärger & <co>", Tags: fleet.NewList([]string{"a", "b"}),
			Profile: fleet.Trusting, Prefixes: fleet.NewList([]string{"rest:https://nas.test/"})}
		write(t, s, func(tx *store.Tx) error { return tx.CreateHost(t.Context(), want) })
		if diff := cmp.Diff(want, readHost(t, s, want.ID)); diff != "" {
			t.Error(diff)
		}
		_, err := s.Host(t.Context(), "nobody")
		wantCode(t, err, fleet.NotFound)
	})
}

func TestANameIsGivenOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		addHost(t, s, "web-1")
		other := addHost(t, s, "web-2")
		err := s.Write(t.Context(), func(tx *store.Tx) error {
			return tx.CreateHost(t.Context(), &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: "web-1"})
		})
		wantCode(t, err, fleet.NameTaken)
		other.Name = "web-1"
		err = s.Write(t.Context(), func(tx *store.Tx) error { return tx.UpdateHost(t.Context(), other) })
		wantCode(t, err, fleet.NameTaken)
	})
}

// A host's version is raised by each report of its agent: a person who edits it
// competes with other people alone, and the lock lets those come one by one.
func TestAnAgentsReportDoesNotRefuseAnEdit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := addHost(t, s, "web-1")
		write(t, s, func(tx *store.Tx) error { return tx.CountActiveJob(t.Context(), h.ID, 1) })
		h.Name = "mine"
		write(t, s, func(tx *store.Tx) error { return tx.UpdateHost(t.Context(), h) })
		if got := readHost(t, s, h.ID); got.Name != "mine" || got.ActiveJobs != 1 || got.Version != 3 || h.Version != 3 {
			t.Errorf("the host is %q with %d jobs at version %d, told was %d", got.Name, got.ActiveJobs, got.Version, h.Version)
		}
		err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.UpdateHost(t.Context(), &fleet.Host{ID: "nobody"}) })
		wantCode(t, err, fleet.NotFound)

		r := addRepository(t, s, "main")
		write(t, s, func(tx *store.Tx) error { return tx.SetCanDelete(t.Context(), r.ID, "yes") })
		r.Name = "mine too"
		write(t, s, func(tx *store.Tx) error { return tx.UpdateRepository(t.Context(), r) })
		if got, err := s.Repository(t.Context(), r.ID); err != nil || got.Name != "mine too" || got.CanDelete != "yes" || got.Version != 3 {
			t.Errorf("the repository is %+v, %v", got, err)
		}
		err = s.Write(t.Context(), func(tx *store.Tx) error { return tx.UpdateRepository(t.Context(), &fleet.Repository{ID: "nobody"}) })
		wantCode(t, err, fleet.NotFound)
	})
}

func TestHostsAreFilteredByNameTagPresenceAndProtection(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		now := fleet.At(c.now())
		for name, h := range map[string]fleet.Host{
			"web-1":    {Tags: fleet.NewList([]string{"web", "prod"}), EnrolledAt: now, ContactDeadline: now.Add(time.Minute)},
			"WEB-2":    {Tags: fleet.NewList([]string{"web-old"}), EnrolledAt: now, ContactDeadline: now.Add(-time.Minute)},
			"db_1":     {Tags: fleet.NewList([]string{`we"b`}), EnrolledAt: now, ContactDeadline: now},
			"db%1":     {Protection: fleet.Unprotected},
			"disabled": {Disabled: true, Protection: fleet.Unprotected, EnrolledAt: now, ContactDeadline: now.Add(time.Hour)},
		} {
			h.ID, h.Name = fleet.NewID[fleet.HostID](), name
			write(t, s, func(tx *store.Tx) error { return tx.CreateHost(t.Context(), &h) })
		}
		for _, c := range []struct {
			name   string
			filter store.HostFilter
			want   []string
		}{
			{"a part of the name in any case", store.HostFilter{Query: "web-"}, []string{"WEB-2", "web-1"}},
			{"an underscore is no wildcard", store.HostFilter{Query: "b_1"}, []string{"db_1"}},
			{"a percent sign is no wildcard", store.HostFilter{Query: "%"}, []string{"db%1"}},
			{"a whole tag", store.HostFilter{Tag: "web"}, []string{"web-1"}},
			{"a tag in its own case", store.HostFilter{Tag: "Web"}, nil},
			{"a tag with a quote", store.HostFilter{Tag: `we"b`}, []string{"db_1"}},
			{"online to the last moment", store.HostFilter{Presence: fleet.Online}, []string{"db_1", "web-1"}},
			{"offline", store.HostFilter{Presence: fleet.Offline}, []string{"WEB-2"}},
			{"never", store.HostFilter{Presence: fleet.Never}, []string{"db%1"}},
			{"disabled", store.HostFilter{Presence: fleet.Disabled}, []string{"disabled"}},
			{"unprotected and in service", store.HostFilter{Protection: fleet.Unprotected}, []string{"db%1"}},
			{"all of them together", store.HostFilter{Query: "1", Tag: "prod", Presence: fleet.Online}, []string{"web-1"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				hosts, _, err := s.Hosts(t.Context(), c.filter, store.Page{})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for i := range hosts {
					got = append(got, hosts[i].Name)
					if p := c.filter.Presence; p != "" && hosts[i].Presence(s.Now()) != p {
						t.Errorf("%s is %s by its own word", hosts[i].Name, hosts[i].Presence(s.Now()))
					}
				}
				slices.Sort(got)
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	})
}

func TestADeletedHostTakesWhatIsItsOwnAndIsRemembered(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h, other, r := addHost(t, s, "web-1"), addHost(t, s, "web-2"), addRepository(t, s, "main")
		addSchedule(t, s, h, r, "etc")
		addSchedule(t, s, other, r, "etc")
		write(t, s, func(tx *store.Tx) error {
			for _, id := range []fleet.HostID{"", h.ID, other.ID} {
				c := &fleet.Credential{ID: fleet.NewID[fleet.CredentialID](), RepositoryID: r.ID, HostID: id, Slot: fleet.AppendSlot, Version: 1}
				if err := tx.PutCredential(t.Context(), c); err != nil {
					return err
				}
			}
			_, err := tx.RaiseCondition(t.Context(), fleet.Condition{ObjectType: store.ObjectHost, ObjectID: string(h.ID), Code: "x", Severity: fleet.Warn})
			return err
		})
		write(t, s, func(tx *store.Tx) error { return tx.DeleteHost(t.Context(), h.ID) })

		if deleted, err := s.HostDeleted(t.Context(), h.ID); err != nil || !deleted {
			t.Errorf("remembered as deleted: %v, %v", deleted, err)
		}
		if credentials, err := s.Credentials(t.Context(), r.ID); err != nil || len(credentials) != 2 {
			t.Errorf("%d credentials are left, %v; want the common one and the other host's", len(credentials), err)
		}
		if conditions, err := s.Conditions(t.Context(), store.ObjectHost, string(h.ID)); err != nil || len(conditions) != 0 {
			t.Errorf("%d conditions are left, %v", len(conditions), err)
		}
		after, err := s.Repository(t.Context(), r.ID)
		if err != nil || after.Hosts != 1 || after.Schedules != 1 {
			t.Errorf("the repository counts %d hosts and %d schedules, %v; want one each", after.Hosts, after.Schedules, err)
		}
		err = s.Write(t.Context(), func(tx *store.Tx) error { return tx.DeleteHost(t.Context(), h.ID) })
		wantCode(t, err, fleet.NotFound)
	})
}

func TestPagesNeitherRepeatNorSkipWhatWasThereWhileOthersAreAdded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		const n = 60
		for i := range n {
			addHost(t, s, fmt.Sprintf("host-%03d", i*10))
		}
		seen := map[string]int{}
		page := store.Page{Size: 7}
		for turn := 0; ; turn++ {
			hosts, next, err := s.Hosts(t.Context(), store.HostFilter{}, page)
			if err != nil {
				t.Fatal(err)
			}
			for i := range hosts {
				seen[hosts[i].Name]++
			}
			if next == "" {
				break
			}
			page.Token = next
			addHost(t, s, fmt.Sprintf("host-%03d", turn*60+5)) // before, within and after what was read
		}
		for i := range n {
			if name := fmt.Sprintf("host-%03d", i*10); seen[name] != 1 {
				t.Errorf("%s was seen %d times, want once", name, seen[name])
			}
		}
		for name, times := range seen {
			if times > 1 {
				t.Errorf("%s was seen %d times", name, times)
			}
		}
	})
}

func TestAPageTokenIsGoodForItsListAlone(t *testing.T) {
	s := storetest.New(t)
	for i := range 3 {
		addHost(t, s, fmt.Sprint("host-", i))
		addRepository(t, s, fmt.Sprint("repository-", i))
	}
	_, token, err := s.Hosts(t.Context(), store.HostFilter{}, store.Page{Size: 1})
	if err != nil || token == "" {
		t.Fatalf("token %q, %v", token, err)
	}
	if _, _, err := s.Hosts(t.Context(), store.HostFilter{}, store.Page{Size: 2, Token: token}); err != nil {
		t.Errorf("another size: %v", err)
	}
	_, _, err = s.Hosts(t.Context(), store.HostFilter{Query: "h"}, store.Page{Token: token})
	wantCode(t, err, fleet.InvalidPageToken)
	_, _, err = s.Repositories(t.Context(), store.RepositoryFilter{}, store.Page{Token: token})
	wantCode(t, err, fleet.InvalidPageToken)
	for _, damaged := range []string{"x", token[1:], token + "A", "e30", "bnVsbA"} {
		_, _, err := s.Hosts(t.Context(), store.HostFilter{}, store.Page{Token: damaged})
		wantCode(t, err, fleet.InvalidPageToken)
	}
}

func TestAPageHasItsLimits(t *testing.T) {
	s := storetest.New(t)
	write(t, s, func(tx *store.Tx) error {
		for i := range store.MaxPageSize + 1 {
			if err := tx.CreateHost(t.Context(), &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: fmt.Sprintf("h%03d", i)}); err != nil {
				return err
			}
		}
		return nil
	})
	for size, want := range map[int]int{-1: store.DefaultPageSize, 0: store.DefaultPageSize, 3: 3, 100_000: store.MaxPageSize} {
		hosts, _, err := s.Hosts(t.Context(), store.HostFilter{}, store.Page{Size: size})
		if err != nil || len(hosts) != want {
			t.Errorf("size %d gave %d hosts, %v; want %d", size, len(hosts), err, want)
		}
	}
}

func TestADeletedHostFreesTheRepositoriesItWasToInitialise(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h := addHost(t, s, "web-1")
		want := map[fleet.RepositoryID]fleet.RepositoryState{}
		for state, after := range map[fleet.JobState]fleet.RepositoryState{
			fleet.Pending: fleet.RepositoryNew, fleet.Running: fleet.RepositoryFailed,
		} {
			r := addRepository(t, s, "for "+string(state))
			want[r.ID] = after
			write(t, s, func(tx *store.Tx) error {
				j := &fleet.Job{ID: fleet.NewID[fleet.JobID](), HostID: h.ID, RepositoryID: r.ID, Operation: "init", State: state,
					Epoch: 1, Attempt: 1, CreatedAt: tx.Now}
				if _, err := tx.CreateJob(t.Context(), j); err != nil {
					return err
				}
				_, err := tx.ClaimInit(t.Context(), r.ID, j.ID)
				return err
			})
		}
		other := addRepository(t, s, "of another host")
		want[other.ID] = fleet.RepositoryInitialising
		write(t, s, func(tx *store.Tx) error { _, err := tx.ClaimInit(t.Context(), other.ID, "elsewhere"); return err })
		write(t, s, func(tx *store.Tx) error { return tx.DeleteHost(t.Context(), h.ID) })
		for id, state := range want {
			if got, err := s.Repository(t.Context(), id); err != nil || got.State != state {
				t.Errorf("%s is %s, %v; want %s", got.Name, got.State, err, state)
			}
		}
	})
}

func TestWhatAnAgentTellsIsWrittenWhereItChanged(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web-1")
		facts := store.HostFacts{OS: "linux", Arch: "arm64", AgentVersion: "1", ResticVersion: "0.19.1", Policy: `{"profile":"guarded"}`}
		for range 2 {
			write(t, s, func(tx *store.Tx) error { return tx.SetHostFacts(t.Context(), h.ID, facts) })
		}
		got := readHost(t, s, h.ID)
		if got.Version != h.Version+1 || got.Arch != "arm64" || got.Policy != facts.Policy {
			t.Errorf("facts told twice: %+v", got)
		}
		status := store.HostStatus{Policy: facts.Policy, Health: `[{"code":"x"}]`, Spool: "{}", LastExchange: "{}", ClockOffset: -7, ConfigInForce: 1, ConfigError: "no"}
		write(t, s, func(tx *store.Tx) error { return tx.SetHostStatus(t.Context(), h.ID, status) })
		if diff := cmp.Diff(status, store.StatusOf(readHost(t, s, h.ID))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNamesAreReadByID(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h, r := addHost(t, s, "web-1"), addRepository(t, s, "main")
		sch := addSchedule(t, s, h, r, "etc")
		hosts, err := s.HostNames(t.Context(), []fleet.HostID{h.ID, "nobody"})
		if diff := cmp.Diff(map[fleet.HostID]string{h.ID: "web-1"}, hosts); diff != "" || err != nil {
			t.Error(diff, err)
		}
		repositories, err := s.RepositoryNames(t.Context(), []fleet.RepositoryID{r.ID})
		if diff := cmp.Diff(map[fleet.RepositoryID]string{r.ID: "main"}, repositories); diff != "" || err != nil {
			t.Error(diff, err)
		}
		schedules, err := s.ScheduleNames(t.Context(), []fleet.ScheduleID{sch.ID})
		if diff := cmp.Diff(map[fleet.ScheduleID]string{sch.ID: "etc"}, schedules); diff != "" || err != nil {
			t.Error(diff, err)
		}
		if none, err := s.HostNames(t.Context(), nil); err != nil || len(none) != 0 {
			t.Error(none, err)
		}
	})
}
