package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const userCols = "id, name, role, password_hash, disabled, generation, created_at, last_sign_in"

// User reads an account. NotFound when there is none.
func (q Queries) User(ctx context.Context, id fleet.UserID) (*fleet.User, error) {
	var u fleet.User
	err := q.get(ctx, &u, `SELECT `+userCols+` FROM users WHERE id = ?`, id)
	return one(&u, err, "user %s", id)
}

// UserByName reads an account by its name. NotFound when there is none.
func (q Queries) UserByName(ctx context.Context, name string) (*fleet.User, error) {
	var u fleet.User
	err := q.get(ctx, &u, `SELECT `+userCols+` FROM users WHERE name = ?`, name)
	return one(&u, err, "user of that name")
}

// Users lists accounts by name.
func (q Queries) Users(ctx context.Context, p Page) ([]fleet.User, string, error) {
	var w where
	var name string
	if ok, err := p.after("users", &name); err != nil {
		return nil, "", err
	} else if ok {
		w.add("name > ?", name)
	}
	var users []fleet.User
	err := q.all(ctx, &users, `SELECT `+userCols+` FROM users`+w.String()+` ORDER BY name LIMIT ?`, append(w.args, p.size()+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("list users: %w", err)
	}
	return paged(p, "users", users, func(u *fleet.User) []any { return []any{u.Name} })
}

// SetUp tells whether the first account was made. It never becomes false again.
func (q Queries) SetUp(ctx context.Context) (bool, error) {
	_, err := q.Meta(ctx, metaSetup)
	if fleet.Is(err, fleet.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// CreateFirstUser makes the account of the set-up and closes the set-up for ever.
// SetupDone for everybody but the first.
func (tx *Tx) CreateFirstUser(ctx context.Context, u *fleet.User) error {
	first, err := tx.AddMeta(ctx, metaSetup, string(u.ID))
	if err != nil {
		return fmt.Errorf("close the set-up: %w", err)
	}
	if !first { //guard:setup-first
		return fleet.Errorf(fleet.SetupDone, "The set-up is done; sign in.")
	}
	return tx.CreateUser(ctx, u)
}

// CreateUser makes an account. NameTaken when another has its name.
func (tx *Tx) CreateUser(ctx context.Context, u *fleet.User) error {
	if u.CreatedAt.IsZero() {
		u.CreatedAt = tx.Now
	}
	if _, err := tx.named(ctx, insert("users", userCols), u); err != nil {
		return taken(fmt.Errorf("create user: %w", err))
	}
	tx.Touch(fleet.TopicUsers, string(u.ID))
	return nil
}

// UpdateUser writes name, role, password hash and whether the account is disabled.
// endSignIns raises the generation, which ends every sign-in of the account.
// LastAdmin when no admin who may sign in would remain.
func (tx *Tx) UpdateUser(ctx context.Context, u *fleet.User, endSignIns bool) error {
	if u.Role != fleet.Admin || u.Disabled {
		if err := tx.keepAnAdmin(ctx, u.ID); err != nil {
			return err
		}
	}
	if endSignIns {
		u.Generation++
	}
	n, err := tx.named(ctx, `UPDATE users SET name = :name, role = :role, password_hash = :password_hash, disabled = :disabled,
		generation = :generation WHERE id = :id`, u)
	if err != nil {
		return taken(fmt.Errorf("update user %s: %w", u.ID, err))
	}
	if n == 0 {
		return missingNow("user %s", u.ID)
	}
	tx.Touch(fleet.TopicUsers, string(u.ID))
	return nil
}

// DeleteUser removes an account. LastAdmin when no admin who may sign in would
// remain.
func (tx *Tx) DeleteUser(ctx context.Context, id fleet.UserID) error {
	if err := tx.keepAnAdmin(ctx, id); err != nil {
		return err
	}
	n, err := tx.exec(ctx, `DELETE FROM users WHERE id = ?`, id)
	if err != nil {
		return fmt.Errorf("delete user %s: %w", id, err)
	}
	if n == 0 {
		return missingNow("user %s", id)
	}
	tx.Touch(fleet.TopicUsers, string(id))
	return nil
}

// keepAnAdmin locks the admins, so that two of them cannot remove each other at
// the same time, and tells whether one remains without this account.
func (tx *Tx) keepAnAdmin(ctx context.Context, without fleet.UserID) error {
	var admins []fleet.UserID
	err := tx.all(ctx, &admins, `UPDATE users SET role = role WHERE role = ? AND NOT disabled RETURNING id`, fleet.Admin)
	if err != nil {
		return fmt.Errorf("lock the admins: %w", err)
	}
	if len(admins) == 1 && admins[0] == without {
		return fleet.Errorf(fleet.LastAdmin, "This is the last admin who can sign in: make another one first.")
	}
	return nil
}

// SignedIn notes that the account signed in.
func (tx *Tx) SignedIn(ctx context.Context, id fleet.UserID) error {
	_, err := tx.exec(ctx, `UPDATE users SET last_sign_in = ? WHERE id = ?`, tx.Now, id)
	return err
}
