package api

import (
	"context"
	"fmt"
	"strings"

	"restic-manager/restic"
	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// UseSecondPassword has hosts open the repository with its second password from now on, and
// keeps the one before as the second, so that the same order takes it back. The order names
// the key, so that one that is repeated is not the way back.
func (h *Handlers) UseSecondPassword(ctx context.Context, r UseSecondPasswordRequestObject) (UseSecondPasswordResponseObject, error) {
	id := fleet.RepositoryID(r.RepositoryId)
	repository, err := h.store.Repository(ctx, id)
	if err != nil {
		return nil, err
	}
	if r.Body.Confirm != repository.Name { //guard:exchange-typed
		return nil, fleet.Errorf(fleet.ConfirmationNeeded, "Type the name of the repository to do this: it is %s.", repository.Name).At("/confirm")
	}
	err = h.auth.Reprove(ctx, r.Body.OwnPassword)
	if err != nil { //guard:exchange-reauth
		return nil, err
	}
	err = h.store.Update(ctx, auth.Audit(ctx, "repository.password-exchanged"), func(tx *store.Tx) error {
		repository, err := tx.LockRepository(ctx, id)
		if err != nil {
			return err
		}
		about(tx, store.ObjectRepository, string(id), repository.Name)
		if repository.KeyID == r.Body.KeyId { //guard:exchange-once
			tx.Audit.Detail = "hosts use key " + repository.KeyID + " already"
			return nil
		}
		tx.Audit.Detail = fmt.Sprintf("hosts use key %s; the former password, of key %s, is kept as the second", r.Body.KeyId, repository.KeyID)
		return h.exchangePasswords(ctx, tx, repository, r.Body.KeyId)
	})
	if err != nil {
		return nil, err
	}
	view, err := h.readRepository(ctx, id)
	return UseSecondPassword200JSONResponse(view), err
}

// exchangePasswords puts each of a repository's two passwords in the other's place. What is
// sealed is bound to its place, so both are sealed anew.
func (h *Handlers) exchangePasswords(ctx context.Context, tx *store.Tx, r *fleet.Repository, key string) error {
	if r.State != fleet.RepositoryReady || r.KeyID == "" {
		return fleet.Errorf(fleet.RepositoryNotReady, "The repository was not identified yet, so its own password is not proven either; wait until it is ready.")
	}
	second, err := provenSecond(ctx, tx.Queries, r, key)
	if err != nil {
		return err
	}
	own, err := tx.Credential(ctx, r.ID, "", fleet.PasswordSlot)
	if err != nil {
		return err
	}
	former, err := h.open(own)
	if err != nil {
		return err
	}
	fresh, err := h.open(second)
	if err != nil {
		return err
	}
	second.KeyID, second.KeyAt, second.Former = r.KeyID, tx.Now, own.Version
	if err := h.sealNext(own, fresh); err != nil {
		return err
	}
	if err := h.sealNext(second, former); err != nil {
		return err
	}
	return tx.ExchangePasswords(ctx, r.ID, key, own, second)
}

// provenSecond is the second password of a repository, which a job has proven to open it
// with a key.
func provenSecond(ctx context.Context, q store.Queries, r *fleet.Repository, key string) (*fleet.Credential, error) {
	second, err := q.Credential(ctx, r.ID, "", fleet.SecondPasswordSlot)
	switch {
	case fleet.Is(err, fleet.NotFound):
		return nil, fleet.Errorf(fleet.KeyNotProven, "%s has no second password. Set one, and have its key added (key-add).", r.Name)
	case err != nil:
		return nil, err
	case second.KeyID == "": //guard:exchange-proof
		return nil, fleet.Errorf(fleet.KeyNotProven,
			"No job has proven that the second password, as it is now, opens %s, or its key is gone since. Have its key added (key-add), and go on when that has succeeded.", r.Name)
	case second.KeyID != key: //guard:exchange-named
		return nil, fleet.Errorf(fleet.VersionConflict, "The second password opens %s with another key than this one. Look at it again.", r.Name).At("/key_id")
	}
	return second, nil
}

// open opens a credential.
func (h *Handlers) open(c *fleet.Credential) (restic.Secret, error) {
	secret, err := h.sealer.Open("credentials", string(c.ID), "sealed", c.Version, c.Sealed)
	if err != nil {
		return restic.Secret{}, fleet.Wrap(fleet.SecretIntegrity, err, "A stored secret of this repository cannot be opened; set it again.")
	}
	return secret, nil
}

// sealNext makes a secret the next version of a credential.
func (h *Handlers) sealNext(c *fleet.Credential, secret restic.Secret) (err error) {
	c.Version++
	if c.Sealed, err = h.sealer.Seal("credentials", string(c.ID), "sealed", c.Version, secret); err != nil {
		return fmt.Errorf("seal a credential of repository %s: %w", c.RepositoryID, err)
	}
	return nil
}

// passwords is what the view of a repository tells of its two passwords.
func (a *around) passwords(view *Repository, r *fleet.Repository, credentials []fleet.Credential, deleting *fleet.Credential) {
	for _, c := range credentials {
		switch {
		case c.Slot == fleet.PasswordSlot && c.Version > 1: // only an exchange makes another
			view.PasswordExchangedAt = c.UpdatedAt.Time()
		case c.Slot == fleet.SecondPasswordSlot && c.Former > 0:
			former := &FormerPassword{HostNames: []Name{}, Remove: a.removal(r, c.KeyID, deleting)}
			for _, w := range a.waits[r.ID] {
				former.Hosts = w.Hosts
				former.HostNames = append(former.HostNames, w.HostName)
			}
			view.FormerPassword = former
		}
	}
}

// removal is the command with which root at the maintenance host removes a key. No order of
// this server does that: whoever owned it could lock everybody else out.
func (a *around) removal(r *fleet.Repository, key string, deleting *fleet.Credential) string {
	host := a.hosts[r.MaintenanceHost]
	if host == nil || key == "" {
		return ""
	}
	remove := " --no-cache --retry-lock 1h key remove " + key
	folder := r.MaintenanceLocation
	switch {
	case folder != "" && host.OS == "windows":
		return "$env:RESTIC_PASSWORD_FILE = 'FILE'; restic -r " + powerShellQuote(folder) + remove
	case folder != "":
		return `runuser -u "$(stat -c %U ` + shellQuote(folder) + `)" -- env RESTIC_PASSWORD_FILE=FILE restic -r ` + shellQuote(folder) + remove
	case deleting == nil:
		return ""
	}
	at := shellQuote(r.MaintainedAt(deleting))
	if !strings.HasPrefix(r.MaintainedAt(deleting), "rest:") {
		return "RESTIC_PASSWORD_FILE=FILE restic -r " + at + remove
	}
	return "RESTIC_PASSWORD_FILE=FILE RESTIC_REST_USERNAME=" + shellQuote(deleting.Username) +
		` RESTIC_REST_PASSWORD="$(cat FILE-OF-THE-CREDENTIAL)" restic -r ` + at + remove
}
