package job_test

import (
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// deleted is a repository with an exclusive job that runs and three that wait for it, which
// was deleted then.
func (w *world) deleted() (nas *agent, running *work, held []fleet.JobID) {
	w.Helper()
	r, nas, _ := w.maintained(0)
	running = nas.begins(w.order(nas, r, "check").ID)
	for _, operation := range []string{"prune", "retention", "check"} {
		j := w.order(nas, r, operation)
		if !j.Held {
			w.Fatalf("the %s does not wait", operation)
		}
		held = append(held, j.ID)
	}
	w.write(func(tx *store.Tx) error { return tx.DeleteRepository(w.Context(), r.ID) })
	return nas, running, held
}

func (w *world) wantEnded(ids []fleet.JobID, code string) {
	w.Helper()
	for _, id := range ids {
		var o job.Outcome
		j := w.job(id)
		w.must(j.Outcome.Read(&o))
		if j.State != fleet.Finished || j.Held || j.Result != fleet.Cancelled || o.Code != code {
			w.Errorf("the %s is %s, %s (%s)", j.Operation, j.State, j.Result, o.Code)
		}
	}
}

func TestJobsThatWaitForARepositoryEndWithIt(t *testing.T) {
	each(t, func(w *world) {
		nas, running, held := w.deleted()
		for range 2 {
			w.must(w.jobs.TakeTurns(w.Context()))
		}
		w.wantEnded(held, "repository_deleted")
		nas.done(running)
		if h := w.hostRow(nas); h.ActiveJobs != 0 {
			w.Errorf("%d jobs of the host have not ended", h.ActiveJobs)
		}
	})
}

func TestAJobThatWaitsForADeletedRepositoryCanBeCancelled(t *testing.T) {
	each(t, func(w *world) {
		nas, running, held := w.deleted()
		for _, id := range held {
			_, err := w.jobs.Cancel(w.Context(), someone, id)
			w.must(err)
		}
		w.wantEnded(held, "cancelled_before_start")
		_, err := w.jobs.Cancel(w.Context(), someone, held[0])
		w.wantCode(err, fleet.JobFinished)
		nas.done(running)
		w.must(w.jobs.TakeTurns(w.Context()))
	})
}

func TestAJobThatWaitsForADeletedRepositoryExpires(t *testing.T) {
	each(t, func(w *world) {
		_, _, held := w.deleted()
		w.clock.advance(time.Hour) // its host is away
		w.must(w.jobs.Expire(w.Context()))
		for _, id := range held {
			if j := w.job(id); j.Result != fleet.Expired {
				w.Errorf("the %s is %s, %s", j.Operation, j.State, j.Result)
			}
		}
		w.must(w.jobs.TakeTurns(w.Context()))
	})
}

func TestTheEndOfAJobAtADeletedRepositoryLeavesThoseThatWaitToTheLoop(t *testing.T) {
	each(t, func(w *world) {
		nas, running, held := w.deleted()
		nas.done(running)
		w.must(w.jobs.TakeTurns(w.Context()))
		w.wantEnded(held, "repository_deleted")
	})
}
