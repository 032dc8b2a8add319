package store

import (
	"context"
	"fmt"

	"restic-manager/restic"
	"restic-manager/server/fleet"
)

// RepositoriesMaintained lists the repositories that a host maintains, by name.
func (q Queries) RepositoriesMaintained(ctx context.Context, host fleet.HostID) ([]fleet.Repository, error) {
	var list []fleet.Repository
	err := q.all(ctx, &list, `SELECT `+repositoryCols+` FROM repositories WHERE maintenance_host <> '' AND maintenance_host = ? ORDER BY name`, host)
	if err != nil {
		return nil, fmt.Errorf("list the repositories that host %s maintains: %w", host, err)
	}
	return list, nil
}

// RepositoriesKnown lists the repositories that a host's schedules name or that it
// maintains, by name.
func (q Queries) RepositoriesKnown(ctx context.Context, host fleet.HostID) ([]fleet.Repository, error) {
	var list []fleet.Repository
	err := q.all(ctx, &list, `SELECT `+repositoryCols+` FROM repositories
		WHERE id IN (SELECT repository_id FROM schedules WHERE host_id = ?) OR (maintenance_host <> '' AND maintenance_host = ?) ORDER BY name`, host, host)
	if err != nil {
		return nil, fmt.Errorf("list the repositories that host %s knows: %w", host, err)
	}
	return list, nil
}

// MaintenanceCredential reads the credential of a repository that can delete. NotFound
// when there is none.
func (q Queries) MaintenanceCredential(ctx context.Context, id fleet.RepositoryID) (*fleet.Credential, error) {
	return q.Credential(ctx, id, "", fleet.MaintenanceSlot)
}

// RetentionOf is a schedule with what its host is called, as the host that thins out
// a repository wants to know it.
type RetentionOf struct {
	fleet.Schedule
	HostName     string `db:"of_host_name"`
	SnapshotHost string `db:"of_snapshot_host"`
}

// RetentionsOfRepository lists the schedules that back up to a repository, of all hosts.
func (q Queries) RetentionsOfRepository(ctx context.Context, id fleet.RepositoryID) ([]RetentionOf, error) {
	var list []RetentionOf
	err := q.all(ctx, &list, `SELECT `+scheduleCols+`, of_host_name, of_snapshot_host FROM schedules
		JOIN (SELECT id AS of_host, name AS of_host_name, snapshot_host AS of_snapshot_host FROM hosts) h ON of_host = host_id
		WHERE repository_id = ? ORDER BY of_host_name, name`, id)
	if err != nil {
		return nil, fmt.Errorf("list what is kept of repository %s: %w", id, err)
	}
	return list, nil
}

// SetMaintenance writes who maintains a repository, and in which folder. Both the host
// before and the new one get another configuration.
func (tx *Tx) SetMaintenance(ctx context.Context, id fleet.RepositoryID, host fleet.HostID, location string) error {
	before, err := tx.LockRepository(ctx, id)
	if err != nil {
		return err
	}
	if before.MaintenanceHost == host && before.MaintenanceLocation == location {
		return nil
	}
	_, err = tx.exec(ctx, `UPDATE repositories SET maintenance_host = ?, maintenance_location = ?, version = version + 1 WHERE id = ?`, host, location, id)
	if err != nil {
		return fmt.Errorf("set who maintains repository %s: %w", id, err)
	}
	tx.Touch(fleet.TopicRepositories, string(id))
	return tx.bumpHosts(ctx, before.MaintenanceHost, host)
}

// bumpHosts gives hosts another configuration; an empty id is none.
func (tx *Tx) bumpHosts(ctx context.Context, hosts ...fleet.HostID) error {
	var some []fleet.HostID
	for i, h := range hosts {
		if h != "" && (i == 0 || h != hosts[0]) {
			some = append(some, h)
		}
	}
	return tx.BumpConfig(ctx, some...)
}

// bumpMaintainers gives the hosts that maintain repositories another configuration: it
// holds what is kept of them.
func (tx *Tx) bumpMaintainers(ctx context.Context, ids ...fleet.RepositoryID) error {
	if len(ids) == 0 {
		return nil
	}
	var hosts []fleet.HostID
	err := tx.allIn(ctx, &hosts, `SELECT DISTINCT maintenance_host FROM repositories WHERE id IN (?) AND maintenance_host <> '' ORDER BY maintenance_host`, ids)
	if err != nil {
		return fmt.Errorf("read who maintains repositories: %w", err)
	}
	return tx.BumpConfig(ctx, hosts...)
}

// bumpMaintainersOfHost is bumpMaintainers of all repositories that a host backs up to.
func (tx *Tx) bumpMaintainersOfHost(ctx context.Context, host fleet.HostID) error {
	var ids []fleet.RepositoryID
	if err := tx.all(ctx, &ids, `SELECT DISTINCT repository_id FROM schedules WHERE host_id = ?`, host); err != nil {
		return fmt.Errorf("read the repositories of host %s: %w", host, err)
	}
	return tx.bumpMaintainers(ctx, ids...)
}

// SetPlan writes when a repository is maintained: its plan and the four moments that
// come next.
func (tx *Tx) SetPlan(ctx context.Context, r *fleet.Repository) error {
	_, err := tx.exec(ctx, `UPDATE repositories SET plan = ?, next_retention = ?, next_prune = ?, next_check = ?, next_measure = ?, version = version + 1
		WHERE id = ?`, r.Plan, r.NextRetention, r.NextPrune, r.NextCheck, r.NextMeasure, r.ID)
	if err != nil {
		return fmt.Errorf("write the plan of repository %s: %w", r.ID, err)
	}
	tx.Touch(fleet.TopicRepositories, string(r.ID))
	return nil
}

// DuePlans lists the usable repositories of which something is due.
func (q Queries) DuePlans(ctx context.Context, now fleet.Time) ([]fleet.Repository, error) {
	var list []fleet.Repository
	err := q.all(ctx, &list, `SELECT `+repositoryCols+` FROM repositories WHERE state = ? AND (
		next_retention > 0 AND next_retention <= ? OR next_prune > 0 AND next_prune <= ?
		OR next_check > 0 AND next_check <= ? OR next_measure > 0 AND next_measure <= ?) ORDER BY id`, fleet.RepositoryReady, now, now, now, now)
	if err != nil {
		return nil, fmt.Errorf("look for maintenance that is due: %w", err)
	}
	return list, nil
}

// Planned lists the repositories that have a plan.
func (q Queries) Planned(ctx context.Context) ([]fleet.Repository, error) {
	var list []fleet.Repository
	if err := q.all(ctx, &list, `SELECT `+repositoryCols+` FROM repositories WHERE plan <> '' ORDER BY id`); err != nil {
		return nil, fmt.Errorf("list the plans of repositories: %w", err)
	}
	return list, nil
}

// RepositoriesWithoutPlan lists repositories of an older release that have none yet.
func (q Queries) RepositoriesWithoutPlan(ctx context.Context) ([]fleet.RepositoryID, error) {
	var ids []fleet.RepositoryID
	err := q.all(ctx, &ids, `SELECT id FROM repositories WHERE plan = '' ORDER BY id`)
	return ids, err
}

// SaveHealth writes what was found out about a repository, which must have been locked.
func (tx *Tx) SaveHealth(ctx context.Context, id fleet.RepositoryID, health fleet.Doc) error {
	var sums fleet.RepositoryHealth
	if err := health.Read(&sums); err != nil {
		return fmt.Errorf("read the health of repository %s: %w", id, err)
	}
	n, err := tx.exec(ctx, `UPDATE repositories SET health = ?, stored_bytes = ?, source_bytes = ?, growth_per_day = ?, version = version + 1
		WHERE id = ? AND health <> ?`, health, sums.StoredBytes, sums.SourceBytes, sums.GrowthPerDay, id, health)
	if err != nil {
		return fmt.Errorf("write the health of repository %s: %w", id, err)
	}
	if n > 0 {
		tx.Touch(fleet.TopicRepositories, string(id))
	}
	return nil
}

// PutRepositoryDay writes a day's measurement over an earlier one of the day.
func (tx *Tx) PutRepositoryDay(ctx context.Context, d fleet.RepositoryDay) error {
	const cols = "repository_id, day, stored_bytes, plain_bytes, source_bytes, snapshots"
	_, err := tx.named(ctx, insert("repository_days", cols)+` ON CONFLICT (repository_id, day) DO UPDATE SET
		stored_bytes = excluded.stored_bytes, plain_bytes = excluded.plain_bytes, source_bytes = excluded.source_bytes, snapshots = excluded.snapshots`, d)
	if err != nil {
		return fmt.Errorf("write a day of repository %s: %w", d.RepositoryID, err)
	}
	return nil
}

// RepositoryDays lists the measurements of a repository since a day, oldest first.
func (q Queries) RepositoryDays(ctx context.Context, id fleet.RepositoryID, since int64) ([]fleet.RepositoryDay, error) {
	var list []fleet.RepositoryDay
	err := q.all(ctx, &list, `SELECT repository_id, day, stored_bytes, plain_bytes, source_bytes, snapshots FROM repository_days
		WHERE repository_id = ? AND day >= ? ORDER BY day`, id, since)
	if err != nil {
		return nil, fmt.Errorf("read the days of repository %s: %w", id, err)
	}
	return list, nil
}

const repositoryLockCols = "repository_id, id, hostname, username, pid, exclusive, created_at, host_id, alive, alive_at, seen_at"

// Locks lists the locks that the last listing of a repository found, oldest first.
func (q Queries) Locks(ctx context.Context, id fleet.RepositoryID) ([]fleet.Lock, error) {
	var list []fleet.Lock
	err := q.all(ctx, &list, `SELECT `+repositoryLockCols+` FROM repository_locks WHERE repository_id = ? ORDER BY created_at, id`, id)
	if err != nil {
		return nil, fmt.Errorf("list the locks of repository %s: %w", id, err)
	}
	return list, nil
}

// ReplaceLocks writes what a listing of a repository's locks found in place of the one
// before.
func (tx *Tx) ReplaceLocks(ctx context.Context, id fleet.RepositoryID, locks []fleet.Lock) error {
	if _, err := tx.exec(ctx, `DELETE FROM repository_locks WHERE repository_id = ?`, id); err != nil {
		return fmt.Errorf("forget the locks of repository %s: %w", id, err)
	}
	for _, l := range locks {
		if _, err := tx.named(ctx, insert("repository_locks", repositoryLockCols)+` ON CONFLICT DO NOTHING`, l); err != nil {
			return fmt.Errorf("write a lock of repository %s: %w", id, err)
		}
	}
	tx.Touch(fleet.TopicRepositories, string(id))
	return nil
}

// HostsCalled lists the hosts whose machines were called so at enrolment, as restic
// names them in locks.
func (q Queries) HostsCalled(ctx context.Context, hostname string) ([]fleet.Host, error) {
	var list []fleet.Host
	err := q.all(ctx, &list, `SELECT `+hostCols+` FROM hosts WHERE snapshot_host <> '' AND snapshot_host = ? ORDER BY id`, hostname)
	if err != nil {
		return nil, fmt.Errorf("look for a host by its own name: %w", err)
	}
	return list, nil
}

// HostsNamed reads those of the hosts that are there, by id.
func (q Queries) HostsNamed(ctx context.Context, ids []fleet.HostID) (map[fleet.HostID]*fleet.Host, error) {
	byID := make(map[fleet.HostID]*fleet.Host, len(ids))
	if len(ids) == 0 {
		return byID, nil
	}
	var list []fleet.Host
	if err := q.allIn(ctx, &list, `SELECT `+hostCols+` FROM hosts WHERE id IN (?)`, ids); err != nil {
		return nil, fmt.Errorf("read hosts: %w", err)
	}
	for i := range list {
		byID[list[i].ID] = &list[i]
	}
	return byID, nil
}

// DeleteCredential removes a credential and tells whether there was one. Hosts that it
// was for get another configuration.
func (tx *Tx) DeleteCredential(ctx context.Context, repository fleet.RepositoryID, host fleet.HostID, slot fleet.Slot) (bool, error) {
	n, err := tx.exec(ctx, `DELETE FROM credentials WHERE repository_id = ? AND host_id = ? AND slot = ?`, repository, host, slot)
	if err != nil {
		return false, fmt.Errorf("delete the %s credential of repository %s: %w", slot, repository, err)
	}
	if n == 0 {
		return false, nil
	}
	tx.Touch(fleet.TopicRepositories, string(repository))
	return true, tx.bumpCredential(ctx, repository, slot)
}

// bumpCredential gives the hosts whose configuration names a credential another one.
func (tx *Tx) bumpCredential(ctx context.Context, repository fleet.RepositoryID, slot fleet.Slot) error {
	switch slot {
	case fleet.MaintenanceSlot:
		return tx.bumpMaintainers(ctx, repository)
	case fleet.SecondPasswordSlot: // its job names it
		return nil
	}
	return tx.bumpConfigOfRepository(ctx, repository)
}

// RepositoriesLockedOut lists the repositories at which a job waits for restic's lock.
func (q Queries) RepositoriesLockedOut(ctx context.Context) ([]fleet.RepositoryID, error) {
	var ids []fleet.RepositoryID
	err := q.all(ctx, &ids, `SELECT DISTINCT repository_id FROM jobs
		WHERE state <> 'finished' AND state = 'waiting' AND waiting_code = ? AND repository_id <> '' ORDER BY 1`, restic.CodeRepoLocked)
	if err != nil {
		return nil, fmt.Errorf("look for jobs that wait for a lock: %w", err)
	}
	return ids, nil
}

// OwnedLocks lists the locks of all repositories that hosts of ours hold.
func (q Queries) OwnedLocks(ctx context.Context) ([]fleet.Lock, error) {
	var list []fleet.Lock
	err := q.all(ctx, &list, `SELECT `+repositoryLockCols+` FROM repository_locks WHERE host_id <> '' ORDER BY repository_id, host_id, created_at`)
	if err != nil {
		return nil, fmt.Errorf("list the locks of hosts: %w", err)
	}
	return list, nil
}
