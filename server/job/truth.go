package job

import (
	"context"
	"fmt"
	"slices"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// What is known of a schedule's backups follows from its jobs, in the transaction in
// which one of them begins or ends.

const (
	recentBackups = 7 // whose medians are what is usual
	usualFrom     = 3 // fewer say nothing
)

// counted is what a job counts for on its day at this moment.
func counted(j *fleet.Job) (fleet.Day, error) {
	var o Outcome
	if err := j.Outcome.Read(&o); err != nil {
		return fleet.Day{}, fmt.Errorf("read the outcome of job %s: %w", j.ID, err)
	}
	var added int64
	if o.Stats != nil {
		added = o.Stats.DataAddedPacked
	}
	return j.Day(max(0, added)), nil
}

// recount moves a job from what it counted for to what it counts for now.
func recount(ctx context.Context, tx *store.Tx, before fleet.Day, j *fleet.Job) error {
	after, err := counted(j)
	if err != nil || before == after {
		return err
	}
	if err := tx.AddDay(ctx, before.Less()); err != nil {
		return err
	}
	return tx.AddDay(ctx, after)
}

// settleTruth writes what a job's beginning or end says of its schedule and host. The
// job itself is written by the caller. note may change the schedule.
func settleTruth(ctx context.Context, tx *store.Tx, j *fleet.Job, note func(s *fleet.Schedule) error) error {
	host, err := tx.LockHost(ctx, j.HostID)
	if err != nil {
		return err
	}
	schedules, err := tx.Schedules(ctx, j.HostID)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(schedules, func(s fleet.Schedule) bool { return s.ID == j.ScheduleID })
	if at < 0 {
		return tx.Stand(ctx, host, schedules)
	}
	s := &schedules[at]
	before := *s
	if err := note(s); err != nil {
		return err
	}
	s.Foretell(tx.Now, host.Availability)
	if *s != before {
		if err := tx.SaveTruth(ctx, s); err != nil {
			return err
		}
	}
	return tx.Stand(ctx, host, schedules)
}

// settleEnd is settleTruth of a backup that ended.
func settleEnd(ctx context.Context, tx *store.Tx, j *fleet.Job, o Outcome) error {
	return settleTruth(ctx, tx, j, func(s *fleet.Schedule) (err error) {
		if s.Missed > 0 || j.Late {
			if s.Missed, err = tx.CountMissed(ctx, s.ID, s.LastGood, j.ID); err != nil {
				return err
			}
			if j.Result == fleet.Missed && j.CreatedAt > s.LastGood {
				s.Missed += 1 + j.MoreSlots
			}
		}
		return noteFacts(s, j, o)
	})
}

// noteFacts keeps what is known of a schedule's last backup that ended, and what is
// usual for it. A backup that ended before the one that is known says nothing new.
func noteFacts(s *fleet.Schedule, j *fleet.Job, o Outcome) error {
	if !slices.Contains([]fleet.Result{fleet.Succeeded, fleet.Warning, fleet.Failed, fleet.Interrupted, fleet.Rejected, fleet.Lost}, j.Result) {
		return nil
	}
	var f fleet.ScheduleFacts
	if err := s.Facts.Read(&f); err != nil {
		return fmt.Errorf("read the facts of schedule %s: %w", s.ID, err)
	}
	if j.FinishedAt < f.At && j.ID != f.Job {
		return nil
	}
	again := f.Job == j.ID && f.Result.Good() // it ended before, and now knows better
	f.Job, f.Result, f.Code, f.Message, f.NextStep, f.At = j.ID, j.Result, o.Code, o.Message, o.NextStep, j.FinishedAt
	f.Warnings, f.Unconfirmed = o.WarningsTotal, j.Unconfirmed
	f.Sources = nil
	for _, source := range o.Sources {
		f.Sources = append(f.Sources, fleet.SourceSeen(source))
	}
	if o.Storage != nil {
		f.FreeBytes, f.TotalBytes = max(0, o.Storage.FreeBytes), max(0, o.Storage.TotalBytes)
	}
	if protects(j) && o.Stats != nil {
		if again && len(f.RecentFiles) > 0 {
			f.RecentFiles, f.RecentBytes = f.RecentFiles[:len(f.RecentFiles)-1], f.RecentBytes[:len(f.RecentBytes)-1]
		}
		f.Files, f.Bytes = max(0, o.Stats.FilesProcessed), max(0, o.Stats.BytesProcessed)
		f.UsualFiles, f.UsualBytes = median(f.RecentFiles), median(f.RecentBytes)
		f.RecentFiles, f.RecentBytes = recent(f.RecentFiles, f.Files), recent(f.RecentBytes, f.Bytes)
	}
	var err error
	s.Facts, err = fleet.NewDoc(f)
	return err
}

// noteConfirmed keeps that the snapshot of a backup was seen after all.
func noteConfirmed(ctx context.Context, tx *store.Tx, j *fleet.Job) error {
	return settleTruth(ctx, tx, j, func(s *fleet.Schedule) error {
		var f fleet.ScheduleFacts
		if err := s.Facts.Read(&f); err != nil {
			return fmt.Errorf("read the facts of schedule %s: %w", s.ID, err)
		}
		if f.Job != j.ID || !f.Unconfirmed {
			return nil
		}
		f.Unconfirmed = false
		var err error
		s.Facts, err = fleet.NewDoc(f)
		return err
	})
}

// takeIn brings a host up to date for the time that has passed. One that nobody has
// judged yet, as after the migration that brought all this, gets the facts of its last
// backups first.
func takeIn(ctx context.Context, tx *store.Tx, id fleet.HostID) error {
	host, err := tx.LockHost(ctx, id)
	if err != nil {
		return err
	}
	if !host.ProtectionSince.IsZero() {
		return tx.Foretell(ctx, id)
	}
	schedules, err := tx.Schedules(ctx, id)
	if err != nil {
		return err
	}
	for i := range schedules {
		last, err := tx.LastBackup(ctx, schedules[i].ID, endings()...)
		if fleet.Is(err, fleet.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		var o Outcome
		if err := last.Outcome.Read(&o); err != nil {
			return fmt.Errorf("read the outcome of job %s: %w", last.ID, err)
		}
		if err := noteFacts(&schedules[i], last, o); err != nil {
			return err
		}
		if err := tx.SaveTruth(ctx, &schedules[i]); err != nil {
			return err
		}
	}
	return tx.Foretell(ctx, id)
}

func recent(list []int64, n int64) []int64 {
	list = append(list, n)
	return list[max(0, len(list)-recentBackups):]
}

// median is the middle one of numbers; 0 where they are too few.
func median(list []int64) int64 {
	if len(list) < usualFrom {
		return 0
	}
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

// settleBirth is settleTruth of a job that its agent bore itself: its slot needs no
// further look. One that was given up before is late, and no longer missed.
func settleBirth(ctx context.Context, tx *store.Tx, j *fleet.Job) error {
	if j.ScheduleID == "" || j.Slot.IsZero() {
		return nil
	}
	id, err := fleet.SlotJob(j.ScheduleID, j.Slot)
	if err != nil || id != j.ID { //guard:slot-id
		return err
	}
	return settleTruth(ctx, tx, j, func(s *fleet.Schedule) error {
		switch {
		case j.Slot == s.Unchecked:
			s.CheckedUntil = j.Slot
		case j.Slot <= s.CheckedUntil && j.Slot > s.TimingSince:
			return unsum(ctx, tx, s, j)
		}
		return nil
	})
}

// unsum takes a slot that was run after all out of the job that stands for the missed
// ones of its day.
func unsum(ctx context.Context, tx *store.Tx, s *fleet.Schedule, j *fleet.Job) error {
	id, err := fleet.DayJob(s.ID, j.Slot)
	if err != nil {
		return err
	}
	sum, err := tx.LockJob(ctx, id)
	if fleet.Is(err, fleet.NotFound) || err == nil && sum.Result != fleet.Missed {
		return nil
	}
	if err != nil {
		return err
	}
	j.Late = true
	if err := tx.AddDay(ctx, fleet.Day{HostID: sum.HostID, Day: fleet.DayOf(sum.FinishedAt), Missed: -1}); err != nil {
		return err
	}
	if sum.MoreSlots == 0 {
		err = tx.DeleteJob(ctx, sum.ID)
	} else {
		sum.MoreSlots--
		err = tx.SaveJob(ctx, sum)
	}
	if err != nil {
		return err
	}
	s.Missed, err = tx.CountMissed(ctx, s.ID, s.LastGood, "")
	return err
}
