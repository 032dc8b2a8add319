package storetest

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"restic-manager/server/store"
)

// shared is the cluster of this test process: starting one takes seconds, so all
// tests have it together and a database each. Main ends it.
var shared struct {
	sync.Mutex
	main    bool
	cluster *cluster
	err     error
	names   int

	template    sync.Once // makes the database that others are copied from
	templateErr error
}

// Main runs the tests and then ends the cluster, if one was started. It gives the
// code to exit with.
func Main(m *testing.M) int {
	shared.main = true
	defer stopShared()
	return m.Run()
}

func stopShared() {
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil {
		return
	}
	if err := shared.cluster.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "storetest: stop PostgreSQL:", err)
	}
}

// Each runs a test on an empty SQLite and on an empty PostgreSQL.
func Each(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	EachURL(t, func(t *testing.T, url string) { test(t, Open(t, url, store.Options{})) })
}

// EachURL is Each for tests that open the database themselves, perhaps several
// times. Its tables are there.
func EachURL(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, PostgreSQL(t)) })
}

// EachEmpty is EachURL with databases that have no tables yet.
func EachEmpty(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, EmptySQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, EmptyPostgreSQL(t)) })
}

// New opens an empty SQLite, which is closed with the test.
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, SQLite(t), store.Options{})
}

// Open opens a database, which is closed with the test.
func Open(t testing.TB, url string, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, o)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// sharedCluster starts the cluster for the first test that needs it, and gives a
// name for a database.
func sharedCluster(t testing.TB) (*cluster, string) {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.main {
		t.Fatal("this package has no TestMain that calls storetest.Main, which ends PostgreSQL")
	}
	if shared.cluster == nil && shared.err == nil {
		shared.cluster, shared.err = start()
	}
	if shared.err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("PostgreSQL is required here: %v", shared.err)
		}
		t.Skipf("no PostgreSQL: %v", shared.err)
	}
	shared.names++
	return shared.cluster, fmt.Sprintf("test_%d", shared.names)
}
