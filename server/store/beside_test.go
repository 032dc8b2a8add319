package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

func TestAProcessBesideTheServerIsNoReplica(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		c := newClock()
		serving := storetest.Open(t, url, store.Options{Now: c.now})
		addHost(t, serving, "web-1")
		beside := storetest.Open(t, url, store.Options{Now: c.now, Beside: true})
		addHost(t, beside, "web-2")
		var replicas int
		if err := serving.Scalar(t.Context(), &replicas, `SELECT count(*) FROM replicas`); err != nil || replicas != 1 {
			t.Errorf("%d replicas, %v; want one", replicas, err)
		}
		// Nor does its end look like a death, after which everybody reads everything.
		for range 5 {
			c.advance(5 * time.Second)
			if err := serving.Beat(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if f, err := serving.Feed(t.Context(), 0); err != nil || f.Reset {
			t.Errorf("the feed was reset: %+v, %v", f, err)
		}
	})
}

func TestAProcessBesideTheServerMakesAndMigratesNothing(t *testing.T) {
	storetest.EachEmpty(t, func(t *testing.T, url string) {
		db, steps, err := store.Steps(t.Context(), url, store.Migrations())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := steps.UpTo(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), url, store.Options{Beside: true})
		if !fleet.Is(err, fleet.NotFound) || !strings.Contains(err.Error(), "schema 3") {
			t.Errorf("got %v, want to be told of schema 3", err)
		}
		if s != nil {
			_ = s.Close()
		}
		if version, err := steps.GetDBVersion(t.Context()); err != nil || version != 3 {
			t.Errorf("the schema is %d now, %v; want 3", version, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})

	t.Run("without a database", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "server.db")
		_, err := store.Open(t.Context(), path, store.Options{Beside: true})
		if !fleet.Is(err, fleet.NotFound) {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a database was made: %v", err)
		}
	})
}
