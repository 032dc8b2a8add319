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
