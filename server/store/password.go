package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

// ExchangePasswords writes the password that hosts use and the second one, each in the
// other's place, with the key of the first: both as PutCredential takes them. The recovery
// sheet counts as not saved, and every host that uses the repository as not having fetched
// the password. The repository must have been locked.
func (tx *Tx) ExchangePasswords(ctx context.Context, id fleet.RepositoryID, keyID string, own, second *fleet.Credential) error {
	for _, c := range []*fleet.Credential{own, second} {
		if err := tx.PutCredential(ctx, c); err != nil {
			return err
		}
	}
	_, err := tx.exec(ctx, `UPDATE repositories SET key_id = ?, sheet_saved = ?, version = version + 1 WHERE id = ?`, keyID, false, id)
	if err != nil {
		return fmt.Errorf("exchange the passwords of repository %s: %w", id, err)
	}
	if _, err := tx.exec(ctx, `DELETE FROM password_waits WHERE repository_id = ?`, id); err != nil {
		return fmt.Errorf("forget who had not fetched the password of repository %s: %w", id, err)
	}
	_, err = tx.exec(ctx, `INSERT INTO password_waits (repository_id, host_id) SELECT r.id, h.id FROM repositories r, hosts h
		WHERE r.id = ? AND h.enrolled_at > 0 AND (h.id = r.maintenance_host OR h.id IN (SELECT host_id FROM schedules WHERE repository_id = r.id))`, id)
	if err != nil {
		return fmt.Errorf("note who has not fetched the password of repository %s: %w", id, err)
	}
	return nil
}

// SetKey writes which key a version of a second password opens its repository with, and
// when that was found out; an empty key: none any more. A later version is left alone.
func (tx *Tx) SetKey(ctx context.Context, c *fleet.Credential, keyID string, at fleet.Time) error {
	n, err := tx.exec(ctx, `UPDATE credentials SET key_id = ?, key_at = ? WHERE id = ? AND version = ?`, keyID, at, c.ID, c.Version)
	if err != nil {
		return fmt.Errorf("write the key of credential %s: %w", c.ID, err)
	}
	if n == 0 {
		return nil
	}
	return tx.changedRepository(ctx, c.RepositoryID)
}

// maxWaitsNamed is how many hosts PasswordWaits names of a repository.
const maxWaitsNamed = 20

// PasswordWaits lists the hosts that use repositories and have not fetched their password
// since it was exchanged, the first few of each repository by name.
func (q Queries) PasswordWaits(ctx context.Context, ids ...fleet.RepositoryID) ([]fleet.PasswordWait, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var list []fleet.PasswordWait
	err := q.allIn(ctx, &list, `SELECT repository_id, host_name, hosts FROM (
		SELECT w.repository_id AS repository_id, h.name AS host_name, COUNT(*) OVER (PARTITION BY w.repository_id) AS hosts,
			ROW_NUMBER() OVER (PARTITION BY w.repository_id ORDER BY h.name) AS place
		FROM password_waits w JOIN hosts h ON h.id = w.host_id JOIN repositories r ON r.id = w.repository_id
		WHERE w.repository_id IN (?) AND (h.id = r.maintenance_host OR h.id IN (SELECT host_id FROM schedules WHERE repository_id = r.id))
	) waits WHERE place <= ? ORDER BY repository_id, host_name`, ids, maxWaitsNamed)
	if err != nil {
		return nil, fmt.Errorf("list who has not fetched the passwords of %d repositories: %w", len(ids), err)
	}
	return list, nil
}

// PasswordWaitsOfHost lists the repositories whose password a host has not fetched since it
// was exchanged.
func (q Queries) PasswordWaitsOfHost(ctx context.Context, host fleet.HostID) ([]fleet.RepositoryID, error) {
	var ids []fleet.RepositoryID
	err := q.all(ctx, &ids, `SELECT repository_id FROM password_waits WHERE host_id = ? ORDER BY repository_id`, host)
	if err != nil {
		return nil, fmt.Errorf("list the passwords that host %s has not fetched: %w", host, err)
	}
	return ids, nil
}

// FetchedPassword notes that a host has fetched a repository's password in a version. One
// that was exchanged meanwhile is still to be fetched.
func (tx *Tx) FetchedPassword(ctx context.Context, host fleet.HostID, c fleet.Credential) error {
	if _, err := tx.LockRepository(ctx, c.RepositoryID); err != nil { // first, as whoever exchanges passwords does
		return err
	}
	n, err := tx.exec(ctx, `DELETE FROM password_waits WHERE host_id = ? AND repository_id = ?
		AND EXISTS (SELECT 1 FROM credentials WHERE id = ? AND version = ?)`, host, c.RepositoryID, c.ID, c.Version)
	if err != nil {
		return fmt.Errorf("note that host %s has fetched a password: %w", host, err)
	}
	if n == 0 {
		return nil
	}
	return tx.changedRepository(ctx, c.RepositoryID)
}

// changedRepository has those who look at a repository read it again.
func (tx *Tx) changedRepository(ctx context.Context, id fleet.RepositoryID) error {
	if _, err := tx.exec(ctx, `UPDATE repositories SET version = version + 1 WHERE id = ?`, id); err != nil {
		return fmt.Errorf("raise the version of repository %s: %w", id, err)
	}
	tx.Touch(fleet.TopicRepositories, string(id))
	return nil
}
