package job_test

import (
	"strings"
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// TestAFolderThatIsNotTheRepositorysIsCalledThat has a maintenance host find nothing in the
// folder that was named to it. What reaches the repository another way proves nothing.
func TestAFolderThatIsNotTheRepositorysIsCalledThat(t *testing.T) {
	each(t, func(plain *world) {
		w := plain.watch()
		r, nas, hosts := w.maintained(1)
		codes := func() string { return w.codes(store.ObjectRepository, string(r.ID)) }
		w.does(nas, r, "prune", nil, job.Outcome{
			Result: "failed", Code: "maintenance_folder", Message: "there is no repository in /srv/wrong, where this host is to maintain it (restic: no config file)",
			NextStep: "correct the folder",
		})
		w.look(nas, hosts[0])
		w.want("a wrong folder", "maintenance_folder(warning):1")
		list, _, err := w.store.Alerts(w.Context(), store.AlertFilter{Open: true}, store.Page{Size: 10})
		w.must(err)
		if a := list[0]; a.Title != "Repository "+r.Name+" cannot be maintained in its folder" || a.NextStep != "correct the folder" || strings.Contains(a.Message, "gone") {
			w.Errorf("the alert says %q: %s; %s", a.Title, a.Message, a.NextStep)
		}
		w.does(nas, r, "stats", map[string]any{"mode": "raw-data"}, job.Outcome{Result: "succeeded"})
		hosts[0].backup(hosts[0].begins(w.runOf(hosts[0]).ID))
		if got := codes(); got != "maintenance_folder" {
			w.Errorf("after what goes the way of all hosts: %q", got)
		}
		w.does(nas, r, "inspect", nil, job.Outcome{Result: "succeeded"})
		if got := codes(); got != "" {
			w.Errorf("after what works in the folder: %q", got)
		}
	})
}

// TestRefusedUploadsAreOverWhenTheSameIsStored by the same host.
func TestRefusedUploadsAreOverWhenTheSameIsStored(t *testing.T) {
	each(t, func(w *world) {
		r, nas, hosts := w.maintained(1)
		w.does(nas, r, "prune", nil, job.Outcome{Result: "failed", Code: "repo_upload_refused"})
		w.does(nas, r, "stats", map[string]any{"mode": "raw-data"}, job.Outcome{Result: "succeeded"})
		hosts[0].backup(hosts[0].begins(w.runOf(hosts[0]).ID))
		if got := w.codes(store.ObjectRepository, string(r.ID)); got != "repo_upload_refused" {
			w.Errorf("after reading, and a backup of another host: %q", got)
		}
		w.does(nas, r, "prune", nil, job.Outcome{Result: "succeeded"})
		if got := w.codes(store.ObjectRepository, string(r.ID)); got != "" {
			w.Errorf("after a prune: %q", got)
		}
	})
}

// TestARepositoryThatIsGoneFromItsFolderStaysSoWhileBackupsGoOn: that hosts still reach it
// another way brings it not back to where it is maintained.
func TestARepositoryThatIsGoneFromItsFolderStaysSoWhileBackupsGoOn(t *testing.T) {
	each(t, func(plain *world) {
		w := plain.watch()
		a, s := w.identified(snapshotID("aa"))
		nas := w.host("nas")
		w.write(func(tx *store.Tx) error {
			return tx.SetMaintenance(w.Context(), s.RepositoryID, nas.id.Host, "/srv/web")
		})
		nas.open()
		nas.sync()
		w.must(w.store.FlushContacts(w.Context()))
		r, err := w.store.Repository(w.Context(), s.RepositoryID)
		w.must(err)
		codes := func() string { return w.codes(store.ObjectRepository, string(r.ID)) }
		gone := job.Outcome{
			Result: "failed", Code: "maintenance_folder_gone", Message: "the repository is gone from /srv/web, where this host maintains it (restic: no config file)",
			NextStep: "mount the disk",
		}
		w.does(nas, r, "prune", nil, gone)
		w.look(nas, a)
		w.want("an unmounted disk", "maintenance_folder_gone(critical):1")
		list, _, err := w.store.Alerts(w.Context(), store.AlertFilter{Open: true}, store.Page{Size: 10})
		w.must(err)
		if told := list[0]; told.Title != "Repository "+r.Name+" is gone from the folder where it is maintained" || told.NextStep != "mount the disk" || !strings.Contains(told.Message, "not mounted") {
			w.Errorf("the alert says %q: %s; %s", told.Title, told.Message, told.NextStep)
		}
		seen := job.Outcome{Result: "failed", Code: "hook_failed", RepositorySeen: r.ResticID}
		a.backup(a.begins(w.run(s).ID))
		w.does(nas, r, "stats", map[string]any{"mode": "raw-data"}, job.Outcome{Result: "succeeded"})
		w.does(nas, r, "stats", map[string]any{"mode": "raw-data"}, seen)
		if got := codes(); got != "maintenance_folder_gone" {
			w.Errorf("after what goes the way of all hosts: %q", got)
		}
		w.does(nas, r, "prune", nil, job.Outcome{Result: "failed", Code: "prune_blocked_unverified", RepositorySeen: r.ResticID})
		if got := codes(); strings.Contains(got, "gone") {
			w.Errorf("after what saw it in the folder: %q", got)
		}
		w.does(nas, r, "prune", nil, gone)
		w.does(nas, r, "inspect", nil, job.Outcome{Result: "succeeded"})
		if got := codes(); strings.Contains(got, "gone") {
			w.Errorf("after what works in the folder: %q", got)
		}
	})
}

// TestWhatToDoAboutAFailedBackupIsWhatItsJobSays unless there are several.
func TestWhatToDoAboutAFailedBackupIsWhatItsJobSays(t *testing.T) {
	each(t, func(plain *world) {
		w := plain.watch()
		a, s := w.ready()
		other := w.schedule(a, &fleet.Repository{ID: s.RepositoryID}, "weekly")
		for _, step := range []struct {
			of         *fleet.Schedule
			next, want string
		}{
			{s, "mount /srv", "mount /srv"},
			{s, "", "Look at the job, correct what it names, and run it again."},
			{other, "start the database", "Look at the jobs: each says what to do about it."},
			{s, "start the database", "start the database"},
		} {
			w.clock.advance(time.Minute)
			w.end(a, step.of, job.Outcome{Result: "failed", Code: "hook_failed", Message: "it failed", NextStep: step.next})
			w.look(a)
			list, _, err := w.store.Alerts(w.Context(), store.AlertFilter{Open: true, Code: "job_failed"}, store.Page{Size: 10})
			w.must(err)
			held, err := w.store.Conditions(w.Context(), store.ObjectHost, string(a.id.Host))
			w.must(err)
			if len(list) != 1 || len(held) != 1 || list[0].NextStep != step.want || held[0].NextStep != step.want {
				w.Errorf("a job that says %q: alerts %+v, conditions %+v", step.next, list, held)
			}
		}
	})
}
