package store_test

import (
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestASecondServerIsKeptFromTheSameFile(t *testing.T) {
	url := storetest.SQLite(t)
	first, err := store.Open(t.Context(), url, store.Options{Serve: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), url, store.Options{Serve: true})
	wantCode(t, err, fleet.DatabaseInUse)

	beside, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatalf("who does not serve is kept away: %v", err)
	}
	if err := beside.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), url, store.Options{Serve: true})
	wantCode(t, err, fleet.DatabaseInUse)

	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := store.Open(t.Context(), url, store.Options{Serve: true})
	if err != nil {
		t.Fatalf("the next server is kept away: %v", err)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}
