package store_test

import (
	"slices"
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func see(t *testing.T, s *store.Store, list ...fleet.Snapshot) {
	t.Helper()
	write(t, s, func(tx *store.Tx) error { return tx.SeeSnapshots(t.Context(), list) })
}

func TestASnapshotKeepsWhenItWasFirstSeenAndWhoseItIs(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, _ *clock) {
		h, r := addHost(t, s, "web-1"), addRepository(t, s, "main")
		made := fleet.Snapshot{RepositoryID: r.ID, ID: "a", HostID: h.ID, ScheduleID: "s", JobID: "j", Time: 5, FirstSeen: 10, LastSeen: 10,
			Hostname: "web-1", Paths: "[]", Tags: "[]", Files: 7, Bytes: 8, BytesAdded: 9}
		see(t, s, made)
		see(t, s, fleet.Snapshot{RepositoryID: r.ID, ID: "a", HostID: "thief", ScheduleID: "x", JobID: "y", Time: 99, FirstSeen: 50, LastSeen: 50,
			Hostname: "evil", Paths: "[]", Tags: "[]"})
		want := made
		want.LastSeen = 50
		got, err := s.Snapshot(t.Context(), r.ID, "a")
		if err != nil || *got != want {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
		}
		see(t, s, made) // an older listing comes late
		if got, err = s.Snapshot(t.Context(), r.ID, "a"); err != nil || got.LastSeen != 50 {
			t.Errorf("it was last seen at %d, %v", got.LastSeen, err)
		}
	})
}

func TestSnapshotsThatAreGoneAreDroppedAndCounted(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h, r := addHost(t, s, "web-1"), addRepository(t, s, "main")
		row := func(id string, at, seen fleet.Time) fleet.Snapshot {
			return fleet.Snapshot{RepositoryID: r.ID, ID: id, HostID: h.ID, Time: at, FirstSeen: seen, LastSeen: seen, Hostname: "h", Paths: "[]", Tags: `["daily"]`}
		}
		see(t, s, row("old", 1, 10), row("kept", 2, 20), row("new", 3, 30))
		j := newJob(h, fleet.At(c.now()))
		j.RepositoryID, j.SnapshotID, j.Unconfirmed = r.ID, "new", true
		addJob(t, s, j)
		other := newJob(h, fleet.At(c.now()))
		other.RepositoryID, other.SnapshotID, other.Unconfirmed = r.ID, "nowhere", true
		addJob(t, s, other)
		write(t, s, func(tx *store.Tx) error {
			if n, err := tx.DropUnseenSnapshots(t.Context(), r.ID, 20); err != nil || n != 1 {
				t.Errorf("dropped %d, %v; want one", n, err)
			}
			if _, err := tx.ConfirmJobs(t.Context(), r.ID); err != nil {
				return err
			}
			return tx.CountSnapshots(t.Context(), r.ID)
		})
		repository, err := s.Repository(t.Context(), r.ID)
		if err != nil || repository.Snapshots != 2 || repository.LastSnapshot != 3 || readHost(t, s, h.ID).Snapshots != 2 {
			t.Errorf("counted %d of %d, %v", repository.Snapshots, repository.LastSnapshot, err)
		}
		if readJob(t, s, j.ID).Unconfirmed || !readJob(t, s, other.ID).Unconfirmed {
			t.Error("confirmed another job than the one whose snapshot was seen")
		}
		added := row("more", 9, 40)
		see(t, s, added)
		write(t, s, func(tx *store.Tx) error { return tx.CountSnapshot(t.Context(), &added) })
		repository, err = s.Repository(t.Context(), r.ID)
		if err != nil || repository.Snapshots != 3 || repository.LastSnapshot != 9 || readHost(t, s, h.ID).Snapshots != 3 {
			t.Errorf("counted %d of %d, %v", repository.Snapshots, repository.LastSnapshot, err)
		}
		list, next, err := s.Snapshots(t.Context(), store.SnapshotFilter{Host: h.ID, Tag: "daily", From: 2, To: 9}, store.Page{Size: 1})
		if err != nil || len(list) != 1 || list[0].ID != "new" || next == "" {
			t.Fatalf("got %+v, %v", list, err)
		}
		list, next, err = s.Snapshots(t.Context(), store.SnapshotFilter{Host: h.ID, Tag: "daily", From: 2, To: 9}, store.Page{Size: 1, Token: next})
		if err != nil || len(list) != 1 || list[0].ID != "kept" || next != "" {
			t.Errorf("got %+v, %q, %v", list, next, err)
		}
	})
}

func TestWhatIsNoHostsIsFoundByItsTagsAndByWhatItWasMadeOf(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, _ *clock) {
		h, r, other := addHost(t, s, "web-1"), addRepository(t, s, "main"), addRepository(t, s, "other")
		row := func(id, tags, original string, seen fleet.Time) fleet.Snapshot {
			return fleet.Snapshot{RepositoryID: r.ID, ID: id, FirstSeen: seen, LastSeen: seen, Hostname: "h", Paths: "[]", Tags: fleet.List(tags), Original: original}
		}
		owned, elsewhere := row("a", `["x"]`, "old", 9), row("b", `["x"]`, "old", 9)
		owned.HostID, elsewhere.RepositoryID = h.ID, other.ID
		see(t, s, owned, elsewhere, row("c", `["x"]`, "", 1), row("d", `["w","x"]`, "old", 3), row("e", `["y"]`, "older", 2), row("f", `["z"]`, "new", 4))
		for most, want := range map[int][]string{9: {"d", "e", "c"}, 2: {"d", "e"}} {
			if got, err := s.UnclaimedSnapshots(t.Context(), r.ID, []string{"x", "y"}, most); err != nil || !slices.Equal(got, want) {
				t.Errorf("tagged are %v, %v; want %v", got, err, want)
			}
		}
		for most, want := range map[int][]string{9: {"d", "e"}, 1: {"d"}} {
			list, err := s.SuccessorsOf(t.Context(), r.ID, []string{"old", "older", ""}, most)
			var got []string
			for i := range list {
				got = append(got, list[i].ID)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("made of the old ones are %v, %v; want %v", got, err, want)
			}
		}
	})
}
