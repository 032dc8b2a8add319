package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
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

	Protected   int `db:"protected"`
	AtRisk      int `db:"at_risk"`
	Unprotected int `db:"unprotected"`
	Asleep      int `db:"asleep"`
	Unscheduled int `db:"unscheduled"`
	NeverBacked int `db:"never_backed"`

	StoredBytes  int64 `db:"-"` // of all repositories that were measured, Measured of them
	SourceBytes  int64 `db:"-"`
	GrowthPerDay int64 `db:"-"`
	Measured     int   `db:"-"`
	Held         int   `db:"-"` // repositories where an exclusive job runs or waits for its turn

	NextBreach *Due  `db:"-"` // nil: no objective is going to be missed
	DueNext    []Due `db:"-"`
}

// Score is how many in a hundred of the hosts that have a schedule are protected at this
// moment, as far as is known: a host that is absent counts against it, also one that may
// be away. 0 where no host has a schedule.
func (o *Overview) Score() int {
	scheduled := o.Protected + o.AtRisk + o.Unprotected + o.Asleep + o.NeverBacked
	if scheduled == 0 {
		return 0
	}
	return 100 * o.Protected / scheduled
}

// Due is a moment that a schedule comes to.
type Due struct {
	HostID       fleet.HostID     `db:"host_id"`
	HostName     string           `db:"host_name"`
	ScheduleID   fleet.ScheduleID `db:"schedule_id"`
	ScheduleName string           `db:"schedule_name"`
	At           fleet.Time       `db:"at_time"`
}

// dueShown is how many of the fleet's next slots are foretold.
const dueShown = 5

// due reads what schedules of hosts in service come to next, by a column.
func (q Queries) due(ctx context.Context, column string, limit int) ([]Due, error) {
	var list []Due
	err := q.all(ctx, &list, `SELECT s.host_id, h.name AS host_name, s.id AS schedule_id, s.name AS schedule_name, s.`+column+` AS at_time
		FROM schedules s JOIN hosts h ON h.id = s.host_id WHERE s.`+column+` > 0 AND s.`+column+` > ? AND NOT h.disabled
		ORDER BY s.`+column+`, s.id LIMIT ?`, q.now(), limit)
	if err != nil {
		return nil, fmt.Errorf("look for what comes next: %w", err)
	}
	return list, nil
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
		COALESCE(SUM(active_jobs), 0) AS active_jobs,
		COALESCE(SUM(CASE WHEN protection = 'protected' THEN 1 ELSE 0 END), 0) AS protected,
		COALESCE(SUM(CASE WHEN protection = 'at_risk' THEN 1 ELSE 0 END), 0) AS at_risk,
		COALESCE(SUM(CASE WHEN protection = 'unprotected' THEN 1 ELSE 0 END), 0) AS unprotected,
		COALESCE(SUM(CASE WHEN protection = 'asleep' THEN 1 ELSE 0 END), 0) AS asleep,
		COALESCE(SUM(CASE WHEN protection = 'not_scheduled' THEN 1 ELSE 0 END), 0) AS unscheduled,
		COALESCE(SUM(CASE WHEN protection = 'never' THEN 1 ELSE 0 END), 0) AS never_backed
		FROM hosts WHERE NOT disabled`, now, now)
	if err != nil {
		return nil, fmt.Errorf("add up hosts: %w", err)
	}
	var r struct {
		Repositories, Ready, Snapshots, Measured, Held int
		Stored, Source, Growth                         int64
	}
	err = q.get(ctx, &r, `SELECT count(*) AS repositories, COALESCE(SUM(CASE WHEN state = 'ready' THEN 1 ELSE 0 END), 0) AS ready,
		COALESCE(SUM(snapshots), 0) AS snapshots, COALESCE(SUM(CASE WHEN stored_bytes > 0 THEN 1 ELSE 0 END), 0) AS measured,
		COALESCE(SUM(CASE WHEN hold_job <> '' THEN 1 ELSE 0 END), 0) AS held, CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) AS stored,
		CAST(COALESCE(SUM(source_bytes), 0) AS BIGINT) AS source, CAST(COALESCE(SUM(growth_per_day), 0) AS BIGINT) AS growth FROM repositories`)
	if err != nil {
		return nil, fmt.Errorf("add up repositories: %w", err)
	}
	o.Repositories, o.RepositoriesReady, o.Snapshots, o.Held = r.Repositories, r.Ready, r.Snapshots, r.Held
	o.Measured, o.StoredBytes, o.SourceBytes, o.GrowthPerDay = r.Measured, r.Stored, r.Source, r.Growth
	if err := q.get(ctx, &o.Conditions, `SELECT count(*) FROM conditions`); err != nil {
		return nil, fmt.Errorf("count conditions: %w", err)
	}
	breach, err := q.due(ctx, "breach_at", 1)
	if err != nil {
		return nil, err
	}
	if len(breach) == 1 {
		o.NextBreach = &breach[0]
	}
	o.DueNext, err = q.due(ctx, "next_slot", dueShown)
	return &o, err
}
