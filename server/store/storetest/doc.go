// Package storetest gives tests a real store: SQLite in a temporary folder, and
// PostgreSQL in a throw-away cluster that the test process starts from the
// binaries installed on the machine and ends with itself.
//
//	func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
//
//	func TestHostsAreListedByName(t *testing.T) {
//		storetest.Each(t, func(t *testing.T, s *store.Store) { … })
//	}
//
// Where PostgreSQL is not installed its half is skipped by name; with CI=true in
// the environment that is a failure.
//
// It may import store and fleet.
package storetest
