package store

import (
	"context"
	"fmt"
	"strconv"

	"restic-manager/server/fleet"
)

// metaHistoryFrom is the first day, counted since 1970, whose jobs are all there.
const metaHistoryFrom = "history_from"

// DropLogs removes the logs and the results' rows of jobs that ended before a moment, of so many at most, and
// tells of how many. A job that has not ended keeps its log.
func (tx *Tx) DropLogs(ctx context.Context, before fleet.Time, limit int) (int, error) {
	var ids []fleet.JobID
	err := tx.all(ctx, &ids, `UPDATE jobs SET log_dropped = TRUE WHERE id IN (SELECT id FROM jobs
		WHERE state = 'finished' AND NOT log_dropped AND finished_at < ? ORDER BY finished_at, id LIMIT ?) RETURNING id`, before, limit)
	if err == nil {
		err = tx.dropTexts(ctx, ids)
	}
	if err != nil {
		return 0, fmt.Errorf("remove old logs: %w", err)
	}
	return len(ids), nil
}

// DropOldestRows removes the log and the result's rows of that job of a host which ended
// first of those that have rows, and tells whether there was one.
func (tx *Tx) DropOldestRows(ctx context.Context, host fleet.HostID) (bool, error) {
	var ids []fleet.JobID
	err := tx.all(ctx, &ids, `UPDATE jobs SET log_dropped = TRUE WHERE id = (SELECT id FROM jobs
		WHERE host_id = ? AND state = 'finished' AND NOT log_dropped AND EXISTS (SELECT 1 FROM row_chunks c WHERE c.job_id = jobs.id)
		ORDER BY finished_at, id LIMIT 1) RETURNING id`, host)
	if err == nil {
		err = tx.dropTexts(ctx, ids)
	}
	if err != nil {
		return false, fmt.Errorf("remove the oldest result of host %s: %w", host, err)
	}
	return len(ids) > 0, nil
}

func (tx *Tx) dropTexts(ctx context.Context, ids []fleet.JobID) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.execIn(ctx, `DELETE FROM log_chunks WHERE job_id IN (?)`, ids)
	if err == nil {
		_, err = tx.execIn(ctx, `DELETE FROM row_chunks WHERE job_id IN (?)`, ids)
	}
	return err
}

// DropJobs removes jobs that ended before a day, counted since 1970, with their
// events, logs and commands; of so many at most, and tells of how many. What pages
// show as the last of a host or schedule stays, and so do the days' numbers.
func (tx *Tx) DropJobs(ctx context.Context, before int64, limit int) (int, error) {
	const day = 24 * 3600 * 1_000_000
	var jobs []struct {
		ID       fleet.JobID
		Schedule fleet.ScheduleID
		Result   fleet.Result
	}
	err := tx.all(ctx, &jobs, `SELECT id, schedule_id AS schedule, result FROM jobs WHERE state = 'finished' AND finished_at < ?
		AND NOT EXISTS (SELECT 1 FROM hosts h WHERE h.id = jobs.host_id AND h.last_backup = jobs.id)
		AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.id = jobs.schedule_id AND s.last_job = jobs.id)
		ORDER BY finished_at, id LIMIT ?`, before*day, limit)
	if err != nil || len(jobs) == 0 {
		return 0, err
	}
	if err := tx.historyFrom(ctx, before); err != nil {
		return 0, err
	}
	ids, missed := make([]fleet.JobID, len(jobs)), map[fleet.ScheduleID]bool{}
	for i, j := range jobs {
		ids[i] = j.ID
		if j.Result == fleet.Missed && j.Schedule != "" {
			missed[j.Schedule] = true
		}
		tx.Touch(fleet.TopicJobs, string(j.ID))
	}
	if _, err := tx.execIn(ctx, `DELETE FROM commands WHERE job_id IN (?)`, ids); err != nil {
		return 0, err
	}
	if _, err := tx.execIn(ctx, `DELETE FROM jobs WHERE id IN (?)`, ids); err != nil {
		return 0, err
	}
	for id := range missed {
		_, err := tx.exec(ctx, `UPDATE schedules SET missed = (SELECT COALESCE(SUM(1 + j.more_slots), 0) FROM jobs j
			WHERE j.schedule_id = schedules.id AND j.state = 'finished' AND j.result = 'missed' AND j.created_at > schedules.last_good) WHERE id = ?`, id)
		if err != nil {
			return 0, err
		}
	}
	return len(jobs), nil
}

// historyFrom notes that jobs before a day may be gone.
func (tx *Tx) historyFrom(ctx context.Context, day int64) error {
	known, err := tx.HistoryFrom(ctx)
	if err != nil || known >= day {
		return err
	}
	return tx.SetMeta(ctx, metaHistoryFrom, strconv.FormatInt(day, 10))
}

// HistoryFrom gives the first day, counted since 1970, whose jobs are all there.
func (q Queries) HistoryFrom(ctx context.Context) (int64, error) {
	text, err := q.Meta(ctx, metaHistoryFrom)
	if fleet.Is(err, fleet.NotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}
