package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

// Rollups are columns of hosts and repositories that lists read instead of counting.
// They are written in the transaction that changes what they count.

// recountSchedules recomputes what a host's row says of its schedules.
func (tx *Tx) recountSchedules(ctx context.Context, host fleet.HostID) error {
	_, err := tx.exec(ctx, `UPDATE hosts SET version = version + 1,
		schedules = (SELECT count(*) FROM schedules s WHERE s.host_id = hosts.id),
		enabled_schedules = (SELECT count(*) FROM schedules s WHERE s.host_id = hosts.id AND s.enabled),
		timed_schedules = (SELECT count(*) FROM schedules s WHERE s.host_id = hosts.id AND s.enabled AND NOT s.manual)
		WHERE id = ?`, host)
	if err != nil {
		return fmt.Errorf("count the schedules of host %s: %w", host, err)
	}
	tx.Touch(fleet.TopicHosts, string(host))
	return nil
}

// recountRepository recomputes what a repository's row says of hosts and schedules.
func (tx *Tx) recountRepository(ctx context.Context, id fleet.RepositoryID) error {
	_, err := tx.exec(ctx, `UPDATE repositories SET version = version + 1,
		schedules = (SELECT count(*) FROM schedules s WHERE s.repository_id = repositories.id),
		hosts = (SELECT count(DISTINCT s.host_id) FROM schedules s WHERE s.repository_id = repositories.id)
		WHERE id = ?`, id)
	if err != nil {
		return fmt.Errorf("count the schedules of repository %s: %w", id, err)
	}
	tx.Touch(fleet.TopicRepositories, string(id))
	return nil
}

// recountSnapshotsOfHost recomputes how many snapshots a host has.
func (tx *Tx) recountSnapshotsOfHost(ctx context.Context, host fleet.HostID) error {
	_, err := tx.exec(ctx, `UPDATE hosts SET version = version + 1,
		snapshots = (SELECT count(*) FROM snapshots s WHERE s.host_id = hosts.id) WHERE id = ?`, host)
	if err != nil {
		return fmt.Errorf("count the snapshots of host %s: %w", host, err)
	}
	tx.Touch(fleet.TopicHosts, string(host))
	return nil
}

// recountSnapshotsOfRepository recomputes how many snapshots a repository has and
// when the newest was made.
func (tx *Tx) recountSnapshotsOfRepository(ctx context.Context, id fleet.RepositoryID) error {
	_, err := tx.exec(ctx, `UPDATE repositories SET version = version + 1,
		snapshots = (SELECT count(*) FROM snapshots s WHERE s.repository_id = repositories.id),
		last_snapshot = (SELECT COALESCE(MAX(s.time_at), 0) FROM snapshots s WHERE s.repository_id = repositories.id)
		WHERE id = ?`, id)
	if err != nil {
		return fmt.Errorf("count the snapshots of repository %s: %w", id, err)
	}
	tx.Touch(fleet.TopicRepositories, string(id))
	return nil
}

// RecountHost recomputes every rollup of a host that can be counted, and tells
// nobody: for repair and for tests that compare.
func (tx *Tx) RecountHost(ctx context.Context, host fleet.HostID) error {
	if err := tx.recountSchedules(ctx, host); err != nil {
		return err
	}
	if err := tx.recountSnapshotsOfHost(ctx, host); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `UPDATE hosts SET
		active_jobs = (SELECT count(*) FROM jobs j WHERE j.host_id = hosts.id AND j.state <> 'finished') WHERE id = ?`, host)
	return err
}

// RecountRepository is RecountHost for a repository.
func (tx *Tx) RecountRepository(ctx context.Context, id fleet.RepositoryID) error {
	if err := tx.recountRepository(ctx, id); err != nil {
		return err
	}
	return tx.recountSnapshotsOfRepository(ctx, id)
}
