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
			bins, folder := Find(t, suite), t.TempDir()
			if out, err := opened(t, bins, folder, "init"); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			CheapKey(t, bins.Restic, folder, "secret of a test")
			isWhole(t, bins, folder)
		})
	}
}

func TestACheapRepositoryIsOneToResticAndNotTheSameAsAnother(t *testing.T) {
	ids := map[string]bool{}
	for _, suite := range Suites() {
		t.Run(suite, func(t *testing.T) {
			bins, folder := Find(t, suite), t.TempDir()
			id, key := CheapRepository(t, bins.Restic, folder, "secret of a test")
			config, err := opened(t, bins, folder, "cat", "config")
			if err != nil || ids[id] || !strings.Contains(config, id) {
				t.Fatalf("%s: %v\n%s", id, err, config)
			}
			ids[id] = true
			if keys, err := opened(t, bins, folder, "list", "keys"); err != nil || !strings.Contains(keys, key) {
				t.Errorf("the key is %s: %v\n%s", key, err, keys)
			}
			isWhole(t, bins, folder)
		})
	}
}

// opened runs a restic on a repository in a folder.
func opened(t *testing.T, bins Binaries, folder string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bins.Restic, append([]string{"--no-cache", "-r", folder}, args...)...)
	cmd.Env = []string{"RESTIC_PASSWORD=secret of a test", "HOME=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// isWhole backs up into a repository that has one key, and has all of it checked.
func isWhole(t *testing.T, bins Binaries, folder string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := opened(t, bins, folder, "backup", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := opened(t, bins, folder, "check", "--read-data"); err != nil || !strings.Contains(out, "no errors were found") {
		t.Errorf("%v\n%s", err, out)
	}
	if keys, err := opened(t, bins, folder, "key", "list"); err != nil || strings.Count(keys, "test") != 1 {
		t.Errorf("%v, keys:\n%s", err, keys)
	}
}
