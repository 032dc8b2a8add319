package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const credentialCols = "id, repository_id, host_id, slot, username, location, sealed, version, updated_at, key_id, key_at, former"

// Credential reads the credential of exactly that repository, host (empty: of all
// hosts) and slot. NotFound when there is none.
func (q Queries) Credential(ctx context.Context, repository fleet.RepositoryID, host fleet.HostID, slot fleet.Slot) (*fleet.Credential, error) {
	var c fleet.Credential
	err := q.get(ctx, &c, `SELECT `+credentialCols+` FROM credentials WHERE repository_id = ? AND host_id = ? AND slot = ?`, repository, host, slot)
	return one(&c, err, "%s credential of repository %s", slot, repository)
}

// Credentials lists the credentials of repositories.
func (q Queries) Credentials(ctx context.Context, repositories ...fleet.RepositoryID) ([]fleet.Credential, error) {
	if len(repositories) == 0 {
		return nil, nil
	}
	var list []fleet.Credential
	err := q.allIn(ctx, &list, `SELECT `+credentialCols+` FROM credentials WHERE repository_id IN (?)
		ORDER BY repository_id, slot, host_id`, repositories)
	if err != nil {
		return nil, fmt.Errorf("list the credentials of %d repositories: %w", len(repositories), err)
	}
	return list, nil
}

// CredentialsOfHost lists what a host may use: for each repository that its
// schedules name or that it maintains, and each slot, its own credential, else the one
// of all hosts. What is handed over for a job alone is never among them.
func (q Queries) CredentialsOfHost(ctx context.Context, host fleet.HostID) ([]fleet.Credential, error) {
	var list []fleet.Credential
	err := q.all(ctx, &list, `SELECT `+credentialCols+` FROM credentials
		WHERE host_id IN ('', ?) AND slot IN (?, ?) AND (repository_id IN (SELECT repository_id FROM schedules WHERE host_id = ?)
			OR repository_id IN (SELECT id FROM repositories WHERE maintenance_host <> '' AND maintenance_host = ?))
		ORDER BY repository_id, slot, host_id DESC`, host, fleet.PasswordSlot, fleet.AppendSlot, host, host)
	if err != nil {
		return nil, fmt.Errorf("list the credentials of host %s: %w", host, err)
	}
	return firstOfEach(list), nil
}

// CredentialsFor lists what a host uses at a repository, whether or not it has a
// schedule there: for each slot its own credential, else the one of all hosts. What is
// handed over for a job alone is never among them.
func (q Queries) CredentialsFor(ctx context.Context, host fleet.HostID, repository fleet.RepositoryID) ([]fleet.Credential, error) {
	var list []fleet.Credential
	err := q.all(ctx, &list, `SELECT `+credentialCols+` FROM credentials
		WHERE host_id IN ('', ?) AND repository_id = ? AND slot IN (?, ?) ORDER BY slot, host_id DESC`, host, repository, fleet.PasswordSlot, fleet.AppendSlot)
	if err != nil {
		return nil, fmt.Errorf("list the credentials of host %s at repository %s: %w", host, repository, err)
	}
	return firstOfEach(list), nil
}

// firstOfEach keeps the first credential of each repository and slot; a host's own
// sorts before the empty id of all hosts.
func firstOfEach(list []fleet.Credential) []fleet.Credential {
	type key struct {
		repository fleet.RepositoryID
		slot       fleet.Slot
	}
	seen := map[key]bool{}
	kept := list[:0]
	for _, c := range list {
		k := key{c.RepositoryID, c.Slot}
		if !seen[k] {
			seen[k] = true
			kept = append(kept, c)
		}
	}
	return kept
}

// PutCredential adds a credential with version 1, or replaces the one of its
// repository, host and slot, whose version must be one less: what is sealed is
// bound to id and version, so the caller knows both. VersionConflict otherwise.
// Hosts with a schedule there get another configuration.
func (tx *Tx) PutCredential(ctx context.Context, c *fleet.Credential) error {
	c.UpdatedAt = tx.Now
	conflict := fleet.Errorf(fleet.VersionConflict, "Somebody changed this credential meanwhile: repeat your change.")
	query := `UPDATE credentials SET username = :username, location = :location, sealed = :sealed, version = :version,
		updated_at = :updated_at, key_id = :key_id, key_at = :key_at, former = :former WHERE id = :id AND version = :version - 1`
	if c.Version == 1 {
		query = insert("credentials", credentialCols) + ` ON CONFLICT (repository_id, host_id, slot) DO NOTHING`
	}
	n, err := tx.named(ctx, query, c)
	if violates(err, noSuchParent) {
		return missingNow("repository %s", c.RepositoryID)
	}
	if err != nil {
		return fmt.Errorf("write the %s credential of repository %s: %w", c.Slot, c.RepositoryID, err)
	}
	if n == 0 {
		return conflict
	}
	tx.Touch(fleet.TopicRepositories, string(c.RepositoryID))
	return tx.bumpCredential(ctx, c.RepositoryID, c.Slot)
}
