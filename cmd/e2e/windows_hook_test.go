//go:build !windows

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAHookRunsOnWindows runs the test of package restic that is for Windows alone.
func TestAHookRunsOnWindows(t *testing.T) {
	t.Parallel()
	w := newWine(t)
	program := filepath.Join(t.TempDir(), "restic.test.exe")
	build := exec.Command("go", "test", "-c", "-o", program, "restic-manager/restic")
	build.Env = append(os.Environ(), "GOOS=windows", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out := w.must("", "wine", program, "-test.v", "-test.run", "^TestAHookOfWindows")
	if !strings.Contains(out, "--- PASS: TestAHookOfWindows") {
		t.Errorf("it did not run:\n%s", out)
	}
}
