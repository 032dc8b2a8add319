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
		"a user of undo copies":         {"", "web.rm-undo"},
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

// TestTheUsersFileIsNoLinkElsewhere has somebody who may write beside the folder lead root to
// a file of root's.
func TestTheUsersFileIsNoLinkElsewhere(t *testing.T) {
	dir := t.TempDir()
	path, secret := filepath.Join(dir, "srv"), filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("root:hash\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("secret", path+".htpasswd"); err != nil {
		t.Fatal(err)
	}
	s := Storage{Path: path}
	if made, err := s.SetUp([]string{"web-1"}); err == nil {
		t.Errorf("made %v", made)
	}
	if err := s.RemoveUser("root"); err == nil {
		t.Error("a user was taken out of another file")
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "root:hash\n" {
		t.Errorf("%q, %v", text, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("left %v, %v", entries, err)
	}
}
