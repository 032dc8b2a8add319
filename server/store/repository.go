package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const repositoryCols = "id, name, location, existing, state, restic_id, key_id, password_made_here, sheet_saved, " +
	"allow_deleting_credential, can_delete, init_job, version, created_at, maintenance_host, maintenance_location, plan, health, " +
	"next_retention, next_prune, next_check, next_measure, hold_job, hold_since, hold_until, hosts, schedules, snapshots, last_snapshot"

// RepositoryFilter narrows a list of repositories; empty fields do not.
type RepositoryFilter struct {
	Query     string // a part of the name, in any case
	Attention bool   // only those with a condition, or whose sheet was not saved
}

// Repository reads a repository. NotFound when there is none.
func (q Queries) Repository(ctx context.Context, id fleet.RepositoryID) (*fleet.Repository, error) {
	var r fleet.Repository
	err := q.get(ctx, &r, `SELECT `+repositoryCols+` FROM repositories WHERE id = ?`, id)
	return one(&r, err, "repository %s", id)
}

// Repositories lists repositories by name.
func (q Queries) Repositories(ctx context.Context, f RepositoryFilter, p Page) ([]fleet.Repository, string, error) {
	var w where
	w.contains("name", f.Query)
	if f.Attention {
		w.add("(NOT sheet_saved OR id IN (SELECT object_id FROM conditions WHERE object_type = ?))", ObjectRepository)
	}
	var name string
	if ok, err := p.after(f, &name); err != nil {
		return nil, "", err
	} else if ok {
		w.add("name > ?", name)
	}
	var list []fleet.Repository
	err := q.all(ctx, &list, `SELECT `+repositoryCols+` FROM repositories`+w.String()+` ORDER BY name LIMIT ?`, append(w.args, p.size()+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("list repositories: %w", err)
	}
	return paged(p, f, list, func(r *fleet.Repository) []any { return []any{r.Name} })
}

// RepositoryNames gives the names of repositories by id; deleted ones are left out.
func (q Queries) RepositoryNames(ctx context.Context, ids []fleet.RepositoryID) (map[fleet.RepositoryID]string, error) {
	return names(ctx, q, "repositories", ids)
}

// RepositoriesOfHost lists the repositories that a host's schedules name, by name.
func (q Queries) RepositoriesOfHost(ctx context.Context, host fleet.HostID) ([]fleet.Repository, error) {
	var list []fleet.Repository
	err := q.all(ctx, &list, `SELECT `+repositoryCols+` FROM repositories
		WHERE id IN (SELECT repository_id FROM schedules WHERE host_id = ?) ORDER BY name`, host)
	if err != nil {
		return nil, fmt.Errorf("list the repositories of host %s: %w", host, err)
	}
	return list, nil
}

// HostsOfRepository lists the hosts that have a schedule at a repository, by name.
func (q Queries) HostsOfRepository(ctx context.Context, id fleet.RepositoryID) ([]fleet.Host, error) {
	var list []fleet.Host
	err := q.all(ctx, &list, `SELECT `+hostCols+` FROM hosts
		WHERE id IN (SELECT host_id FROM schedules WHERE repository_id = ?) ORDER BY name`, id)
	if err != nil {
		return nil, fmt.Errorf("list the hosts of repository %s: %w", id, err)
	}
	return list, nil
}

// CreateRepository adds a repository. NameTaken when another has its name.
func (tx *Tx) CreateRepository(ctx context.Context, r *fleet.Repository) error {
	if r.CreatedAt.IsZero() {
		r.CreatedAt = tx.Now
	}
	if r.Version == 0 {
		r.Version = 1
	}
	if r.State == "" {
		r.State = fleet.RepositoryNew
	}
	if r.CanDelete == "" {
		r.CanDelete = "unknown"
	}
	if _, err := tx.named(ctx, insert("repositories", repositoryCols), r); err != nil {
		return taken(fmt.Errorf("create repository: %w", err))
	}
	tx.Touch(fleet.TopicRepositories, string(r.ID))
	return nil
}

// LockRepository reads a repository that nobody else changes before this transaction
// ends. NotFound when there is none.
func (tx *Tx) LockRepository(ctx context.Context, id fleet.RepositoryID) (*fleet.Repository, error) {
	var r fleet.Repository
	err := tx.get(ctx, &r, `UPDATE repositories SET version = version WHERE id = ? RETURNING `+repositoryCols, id)
	return one(&r, err, "repository %s", id)
}

// UpdateRepository writes what people edit: name, whether the recovery sheet is
// saved and whether a credential that deletes is allowed. Hosts with a schedule there
// get another configuration where it holds what changed. The repository must have
// been locked: its version is raised by agents too, so that it tells nothing about
// other people's changes. NameTaken when another has its name.
func (tx *Tx) UpdateRepository(ctx context.Context, r *fleet.Repository) error {
	before, err := tx.LockRepository(ctx, r.ID)
	if err != nil {
		return err
	}
	err = tx.get(ctx, &r.Version, `UPDATE repositories SET name = ?, sheet_saved = ?, allow_deleting_credential = ?, version = version + 1
		WHERE id = ? RETURNING version`, r.Name, r.SheetSaved, r.AllowDeletingCredential, r.ID)
	if err != nil {
		return taken(missing(err, "repository %s", r.ID))
	}
	tx.Touch(fleet.TopicRepositories, string(r.ID))
	if r.Name == before.Name && r.AllowDeletingCredential == before.AllowDeletingCredential {
		return nil
	}
	return tx.bumpConfigOfRepository(ctx, r.ID)
}

// DeleteRepository forgets a repository with its credentials and known snapshots;
// what restic stored is not touched. RepositoryInUse while a schedule names it.
func (tx *Tx) DeleteRepository(ctx context.Context, id fleet.RepositoryID) error {
	var hosts []fleet.HostID
	err := tx.all(ctx, &hosts, `SELECT DISTINCT host_id FROM snapshots WHERE repository_id = ? AND host_id <> ''`, id)
	if err != nil {
		return fmt.Errorf("read the hosts of repository %s: %w", id, err)
	}
	if err := tx.bumpMaintainers(ctx, id); err != nil {
		return err
	}
	n, err := tx.exec(ctx, `DELETE FROM repositories WHERE id = ?`, id)
	if violates(err, noSuchParent) {
		return fleet.Wrap(fleet.RepositoryInUse, err, "Schedules still back up to this repository: delete them or move them first.")
	}
	if err != nil {
		return fmt.Errorf("delete repository %s: %w", id, err)
	}
	if n == 0 {
		return missingNow("repository %s", id)
	}
	if _, err := tx.exec(ctx, `DELETE FROM conditions WHERE object_type = 'repository' AND object_id = ?`, id); err != nil {
		return fmt.Errorf("delete the conditions of repository %s: %w", id, err)
	}
	for _, host := range hosts {
		if err := tx.recountSnapshotsOfHost(ctx, host); err != nil {
			return err
		}
	}
	tx.Touch(fleet.TopicRepositories, string(id))
	return nil
}

// ClaimInit moves a new repository to initialising with the one job that does it,
// and tells whether this transaction did: false when another was faster.
func (tx *Tx) ClaimInit(ctx context.Context, id fleet.RepositoryID, job fleet.JobID) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE repositories SET state = ?, init_job = ?, version = version + 1 WHERE id = ? AND state = ?`,
		fleet.RepositoryInitialising, job, id, fleet.RepositoryNew)
	if err != nil {
		return false, fmt.Errorf("claim the init of repository %s: %w", id, err)
	}
	if n > 0 {
		tx.Touch(fleet.TopicRepositories, string(id))
	}
	return n == 1, nil
}

// FinishInit ends the init of a repository that this job has claimed: ready with
// the ids that restic gave, failed, or new again so that another host may try. It
// tells whether the claim was this job's. Hosts with a schedule there get another
// configuration.
func (tx *Tx) FinishInit(ctx context.Context, id fleet.RepositoryID, job fleet.JobID, state fleet.RepositoryState, resticID, keyID string) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE repositories SET state = ?, restic_id = ?, key_id = ?, version = version + 1
		WHERE id = ? AND state = ? AND init_job = ?`, state, resticID, keyID, id, fleet.RepositoryInitialising, job)
	if err != nil {
		return false, fmt.Errorf("finish the init of repository %s: %w", id, err)
	}
	if n == 0 {
		return false, nil
	}
	tx.Touch(fleet.TopicRepositories, string(id))
	return true, tx.bumpConfigOfRepository(ctx, id)
}

// RetryInit lets a repository whose init failed be initialised again, which only a
// person may ask for. False when it was in another state.
func (tx *Tx) RetryInit(ctx context.Context, id fleet.RepositoryID) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE repositories SET state = ?, init_job = '', version = version + 1 WHERE id = ? AND state = ?`,
		fleet.RepositoryNew, id, fleet.RepositoryFailed)
	if err != nil {
		return false, fmt.Errorf("retry the init of repository %s: %w", id, err)
	}
	if n > 0 {
		tx.Touch(fleet.TopicRepositories, string(id))
	}
	return n == 1, nil
}

// SetCanDelete writes what a probe saw of the append credential: yes, no or
// unknown.
func (tx *Tx) SetCanDelete(ctx context.Context, id fleet.RepositoryID, canDelete string) error {
	n, err := tx.exec(ctx, `UPDATE repositories SET can_delete = ?, version = version + 1 WHERE id = ? AND can_delete <> ?`, canDelete, id, canDelete)
	if n > 0 {
		tx.Touch(fleet.TopicRepositories, string(id))
	}
	return err
}

// bumpConfigOfRepository gives every host with a schedule there, and the one that
// maintains it, another configuration revision.
func (tx *Tx) bumpConfigOfRepository(ctx context.Context, id fleet.RepositoryID) error {
	var hosts []fleet.HostID
	err := tx.all(ctx, &hosts, `SELECT host_id FROM schedules WHERE repository_id = ?
		UNION SELECT maintenance_host FROM repositories WHERE id = ? AND maintenance_host <> '' ORDER BY 1`, id, id)
	if err != nil {
		return fmt.Errorf("read the hosts of repository %s: %w", id, err)
	}
	return tx.BumpConfig(ctx, hosts...)
}
