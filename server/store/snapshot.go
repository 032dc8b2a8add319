package store

import (
	"context"
	"fmt"
	"strings"

	"restic-manager/server/fleet"
)

const snapshotCols = "repository_id, id, host_id, schedule_id, job_id, time_at, first_seen, last_seen, hostname, username, paths, tags, " +
	"files, bytes, bytes_added, original"

// SnapshotFilter narrows a list of snapshots; empty fields do not.
type SnapshotFilter struct {
	Repository fleet.RepositoryID
	Host       fleet.HostID
	Schedule   fleet.ScheduleID
	Hostname   string // as the snapshot claims, exactly
	Tag        string
	From, To   fleet.Time // made at or after, before
}

// Snapshots lists snapshots, newest first by the time they claim.
func (q Queries) Snapshots(ctx context.Context, f SnapshotFilter, p Page) ([]fleet.Snapshot, string, error) {
	var w where
	for _, c := range []struct{ column, value string }{
		{"repository_id", string(f.Repository)}, {"host_id", string(f.Host)}, {"schedule_id", string(f.Schedule)}, {"hostname", f.Hostname},
	} {
		if c.value != "" {
			w.add(c.column+" = ?", c.value)
		}
	}
	w.holds("tags", f.Tag)
	if !f.From.IsZero() {
		w.add("time_at >= ?", f.From)
	}
	if !f.To.IsZero() {
		w.add("time_at < ?", f.To)
	}
	var at fleet.Time
	var id, repository string
	if ok, err := p.after(f, &at, &id, &repository); err != nil {
		return nil, "", err
	} else if ok {
		w.add("(time_at, id, repository_id) < (?, ?, ?)", at, id, repository)
	}
	var list []fleet.Snapshot
	err := q.all(ctx, &list, `SELECT `+snapshotCols+` FROM snapshots`+w.String()+
		` ORDER BY time_at DESC, id DESC, repository_id DESC LIMIT ?`, append(w.args, p.size()+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("list snapshots: %w", err)
	}
	return paged(p, f, list, func(s *fleet.Snapshot) []any { return []any{s.Time, s.ID, s.RepositoryID} })
}

// Snapshot reads a snapshot by its full id. NotFound when it was never seen or is
// gone.
func (q Queries) Snapshot(ctx context.Context, repository fleet.RepositoryID, id string) (*fleet.Snapshot, error) {
	var s fleet.Snapshot
	err := q.get(ctx, &s, `SELECT `+snapshotCols+` FROM snapshots WHERE repository_id = ? AND id = ?`, repository, id)
	return one(&s, err, "snapshot %s in repository %s", id, repository)
}

// SeeSnapshots writes snapshots that were seen. Of a known one, when it was first
// seen and whose it is stay; what it holds does not change.
func (tx *Tx) SeeSnapshots(ctx context.Context, list []fleet.Snapshot) error {
	const rows = 200 // of a statement
	for len(list) > 0 {
		n := min(rows, len(list))
		_, err := tx.named(ctx, insert("snapshots", snapshotCols)+` ON CONFLICT (repository_id, id) DO UPDATE SET
			last_seen = CASE WHEN excluded.last_seen > snapshots.last_seen THEN excluded.last_seen ELSE snapshots.last_seen END,
			host_id = CASE WHEN snapshots.host_id = '' THEN excluded.host_id ELSE snapshots.host_id END,
			schedule_id = CASE WHEN snapshots.schedule_id = '' THEN excluded.schedule_id ELSE snapshots.schedule_id END,
			job_id = CASE WHEN snapshots.job_id = '' THEN excluded.job_id ELSE snapshots.job_id END,
			files = CASE WHEN excluded.files > 0 THEN excluded.files ELSE snapshots.files END,
			bytes = CASE WHEN excluded.bytes > 0 THEN excluded.bytes ELSE snapshots.bytes END,
			bytes_added = CASE WHEN excluded.bytes_added > 0 THEN excluded.bytes_added ELSE snapshots.bytes_added END`, list[:n])
		if err != nil {
			return fmt.Errorf("write snapshots of repository %s: %w", list[0].RepositoryID, err)
		}
		list = list[n:]
	}
	return nil
}

// UnseenSnapshots are those of hosts in a repository that were last seen before a moment, in
// the order of their ids after one, so many at most.
func (q Queries) UnseenSnapshots(ctx context.Context, repository fleet.RepositoryID, before fleet.Time, after string, most int) ([]fleet.Snapshot, error) {
	var list []fleet.Snapshot
	err := q.all(ctx, &list, `SELECT `+snapshotCols+` FROM snapshots WHERE repository_id = ? AND last_seen < ? AND host_id <> '' AND id > ?
		ORDER BY id LIMIT ?`, repository, before, after, most)
	if err != nil {
		return nil, fmt.Errorf("list the unseen snapshots of repository %s: %w", repository, err)
	}
	return list, nil
}

// SuccessorsOf are the snapshots of a repository that are no host's and, by their own word,
// were made of one of those with these ids; so many at most, in the order of their ids.
func (q Queries) SuccessorsOf(ctx context.Context, repository fleet.RepositoryID, ids []string, most int) ([]fleet.Snapshot, error) {
	var list []fleet.Snapshot
	err := q.allIn(ctx, &list, `SELECT `+snapshotCols+` FROM snapshots WHERE repository_id = ? AND original IN (?) AND original <> ''
		AND host_id = '' AND job_id = '' ORDER BY id LIMIT ?`, repository, ids, most)
	if err != nil {
		return nil, fmt.Errorf("list what was made of snapshots of repository %s: %w", repository, err)
	}
	return list, nil
}

// UnclaimedSnapshots are the ids of the snapshots of a repository that are no host's and
// have one of these tags, which are not empty; so many at most, the last to appear first.
func (q Queries) UnclaimedSnapshots(ctx context.Context, repository fleet.RepositoryID, tags []string, most int) ([]string, error) {
	args := []any{repository}
	for _, tag := range tags {
		args = append(args, asHeld(tag))
	}
	var ids []string
	err := q.all(ctx, &ids, `SELECT id FROM snapshots WHERE repository_id = ? AND host_id = '' AND job_id = ''
		AND (`+holding("tags")+strings.Repeat(` OR `+holding("tags"), len(tags)-1)+`) ORDER BY first_seen DESC, id LIMIT ?`, append(args, most)...)
	if err != nil {
		return nil, fmt.Errorf("list the tagged snapshots of repository %s: %w", repository, err)
	}
	return ids, nil
}

// LastJobOf is when a job of one of these operations was last at work at a host in a
// repository; now for one that is.
func (q Queries) LastJobOf(ctx context.Context, repository fleet.RepositoryID, host fleet.HostID, operations []string) (fleet.Time, error) {
	var list []fleet.Job
	err := q.allIn(ctx, &list, `SELECT `+jobCols+` FROM jobs WHERE repository_id = ? AND host_id = ? AND operation IN (?) AND started_at > 0
		ORDER BY created_at DESC, id DESC LIMIT 20`, repository, host, operations)
	if err != nil {
		return 0, fmt.Errorf("read the last jobs of repository %s: %w", repository, err)
	}
	var last fleet.Time
	for i := range list {
		if list[i].Active() {
			return q.now(), nil
		}
		last = max(last, list[i].FinishedAt)
	}
	return last, nil
}

// DropUnseenSnapshots removes the snapshots of a repository that were last seen
// before a moment, with their indexes, and tells how many.
func (tx *Tx) DropUnseenSnapshots(ctx context.Context, repository fleet.RepositoryID, before fleet.Time) (int64, error) {
	n, err := tx.exec(ctx, `DELETE FROM snapshots WHERE repository_id = ? AND last_seen < ?`, repository, before)
	if err != nil || n == 0 {
		return n, err
	}
	return n, tx.dropIndexesOfGone(ctx, repository)
}

// ConfirmJobs takes the mark "unconfirmed" from jobs of a repository whose snapshot
// has been seen, and gives them in no order.
func (tx *Tx) ConfirmJobs(ctx context.Context, repository fleet.RepositoryID) ([]fleet.Job, error) {
	var confirmed []fleet.Job
	err := tx.all(ctx, &confirmed, `UPDATE jobs SET unconfirmed = ?, version = version + 1
		WHERE repository_id = ? AND unconfirmed = ? AND EXISTS (SELECT 1 FROM snapshots s WHERE s.repository_id = jobs.repository_id AND s.id = jobs.snapshot_id)
		RETURNING `+jobCols, false, repository, true)
	if err != nil {
		return nil, fmt.Errorf("confirm the jobs of repository %s: %w", repository, err)
	}
	return confirmed, nil
}

// CountSnapshots recomputes the number of snapshots of a repository, its newest one
// and the numbers of the hosts that have some there or a schedule.
func (tx *Tx) CountSnapshots(ctx context.Context, repository fleet.RepositoryID) error {
	if err := tx.recountSnapshotsOfRepository(ctx, repository); err != nil {
		return err
	}
	var hosts []fleet.HostID
	err := tx.all(ctx, &hosts, `SELECT id FROM hosts WHERE id IN (SELECT host_id FROM schedules WHERE repository_id = ?)
		OR id IN (SELECT host_id FROM snapshots WHERE repository_id = ?) ORDER BY id`, repository, repository)
	if err != nil {
		return fmt.Errorf("read the hosts of repository %s: %w", repository, err)
	}
	for _, host := range hosts {
		if err := tx.recountSnapshotsOfHost(ctx, host); err != nil {
			return err
		}
	}
	return nil
}

// CountSnapshot is CountSnapshots after one new snapshot of a host.
func (tx *Tx) CountSnapshot(ctx context.Context, s *fleet.Snapshot) error {
	_, err := tx.exec(ctx, `UPDATE repositories SET snapshots = snapshots + 1, version = version + 1,
		last_snapshot = CASE WHEN last_snapshot < ? THEN ? ELSE last_snapshot END WHERE id = ?`, s.Time, s.Time, s.RepositoryID)
	if err != nil {
		return fmt.Errorf("count a snapshot of repository %s: %w", s.RepositoryID, err)
	}
	return tx.CountSnapshotOfHost(ctx, s.HostID)
}

// CountSnapshotOfHost counts a snapshot that has become a host's.
func (tx *Tx) CountSnapshotOfHost(ctx context.Context, host fleet.HostID) error {
	if _, err := tx.exec(ctx, `UPDATE hosts SET snapshots = snapshots + 1, version = version + 1 WHERE id = ?`, host); err != nil {
		return fmt.Errorf("count a snapshot of host %s: %w", host, err)
	}
	return nil
}
