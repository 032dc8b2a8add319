// Package restictest helps tests of any package that needs restic.
//
// Find returns the real programs, as packaged in a Debian suite; StartRestServer
// starts rest-server the way a host's storage should run. A Fake is a restic that
// replays what it is told to, made of the test binary itself: the package under
// test has
//
//	func TestMain(m *testing.M) { os.Exit(restictest.Main(m)) }
//
// The package's own tests are one suite of situations, run with the real programs
// of each suite and with a Fake that replays what they said (testdata/). Record
// anew, for instance for a new version, with
//
//	go test ./restic/restictest -run TestSituations -record
//
// It imports restic of this project, and starts processes.
package restictest
