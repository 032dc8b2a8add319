package runner

import (
	"context"
	"fmt"
	"slices"

	"restic-manager/agent/secret"
	"restic-manager/restic"
)

// Codes of key-add.
const (
	CodePasswordKnown = "password_known" // it opens the repository already
	CodeKeyNotAdded   = "key_not_added"
)

type keyAddFacts struct {
	KeyID string `json:"key_id"`
	Keys  int    `json:"keys"`
}

// runKeyAdd has the repository's second password open it, and says so only once it did.
// The key counts as known from then on: no order removes it, and no job warns of it.
func runKeyAdd(ctx context.Context, t *Task) *Ending {
	config, e := t.pinned(ctx)
	if e != nil {
		return e
	}
	fresh, err := t.runner.secrets.Once(ctx, secret.Ref{ID: t.Params.String("secret_id"), Version: t.Params.Int("secret_version")})
	switch {
	case err != nil:
		e := t.noSecret(ctx, "second password", err)
		e.NextStep = "look whether the agent reaches its server, and whether the second password was replaced meanwhile; then order it again"
		return e
	case fresh.Secret.Reveal() == t.access.Password.Reveal():
		return failed(CodePasswordKnown, "the second password is the one that this host opens the repository with, so no key was added", "set another second password")
	}
	before, e := perform(ctx, t, restic.ListKeys{})
	if e != nil {
		return e
	}
	ledger, err := t.openLedger(config.ID)
	if err == nil {
		_, err = t.seeKeys(ledger, before.Value)
	}
	if err != nil {
		return ledgerTrouble(err)
	}
	t.access.NewPassword = fresh.Secret
	added, e := perform(ctx, t, restic.KeyAdd{})
	t.access.NewPassword = restic.Secret{}
	if e != nil {
		return e
	}
	after, e := t.opensWith(ctx, config, fresh.Secret, before.Value, added.Value.ID)
	if e != nil {
		return e
	}
	if _, err := ledger.SeeKeys(t.runner.now(), []string{added.Value.ID}, true); err != nil {
		e := ledgerTrouble(err)
		e.Message = clip("the key "+added.Value.ID+" was added, and could not be noted as known: "+e.Message, 4000)
		return e
	}
	e = outcomeOf(fmt.Sprintf("the second password opens the repository, too; it has %d keys now", len(after)))
	e.NextStep = "keep the second password where you keep such things: it opens the repository from now on. Hosts go on with the first; once you have it safe, this server need not keep the second"
	e.facts(keyAddFacts{KeyID: added.Value.ID, Keys: len(after)})
	return e
}

// opensWith proves that a key is new, and that it is what a password opens the repository with.
func (t *Task) opensWith(ctx context.Context, config restic.RepositoryConfig, password restic.Secret, before []restic.Key, id string) ([]restic.Key, *Ending) {
	here := t.access
	t.access.Password, t.access.KeyHint = password, id
	seen, e := perform(ctx, t, restic.CatConfig{})
	var after restic.Result[[]restic.Key]
	if e == nil {
		after, e = perform(ctx, t, restic.ListKeys{})
	}
	t.access = here
	if e != nil {
		e.Message = clip("with the new key "+id+": "+e.Message, 4000)
		return nil, e
	}
	old := slices.ContainsFunc(before, func(k restic.Key) bool { return k.ID == id })
	opened := slices.ContainsFunc(after.Value, func(k restic.Key) bool { return k.ID == id && k.Current })
	if old || !opened || seen.Value.ID != config.ID { //guard:key-add-proof
		return nil, failed(CodeKeyNotAdded, "restic ended without an error, but the second password does not open the repository with a new key",
			"look at the job's log and at the storage")
	}
	return after.Value, nil
}
