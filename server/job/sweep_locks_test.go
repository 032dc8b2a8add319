package job_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"restic-manager/server/job"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

// TestTroubleOfOneRepositoryKeepsNoOthersLocksFromBeingLookedAfter has what is known of one
// damaged while a job waits there.
func TestTroubleOfOneRepositoryKeepsNoOthersLocksFromBeingLookedAfter(t *testing.T) {
	file := storetest.SQLite(t)
	w := newWorld(t, file)
	r, nas, hosts := w.maintained(1)
	web := hosts[0]
	broken := w.repository("broken", "ready")
	s := w.schedule(web, broken, "weekly")
	w.does(nas, r, "locks", nil, job.Outcome{Result: "succeeded", Locks: []job.Lock{
		{ID: snapshotID("a"), Hostname: "web-1", PID: 7, CreatedAt: w.clock.now().Add(-time.Hour)},
	}})
	web.sync()
	waiting := web.begins(w.run(s).ID)
	web.event(waiting, job.Event{Kind: job.EventWaiting, Code: "repo_locked", Message: "somebody else is at it"})
	web.report(waiting)
	w.must(w.store.FlushContacts(t.Context()))
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)")
	w.must(err)
	_, err = db.ExecContext(t.Context(), `UPDATE repositories SET health = '{' WHERE id = ?`, broken.ID)
	w.must(errors.Join(err, db.Close()))
	err = w.jobs.SweepLocks(t.Context())
	if err == nil || !strings.Contains(err.Error(), "repository "+string(broken.ID)) || strings.Contains(err.Error(), string(r.ID)) {
		t.Errorf("it tells %v", err)
	}
	unlocks, _, err := w.store.Jobs(t.Context(), store.JobFilter{Operation: "unlock"}, store.Page{})
	w.must(err)
	if len(unlocks) != 1 || unlocks[0].RepositoryID != r.ID || unlocks[0].HostID != web.id.Host {
		t.Errorf("unlocks that were ordered: %+v", unlocks)
	}
}
