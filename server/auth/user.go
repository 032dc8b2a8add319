package auth

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// How many characters a password has. The contract says the same.
const (
	MinPassword = 10
	MaxPassword = 200
)

// CreateUser makes an account, as the person of the request. NameTaken when another
// has its name.
func (a *Auth) CreateUser(ctx context.Context, name, password string, role fleet.Role) (*fleet.User, error) {
	hash, err := a.hasher.Hash(ctx, password)
	if err != nil {
		return nil, err
	}
	user := &fleet.User{ID: fleet.NewID[fleet.UserID](), Name: name, Role: role, PasswordHash: hash}
	err = a.store.Update(ctx, auditOf(ctx, "user.create", user), func(tx *store.Tx) error {
		tx.Audit.Detail = "role " + string(role)
		return tx.CreateUser(ctx, user)
	})
	if err != nil {
		return nil, err
	}
	return user, nil
}

// UserChange is what an admin changes of an account; nil leaves it as it is.
type UserChange struct {
	Role     *fleet.Role
	Password *string
	Disabled *bool
}

// UpdateUser changes an account and ends its sign-ins. NotFound, and LastAdmin when
// no admin who can sign in would remain.
func (a *Auth) UpdateUser(ctx context.Context, id fleet.UserID, change UserChange) (*fleet.User, error) {
	hash := ""
	if change.Password != nil {
		var err error
		if hash, err = a.hasher.Hash(ctx, *change.Password); err != nil {
			return nil, err
		}
	}
	var user *fleet.User
	err := a.store.Update(ctx, Audit(ctx, "user.update"), func(tx *store.Tx) (err error) {
		if user, err = tx.User(ctx, id); err != nil {
			return err
		}
		tx.Audit.ObjectType, tx.Audit.ObjectID, tx.Audit.ObjectName = "user", string(user.ID), user.Name
		tx.Audit.Detail = change.apply(user, hash)
		return tx.UpdateUser(ctx, user, true)
	})
	if err != nil {
		return nil, err
	}
	return user, nil
}

// apply changes the account and tells what was changed.
func (c UserChange) apply(user *fleet.User, hash string) (detail string) {
	if c.Role != nil && *c.Role != user.Role {
		detail += fmt.Sprintf("role %s to %s; ", user.Role, *c.Role)
		user.Role = *c.Role
	}
	if c.Disabled != nil && *c.Disabled != user.Disabled {
		detail += fmt.Sprintf("disabled %t; ", *c.Disabled)
		user.Disabled = *c.Disabled
	}
	if c.Password != nil {
		detail += "password; "
		user.PasswordHash = hash
	}
	return detail
}

// DeleteUser removes an account and its sign-ins. NotFound, and LastAdmin as in
// UpdateUser.
func (a *Auth) DeleteUser(ctx context.Context, id fleet.UserID) error {
	return a.store.Update(ctx, Audit(ctx, "user.delete"), func(tx *store.Tx) error {
		user, err := tx.User(ctx, id)
		if err != nil {
			return err
		}
		tx.Audit.ObjectType, tx.Audit.ObjectID, tx.Audit.ObjectName = "user", string(user.ID), user.Name
		return tx.DeleteUser(ctx, id)
	})
}

// ChangePassword changes the password of the request's person, who proves to know
// the present one. Every other sign-in of the account ends. InvalidCredentials for
// a wrong one, TooManyRequests when the throttle refuses.
func (a *Auth) ChangePassword(ctx context.Context, current, next string) error {
	user := Person(ctx)
	try, err := a.signInAttempt(ctx, user.Name)
	if err != nil {
		return err
	}
	if _, err := a.prove(ctx, try, user, current); err != nil {
		return err
	}
	hash, err := a.hasher.Hash(ctx, next)
	if err != nil {
		return err
	}
	var changed *fleet.User
	err = a.store.Update(ctx, auditOf(ctx, "user.password", user), func(tx *store.Tx) (err error) {
		if changed, err = tx.User(ctx, user.ID); err != nil {
			return err
		}
		changed.PasswordHash = hash
		return tx.UpdateUser(ctx, changed, true)
	})
	if err != nil {
		return err
	}
	return a.keep(ctx, changed)
}

// ResetPassword gives an account another password and ends its sign-ins, for
// whoever can run a program on the server. NotFound.
func (a *Auth) ResetPassword(ctx context.Context, name, password string) error {
	hash, err := a.hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	return a.store.Update(ctx, fleet.Audit{Actor: "console", Action: "user.password"}, func(tx *store.Tx) error {
		user, err := tx.UserByName(ctx, name)
		if err != nil {
			return err
		}
		tx.Audit.ObjectType, tx.Audit.ObjectID, tx.Audit.ObjectName = "user", string(user.ID), user.Name
		user.PasswordHash = hash
		return tx.UpdateUser(ctx, user, true)
	})
}

func auditOf(ctx context.Context, action string, user *fleet.User) fleet.Audit {
	audit := Audit(ctx, action)
	audit.ObjectType, audit.ObjectID, audit.ObjectName = "user", string(user.ID), user.Name
	return audit
}
