package store_test

import (
	"slices"
	"sync"
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func addCommand(t *testing.T, s *store.Store, h *fleet.Host, id fleet.JobID) *fleet.Command {
	t.Helper()
	c := &fleet.Command{HostID: h.ID, ID: fleet.NewID[string](), Kind: "run", JobID: id, Epoch: 1}
	write(t, s, func(tx *store.Tx) error { return tx.CreateCommand(t.Context(), c) })
	return c
}

func queued(t *testing.T, s *store.Store, h *fleet.Host) []int64 {
	t.Helper()
	list, err := s.QueuedCommands(t.Context(), h.ID, 100)
	if err != nil {
		t.Fatal(err)
	}
	var seqs []int64
	for _, c := range list {
		seqs = append(seqs, c.Seq)
	}
	return seqs
}

func TestCommandsAreNumberedPerHostInTheOrderTheyBecomeVisible(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, _ *clock) {
		h, other := addHost(t, s, "web-1"), addHost(t, s, "web-2")
		var group sync.WaitGroup
		for range 30 {
			group.Go(func() {
				c := &fleet.Command{HostID: h.ID, ID: fleet.NewID[string](), Kind: "run", JobID: "j"}
				if err := s.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateCommand(t.Context(), c) }); err != nil {
					t.Error(err)
				}
				// Whoever sees a number sees all below it.
				list, err := s.QueuedCommands(t.Context(), h.ID, 100)
				if err != nil || len(list) == 0 || list[len(list)-1].Seq != int64(len(list)) {
					t.Errorf("got %d commands up to another number, %v", len(list), err)
				}
			})
		}
		group.Wait()
		if got := addCommand(t, s, other, "k").Seq; got != 1 {
			t.Errorf("another host's first command has the number %d", got)
		}
		c := &fleet.Command{HostID: "nobody", ID: "x", JobID: "j"}
		wantCode(t, s.Write(t.Context(), func(tx *store.Tx) error { return tx.CreateCommand(t.Context(), c) }), fleet.NotFound)
	})
}

func TestOnlyACommandThatWasOfferedIsAcknowledgedAndOnlyOneThatWasNotIsWithdrawn(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, _ *clock) {
		h := addHost(t, s, "web-1")
		for _, id := range []fleet.JobID{"a", "b", "c"} {
			addCommand(t, s, h, id)
		}
		write(t, s, func(tx *store.Tx) error {
			offered, err := tx.OfferCommands(t.Context(), h.ID, []int64{1, 2})
			slices.Sort(offered)
			if err != nil || !slices.Equal(offered, []int64{1, 2}) {
				t.Errorf("offered %v, %v", offered, err)
			}
			for id, want := range map[fleet.JobID]int64{"b": 0, "c": 1} {
				if n, err := tx.WithdrawCommands(t.Context(), id, true); err != nil || n != want {
					t.Errorf("withdrew %d commands of %s unseen, %v; want %d", n, id, err, want)
				}
			}
			if offered, err = tx.OfferCommands(t.Context(), h.ID, []int64{3}); err != nil || len(offered) != 0 {
				t.Errorf("a withdrawn command was offered: %v, %v", offered, err)
			}
			acked, err := tx.AckCommands(t.Context(), h.ID, 1)
			if err != nil || len(acked) != 1 || acked[0].JobID != "a" || acked[0].OfferedCount != 1 {
				t.Errorf("acknowledged %+v, %v", acked, err)
			}
			return tx.SetAcked(t.Context(), h.ID, 1)
		})
		if got := queued(t, s, h); !slices.Equal(got, []int64{2}) {
			t.Errorf("%v are left, want 2", got)
		}
		write(t, s, func(tx *store.Tx) error {
			if err := tx.SetAcked(t.Context(), h.ID, 0); err != nil {
				return err
			}
			if n, err := tx.WithdrawCommands(t.Context(), "b", false); err != nil || n != 1 {
				t.Errorf("withdrew %d, %v", n, err)
			}
			return nil
		})
		if got := readHost(t, s, h.ID).AckedSeq; got != 1 {
			t.Errorf("the acknowledged number went back to %d", got)
		}
	})
}

func TestCommandsThatNobodySawAreNumberedAnewAboveWhatAnAgentKnows(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, _ *clock) {
		h := addHost(t, s, "web-1")
		addCommand(t, s, h, "a")
		addCommand(t, s, h, "b")
		write(t, s, func(tx *store.Tx) error {
			foreign, err := tx.NeverOffered(t.Context(), h.ID, 9)
			if err != nil || len(foreign) != 2 {
				t.Errorf("got %d, %v; want 2", len(foreign), err)
			}
			if err := tx.MoveCommandSeq(t.Context(), h.ID, 9); err != nil {
				return err
			}
			for _, c := range foreign {
				if err := tx.RenumberCommand(t.Context(), c); err != nil {
					return err
				}
			}
			return tx.SetAcked(t.Context(), h.ID, 9)
		})
		if got := queued(t, s, h); !slices.Equal(got, []int64{10, 11}) {
			t.Errorf("got %v, want 10 and 11", got)
		}
	})
}
