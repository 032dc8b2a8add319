package store

import (
	"context"
	"fmt"
	"strings"

	"restic-manager/server/fleet"
)

const jobCols = "id, host_id, repository_id, schedule_id, operation, params, job_trigger, slot, more_slots, created_by, state, waiting_on, " +
	"result, outcome, snapshot_id, epoch, attempt, late, unconfirmed, cancel_requested, progress, version, writer_id, " +
	"next_event_seq, next_log_seq, log_lines, created_at, expires_at, lease_until, last_report, started_at, finished_at, " +
	"held, access_host, row_count, waiting_code"

// JobFilter narrows a list of jobs; empty fields do not.
type JobFilter struct {
	Host       fleet.HostID
	Repository fleet.RepositoryID
	Schedule   fleet.ScheduleID
	State      fleet.JobState
	Result     fleet.Result
	Operation  string
	Trigger    fleet.Trigger
	Active     bool       // only jobs that have not finished
	From, To   fleet.Time // created at or after, before
}

func (f JobFilter) where() where {
	var w where
	for _, c := range []struct{ column, value string }{
		{"host_id", string(f.Host)}, {"repository_id", string(f.Repository)}, {"schedule_id", string(f.Schedule)},
		{"state", string(f.State)}, {"result", string(f.Result)}, {"operation", f.Operation}, {"job_trigger", string(f.Trigger)},
	} {
		if c.value != "" {
			w.add(c.column+" = ?", c.value)
		}
	}
	if f.Active {
		w.add("state <> 'finished'")
	}
	if !f.From.IsZero() {
		w.add("created_at >= ?", f.From)
	}
	if !f.To.IsZero() {
		w.add("created_at < ?", f.To)
	}
	return w
}

// Job reads a job. NotFound when there is none.
func (q Queries) Job(ctx context.Context, id fleet.JobID) (*fleet.Job, error) {
	var j fleet.Job
	err := q.get(ctx, &j, `SELECT `+jobCols+` FROM jobs WHERE id = ?`, id)
	return one(&j, err, "job %s", id)
}

// Jobs lists jobs, newest first.
func (q Queries) Jobs(ctx context.Context, f JobFilter, p Page) ([]fleet.Job, string, error) {
	w := f.where()
	var at fleet.Time
	var id fleet.JobID
	if ok, err := p.after(f, &at, &id); err != nil {
		return nil, "", err
	} else if ok {
		w.add("(created_at, id) < (?, ?)", at, id)
	}
	var jobs []fleet.Job
	err := q.all(ctx, &jobs, `SELECT `+jobCols+` FROM jobs`+w.String()+` ORDER BY created_at DESC, id DESC LIMIT ?`, append(w.args, p.size()+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("list jobs: %w", err)
	}
	return paged(p, f, jobs, func(j *fleet.Job) []any { return []any{j.CreatedAt, j.ID} })
}

// JobsNamed reads those of the jobs that are there, in no order.
func (q Queries) JobsNamed(ctx context.Context, ids []fleet.JobID) ([]fleet.Job, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var jobs []fleet.Job
	if err := q.allIn(ctx, &jobs, `SELECT `+jobCols+` FROM jobs WHERE id IN (?)`, ids); err != nil {
		return nil, fmt.Errorf("read jobs: %w", err)
	}
	return jobs, nil
}

// ActiveJobs reads the jobs of a host that have not finished, oldest first.
func (q Queries) ActiveJobs(ctx context.Context, host fleet.HostID) ([]fleet.Job, error) {
	var jobs []fleet.Job
	err := q.all(ctx, &jobs, `SELECT `+jobCols+` FROM jobs WHERE host_id = ? AND state <> 'finished' ORDER BY created_at, id`, host)
	if err != nil {
		return nil, fmt.Errorf("list the active jobs of host %s: %w", host, err)
	}
	return jobs, nil
}

// PendingJob reads the job of a schedule that waits to be picked up. NotFound when
// none does.
func (q Queries) PendingJob(ctx context.Context, id fleet.ScheduleID) (*fleet.Job, error) {
	var j fleet.Job
	err := q.get(ctx, &j, `SELECT `+jobCols+` FROM jobs WHERE schedule_id = ? AND schedule_id <> '' AND state = 'pending'`, id)
	return one(&j, err, "waiting job of schedule %s", id)
}

// LastBackup reads the newest backup of a schedule that ended with one of the
// results. NotFound when there is none.
func (q Queries) LastBackup(ctx context.Context, id fleet.ScheduleID, results ...fleet.Result) (*fleet.Job, error) {
	var jobs []fleet.Job
	err := q.allIn(ctx, &jobs, `SELECT `+jobCols+` FROM jobs WHERE schedule_id = ? AND state = 'finished' AND operation = 'backup' AND result IN (?)
		ORDER BY created_at DESC, id DESC LIMIT 1`, id, results)
	if err != nil {
		return nil, fmt.Errorf("read the last backup of schedule %s: %w", id, err)
	}
	if len(jobs) == 0 {
		return nil, fleet.Errorf(fleet.NotFound, "Schedule %s has no such backup.", id)
	}
	return &jobs[0], nil
}

// NewRepositories reads the repositories that wait for a job to make them usable
// and that some schedule names.
func (q Queries) NewRepositories(ctx context.Context) ([]fleet.RepositoryID, error) {
	var ids []fleet.RepositoryID
	err := q.all(ctx, &ids, `SELECT id FROM repositories WHERE state = ? AND schedules > 0 ORDER BY id`, fleet.RepositoryNew)
	return ids, err
}

// What follows is asked all the time, while the history grows: each condition names
// the one of its index, since SQLite does not conclude it from the states.

// JobsToExpire reads jobs that should have been picked up by now and were not.
func (q Queries) JobsToExpire(ctx context.Context, now fleet.Time, limit int) ([]fleet.JobID, error) {
	var ids []fleet.JobID
	err := q.all(ctx, &ids, `SELECT id FROM jobs WHERE state <> 'finished' AND state = 'pending' AND expires_at > 0 AND expires_at <= ? ORDER BY expires_at LIMIT ?`, now, limit)
	return ids, err
}

// SilentJobs reads jobs on agents whose lease ended at or before a moment: the ones
// already known to be unresponsive, or the others.
func (q Queries) SilentJobs(ctx context.Context, leaseEnded fleet.Time, unresponsive bool, limit int) ([]fleet.JobID, error) {
	states := "state IN ('acked', 'waiting', 'running', 'stopping') AND NOT held"
	if unresponsive {
		states = "state = 'unresponsive'"
	}
	var ids []fleet.JobID
	err := q.all(ctx, &ids, `SELECT id FROM jobs WHERE state <> 'finished' AND `+states+` AND lease_until <= ? ORDER BY lease_until LIMIT ?`, leaseEnded, limit)
	return ids, err
}

// CountJobsOnAgents counts the jobs that agents hold now.
func (q Queries) CountJobsOnAgents(ctx context.Context) (int, error) {
	var n int
	err := q.get(ctx, &n, `SELECT COUNT(*) FROM jobs WHERE state <> 'finished' AND state IN ('acked', 'waiting', 'running', 'stopping') AND NOT held`)
	return n, err
}

// CreateJob writes a new job and tells whether it did: it does not where the id is
// known or another job of the schedule waits to be picked up.
func (tx *Tx) CreateJob(ctx context.Context, j *fleet.Job) (bool, error) {
	n, err := tx.named(ctx, insert("jobs", jobCols)+" ON CONFLICT DO NOTHING", j)
	if err != nil {
		return false, fmt.Errorf("create job %s: %w", j.ID, err)
	}
	return n == 1, nil
}

// LockJob reads a job that nobody else changes before this transaction ends.
// NotFound when there is none.
func (tx *Tx) LockJob(ctx context.Context, id fleet.JobID) (*fleet.Job, error) {
	var j fleet.Job
	err := tx.get(ctx, &j, `UPDATE jobs SET version = version WHERE id = ? RETURNING `+jobCols, id)
	return one(&j, err, "job %s", id)
}

// SaveJob writes what may change of a job, whole; the job must have been locked.
// Its version goes up.
func (tx *Tx) SaveJob(ctx context.Context, j *fleet.Job) error {
	j.Version++
	var set []string
	for _, c := range strings.Split(jobCols, ", ") {
		switch c {
		case "id", "host_id", "operation", "job_trigger", "slot", "created_at", "created_by":
		default:
			set = append(set, c+" = :"+c)
		}
	}
	if _, err := tx.named(ctx, `UPDATE jobs SET `+strings.Join(set, ", ")+` WHERE id = :id`, j); err != nil {
		return fmt.Errorf("save job %s: %w", j.ID, err)
	}
	return nil
}

// RenewLeases moves the leases of a host's jobs that agents hold and that end
// before a moment.
func (tx *Tx) RenewLeases(ctx context.Context, host fleet.HostID, ids []fleet.JobID, until fleet.Time) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.execIn(ctx, `UPDATE jobs SET lease_until = ?
		WHERE host_id = ? AND id IN (?) AND lease_until < ? AND state IN ('acked', 'waiting', 'running', 'stopping') AND NOT held`, until, host, ids, until)
	return err
}

// CountActiveJob adds to the number of a host's jobs that have not finished.
func (tx *Tx) CountActiveJob(ctx context.Context, host fleet.HostID, delta int) error {
	_, err := tx.exec(ctx, `UPDATE hosts SET active_jobs = active_jobs + ?, version = version + 1 WHERE id = ?`, delta, host)
	return err
}

// NoteBackup keeps a finished backup as the newest of its host; a good one moves
// the host's and the schedule's last good backup forward. Where the newest one turns
// out to have ended earlier, the one that ended last takes its place.
func (tx *Tx) NoteBackup(ctx context.Context, j *fleet.Job, good bool) error {
	_, err := tx.exec(ctx, `UPDATE hosts SET last_backup = COALESCE((SELECT n.id FROM jobs n WHERE n.host_id = hosts.id
		AND n.operation = 'backup' AND n.state = 'finished' AND n.id <> ? AND n.finished_at > ?
		ORDER BY n.finished_at DESC LIMIT 1), last_backup) WHERE id = ? AND last_backup = ?`, j.ID, j.FinishedAt, j.HostID, j.ID)
	if err != nil {
		return fmt.Errorf("find the newest backup of host %s: %w", j.HostID, err)
	}
	_, err = tx.exec(ctx, `UPDATE hosts SET last_backup = ?, version = version + 1
		WHERE id = ? AND NOT EXISTS (SELECT 1 FROM jobs n WHERE n.id = hosts.last_backup AND n.id <> ? AND n.finished_at > ?)`,
		j.ID, j.HostID, j.ID, j.FinishedAt)
	if err != nil || !good {
		return err
	}
	if _, err := tx.exec(ctx, `UPDATE hosts SET last_good_backup = ? WHERE id = ? AND last_good_backup < ?`, j.FinishedAt, j.HostID, j.FinishedAt); err != nil {
		return err
	}
	_, err = tx.exec(ctx, `UPDATE schedules SET last_good = ? WHERE id = ? AND last_good < ?`, j.FinishedAt, j.ScheduleID, j.FinishedAt)
	return err
}

// NoteScheduleJob keeps a new job as the newest of its schedule.
func (tx *Tx) NoteScheduleJob(ctx context.Context, j *fleet.Job) error {
	if j.ScheduleID == "" {
		return nil
	}
	_, err := tx.exec(ctx, `UPDATE schedules SET last_job = ?
		WHERE id = ? AND NOT EXISTS (SELECT 1 FROM jobs n WHERE n.id = schedules.last_job AND n.created_at > ?)`, j.ID, j.ScheduleID, j.CreatedAt)
	return err
}
