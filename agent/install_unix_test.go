//go:build unix

package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAProgramOfAnotherDigestIsNotPutInPlace(t *testing.T) {
	sum := sha256.Sum256([]byte("the program"))
	digest := hex.EncodeToString(sum[:])
	place := filepath.Join(privateDir(t), "bin", "program")
	if err := putProgram(strings.NewReader("the program"), place, digest); err != nil {
		t.Fatal(err)
	}
	if err := putProgram(strings.NewReader("another one"), place, digest); !errors.Is(err, errDigest) {
		t.Errorf("got %v", err)
	}
	got, err := os.ReadFile(place)
	if err != nil || string(got) != "the program" {
		t.Errorf("in its place: %q, %v", got, err)
	}
	if info, err := os.Stat(place); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(place), ".*")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// privateDir is a folder that nobody else can change, and none above it.
func privateDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestUninstallRemovesWhatIsTheAgentsAndNothingElse(t *testing.T) {
	var result Enrolled
	root := privateDir(t)
	etc, state := filepath.Join(root, "restic-manager"), filepath.Join(root, "state")
	put := func(path string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{etc + "/agent.yaml", etc + "/policy.yaml", etc + "/mine", state + "/secrets.sealed", state + "/host-1/journal", state + "/cache/x"} {
		put(path)
	}
	getenv := func(string) string { return "" }
	config := Config{StateDir: state, Policy: etc + "/policy.yaml", CacheDir: state + "/cache"}
	if err := (Removal{ConfigPath: etc + "/agent.yaml", Getenv: getenv}).removeState(config, &result); err != nil {
		t.Fatal(err)
	}
	var left []string
	_ = filepath.WalkDir(root, func(path string, _ os.DirEntry, _ error) error {
		left = append(left, strings.TrimPrefix(path, root))
		return nil
	})
	if got := strings.Join(left, " "); got != " /restic-manager /restic-manager/mine" {
		t.Errorf("left %q; did %q", got, result.Done)
	}
	if !strings.Contains(strings.Join(result.Next, " "), "mine") {
		t.Errorf("nobody is told of what is left: %q", result.Next)
	}
}

func TestUninstallLeavesAFolderThatIsNotTheAgents(t *testing.T) {
	var result Enrolled
	root := privateDir(t)
	if err := os.WriteFile(filepath.Join(root, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	config := Config{StateDir: root, Policy: filepath.Join(root, "none"), CacheDir: filepath.Join(root, "none")}
	if err := (Removal{ConfigPath: filepath.Join(root, "none"), Getenv: func(string) string { return "" }}).removeState(config, &result); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "mine")); err != nil {
		t.Error("a folder that somebody named by mistake is gone")
	}
	empty := filepath.Join(root, "etc")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	removeEmpty(empty)
	if _, err := os.Stat(empty); err != nil {
		t.Error("an empty folder of others is gone")
	}
}
