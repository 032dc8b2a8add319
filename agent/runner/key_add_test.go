package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"restic-manager/agent/secret"
	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

const secondPassword = `a "second" password & more`

// second gives the server a second password, and returns the params that name it.
func (p *place) second(password string) map[string]any {
	ref := uuid.NewString()
	p.mu.Lock()
	p.secrets[ref] = restic.NewSecret(password)
	p.mu.Unlock()
	return map[string]any{"secret_id": ref, "secret_version": 1}
}

func TestAKeyIsAddedThatOpensTheRepositoryAndIsNoneOfAStranger(t *testing.T) {
	t.Parallel()
	eachSuite(t, func(t *testing.T, suite string) {
		bins := restictest.Find(t, suite)
		p := maintained(t, suite)
		params := p.second(secondPassword)
		done, _ := p.order("key-add", params)
		done.want(spool.Succeeded, "")
		if want := (secret.Ref{ID: params["secret_id"].(string), Version: 1}); !slices.Contains(p.once, want) {
			t.Errorf("fetched for the job alone was %v", p.once)
		}
		keys, err := os.ReadDir(filepath.Join(p.folder(), "keys"))
		first := p.config.Repositories[repositoryID].KeyID
		keys = slices.DeleteFunc(keys, func(k os.DirEntry) bool { return k.Name() == first })
		if err != nil || len(keys) != 1 {
			t.Fatalf("beside the first are %v, %v", keys, err)
		}
		done.wantFacts("key-add", map[string]any{"key_id": keys[0].Name(), "keys": 2.0})

		cmd := exec.Command(bins.Restic, "--no-lock", "cat", "config")
		cmd.Env = []string{"RESTIC_REPOSITORY=" + p.folder(), "RESTIC_PASSWORD=" + secondPassword, "RESTIC_CACHE_DIR=" + t.TempDir(), "HOME=" + t.TempDir()}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("the second password opens nothing: %v, %s", err, out)
		}
		if text := p.all() + done.lines() + p.log.String(); strings.Contains(text, secondPassword) || strings.Contains(text, `a \"second\"`) {
			t.Error("the second password stands in what is recorded")
		}
		// It is no stranger's: nothing warns of it, and no order removes it.
		done, _ = p.order("inspect", nil)
		done.want(spool.Succeeded, "")
		done, _ = p.order("key-remove", map[string]any{"key_id": keys[0].Name()})
		done.want(spool.Failed, CodeKeyKnown)

		done, _ = p.order("key-add", p.second(password))
		done.want(spool.Failed, CodePasswordKnown)
		done, _ = p.order("key-add", p.second(" blanks around "))
		done.want(spool.Failed, string(restic.CodePasswordInvalid))
		done, _ = p.order("key-add", map[string]any{"secret_id": uuid.NewString(), "secret_version": 1})
		done.want(spool.Failed, CodeSecretUnavailable)
		if keys, err := os.ReadDir(filepath.Join(p.folder(), "keys")); err != nil || len(keys) != 2 {
			t.Errorf("what was refused left %d keys, %v", len(keys), err)
		}
	})
}

// TestAKeyThatIsNotThereIsNoSuccess has a restic that says it made a key, and made none.
func TestAKeyThatIsNotThereIsNoSuccess(t *testing.T) {
	t.Parallel()
	id, old := strings.Repeat("b", 64), strings.Repeat("a", 64)
	list := func(current string) restictest.Reply {
		return says("key list", `[{"current":true,"id":"`+current+`","userName":"root","hostName":"nas","created":"2026-01-01 00:00:00"}]`, 0)
	}
	for name, replies := range map[string][]restictest.Reply{
		"no new key":  {catConfig(), list(old), says("key add", "saved new key with ID "+id, 0)},
		"an old key":  {catConfig(), list(id), says("key add", "saved new key with ID "+id, 0)},
		"no word":     {catConfig(), list(id), says("key add", "", 0)},
		"a short one": {catConfig(), list(id), says("key add", "saved new key with ID bbbbbbbb", 0)},
	} {
		fake := restictest.NewFake(t, fakeScript(replies...))
		p := newPlace(t, fake.Path())
		p.allowMaintenance()
		done, _ := p.order("key-add", p.second(secondPassword))
		if got := done.outcome(); got.Result != spool.Failed || got.Code != CodeKeyNotAdded && got.Code != string(restic.CodeResticNoResult) {
			t.Errorf("%s: %s %s (%s)", name, got.Result, got.Code, got.Message)
		}
		for _, call := range fake.Calls() {
			if text := strings.Join(call.Args, " ") + strings.Join(call.Env, " "); strings.Contains(text, "second") {
				t.Errorf("%s: the second password is in the arguments or the environment", name)
			}
		}
	}
}
