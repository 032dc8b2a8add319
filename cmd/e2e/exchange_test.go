//go:build linux

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// exchanged is what the tests look at of a repository whose password changes.
type exchanged struct {
	KeyID       string `json:"key_id"`
	SheetSaved  bool   `json:"sheet_saved"`
	Credentials []struct {
		Slot  string
		KeyID string `json:"key_id"`
	}
	Former struct {
		Hosts  int
		Names  []string `json:"host_names"`
		Remove string
	} `json:"former_password"`
	Conditions []struct{ Code string }
}

func (e exchanged) second() string {
	for _, c := range e.Credentials {
		if c.Slot == "second_password" {
			return c.KeyID
		}
	}
	return ""
}

// TestThePasswordOfARepositoryIsExchangedWhileHostsBackUp, one of which is away meanwhile;
// then root removes the former key by the command that the product tells, and it is taken
// back although that is gone.
func TestThePasswordOfARepositoryIsExchangedWhileHostsBackUp(t *testing.T) {
	t.Parallel()
	s := &shown{world: newWorld(t), asked: map[string]bool{}}
	s.by = byAPI{s.api}
	s.repository = s.addRepository(shownName, repositorySpec{})
	s.second = s.addRepository("second", repositorySpec{})
	s.web = s.addHost("web-1", s.repository, []string{files(t, 3)})
	other := s.addHost("web-2", s.repository, []string{files(t, 3)})
	s.nas = s.addHost("nas", s.second, []string{files(t, 3)})
	s.maintain(s.repository, shownName)
	path := "/api/v1/repositories/" + s.repository
	const former, fresh = "the password of " + shownName, "another password, of this year"
	look := func() (e exchanged) {
		t.Helper()
		s.api.must("GET", path, nil, &e)
		return e
	}
	exchange := func(key string) {
		t.Helper()
		s.api.must("POST", path+"/credentials/second-password/use", obj{"key_id": key, "confirm": shownName, "own_password": password}, nil)
	}
	for _, h := range []*host{s.web, other} {
		h.backUp("succeeded")
	}
	other.agent.stop()
	s.api.must("PUT", path+"/credentials/second-password", obj{"password": fresh}, nil)
	added := s.ask("key-add", nil).facts["key_id"].(string)
	first := look().KeyID
	if added == first || look().second() != added {
		t.Fatalf("key %s was added to %s, and the second password is of %q", added, first, look().second())
	}

	exchange(added)
	s.web.backUp("succeeded")
	eventually(t, "the hosts that are there have fetched the other password", time.Minute, func() bool {
		f := look().Former
		return f.Hosts == 1 && slices.Equal(f.Names, []string{"web-2"})
	})
	other.startAgent()
	other.backUp("succeeded")
	if f := look().Former; f.Hosts != 0 {
		t.Errorf("after all have backed up: %+v", f)
	}
	var j job
	s.api.must("POST", path+"/jobs", obj{"operation": "key-remove", "params": obj{"key_id": first}, "confirm": shownName}, &j)
	if j = s.finished(j.ID, time.Minute); j.Outcome.Code != "key_known" {
		t.Errorf("an order to remove the former key ended as %s %s", j.Outcome.Result, j.Outcome.Code)
	}

	s.asRoot(look().Former.Remove, fresh)
	if keys, err := os.ReadDir(filepath.Join(s.rest.RepositoryDir(shownName), "keys")); err != nil || len(keys) != 1 || keys[0].Name() != added {
		t.Fatalf("left are the keys %v, %v", keys, err)
	}
	s.web.backUp("succeeded")
	other.backUp("succeeded")

	// Nobody has looked since, so the server does not know that there is no way back; going
	// forth again is one.
	exchange(first)
	eventually(t, "a backup with the former password fails", 2*time.Minute, func() bool {
		return s.finished(s.web.runNow().ID, time.Minute).Outcome.Code == "wrong_password"
	})
	exchange(added)
	s.web.backUp("succeeded")

	d := s.ask("inspect", nil)
	s.same("inspect", []any{d.facts["keys"], d.facts["foreign_keys"]}, []any{1.0, 0.0})
	s.api.wantProblem("key_not_proven", "POST", path+"/credentials/second-password/use", obj{"key_id": first, "confirm": shownName, "own_password": password})
	s.api.must("DELETE", path+"/credentials/second-password", nil, nil)
	if e := look(); len(e.Conditions) > 0 || e.SheetSaved || e.KeyID != added {
		t.Errorf("at last the repository is %+v", e)
	}
	var sheet struct{ Password, Text string }
	s.api.must("POST", path+"/recovery-sheet", obj{"own_password": password}, &sheet)
	if sheet.Password != fresh || strings.Contains(sheet.Text, former) {
		t.Errorf("the sheet says\n%s", sheet.Text)
	}
}

// asRoot runs a command that the product tells root, with the password in the file that it
// names. Who is not root works in the folder as its owner already.
func (s *shown) asRoot(command, password string) {
	s.t.Helper()
	dir := s.t.TempDir()
	file := filepath.Join(dir, "words")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		s.t.Fatal(err)
	}
	before, rest, found := strings.Cut(command, "RESTIC_PASSWORD_FILE=FILE ")
	if !found || strings.Contains(command, password) {
		s.t.Fatalf("root is told %q", command)
	}
	if os.Geteuid() != 0 {
		before = "env "
	}
	c := exec.CommandContext(s.t.Context(), "/bin/sh", "-c", before+"RESTIC_PASSWORD_FILE='"+file+"' "+rest)
	c.Env = []string{"PATH=" + filepath.Dir(s.bins.Restic) + ":/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir}
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", command, err, out)
	}
}
