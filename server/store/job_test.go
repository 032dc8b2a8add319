package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func newJob(h *fleet.Host, at fleet.Time) *fleet.Job {
	return &fleet.Job{
		ID: fleet.NewID[fleet.JobID](), HostID: h.ID, Operation: "backup", Trigger: fleet.ByRunNow, State: fleet.Pending,
		Epoch: 1, Attempt: 1, Version: 1, NextEventSeq: 1, NextLogSeq: 1, CreatedAt: at, ExpiresAt: at.Add(time.Minute),
	}
}

func addJob(t *testing.T, s *store.Store, j *fleet.Job) *fleet.Job {
	t.Helper()
	write(t, s, func(tx *store.Tx) error {
		if created, err := tx.CreateJob(t.Context(), j); err != nil || !created {
			return fmt.Errorf("created %v: %w", created, err)
		}
		return nil
	})
	return j
}

func readJob(t *testing.T, s *store.Store, id fleet.JobID) *fleet.Job {
	t.Helper()
	j, err := s.Job(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func saveJob(t *testing.T, s *store.Store, id fleet.JobID, change func(*fleet.Job)) {
	t.Helper()
	write(t, s, func(tx *store.Tx) error {
		j, err := tx.LockJob(t.Context(), id)
		if err != nil {
			return err
		}
		change(j)
		return tx.SaveJob(t.Context(), j)
	})
}

func TestJobsAreListedNewestFirstAndPagedWithoutHolesOrDoubles(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h, other := addHost(t, s, "web-1"), addHost(t, s, "web-2")
		var want []fleet.JobID
		for i := range 25 {
			if i%3 != 0 { // some are made at the same moment
				c.advance(time.Second)
			}
			want = append(want, addJob(t, s, newJob(h, fleet.At(c.now()))).ID)
			addJob(t, s, newJob(other, fleet.At(c.now())))
		}
		slices.Sort(want) // ids sort by age, as those of one moment do
		slices.Reverse(want)
		var got []fleet.JobID
		page := store.Page{Size: 7}
		for {
			jobs, next, err := s.Jobs(t.Context(), store.JobFilter{Host: h.ID}, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range jobs {
				got = append(got, j.ID)
			}
			if page.Token = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %d jobs %v, want %v", len(got), got, want)
		}
		_, next, err := s.Jobs(t.Context(), store.JobFilter{Host: h.ID}, store.Page{Size: 7})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = s.Jobs(t.Context(), store.JobFilter{Host: other.ID}, store.Page{Size: 7, Token: next})
		wantCode(t, err, fleet.InvalidPageToken)
	})
}

func TestJobsAreFoundByWhatTheyAre(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h, r := addHost(t, s, "web-1"), addRepository(t, s, "main")
		sch := addSchedule(t, s, h, r, "daily")
		j := newJob(h, fleet.At(c.now()))
		j.ScheduleID, j.RepositoryID, j.State, j.Result = sch.ID, r.ID, fleet.Finished, fleet.Failed
		addJob(t, s, j)
		active := newJob(h, fleet.At(c.now().Add(time.Hour)))
		active.Operation, active.Trigger = "snapshots", fleet.ByMaintenance
		addJob(t, s, active)
		at := fleet.At(c.now())
		for name, row := range map[string]struct {
			filter store.JobFilter
			want   fleet.JobID
		}{
			"schedule":   {store.JobFilter{Schedule: sch.ID}, j.ID},
			"repository": {store.JobFilter{Repository: r.ID}, j.ID},
			"state":      {store.JobFilter{State: fleet.Finished}, j.ID},
			"result":     {store.JobFilter{Result: fleet.Failed}, j.ID},
			"before":     {store.JobFilter{To: at.Add(time.Minute)}, j.ID},
			"operation":  {store.JobFilter{Operation: "snapshots"}, active.ID},
			"trigger":    {store.JobFilter{Trigger: fleet.ByMaintenance}, active.ID},
			"active":     {store.JobFilter{Active: true}, active.ID},
			"since":      {store.JobFilter{From: at.Add(time.Minute)}, active.ID},
		} {
			jobs, _, err := s.Jobs(t.Context(), row.filter, store.Page{})
			if err != nil || len(jobs) != 1 || jobs[0].ID != row.want {
				t.Errorf("%s: got %d jobs, %v", name, len(jobs), err)
			}
		}
	})
}

func TestAScheduleHasAtMostOnePendingJob(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h, r := addHost(t, s, "web-1"), addRepository(t, s, "main")
		sch := addSchedule(t, s, h, r, "daily")
		first := newJob(h, fleet.At(c.now()))
		first.ScheduleID = sch.ID
		addJob(t, s, first)
		second := newJob(h, fleet.At(c.now()))
		second.ScheduleID = sch.ID
		write(t, s, func(tx *store.Tx) error {
			if created, err := tx.CreateJob(t.Context(), second); err != nil || created {
				t.Errorf("a second pending job was created: %v, %v", created, err)
			}
			waiting, err := tx.PendingJob(t.Context(), sch.ID)
			if err != nil || waiting.ID != first.ID {
				t.Errorf("got %v, %v; want the first job", waiting, err)
			}
			return nil
		})
		saveJob(t, s, first.ID, func(j *fleet.Job) { j.State = fleet.Acked })
		addJob(t, s, second)
	})
}

func TestASavedJobIsReadBackWholeAndOneVersionHigher(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web-1")
		j := addJob(t, s, newJob(h, fleet.At(c.now())))
		var want fleet.Job
		saveJob(t, s, j.ID, func(j *fleet.Job) {
			j.RepositoryID, j.ScheduleID, j.State, j.WaitingOn, j.Result = "r", "s", fleet.Waiting, "a lock", fleet.Lost
			j.Params, j.Outcome, j.Progress, j.SnapshotID = `{"a":1}`, `{"b":2}`, `{"c":3}`, "snap"
			j.Epoch, j.Attempt, j.Late, j.Unconfirmed, j.Cancel = 2, 3, true, true, true
			j.WriterID, j.NextEventSeq, j.NextLogSeq, j.LogLines = "w", 4, 5, 6
			j.ExpiresAt, j.LeaseUntil, j.LastReport, j.StartedAt, j.FinishedAt = 7, 8, 9, 10, 11
			want = *j
		})
		want.Version++
		if got := readJob(t, s, j.ID); *got != want {
			t.Errorf("got  %+v\nwant %+v", *got, want)
		}
	})
}

func TestSilentAndOverdueJobsAreFound(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web-1")
		now := fleet.At(c.now())
		pending := addJob(t, s, newJob(h, now))
		running := newJob(h, now)
		running.State, running.LeaseUntil = fleet.Running, now.Add(time.Minute)
		addJob(t, s, running)
		silent := newJob(h, now)
		silent.State, silent.LeaseUntil = fleet.Unresponsive, now
		addJob(t, s, silent)
		check := func(what string, ids []fleet.JobID, err error, want ...fleet.JobID) {
			t.Helper()
			if err != nil || !slices.Equal(ids, want) {
				t.Errorf("%s: got %v, %v; want %v", what, ids, err, want)
			}
		}
		ids, err := s.JobsToExpire(t.Context(), now, 10)
		check("expired now", ids, err)
		ids, err = s.JobsToExpire(t.Context(), now.Add(time.Minute), 10)
		check("expired in a minute", ids, err, pending.ID)
		ids, err = s.SilentJobs(t.Context(), now, false, 10)
		check("silent now", ids, err)
		ids, err = s.SilentJobs(t.Context(), now.Add(time.Minute), false, 10)
		check("silent in a minute", ids, err, running.ID)
		ids, err = s.SilentJobs(t.Context(), now, true, 10)
		check("unresponsive", ids, err, silent.ID)
		if n, err := s.CountJobsOnAgents(t.Context()); err != nil || n != 1 {
			t.Errorf("got %d jobs on agents, %v; want 1", n, err)
		}
	})
}

func TestLeasesAreMovedForwardOnlyAndOnlyForTheHostsOwnJobs(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h, other := addHost(t, s, "web-1"), addHost(t, s, "web-2")
		now := fleet.At(c.now())
		add := func(h *fleet.Host, state fleet.JobState, lease fleet.Time) fleet.JobID {
			j := newJob(h, now)
			j.State, j.LeaseUntil = state, lease
			return addJob(t, s, j).ID
		}
		until := now.Add(time.Minute)
		want := map[fleet.JobID]fleet.Time{
			add(h, fleet.Running, now):               until,
			add(h, fleet.Running, until.Add(1)):      until.Add(1),
			add(h, fleet.Finished, 0):                0,
			add(other, fleet.Running, now):           now,
			add(h, fleet.Pending, 0):                 0,
			add(h, fleet.Stopping, now.Add(-100000)): until,
		}
		var ids []fleet.JobID
		for id := range want {
			ids = append(ids, id)
		}
		write(t, s, func(tx *store.Tx) error { return tx.RenewLeases(t.Context(), h.ID, ids, until) })
		for id, lease := range want {
			if j := readJob(t, s, id); j.LeaseUntil != lease {
				t.Errorf("a %s job's lease ends at %d, want %d", j.State, j.LeaseUntil, lease)
			}
		}
	})
}

func TestTheNewestBackupOfAHostIsTheOneThatEndedLast(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h, r := addHost(t, s, "web-1"), addRepository(t, s, "main")
		sch := addSchedule(t, s, h, r, "daily")
		end := func(at time.Duration, good bool) fleet.JobID {
			j := newJob(h, fleet.At(c.now().Add(at)))
			j.ScheduleID, j.State, j.FinishedAt = sch.ID, fleet.Finished, fleet.At(c.now().Add(at))
			addJob(t, s, j)
			write(t, s, func(tx *store.Tx) error {
				if err := tx.NoteScheduleJob(t.Context(), j); err != nil {
					return err
				}
				return tx.NoteBackup(t.Context(), j, good)
			})
			return j.ID
		}
		end(time.Hour, true)
		lost := end(5*time.Hour, false)
		newest := end(3*time.Hour, false)
		j := readJob(t, s, lost)
		j.FinishedAt = fleet.At(c.now().Add(30 * time.Minute)) // its agent knows better
		write(t, s, func(tx *store.Tx) error {
			if err := tx.NoteBackup(t.Context(), j, false); err != nil {
				return err
			}
			return tx.SaveJob(t.Context(), j)
		})
		end(2*time.Hour, true) // reported late
		got := readHost(t, s, h.ID)
		good := fleet.At(c.now().Add(2 * time.Hour))
		if got.LastBackup != newest || got.LastGoodBackup != good {
			t.Errorf("the host's last backup is %s, the last good one at %d; want %s, %d", got.LastBackup, got.LastGoodBackup, newest, good)
		}
		after, err := s.Schedule(t.Context(), h.ID, sch.ID)
		if err != nil || after.LastJob != lost || after.LastGood != good { // of a schedule the one that began last
			t.Errorf("the schedule's last job is %s, the last good one at %d; %v", after.LastJob, after.LastGood, err)
		}
	})
}
