package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

// FleetSums is how the fleet is, in numbers.
type FleetSums struct {
	Protection map[fleet.ProtectionState]int
	Presence   map[fleet.Presence]int
	Alerts     map[fleet.Severity]int // open ones
}

// FleetSums adds up hosts and open alerts; disabled hosts count as their presence
// alone.
func (q Queries) FleetSums(ctx context.Context) (*FleetSums, error) {
	sums := &FleetSums{Protection: map[fleet.ProtectionState]int{}, Presence: map[fleet.Presence]int{}, Alerts: map[fleet.Severity]int{}}
	var rows []struct {
		Name string
		N    int
	}
	if err := q.all(ctx, &rows, `SELECT protection AS name, count(*) AS n FROM hosts WHERE NOT disabled GROUP BY protection`); err != nil {
		return nil, fmt.Errorf("add up protection: %w", err)
	}
	for _, r := range rows {
		sums.Protection[fleet.ProtectionState(r.Name)] = r.N
	}
	rows = nil
	now := q.now()
	err := q.all(ctx, &rows, `SELECT presence AS name, count(*) AS n FROM (SELECT CASE WHEN disabled THEN 'disabled'
		WHEN enrolled_at = 0 THEN 'never' WHEN contact_deadline < ? THEN 'offline' ELSE 'online' END AS presence FROM hosts) p GROUP BY presence`, now)
	if err != nil {
		return nil, fmt.Errorf("add up presence: %w", err)
	}
	for _, r := range rows {
		sums.Presence[fleet.Presence(r.Name)] = r.N
	}
	rows = nil
	if err := q.all(ctx, &rows, `SELECT severity AS name, count(*) AS n FROM alerts WHERE state <> 'resolved' GROUP BY severity`); err != nil {
		return nil, fmt.Errorf("add up alerts: %w", err)
	}
	for _, r := range rows {
		sums.Alerts[fleet.Severity(r.Name)] = r.N
	}
	return sums, nil
}

// jobsLongest is how long before its end a job may have been made to be counted in
// JobsFinishedSince: jobs are found by when they were made.
const jobsLongest = 3 * 24 * 3600 * 1e6

// JobsFinishedSince counts the jobs that ended at or after a moment, by result. One
// that took longer than three days is left out.
func (q Queries) JobsFinishedSince(ctx context.Context, from fleet.Time) (map[fleet.Result]int, error) {
	var rows []struct {
		Result fleet.Result
		N      int
	}
	err := q.all(ctx, &rows, `SELECT result, count(*) AS n FROM jobs WHERE created_at >= ? AND finished_at >= ? AND state = 'finished' GROUP BY result`,
		from-jobsLongest, from)
	if err != nil {
		return nil, fmt.Errorf("count jobs by result: %w", err)
	}
	ran := map[fleet.Result]int{}
	for _, r := range rows {
		ran[r.Result] = r.N
	}
	return ran, nil
}

// AlertCount is how many alerts of a code and severity are open.
type AlertCount struct {
	Code     string
	Severity fleet.Severity
	N        int
}

// AlertCounts counts open alerts.
func (q Queries) AlertCounts(ctx context.Context) ([]AlertCount, error) {
	var list []AlertCount
	err := q.all(ctx, &list, `SELECT code, severity, count(*) AS n FROM alerts WHERE state <> 'resolved' GROUP BY code, severity ORDER BY code, severity`)
	return list, err
}

// HostsInBreach reads the names of hosts that miss an objective and since when, the
// longest first.
func (q Queries) HostsInBreach(ctx context.Context, now fleet.Time, limit int) ([]fleet.Host, error) {
	var list []fleet.Host
	err := q.all(ctx, &list, `SELECT name, breach_at FROM hosts WHERE NOT disabled AND breach_at > 0 AND breach_at < ? ORDER BY breach_at, name LIMIT ?`, now, limit)
	return list, err
}
