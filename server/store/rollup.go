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

// verifyDays counts again what host_days says of the days of hosts. What a backup
// added in bytes stands in its outcome alone and is not added up again; nor are days
// whose jobs may be gone.
const verifyDays = `SELECT 'day ' || n.day || ' of host ' || n.host_id FROM (
		SELECT host_id, day, succeeded, warning, failed, missed, skipped, other FROM host_days WHERE day >= ?
		UNION ALL
		SELECT host_id, finished_at / 86400000000,
			-SUM(CASE WHEN result = 'succeeded' THEN 1 ELSE 0 END),
			-SUM(CASE WHEN result = 'warning' THEN 1 ELSE 0 END),
			-SUM(CASE WHEN result IN ('failed', 'interrupted', 'rejected', 'lost') THEN 1 ELSE 0 END),
			-SUM(CASE WHEN result IN ('missed', 'expired') THEN 1 + more_slots ELSE 0 END),
			-SUM(CASE WHEN result = 'skipped' THEN 1 ELSE 0 END),
			-SUM(CASE WHEN result = 'cancelled' THEN 1 ELSE 0 END)
		FROM jobs WHERE state = 'finished' AND operation = 'backup' AND finished_at / 86400000000 >= ? GROUP BY host_id, finished_at / 86400000000
	) n GROUP BY n.host_id, n.day
	HAVING SUM(succeeded) <> 0 OR SUM(warning) <> 0 OR SUM(failed) <> 0 OR SUM(missed) <> 0 OR SUM(skipped) <> 0 OR SUM(other) <> 0 LIMIT 5`

// VerifyRollups compares what the rows of hosts, schedules, days and repositories say
// with what counting gives. Its error names the first few that differ.
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
		`SELECT 'schedule ' || id FROM schedules WHERE
			missed <> (SELECT COALESCE(SUM(1 + j.more_slots), 0) FROM jobs j
				WHERE j.schedule_id = schedules.id AND j.state = 'finished' AND j.result = 'missed' AND j.created_at > schedules.last_good) LIMIT 5`,
	} {
		var ids []string
		if err := q.all(ctx, &ids, query); err != nil {
			return fmt.Errorf("count again: %w", err)
		}
		wrong = append(wrong, ids...)
	}
	from, err := q.HistoryFrom(ctx)
	if err != nil {
		return err
	}
	var days []string
	if err := q.all(ctx, &days, verifyDays, from, from); err != nil {
		return fmt.Errorf("count the days again: %w", err)
	}
	wrong = append(wrong, days...)
	standing, err := q.verifyStanding(ctx)
	if err != nil {
		return err
	}
	wrong = append(wrong, standing...)
	if len(wrong) > 0 {
		return fleet.Errorf(fleet.Internal, "The numbers shown for these are wrong: %s.", strings.Join(wrong, ", "))
	}
	return nil
}

// verifyStanding judges hosts again, as of when they were judged: time may have passed
// that nobody has noticed yet.
func (q Queries) verifyStanding(ctx context.Context) (wrong []string, err error) {
	const page = 200
	for after := fleet.HostID(""); ; {
		hosts, schedules, err := q.Protected(ctx, after, page)
		if err != nil {
			return nil, err
		}
		for i := range hosts {
			h := &hosts[i]
			if h.ProtectionSince.IsZero() { // nobody has judged it yet
				continue
			}
			if st := fleet.Judge(h, schedules[h.ID], q.now(), true); len(wrong) < 5 && (st.State != h.Protection || st.BreachAt != h.BreachAt ||
				st.NextSlot != h.NextSlot || st.Unchecked != h.Unchecked) {
				wrong = append(wrong, fmt.Sprintf("host %s (%s, shown as %s)", h.ID, st.State, h.Protection))
			}
		}
		if len(hosts) < page {
			return wrong, nil
		}
		after = hosts[len(hosts)-1].ID
	}
}
