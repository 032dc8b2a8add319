package store

import (
	"context"
	"fmt"
)

// Overview is the counts of the dashboard.
type Overview struct {
	Hosts             int `db:"hosts"` // without disabled ones, as are all that follow
	Online            int `db:"online"`
	Offline           int `db:"offline"`
	Never             int `db:"never"`
	NotScheduled      int `db:"not_scheduled"`
	ActiveJobs        int `db:"active_jobs"`
	Snapshots         int `db:"-"`
	Repositories      int `db:"-"`
	RepositoriesReady int `db:"-"`
	Conditions        int `db:"-"`
}

// Overview adds up the rollups of hosts and repositories; it counts no jobs.
func (q Queries) Overview(ctx context.Context) (*Overview, error) {
	var o Overview
	now := q.now()
	err := q.get(ctx, &o, `SELECT count(*) AS hosts,
		COALESCE(SUM(CASE WHEN enrolled_at > 0 AND contact_deadline >= ? THEN 1 ELSE 0 END), 0) AS online,
		COALESCE(SUM(CASE WHEN enrolled_at > 0 AND contact_deadline < ? THEN 1 ELSE 0 END), 0) AS offline,
		COALESCE(SUM(CASE WHEN enrolled_at = 0 THEN 1 ELSE 0 END), 0) AS never,
		COALESCE(SUM(CASE WHEN timed_schedules = 0 THEN 1 ELSE 0 END), 0) AS not_scheduled,
		COALESCE(SUM(active_jobs), 0) AS active_jobs
		FROM hosts WHERE NOT disabled`, now, now)
	if err != nil {
		return nil, fmt.Errorf("add up hosts: %w", err)
	}
	var r struct{ Repositories, Ready, Snapshots int }
	err = q.get(ctx, &r, `SELECT count(*) AS repositories, COALESCE(SUM(CASE WHEN state = 'ready' THEN 1 ELSE 0 END), 0) AS ready,
		COALESCE(SUM(snapshots), 0) AS snapshots FROM repositories`)
	if err != nil {
		return nil, fmt.Errorf("add up repositories: %w", err)
	}
	o.Repositories, o.RepositoriesReady, o.Snapshots = r.Repositories, r.Ready, r.Snapshots
	if err := q.get(ctx, &o.Conditions, `SELECT count(*) FROM conditions`); err != nil {
		return nil, fmt.Errorf("count conditions: %w", err)
	}
	return &o, nil
}
