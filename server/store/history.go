package store

import (
	"context"
	"fmt"
	"strings"

	"restic-manager/server/fleet"
)

const dayCols = "host_id, day, succeeded, warning, failed, missed, skipped, other, bytes_added"

// AddDay adds to what a host's backups came to on a day; what is taken away is
// negative.
func (tx *Tx) AddDay(ctx context.Context, d fleet.Day) error {
	if d == (fleet.Day{HostID: d.HostID, Day: d.Day}) {
		return nil
	}
	var set []string
	for _, c := range strings.Split(dayCols, ", ")[2:] {
		set = append(set, fmt.Sprintf("%s = host_days.%s + excluded.%s", c, c, c))
	}
	_, err := tx.named(ctx, insert("host_days", dayCols)+` ON CONFLICT (host_id, day) DO UPDATE SET `+strings.Join(set, ", "), d)
	if err != nil {
		return fmt.Errorf("count a day of host %s: %w", d.HostID, err)
	}
	return nil
}

// Days reads what hosts did from one day to another, both included, day by day.
func (q Queries) Days(ctx context.Context, hosts []fleet.HostID, from, to int64) (map[fleet.HostID][]fleet.Day, error) {
	byHost := map[fleet.HostID][]fleet.Day{}
	if len(hosts) == 0 {
		return byHost, nil
	}
	var days []fleet.Day
	err := q.allIn(ctx, &days, `SELECT `+dayCols+` FROM host_days WHERE host_id IN (?) AND day >= ? AND day <= ?
		AND succeeded + warning + failed + missed + skipped + other > 0 ORDER BY host_id, day`, hosts, from, to)
	if err != nil {
		return nil, fmt.Errorf("read the days of hosts: %w", err)
	}
	for _, d := range days {
		byHost[d.HostID] = append(byHost[d.HostID], d)
	}
	return byHost, nil
}

// CountMissed counts a schedule's missed slots after a moment, without those that one
// job stands for.
func (q Queries) CountMissed(ctx context.Context, id fleet.ScheduleID, after fleet.Time, except fleet.JobID) (int64, error) {
	var n int64
	err := q.get(ctx, &n, `SELECT COALESCE(SUM(1 + more_slots), 0) FROM jobs
		WHERE schedule_id = ? AND state = 'finished' AND result = 'missed' AND created_at > ? AND id <> ?`, id, after, except)
	if err != nil {
		return 0, fmt.Errorf("count the missed slots of schedule %s: %w", id, err)
	}
	return n, nil
}

// CreateMissed writes jobs of slots that nobody ran. It fails with Unavailable where
// one of them came to be at this moment, as by a report: then nothing must be kept.
func (tx *Tx) CreateMissed(ctx context.Context, jobs []fleet.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	n, err := tx.named(ctx, insert("jobs", jobCols)+" ON CONFLICT DO NOTHING", jobs)
	if err != nil {
		return fmt.Errorf("create %d missed jobs: %w", len(jobs), err)
	}
	if int(n) != len(jobs) {
		return fleet.Errorf(fleet.Unavailable, "A job of these slots is being made at this moment.")
	}
	for i := range jobs {
		tx.Touch(fleet.TopicJobs, string(jobs[i].ID))
	}
	return nil
}

// RanLater tells when a schedule's first catch-up after a moment was born; 0: there is
// none.
func (q Queries) RanLater(ctx context.Context, id fleet.ScheduleID, after fleet.Time) (fleet.Time, error) {
	var at fleet.Time
	err := q.get(ctx, &at, `SELECT COALESCE(MIN(created_at), 0) FROM jobs WHERE schedule_id = ? AND job_trigger = ? AND created_at > ?`,
		id, fleet.ByCatchUp, after)
	if err != nil {
		return 0, fmt.Errorf("look for a catch-up of schedule %s: %w", id, err)
	}
	return at, nil
}

// DeleteJob removes a job with everything of it.
func (tx *Tx) DeleteJob(ctx context.Context, id fleet.JobID) error {
	_, err := tx.exec(ctx, `DELETE FROM jobs WHERE id = ?`, id)
	tx.Touch(fleet.TopicJobs, string(id))
	return err
}

// Outage is a time in which no replica of ours was there.
type Outage struct {
	From  fleet.Time `json:"from"`
	Until fleet.Time `json:"until"`
}

const (
	metaOutages = "outages"
	maxOutages  = 50
)

// Outages reads when none of us was there, oldest first. A database that was set back
// to a copy has one from the copy on: what happened since then may have been told to
// the database that is gone, and is told to nobody again.
func (q Queries) Outages(ctx context.Context) ([]Outage, error) {
	text, err := q.Meta(ctx, metaOutages)
	if fleet.Is(err, fleet.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Outage
	if err := fleet.Doc(text).Read(&list); err != nil {
		return nil, fmt.Errorf("read our outages: %w", err)
	}
	return list, nil
}

// noteOutage keeps that none of us was there.
func (s *Store) noteOutage(ctx context.Context, o Outage) error {
	return s.Write(ctx, func(tx *Tx) error {
		list, err := tx.Outages(ctx)
		if err != nil {
			return err
		}
		list = append(list, o)
		doc, err := fleet.NewDoc(list[max(0, len(list)-maxOutages):])
		if err != nil {
			return err
		}
		return tx.SetMeta(ctx, metaOutages, string(doc))
	})
}
