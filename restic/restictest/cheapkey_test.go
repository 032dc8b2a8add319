package restictest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestACheapKeyOpensTheRepositoryAsTheOneBeforeIt(t *testing.T) {
	for _, suite := range Suites() {
		t.Run(suite, func(t *testing.T) {
			bins := Find(t, suite)
			folder := t.TempDir()
			restic := func(args ...string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), bins.Restic, append([]string{"--no-cache", "-r", folder}, args...)...)
				cmd.Env = []string{"RESTIC_PASSWORD=secret of a test", "HOME=" + t.TempDir()}
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("restic %v: %v\n%s", args, err, out)
				}
				return string(out)
			}
			restic("init")
			CheapKey(t, bins.Restic, folder, "secret of a test")
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
				t.Fatal(err)
			}
			restic("backup", file)
			if out := restic("check", "--read-data"); !strings.Contains(out, "no errors were found") {
				t.Error(out)
			}
			if keys := restic("key", "list"); strings.Count(keys, "test") != 1 {
				t.Errorf("keys:\n%s", keys)
			}
		})
	}
}
