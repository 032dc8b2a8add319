package api

import (
	"context"

	"restic-manager/restic"
	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// SetSecondPassword sets what key-add has open the repository, too; the value before it is
// gone.
func (h *Handlers) SetSecondPassword(ctx context.Context, r SetSecondPasswordRequestObject) (SetSecondPasswordResponseObject, error) {
	if restic.CheckNewPassword(r.Body.Password) != nil { //guard:second-password-unchanged
		return nil, fleet.Errorf(fleet.InvalidField, "It begins or ends with a blank, or has a line break, which restic would not read as it is; choose another one.").At("/password")
	}
	c := fleet.Credential{RepositoryID: fleet.RepositoryID(r.RepositoryId), Slot: fleet.SecondPasswordSlot}
	_, own, err := h.opened(ctx, c.RepositoryID, fleet.PasswordSlot)
	switch {
	case err == nil && own.Reveal() == r.Body.Password:
		return nil, fleet.Errorf(fleet.InvalidField, "This is the repository's own password, which opens it already; choose another one.").At("/password")
	case err != nil && !fleet.Is(err, fleet.NotFound):
		return nil, err
	}
	err = h.store.Update(ctx, auth.Audit(ctx, "repository.second-password"), func(tx *store.Tx) error {
		repository, err := tx.LockRepository(ctx, c.RepositoryID)
		if err != nil {
			return err
		}
		about(tx, store.ObjectRepository, string(repository.ID), repository.Name)
		return h.putCredential(ctx, tx, c, restic.NewSecret(r.Body.Password))
	})
	return SetSecondPassword204Response{}, err
}

// DeleteSecondPassword forgets the second password; what it opens it goes on opening.
func (h *Handlers) DeleteSecondPassword(ctx context.Context, r DeleteSecondPasswordRequestObject) (DeleteSecondPasswordResponseObject, error) {
	id := fleet.RepositoryID(r.RepositoryId)
	err := h.store.Update(ctx, auth.Audit(ctx, "repository.second-password-removed"), func(tx *store.Tx) error {
		repository, err := tx.LockRepository(ctx, id)
		if err != nil {
			return err
		}
		about(tx, store.ObjectRepository, string(id), repository.Name)
		_, err = tx.DeleteCredential(ctx, id, "", fleet.SecondPasswordSlot)
		return err
	})
	return DeleteSecondPassword204Response{}, err
}
