//go:build !windows

package agent

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWhatCannotServeHostsIsNotSetUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "srv")
	for name, test := range map[string]struct {
		users string
		user  string
	}{
		"a user with a colon":           {"", "web:1"},
		"a user that is a path":         {"", "../web"},
		"a user of two lines":           {"", "web\nroot"},
		"users in what is served":       {filepath.Join(path, "users"), "web-1"},
		"users deep in what is served":  {filepath.Join(path, "a", "users"), "web-1"},
		"users at a path that is loose": {path + "/../srv/users", "web-1"},
	} {
		if made, err := (Storage{Path: path, Users: test.users}).SetUp([]string{test.user}); err == nil || made != nil {
			t.Errorf("%s: %v", name, made)
		}
	}
	made, err := Storage{Path: path}.SetUp([]string{"web-1"})
	if err != nil || len(made) != 1 {
		t.Fatal(made, err)
	}
	if info, err := os.Stat(path + ".htpasswd"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
