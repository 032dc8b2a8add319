package runner

import (
	"cmp"
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

// runKeyAdd has the repository's second password open it, and says so only once it did. It
// can be ordered again whatever came of it before: a key that the password opens already is
// the one. The key counts as known from then on: no order removes it, and no job warns of it.
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
	opened, e := t.openedBy(ctx, config, fresh.Secret, "")
	said := "the second password opened the repository already"
	if e != nil && e.Code == string(restic.CodeWrongPassword) {
		said = "the second password opens the repository, too"
		opened, e = t.addKey(ctx, config, fresh.Secret, before.Value)
	}
	if e != nil {
		return e
	}
	if _, err := ledger.SeeKeys(t.runner.now(), []string{opened.key}, true); err != nil {
		e := ledgerTrouble(err)
		e.Message = clip("the key "+opened.key+" is there, and could not be noted as known: "+e.Message, 4000)
		return e
	}
	e = outcomeOf(fmt.Sprintf("%s; it has %d keys now", said, opened.keys))
	e.NextStep = "keep the second password where you keep such things: it opens the repository from now on. Hosts go on with the first; once you have it safe, this server need not keep the second"
	e.facts(keyAddFacts{KeyID: opened.key, Keys: opened.keys})
	return e
}

// opened is the key that a password has opened a repository with, and how many there are.
type opened struct {
	key  string
	keys int
}

// addKey adds a key for a password, and proves that it is new and opens the repository. A
// key may be there also where restic did not learn that the storage has it.
func (t *Task) addKey(ctx context.Context, config restic.RepositoryConfig, password restic.Secret, before []restic.Key) (opened, *Ending) {
	t.access.NewPassword = password
	added, e := perform(ctx, t, restic.KeyAdd{})
	t.access.NewPassword = restic.Secret{}
	if e != nil && e.Code == string(restic.CodeRepoAnswerLost) {
		if found, unproven := t.openedBy(ctx, config, password, ""); unproven == nil {
			return found, nil
		}
	}
	if e != nil {
		e.NextStep = cmp.Or(e.NextStep, "see the log") + "; a key may have been added: ordered again, this finds it"
		return opened{}, e
	}
	found, e := t.openedBy(ctx, config, password, added.Value.ID)
	if e != nil {
		e.Message = clip("with the new key "+added.Value.ID+": "+e.Message, 4000)
		return opened{}, e
	}
	if slices.ContainsFunc(before, func(k restic.Key) bool { return k.ID == found.key }) || found.key != added.Value.ID { //guard:key-add-proof
		return opened{}, notOpened()
	}
	return found, nil
}

// openedBy opens the repository with a password, by the key that is named first, and tells
// by which it did. The code is wrong_password where the password opens none.
func (t *Task) openedBy(ctx context.Context, config restic.RepositoryConfig, password restic.Secret, key string) (opened, *Ending) {
	here := t.access
	t.access.Password, t.access.KeyHint = password, key
	seen, e := perform(ctx, t, restic.CatConfig{})
	var keys restic.Result[[]restic.Key]
	if e == nil {
		keys, e = perform(ctx, t, restic.ListKeys{})
	}
	t.access = here
	if e != nil {
		return opened{}, e
	}
	i := slices.IndexFunc(keys.Value, func(k restic.Key) bool { return k.Current })
	if i < 0 {
		return opened{}, notOpened()
	}
	if seen.Value.ID != config.ID { //guard:key-add-opened
		return opened{}, notOpened()
	}
	return opened{keys.Value[i].ID, len(keys.Value)}, nil
}

func notOpened() *Ending {
	return failed(CodeKeyNotAdded, "restic ended without an error, but the second password does not open the repository with a new key", "look at the job's log and at the storage")
}
