package runner

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"restic-manager/agent/secret"
	"restic-manager/agent/spool"
	"restic-manager/restic/restictest"
)

// TestAfterPasswordsWereExchangedBothKeysAreKnownAndNoOrderRemovesOne, until root removes
// the former with plain restic, which nothing warns of.
func TestAfterPasswordsWereExchangedBothKeysAreKnownAndNoOrderRemovesOne(t *testing.T) {
	t.Parallel()
	suite := restictest.Suites()[0]
	p := maintained(t, suite)
	params := p.second(secondPassword)
	added, _ := p.order("key-add", params)
	added.want(spool.Succeeded, "")
	former := p.config.Repositories[repositoryID].KeyID
	var fresh string
	for _, id := range p.keys() {
		if id != former {
			fresh = id
		}
	}
	exchange := func(ref secret.Ref, key string) { p.repository(func(r *Repository) { r.Password, r.KeyID = ref, key }) }
	second := secret.Ref{ID: params["secret_id"].(string), Version: 1}
	backUp := func(when string) {
		t.Helper()
		if got := p.do("backup", backupParams()).outcome(); got.Result != spool.Succeeded {
			t.Errorf("%s a backup is %+v", when, got)
		}
	}
	removal := func(key, code string) {
		t.Helper()
		done, _ := p.order("key-remove", map[string]any{"key_id": key})
		done.want(spool.Failed, code)
	}
	exchange(second, fresh)
	backUp("after the exchange")
	removal(fresh, CodeKeyInUse)
	removal(former, CodeKeyKnown)
	exchange(passwordRef, fresh) // the configuration is here, its password not yet
	removal(fresh, CodeKeyInUse)
	backUp("with the former password")
	exchange(second, fresh)
	done, _ := p.order("identify", nil)
	var found struct {
		KeyIDs []string `json:"key_ids"`
	}
	if err := json.Unmarshal(done.outcome().Facts, &found); err != nil || !slices.Equal(slices.Sorted(slices.Values(found.KeyIDs)), p.keys()) {
		t.Errorf("identify names the keys %v, %v", found.KeyIDs, err)
	}

	words := filepath.Join(t.TempDir(), "words")
	writeFile(t, words, secondPassword)
	cmd := exec.Command(restictest.Find(t, suite).Restic, "--no-cache", "-r", p.folder(), "key", "remove", former)
	cmd.Env = []string{"RESTIC_PASSWORD_FILE=" + words, "HOME=" + t.TempDir()}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("plain restic does not remove the former key: %v, %s", err, out)
	}
	done, _ = p.order("inspect", nil)
	done.wantFacts("inspect", map[string]any{"keys": 1.0, "foreign_keys": 0.0, "foreign_objects": 0.0})
	if ids := p.keys(); !slices.Equal(ids, []string{fresh}) {
		t.Errorf("left are the keys %v", ids)
	}
	backUp("after the former key was removed")
	exchange(second, former) // a hint that leads nowhere
	backUp("with the former key's id")
}

// keys are the ids of the repository's keys, as they lie in its folder.
func (p *place) keys() (ids []string) {
	p.t.Helper()
	list, err := os.ReadDir(filepath.Join(p.folder(), "keys"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, k := range list {
		ids = append(ids, k.Name())
	}
	return ids
}
