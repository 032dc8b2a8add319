package store_test

import (
	"bytes"
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func TestLogChunksKeepTheirBytesAndAreFoundByLine(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		j := addJob(t, s, newJob(addHost(t, s, "web-1"), fleet.At(c.now())))
		data := []byte{0, 1, 2, 0xff, '\'', 0}
		chunks := []fleet.LogChunk{
			{JobID: j.ID, Seq: 1, FirstLine: 1, Lines: 10, Bytes: 100, From: 1, To: 2, Data: data},
			{JobID: j.ID, Seq: 2, FirstLine: 11, Lines: 5, Bytes: 50, From: 2, To: 3, Data: data},
			{JobID: j.ID, Seq: 7, FirstLine: 40, Lines: 5, Bytes: 50, From: 3, To: 4, Data: data},
		}
		write(t, s, func(tx *store.Tx) error { return tx.AppendLog(t.Context(), chunks) })
		got, err := s.LogChunks(t.Context(), j.ID, 1, 10)
		if err != nil || len(got) != 2 || got[0].FirstLine != 11 || !bytes.Equal(got[1].Data, data) {
			t.Errorf("got %+v, %v", got, err)
		}
		one, err := s.LogChunk(t.Context(), j.ID, 7)
		if err != nil || one.To != 4 || one.Bytes != 50 {
			t.Errorf("got %+v, %v", one, err)
		}
		for line, want := range map[int64]int64{1: 1, 10: 1, 11: 2, 39: 2, 40: 7, 1000: 7, 0: 0} {
			if seq, err := s.LogChunkAt(t.Context(), j.ID, line); err != nil || seq != want {
				t.Errorf("line %d is looked for in chunk %d, %v; want %d", line, seq, err, want)
			}
		}
		_, err = s.LogChunk(t.Context(), j.ID, 3)
		wantCode(t, err, fleet.NotFound)
	})
}
