package store

import (
	"context"
	"fmt"
	"strings"

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

// VerifyRollups compares what the rows of hosts and repositories say with what
// counting gives. Its error names the first few that differ.
func (q Queries) VerifyRollups(ctx context.Context) error {
	var wrong []string
	for _, query := range []string{
		`SELECT 'host ' || id FROM hosts WHERE
			schedules <> (SELECT count(*) FROM schedules s WHERE s.host_id = hosts.id)
			OR enabled_schedules <> (SELECT count(*) FROM schedules s WHERE s.host_id = hosts.id AND s.enabled)
			OR timed_schedules <> (SELECT count(*) FROM schedules s WHERE s.host_id = hosts.id AND s.enabled AND NOT s.manual)
			OR snapshots <> (SELECT count(*) FROM snapshots s WHERE s.host_id = hosts.id)
			OR active_jobs <> (SELECT count(*) FROM jobs j WHERE j.host_id = hosts.id AND j.state <> 'finished') LIMIT 5`,
		`SELECT 'repository ' || id FROM repositories WHERE
			schedules <> (SELECT count(*) FROM schedules s WHERE s.repository_id = repositories.id)
			OR hosts <> (SELECT count(DISTINCT s.host_id) FROM schedules s WHERE s.repository_id = repositories.id)
			OR snapshots <> (SELECT count(*) FROM snapshots s WHERE s.repository_id = repositories.id)
			OR last_snapshot <> (SELECT COALESCE(MAX(s.time_at), 0) FROM snapshots s WHERE s.repository_id = repositories.id) LIMIT 5`,
	} {
		var ids []string
		if err := q.all(ctx, &ids, query); err != nil {
			return fmt.Errorf("count again: %w", err)
		}
		wrong = append(wrong, ids...)
	}
	if len(wrong) > 0 {
		return fleet.Errorf(fleet.Internal, "The numbers shown for these are wrong: %s.", strings.Join(wrong, ", "))
	}
	return nil
}
