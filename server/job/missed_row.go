package job

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// row is the job of a slot that nobody ran.
func (c *check) row(id fleet.JobID, at fleet.Time, why Outcome) (fleet.Job, error) {
	doc, err := fleet.NewDoc(why)
	return fleet.Job{
		ID: id, HostID: c.ref.HostID, ScheduleID: c.ref.ID, RepositoryID: c.schedule.RepositoryID, Operation: OperationBackup,
		Trigger: fleet.BySchedule, Slot: at, State: fleet.Finished, Result: fleet.Missed, Outcome: doc,
		Epoch: 1, Attempt: 1, Version: 1, NextEventSeq: 1, NextLogSeq: 1, CreatedAt: at, FinishedAt: at,
	}, err
}

// sum makes one job of those of a day; its id is none of theirs, so that each may still
// be reported.
func (c *check) sum(ctx context.Context, tx *store.Tx, rows []fleet.Job) ([]fleet.Job, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	row := rows[0]
	var err error
	if row.ID, err = fleet.DayJob(c.ref.ID, row.Slot); err != nil {
		return nil, err
	}
	before, err := tx.LockJob(ctx, row.ID)
	if err == nil { // an earlier look has summed up a part of the day
		if err := tx.AddDay(ctx, fleet.Day{HostID: before.HostID, Day: fleet.DayOf(before.Slot), Missed: int64(len(rows))}); err != nil {
			return nil, err
		}
		before.MoreSlots += int64(len(rows))
		return nil, tx.SaveJob(ctx, before)
	}
	if !fleet.Is(err, fleet.NotFound) {
		return nil, err
	}
	row.MoreSlots = int64(len(rows) - 1)
	var why Outcome
	if err := row.Outcome.Read(&why); err != nil {
		return nil, err
	}
	why.Message = fmt.Sprintf("%d slots of this day from %s on were missed. ", len(rows), moment(row.Slot)) + why.Message
	row.Outcome, err = fleet.NewDoc(why)
	return []fleet.Job{row}, err
}

// write creates missed jobs with what they count for.
func (c *check) write(ctx context.Context, tx *store.Tx, rows []fleet.Job) error {
	if len(rows) == 0 {
		return nil
	}
	if err := tx.CreateMissed(ctx, rows); err != nil {
		return err
	}
	days := map[int64]fleet.Day{}
	for i := range rows {
		d := rows[i].Day(0)
		d.Missed += days[d.Day].Missed
		days[d.Day] = d
	}
	for _, d := range days {
		if err := tx.AddDay(ctx, d); err != nil {
			return err
		}
	}
	newest := &rows[len(rows)-1]
	if err := tx.NoteBackup(ctx, newest, false); err != nil {
		return err
	}
	return tx.NoteScheduleJob(ctx, newest)
}
