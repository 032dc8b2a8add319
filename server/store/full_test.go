package store_test

import (
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestAFullDiskIsSaidAndKeepsNothingFromBeingRead(t *testing.T) {
	now := time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC)
	s, err := store.Open(t.Context(), storetest.SQLite(t), store.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	room := func(pragma string) {
		t.Helper()
		write(t, s, func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), "PRAGMA max_page_count = "+pragma)
			return err
		})
	}
	large := strings.Repeat("x", 1<<20)
	put := func(key string) error {
		return s.Write(t.Context(), func(tx *store.Tx) error { return tx.SetMeta(t.Context(), key, large) })
	}
	if err := put("before"); err != nil || s.DiskFull() {
		t.Fatalf("while there is room: %v, full: %v", err, s.DiskFull())
	}
	room("1") // SQLite takes as many as it has
	for range 3 {
		wantCode(t, put("meanwhile"), fleet.ServerDiskFull)
	}
	if !s.DiskFull() {
		t.Error("nobody is told that the disk is full")
	}
	if got, err := s.Meta(t.Context(), "before"); err != nil || got != large {
		t.Errorf("what was kept before: %d bytes, %v", len(got), err)
	}
	_, err = s.Meta(t.Context(), "meanwhile")
	wantCode(t, err, fleet.NotFound)
	room("100000")
	if err := put("afterwards"); err != nil {
		t.Error("it does not go on once there is room:", err)
	}
	if now = now.Add(time.Minute); s.DiskFull() {
		t.Error("it is called full a minute after it was")
	}
}
