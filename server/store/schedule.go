package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const scheduleCols = "id, host_id, repository_id, name, paths, excludes, tags, manual, cron, zone, enabled, retention, " +
	"source, options, objective_s, version, revision, created_at, updated_at, last_job, last_good, " +
	"timing_since, timing_version, claim_from, claim_until, checked_until, unchecked, overdue_at, silent_from, " +
	"next_slot, breach_at, missed, facts"

// Schedule reads a schedule of a host. NotFound when the host has none of that id.
func (q Queries) Schedule(ctx context.Context, host fleet.HostID, id fleet.ScheduleID) (*fleet.Schedule, error) {
	var s fleet.Schedule
	err := q.get(ctx, &s, `SELECT `+scheduleCols+` FROM schedules WHERE id = ? AND host_id = ?`, id, host)
	return one(&s, err, "schedule %s", id)
}

// Schedules lists the schedules of a host by name.
func (q Queries) Schedules(ctx context.Context, host fleet.HostID) ([]fleet.Schedule, error) {
	var list []fleet.Schedule
	err := q.all(ctx, &list, `SELECT `+scheduleCols+` FROM schedules WHERE host_id = ? ORDER BY name`, host)
	if err != nil {
		return nil, fmt.Errorf("list the schedules of host %s: %w", host, err)
	}
	return list, nil
}

// SchedulesOfRepository lists the schedules that back up to a repository.
func (q Queries) SchedulesOfRepository(ctx context.Context, id fleet.RepositoryID) ([]fleet.Schedule, error) {
	var list []fleet.Schedule
	err := q.all(ctx, &list, `SELECT `+scheduleCols+` FROM schedules WHERE repository_id = ? ORDER BY host_id, name`, id)
	if err != nil {
		return nil, fmt.Errorf("list the schedules of repository %s: %w", id, err)
	}
	return list, nil
}

// ScheduleNames gives the names of schedules by id; deleted ones are left out.
func (q Queries) ScheduleNames(ctx context.Context, ids []fleet.ScheduleID) (map[fleet.ScheduleID]string, error) {
	return names(ctx, q, "schedules", ids)
}

// CreateSchedule adds a schedule and gives its host another configuration.
// NameTaken when the host has one of that name, NotFound without host or
// repository.
func (tx *Tx) CreateSchedule(ctx context.Context, s *fleet.Schedule) error {
	revision, err := tx.nextRevision(ctx, s.HostID)
	if err != nil {
		return err
	}
	s.Version, s.Revision = 1, revision
	s.CreatedAt, s.UpdatedAt = tx.Now, tx.Now
	s.Paths, s.Excludes, s.Tags = orEmpty(s.Paths), orEmpty(s.Excludes), orEmpty(s.Tags)
	s.Retime(tx.Now)
	_, err = tx.named(ctx, insert("schedules", scheduleCols), s)
	if err := scheduleError(err, s); err != nil {
		return fmt.Errorf("create schedule: %w", err)
	}
	return tx.scheduleChanged(ctx, s, s.RepositoryID)
}

// ReplaceSchedule writes everything that people edit and gives the host another
// configuration. s.Version is the one that was read and is raised. VersionConflict
// when somebody else was faster, NameTaken as in CreateSchedule.
func (tx *Tx) ReplaceSchedule(ctx context.Context, s *fleet.Schedule) error {
	revision, err := tx.nextRevision(ctx, s.HostID)
	if err != nil {
		return err
	}
	before, err := tx.Schedule(ctx, s.HostID, s.ID)
	if err != nil {
		return err
	}
	if before.Version != s.Version {
		return fleet.Errorf(fleet.VersionConflict, "Somebody changed this schedule meanwhile (it is at version %d): read it again and repeat your change.",
			before.Version).At("/if_version")
	}
	s.Version++
	s.Revision, s.UpdatedAt = revision, tx.Now
	s.TimingSince, s.TimingVersion, s.ClaimFrom, s.ClaimUntil = before.TimingSince, before.TimingVersion, before.ClaimFrom, before.ClaimUntil
	s.CheckedUntil, s.SilentFrom, s.Missed, s.Facts, s.LastGood = before.CheckedUntil, before.SilentFrom, before.Missed, before.Facts, before.LastGood
	if s.Cron != before.Cron || s.Zone != before.Zone || s.Manual != before.Manual || s.Enabled != before.Enabled { //guard:timing-changed
		s.Retime(tx.Now)
	}
	s.Paths, s.Excludes, s.Tags = orEmpty(s.Paths), orEmpty(s.Excludes), orEmpty(s.Tags)
	_, err = tx.named(ctx, `UPDATE schedules SET repository_id = :repository_id, name = :name, paths = :paths, excludes = :excludes,
		tags = :tags, manual = :manual, cron = :cron, zone = :zone, enabled = :enabled, retention = :retention,
		source = :source, options = :options, objective_s = :objective_s,
		timing_since = :timing_since, timing_version = :timing_version, claim_from = :claim_from, claim_until = :claim_until,
		checked_until = :checked_until, silent_from = :silent_from,
		version = :version, revision = :revision, updated_at = :updated_at WHERE id = :id`, s)
	if err := scheduleError(err, s); err != nil {
		return fmt.Errorf("replace schedule %s: %w", s.ID, err)
	}
	return tx.scheduleChanged(ctx, s, s.RepositoryID, before.RepositoryID)
}

// DeleteSchedule removes a schedule and gives the host another configuration. Its
// jobs stay. NotFound when there is none.
func (tx *Tx) DeleteSchedule(ctx context.Context, host fleet.HostID, id fleet.ScheduleID) error {
	if _, err := tx.nextRevision(ctx, host); err != nil {
		return err
	}
	s, err := tx.Schedule(ctx, host, id)
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `DELETE FROM schedules WHERE id = ?`, id); err != nil {
		return fmt.Errorf("delete schedule %s: %w", id, err)
	}
	return tx.scheduleChanged(ctx, s, s.RepositoryID)
}

// nextRevision raises the configuration revision of a host. Its row stays locked,
// so changes of one host's schedules come one after the other.
func (tx *Tx) nextRevision(ctx context.Context, host fleet.HostID) (int64, error) {
	var revision int64
	err := tx.get(ctx, &revision, `UPDATE hosts SET config_revision = config_revision + 1 WHERE id = ? RETURNING config_revision`, host)
	return revision, missing(err, "host %s", host)
}

// scheduleChanged brings the rollups up to date and tells everybody.
func (tx *Tx) scheduleChanged(ctx context.Context, s *fleet.Schedule, repositories ...fleet.RepositoryID) error {
	if err := tx.recountSchedules(ctx, s.HostID); err != nil {
		return err
	}
	schedules, err := tx.foretell(ctx, s.HostID, false)
	if err != nil {
		return err
	}
	for i := range schedules {
		if schedules[i].ID == s.ID {
			*s = schedules[i]
		}
	}
	for i, id := range repositories {
		if i > 0 && id == repositories[0] {
			continue
		}
		if err := tx.recountRepository(ctx, id); err != nil {
			return err
		}
	}
	tx.Touch(fleet.TopicSchedules, string(s.ID))
	tx.Wake(s.HostID)
	return tx.bumpMaintainers(ctx, repositories...)
}

// foretell brings what follows from the times of a host's schedules up to date, and
// how the host stands. anew begins to count their slots at this moment.
func (tx *Tx) foretell(ctx context.Context, host fleet.HostID, anew bool) ([]fleet.Schedule, error) {
	h, err := tx.LockHost(ctx, host)
	if err != nil {
		return nil, err
	}
	schedules, err := tx.Schedules(ctx, host)
	if err != nil {
		return nil, err
	}
	for i := range schedules {
		s := &schedules[i]
		before := *s
		if anew || s.TimingVersion == 0 {
			s.Retime(tx.Now)
		}
		s.Foretell(tx.Now, h.Availability)
		if *s == before {
			continue
		}
		if err := tx.SaveTruth(ctx, s); err != nil {
			return nil, err
		}
	}
	return schedules, tx.Stand(ctx, h, schedules)
}

// Foretell brings what follows from the passing of time up to date for a host: its next
// slots, whether it is silent, whether an objective was missed. NotFound when there is
// none.
func (tx *Tx) Foretell(ctx context.Context, host fleet.HostID) error {
	_, err := tx.foretell(ctx, host, false)
	return err
}

func scheduleError(err error, s *fleet.Schedule) error {
	if violates(err, noSuchParent) {
		return missingNow("repository %s", s.RepositoryID).At("/repository_id")
	}
	return taken(err)
}
