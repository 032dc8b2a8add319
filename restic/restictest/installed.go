package restictest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Program returns the path of a program that a test needs, from PATH or a folder of
// system programs. Where it is missing the test is skipped, in CI it fails.
func Program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	Lacks(t, "%s is not installed; see .ci/packages", name)
	return ""
}

// Lacks ends a test for which this machine lacks something. In CI that is a failure.
func Lacks(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
