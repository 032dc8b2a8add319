package store_test

import (
	"bytes"
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func TestAnArtifactGrowsByPartsAndEndsWithAMark(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		j := addJob(t, s, newJob(addHost(t, s, "web-1"), fleet.At(c.now())))
		size := func() (int64, bool) {
			t.Helper()
			n, taken, err := s.ArtifactSize(t.Context(), j.ID, "snapshots")
			if err != nil {
				t.Fatal(err)
			}
			return n, taken
		}
		add := func(offset int64, data []byte) {
			t.Helper()
			write(t, s, func(tx *store.Tx) error {
				return tx.AddArtifactPart(t.Context(), store.ArtifactPart{JobID: j.ID, Name: "snapshots", Offset: offset, Data: data, At: tx.Now})
			})
		}
		if n, taken := size(); n != 0 || taken {
			t.Errorf("got %d, %v before the first part", n, taken)
		}
		add(0, []byte{1, 0, 2})
		add(3, []byte{3})
		if n, taken := size(); n != 4 || taken {
			t.Errorf("got %d, %v; want 4", n, taken)
		}
		p, err := s.ArtifactPart(t.Context(), j.ID, "snapshots", 0)
		if err != nil || !bytes.Equal(p.Data, []byte{1, 0, 2}) {
			t.Errorf("got %v, %v", p, err)
		}
		_, err = s.ArtifactPart(t.Context(), j.ID, "snapshots", 4)
		wantCode(t, err, fleet.NotFound)
		write(t, s, func(tx *store.Tx) error { return tx.DropArtifact(t.Context(), j.ID, "snapshots") })
		add(4, []byte{})
		if n, taken := size(); n != 4 || !taken {
			t.Errorf("got %d, %v; want 4 and taken", n, taken)
		}
		write(t, s, func(tx *store.Tx) error { return tx.DropOldArtifacts(t.Context(), tx.Now+1) })
		if n, taken := size(); n != 0 || taken {
			t.Errorf("got %d, %v after tidying up", n, taken)
		}
	})
}
