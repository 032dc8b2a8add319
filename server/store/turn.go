package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

// JobsAt reads the jobs of a repository that have not finished and are one of the
// operations, oldest first.
func (q Queries) JobsAt(ctx context.Context, id fleet.RepositoryID, operations []string) ([]fleet.Job, error) {
	if len(operations) == 0 {
		return nil, nil
	}
	var jobs []fleet.Job
	err := q.allIn(ctx, &jobs, `SELECT `+jobCols+` FROM jobs WHERE state <> 'finished' AND repository_id = ? AND operation IN (?)
		ORDER BY created_at, id`, id, operations)
	if err != nil {
		return nil, fmt.Errorf("list the active jobs of repository %s: %w", id, err)
	}
	return jobs, nil
}

// InTurn tells whether a job of a repository waits for its turn or holds the others
// back.
func (q Queries) InTurn(ctx context.Context, id fleet.RepositoryID) (bool, error) {
	var n int
	err := q.get(ctx, &n, `SELECT (SELECT count(*) FROM repositories WHERE id = ? AND hold_job <> '') +
		(SELECT count(*) FROM jobs WHERE held AND repository_id = ?)`, id, id)
	if err != nil {
		return false, fmt.Errorf("look for jobs in turn at repository %s: %w", id, err)
	}
	return n > 0, nil
}

// CountHeld counts the jobs that wait for their turn, by repository.
func (q Queries) CountHeld(ctx context.Context) (map[fleet.RepositoryID]int, error) {
	var rows []struct {
		ID fleet.RepositoryID
		N  int
	}
	if err := q.all(ctx, &rows, `SELECT repository_id AS id, count(*) AS n FROM jobs WHERE held GROUP BY repository_id`); err != nil {
		return nil, fmt.Errorf("count the jobs that wait for their turn: %w", err)
	}
	counts := map[fleet.RepositoryID]int{}
	for _, r := range rows {
		counts[r.ID] = r.N
	}
	return counts, nil
}

// HeldToExpire reads jobs that wait for their turn, should have begun by now, and whose
// host is away.
func (q Queries) HeldToExpire(ctx context.Context, now fleet.Time, limit int) ([]fleet.JobID, error) {
	var ids []fleet.JobID
	err := q.all(ctx, &ids, `SELECT id FROM jobs WHERE held AND expires_at > 0 AND expires_at <= ?
		AND host_id IN (SELECT id FROM hosts WHERE contact_deadline < ?) ORDER BY expires_at LIMIT ?`, now, now, limit)
	return ids, err
}

// RepositoriesInTurn lists the repositories of which InTurn holds.
func (q Queries) RepositoriesInTurn(ctx context.Context) ([]fleet.RepositoryID, error) {
	var ids []fleet.RepositoryID
	err := q.all(ctx, &ids, `SELECT id FROM repositories WHERE hold_job <> '' UNION SELECT repository_id FROM jobs WHERE held ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("look for repositories with jobs in turn: %w", err)
	}
	return ids, nil
}

// SaveHold writes what is held back at a repository, which must have been locked, and
// tells the agents that back up there where that changed.
func (tx *Tx) SaveHold(ctx context.Context, r *fleet.Repository, before fleet.Repository) error {
	if r.HoldJob == before.HoldJob && r.HoldSince == before.HoldSince && r.HoldUntil == before.HoldUntil {
		return nil
	}
	_, err := tx.exec(ctx, `UPDATE repositories SET hold_job = ?, hold_since = ?, hold_until = ?, version = version + 1 WHERE id = ?`,
		r.HoldJob, r.HoldSince, r.HoldUntil, r.ID)
	if err != nil {
		return fmt.Errorf("write what is held back at repository %s: %w", r.ID, err)
	}
	tx.Touch(fleet.TopicRepositories, string(r.ID))
	if r.HoldUntil == before.HoldUntil && (r.HoldJob == before.HoldJob || r.HoldUntil.IsZero()) {
		return nil
	}
	var hosts []fleet.HostID
	if err := tx.all(ctx, &hosts, `SELECT DISTINCT host_id FROM schedules WHERE repository_id = ?`, r.ID); err != nil {
		return fmt.Errorf("read the hosts of repository %s: %w", r.ID, err)
	}
	tx.Wake(hosts...)
	return nil
}

// Hold is a repository at which a host's backups are held back.
type Hold struct {
	Repository fleet.RepositoryID `db:"id"`
	Job        fleet.JobID        `db:"hold_job"`
	Until      fleet.Time         `db:"hold_until"`
	Operation  string             `db:"operation"`
	Host       string             `db:"host_name"`
}

// HoldsOfHost lists what holds a host's backups back.
func (q Queries) HoldsOfHost(ctx context.Context, host fleet.HostID, now fleet.Time) ([]Hold, error) {
	var list []Hold
	err := q.all(ctx, &list, `SELECT r.id, r.hold_job, r.hold_until, j.operation, h.name AS host_name FROM repositories r
		JOIN jobs j ON j.id = r.hold_job JOIN hosts h ON h.id = j.host_id
		WHERE r.hold_job <> '' AND r.hold_until > ? AND r.id IN (SELECT repository_id FROM schedules WHERE host_id = ?) ORDER BY r.id`, now, host)
	if err != nil {
		return nil, fmt.Errorf("list what holds host %s back: %w", host, err)
	}
	return list, nil
}
