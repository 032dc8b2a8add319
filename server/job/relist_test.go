package job_test

import (
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

func TestWhatDeletesIsFollowedByAListing(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		w.write(func(tx *store.Tx) error {
			return tx.SetMaintenance(w.Context(), s.RepositoryID, a.id.Host, "/srv/restic")
		})
		id := w.snapshotOf(a, s)
		w.must(w.store.FlushContacts(w.Context()))
		listings := func() int {
			list, _, err := w.store.Jobs(w.Context(), store.JobFilter{Operation: "snapshots"}, store.Page{})
			w.must(err)
			return len(list)
		}
		order := func(operation, params, result string) {
			w.Helper()
			j, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{
				Host: a.id.Host, Operation: operation, Repository: s.RepositoryID, Confirm: "main", Params: []byte(params),
			})
			w.must(err)
			wk := a.start(j)
			if result != "rejected" {
				a.event(wk, job.Event{Kind: job.EventRunning})
			}
			a.finish(wk, job.Outcome{Result: result}, nil)
		}
		order("retention", `{"dry_run":true}`, "succeeded")
		order("forget", `{"snapshot_ids":["`+id+`"]}`, "rejected")
		if n := listings(); n != 0 {
			w.Errorf("what changed nothing was followed by %d listings", n)
		}
		order("forget", `{"snapshot_ids":["`+id+`"]}`, "failed")
		order("forget", `{"snapshot_ids":["`+id+`"]}`, "succeeded")
		list, _, err := w.store.Jobs(w.Context(), store.JobFilter{Operation: "snapshots"}, store.Page{})
		w.must(err)
		if len(list) == 0 || list[0].HostID != a.id.Host || list[0].RepositoryID != s.RepositoryID || list[0].Trigger != fleet.ByMaintenance {
			w.Fatalf("what deletes was followed by %+v", list)
		}
	})
}

func TestWhatWasCopiedIsListed(t *testing.T) {
	w := lite(t)
	r, nas, _ := w.maintained(1)
	from := w.repository("other", fleet.RepositoryReady)
	listings := func() int {
		list, _, err := w.store.Jobs(t.Context(), store.JobFilter{Operation: "snapshots", Repository: r.ID}, store.Page{})
		w.must(err)
		return len(list)
	}
	before := listings()
	w.does(nas, r, "copy", map[string]any{"from_repository_id": from.ID, "snapshot_ids": []string{snapshotID("0a")}}, job.Outcome{Result: "succeeded"})
	if n := listings() - before; n != 1 {
		t.Errorf("it was followed by %d listings", n)
	}
}

// TestASnapshotThatIsNotThereAnyMoreIsFollowedByAListing: somebody removed it with restic
// alone, and it is offered until the snapshots are listed.
func TestASnapshotThatIsNotThereAnyMoreIsFollowedByAListing(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		w.snapshotOf(a, s)
		gone := w.snapshotOf(a, s)
		b := w.host("web-2")
		b.open()
		b.sync()
		w.must(w.store.FlushContacts(w.Context()))
		r, err := w.store.Repository(w.Context(), s.RepositoryID)
		w.must(err)
		ordered := func(at *agent) (n int) {
			list, _, err := w.store.Jobs(w.Context(), store.JobFilter{Operation: "snapshots"}, store.Page{})
			w.must(err)
			for i := range list {
				if list[i].HostID == at.id.Host && list[i].RepositoryID == r.ID {
					n++
				}
			}
			return n
		}
		missing := job.Outcome{Result: "failed", Code: "snapshot_not_found"}
		whole := map[string]any{"snapshot_id": gone}
		w.does(a, r, "stats", map[string]any{"mode": "restore-size"}, missing)
		w.does(a, r, "ls", whole, job.Outcome{Result: "failed", Code: "path_not_found"})
		w.does(a, r, "ls", map[string]any{"snapshot_id": snapshotID("0c")}, missing)
		if n := ordered(a) + ordered(b); n != 0 {
			w.Errorf("what shows no list to be old was followed by %d listings", n)
		}
		w.does(b, r, "restore", map[string]any{"snapshot_id": gone, "target": "staging"}, missing)
		if ordered(a) != 1 || ordered(b) != 0 {
			w.Errorf("after a restore elsewhere the host was to list it %d times, the other %d times", ordered(a), ordered(b))
		}
		w.lists(a, r.ID)
		before := ordered(a)
		w.does(a, r, "ls", whole, missing)
		if n := ordered(a) - before; n != 0 {
			w.Errorf("what is not listed any more was followed by %d listings", n)
		}
		w.write(func(tx *store.Tx) error { return tx.SetMaintenance(w.Context(), r.ID, b.id.Host, "/srv/restic") })
		later := w.snapshotOf(a, s)
		w.does(a, r, "ls", map[string]any{"snapshot_id": later}, missing)
		w.does(a, r, "ls", map[string]any{"snapshot_id": later}, missing)
		if ordered(a) != before || ordered(b) != 1 {
			w.Errorf("where another host maintains it that one listed it %d times", ordered(b))
		}
	})
}
