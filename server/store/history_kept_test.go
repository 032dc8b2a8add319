package store_test

import (
	"fmt"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

const day = 24 * time.Hour

// ended adds a job with an event and a log that ended at a moment.
func ended(t *testing.T, s *store.Store, h *fleet.Host, schedule fleet.ScheduleID, at time.Time, result fleet.Result) fleet.JobID {
	t.Helper()
	j := newJob(h, fleet.At(at))
	j.ScheduleID = schedule
	addJob(t, s, j)
	saveJob(t, s, j.ID, func(j *fleet.Job) {
		j.State, j.Result, j.FinishedAt, j.NextLogSeq = fleet.Finished, result, fleet.At(at), 2
	})
	write(t, s, func(tx *store.Tx) error {
		if err := tx.AddDay(t.Context(), dayOf(h, at)); err != nil {
			return err
		}
		if err := tx.AppendEvents(t.Context(), []fleet.Event{{JobID: j.ID, Seq: 1, Kind: "finished", Body: "{}", ReceivedAt: tx.Now}}); err != nil {
			return err
		}
		return tx.AppendLog(t.Context(), []fleet.LogChunk{{JobID: j.ID, Seq: 1, FirstLine: 1, Lines: 1, Bytes: 1, Data: []byte("x")}})
	})
	return j.ID
}

func dayOf(h *fleet.Host, at time.Time) fleet.Day {
	return fleet.Day{HostID: h.ID, Day: at.Unix() / 86400, Succeeded: 1}
}

func jobsLeft(t *testing.T, s *store.Store) (jobs, logs int) {
	t.Helper()
	list, _, err := s.Jobs(t.Context(), store.JobFilter{}, store.Page{Size: 200})
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range list {
		chunks, err := s.LogChunks(t.Context(), j.ID, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		logs += len(chunks)
	}
	return len(list), logs
}

func TestOldHistoryGoesInSlicesAndWhatHasNotEndedStays(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web-1")
		start := c.now()
		for n := range 10 { // the last one ends on the tenth day
			ended(t, s, h, "", start.Add(time.Duration(n)*day), fleet.Succeeded)
		}
		running := addJob(t, s, newJob(h, fleet.At(start)))
		write(t, s, func(tx *store.Tx) error { return tx.CountActiveJob(t.Context(), h.ID, 1) })

		drop := func(f func(tx *store.Tx) (int, error)) (n int) {
			t.Helper()
			write(t, s, func(tx *store.Tx) (err error) {
				n, err = f(tx)
				return err
			})
			return n
		}
		logs := func(tx *store.Tx) (int, error) { return tx.DropLogs(t.Context(), fleet.At(start.Add(6*day)), 4) }
		if first, second, third := drop(logs), drop(logs), drop(logs); first != 4 || second != 2 || third != 0 {
			t.Errorf("slices of %d, %d and %d logs, want 4, 2 and none", first, second, third)
		}
		if jobs, logs := jobsLeft(t, s); jobs != 11 || logs != 4 {
			t.Errorf("%d jobs and %d logs are left, want 11 and 4", jobs, logs)
		}
		jobs := func(tx *store.Tx) (int, error) {
			return tx.DropJobs(t.Context(), start.Add(3*day).Unix()/86400, 2)
		}
		if first, second, third := drop(jobs), drop(jobs), drop(jobs); first != 2 || second != 1 || third != 0 {
			t.Errorf("slices of %d, %d and %d jobs, want 2, 1 and none", first, second, third)
		}
		if jobs, _ := jobsLeft(t, s); jobs != 8 {
			t.Errorf("%d jobs are left, want 8", jobs)
		}
		if readJob(t, s, running.ID).State != fleet.Pending {
			t.Error("the job that has not ended was touched")
		}
		days, err := s.Days(t.Context(), []fleet.HostID{h.ID}, 0, 1<<40)
		if err != nil || len(days[h.ID]) != 10 {
			t.Errorf("%d days are left, %v; want all ten", len(days[h.ID]), err)
		}
		if err := s.VerifyRollups(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTheLastJobOfAHostAndOfAScheduleStays(t *testing.T) {
	eachAt(t, func(t *testing.T, s *store.Store, c *clock) {
		h := addHost(t, s, "web-1")
		sc := addSchedule(t, s, h, addRepository(t, s, "nas"), "daily")
		at := c.now()
		last := ended(t, s, h, sc.ID, at, fleet.Succeeded)
		missed := ended(t, s, h, sc.ID, at, fleet.Missed)
		write(t, s, func(tx *store.Tx) error {
			// Days count what came of a job, and a schedule what it missed.
			d := dayOf(h, at)
			d.Succeeded, d.Missed = -1, 1
			if err := tx.AddDay(t.Context(), d); err != nil {
				return err
			}
			return nil
		})
		statement(t, s, fmt.Sprintf(`UPDATE hosts SET last_backup = '%s'`, last))
		statement(t, s, fmt.Sprintf(`UPDATE schedules SET last_job = '%s', missed = 1`, last))
		write(t, s, func(tx *store.Tx) error {
			n, err := tx.DropJobs(t.Context(), at.Add(400*day).Unix()/86400, 10)
			if n != 1 {
				t.Errorf("%d jobs went, want the missed one alone", n)
			}
			return err
		})
		if _, err := s.Job(t.Context(), last); err != nil {
			t.Error(err)
		}
		_, err := s.Job(t.Context(), missed)
		wantCode(t, err, fleet.NotFound)
		if err := s.VerifyRollups(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func statement(t *testing.T, s *store.Store, text string) {
	t.Helper()
	write(t, s, func(tx *store.Tx) error { _, err := tx.Exec(t.Context(), text); return err })
}
