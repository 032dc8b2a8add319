package restictest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Suites are the Debian suites whose restic is supported, the default first.
func Suites() []string { return []string{"trixie", "testing"} }

// TooOld is the suite whose restic must be refused. It has no rest-server.
const TooOld = "bookworm"

// Binaries are the absolute paths of one suite's programs.
type Binaries struct {
	Restic     string
	RestServer string // "" in TooOld
}

// Find returns the programs of a suite: from the folder RM_RESTIC_DIR/suite/bin
// when that is set, else from .cache/restic/suite/bin of the module, where
// .ci/fetch-restic puts them. Where they are missing the test is skipped, in CI it
// fails.
func Find(t testing.TB, suite string) Binaries {
	t.Helper()
	root := os.Getenv("RM_RESTIC_DIR")
	if root == "" {
		root = filepath.Join(moduleRoot(t), ".cache", "restic")
	}
	programs := Binaries{Restic: filepath.Join(root, suite, "bin", "restic")}
	wanted := []string{programs.Restic}
	if suite != TooOld {
		programs.RestServer = filepath.Join(root, suite, "bin", "rest-server")
		wanted = append(wanted, programs.RestServer)
	}
	for _, path := range wanted {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		Lacks(t, "%s is missing; run: .ci/fetch-restic %s .cache/restic/%s", path, suite, suite)
	}
	return programs
}

// moduleRoot is the folder of go.mod above the package under test.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			t.Fatalf("no go.mod above the test's folder on %s", runtime.GOOS)
		}
		dir = filepath.Dir(dir)
	}
}
