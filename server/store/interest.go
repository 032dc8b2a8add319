package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

// Interest tells until when somebody watches a job; 0 when nobody did.
func (q Queries) Interest(ctx context.Context, id fleet.JobID) (fleet.Time, error) {
	var until fleet.Time
	err := q.get(ctx, &until, `SELECT COALESCE(MAX(until), 0) FROM interest WHERE job_id = ?`, id)
	return until, err
}

// Watched gives those of the jobs that somebody watches at a moment.
func (q Queries) Watched(ctx context.Context, ids []fleet.JobID, now fleet.Time) (map[fleet.JobID]bool, error) {
	watched := map[fleet.JobID]bool{}
	if len(ids) == 0 {
		return watched, nil
	}
	var found []fleet.JobID
	if err := q.allIn(ctx, &found, `SELECT job_id FROM interest WHERE job_id IN (?) AND until > ?`, ids, now); err != nil {
		return nil, fmt.Errorf("read who is watched: %w", err)
	}
	for _, id := range found {
		watched[id] = true
	}
	return watched, nil
}

// SetInterest says that somebody watches a job until a moment.
func (tx *Tx) SetInterest(ctx context.Context, id fleet.JobID, until fleet.Time) error {
	_, err := tx.exec(ctx, `INSERT INTO interest (job_id, until) VALUES (?, ?) ON CONFLICT (job_id) DO UPDATE SET until = excluded.until`, id, until)
	return err
}

// DropInterest forgets who watched until before a moment.
func (tx *Tx) DropInterest(ctx context.Context, before fleet.Time) error {
	_, err := tx.exec(ctx, `DELETE FROM interest WHERE until < ?`, before)
	return err
}
