//go:build !windows

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatIsForWindowsAloneWorksThere runs the tests of packages that no other system can
// run.
func TestWhatIsForWindowsAloneWorksThere(t *testing.T) {
	t.Parallel()
	work(t)
	w := newWine(t)
	for pkg, test := range map[string]string{
		"restic":      "TestAHookOfWindowsRunsWithAnEnvironmentFromNothing",
		"agent/stage": "TestOnWindowsARestoreStaysInItsPrivateFolder",
	} {
		program := filepath.Join(t.TempDir(), "test.exe")
		build := exec.Command("go", "test", "-c", "-o", program, "restic-manager/"+pkg)
		build.Env = append(os.Environ(), "GOOS=windows", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", pkg, err, out)
		}
		out := w.must("", "wine", program, "-test.v", "-test.run", "^"+test+"$")
		if !strings.Contains(out, "--- PASS: "+test) {
			t.Errorf("%s did not run:\n%s", test, out)
		}
	}
}
