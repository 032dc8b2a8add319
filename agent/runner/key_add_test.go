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

		// Ordered again, it adds none.
		done, _ = p.order("key-add", p.second(secondPassword))
		done.want(spool.Succeeded, "")
		done.wantFacts("key-add", map[string]any{"key_id": keys[0].Name(), "keys": 2.0})

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
	for name, replies := range map[string][]restictest.Reply{
		"no new key":         {keyIs(old), keyIs(old), says("key add", "saved new key with ID "+id, 0)},
		"an old key":         {keyIs(id), keyIs(id), says("key add", "saved new key with ID "+id, 0)},
		"another key":        {keyIs(old), keyIs(strings.Repeat("c", 64)), says("key add", "saved new key with ID "+id, 0)},
		"no word":            {keyIs(id), keyIs(id), says("key add", "", 0)},
		"a short one":        {keyIs(id), keyIs(id), says("key add", "saved new key with ID bbbbbbbb", 0)},
		"it opens none":      {keyIs(old), says("key list", `[{"current":false,"id":"`+id+`","userName":"root","hostName":"nas","created":"2026-01-01 00:00:00"}]`, 0), says("key add", "saved new key with ID "+id, 0)},
		"another repository": {says("cat config", `{"version":2,"id":"`+strings.Repeat("9", 64)+`","chunker_polynomial":"x"}`, 0), keyIs(old), keyIs(id), says("key add", "saved new key with ID "+id, 0)},
	} {
		if replies[0].Command != "cat config" {
			replies = append([]restictest.Reply{catConfig()}, replies...)
		}
		replies = append([]restictest.Reply{catConfig(), says("cat config", "", 12)}, replies...)
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

// keyIs lists the key that a repository was opened with.
func keyIs(current string) restictest.Reply {
	return says("key list", `[{"current":true,"id":"`+current+`","userName":"root","hostName":"nas","created":"2026-01-01 00:00:00"}]`, 0)
}

// TestAKeyIsFoundWhoseAnswerWasLost has a storage that took the key, and a restic that did
// not learn it.
func TestAKeyIsFoundWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	id, old := strings.Repeat("b", 64), strings.Repeat("a", 64)
	lost := restictest.Reply{Command: "key add", Exit: 1, Steps: []restictest.Step{
		{Err: "Save(<key/bbbbbbbbbb>) returned error, retrying after 1s: EOF\n"},
		{Err: "Save(<key/bbbbbbbbbb>) failed: unexpected HTTP response (403): 403 Forbidden\n"},
		{Err: `{"message_type":"exit_error","code":1,"message":"Fatal: unexpected HTTP response (403): 403 Forbidden"}` + "\n"},
	}}
	for name, test := range map[string]struct {
		opens  restictest.Reply
		result spool.Result
		code   string
	}{
		"it is there": {catConfig(), spool.Succeeded, ""}, "it is not": {says("cat config", "", 12), spool.Failed, string(restic.CodeRepoAnswerLost)},
	} {
		fake := restictest.NewFake(t, fakeScript(catConfig(), says("cat config", "", 12), test.opens, keyIs(old), keyIs(id), lost))
		p := newPlace(t, fake.Path())
		p.allowMaintenance()
		done, _ := p.order("key-add", p.second(secondPassword))
		if got := done.outcome(); got.Result != test.result || got.Code != test.code {
			t.Errorf("%s: %s %s (%s)", name, got.Result, got.Code, got.Message)
		} else if got.Result == spool.Failed && !strings.Contains(got.NextStep, "ordered again, this finds it") {
			t.Errorf("%s: next is %q", name, got.NextStep)
		}
	}
}
