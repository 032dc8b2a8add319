package job_test

import (
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

func TestIndexesThatNobodyMakesAreInNobodysWay(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		var ids []string
		for range 17 {
			ids = append(ids, w.snapshotOf(a, s))
		}
		for _, id := range ids[:16] {
			w.index(s.RepositoryID, id)
		}
		last := ids[16]
		w.wantCode(w.jobs.Index(w.Context(), someone, s.RepositoryID, last), fleet.TooManyRequests)
		for _, id := range ids[:16] { // their jobs end, and the server dies while it takes what they made
			l := w.listed(s.RepositoryID, id)
			a.finish(a.start(w.job(l.JobID)), job.Outcome{Result: "interrupted"}, nil)
			w.write(func(tx *store.Tx) error {
				_, err := tx.ResumeIndex(w.Context(), l)
				return err
			})
		}
		a.sync()
		if l := w.index(s.RepositoryID, last); l.State != fleet.IndexBuilding {
			t.Errorf("the last one is %s", l.State)
		}
	})
}

func TestAnIndexWhoseRestNeverComesCanBeMadeAgain(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		id := w.snapshotOf(a, s)
		l := w.index(s.RepositoryID, id)
		a.finish(a.start(w.job(l.JobID)), job.Outcome{Result: "interrupted"}, nil)
		w.write(func(tx *store.Tx) error {
			if _, err := tx.ResumeIndex(w.Context(), l); err != nil {
				return err
			}
			_, err := tx.AddIndexBlocks(w.Context(), l, []fleet.IndexBlock{{RepositoryID: l.RepositoryID, SnapshotID: id, Kind: 1, Data: []byte("x")}})
			return err
		})
		w.clock.advance(30 * time.Minute)
		w.must(w.jobs.RetainIndexes(w.Context()))
		if got := w.listed(s.RepositoryID, id); got.State != fleet.IndexBuilding {
			w.Errorf("after half an hour the index is %s", got.State)
		}
		w.clock.advance(time.Hour)
		w.must(w.jobs.RetainIndexes(w.Context()))
		if got := w.listed(s.RepositoryID, id); got.State != fleet.IndexFailed || got.Message == "" || w.blocks(got) != 0 {
			w.Errorf("after an hour and a half the index is %s, %q, with %d blocks", got.State, got.Message, w.blocks(got))
		}
		a.sync()
		if again := w.index(s.RepositoryID, id); again.State != fleet.IndexBuilding || again.JobID == l.JobID {
			w.Errorf("made again it is %s by job %s", again.State, again.JobID)
		}
	})
}

func TestAnAgentThatSitsOnIndexesKeepsNobodyFromBrowsingForLong(t *testing.T) {
	w := lite(t)
	a, s := w.ready()
	var ids []string
	for range 17 {
		ids = append(ids, w.snapshotOf(a, s))
	}
	for _, id := range ids[:16] {
		a.start(w.job(w.index(s.RepositoryID, id).JobID))
	}
	w.wantCode(w.jobs.Index(t.Context(), someone, s.RepositoryID, ids[16]), fleet.TooManyRequests)
	w.clock.advance(61 * time.Minute)
	a.sync()
	if l := w.index(s.RepositoryID, ids[16]); l.State != fleet.IndexBuilding {
		t.Errorf("the last one is %s", l.State)
	}
}
