package job_test

import (
	"testing"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// identified is a host whose repository has told its id before.
func (w *world) identified(id string) (*agent, *fleet.Schedule) {
	w.Helper()
	a := w.host("web-1")
	r := w.repository("main", fleet.RepositoryNew)
	s := w.schedule(a, r, "daily")
	w.write(func(tx *store.Tx) error {
		if _, err := tx.ClaimInit(w.Context(), r.ID, "some job"); err != nil {
			return err
		}
		_, err := tx.FinishInit(w.Context(), r.ID, "some job", fleet.RepositoryReady, id, "")
		return err
	})
	a.open()
	a.sync()
	return a, s
}

// TestAFailureThatSawTheRepositoryDisprovesWhatItSaw has a backup fail on something of
// its own after the repository was opened. Each condition that this disproves is over;
// each that it says nothing about stays.
func TestAFailureThatSawTheRepositoryDisprovesWhatItSaw(t *testing.T) {
	ours, another := snapshotID("aa"), snapshotID("bb")
	after := func(seen string) job.Outcome {
		return job.Outcome{Result: "failed", Code: "source_missing", Message: "no such folder", RepositorySeen: seen}
	}
	for _, c := range []struct {
		name, trouble string
		next          job.Outcome
		want          string
	}{
		{"out of reach, then seen", "repo_unreachable", after(ours), ""},
		{"an untrusted certificate, then seen", "repo_tls", after(ours), ""},
		{"a rejected credential, then seen", "repo_credentials_rejected", after(ours), ""},
		{"a wrong password, then seen", "wrong_password", after(ours), ""},
		{"no repository, then seen", "repo_not_found", after(ours), ""},
		{"gone, then seen", "repo_missing", after(ours), ""},
		{"changed, then seen", "repository_changed", after(ours), ""},
		{"cancelled after it was seen", "repo_unreachable", job.Outcome{Result: "cancelled", RepositorySeen: ours}, ""},
		{"another failure of the repository after it was seen", "repo_unreachable",
			job.Outcome{Result: "failed", Code: "repository_full", RepositorySeen: ours}, "repository_full"},
		{"seen, and then out of reach again", "repo_unreachable",
			job.Outcome{Result: "failed", Code: "repo_unreachable", RepositorySeen: ours}, "repo_unreachable"},

		{"out of reach, and not told", "repo_unreachable", after(""), "repo_unreachable"},
		{"changed, and another one seen", "repository_changed", after(another), "repository_changed"},
		{"full, then seen", "repository_full", after(ours), "repository_full"},
		{"locked, then seen", "repo_locked", after(ours), "repo_locked"},
		{"damaged, then seen", "repo_damaged", after(ours), "repo_damaged"},
		{"forbidden to write, then seen", "repo_forbidden", after(ours), "repo_forbidden"},
		{"large uploads refused, then seen", "repo_upload_refused", after(ours), "repo_upload_refused"},
		{"a credential that deletes, then seen", "credential_can_delete", after(ours), "credential_can_delete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := lite(t)
			a, s := w.identified(ours)
			end := func(o job.Outcome) {
				t.Helper()
				j := w.run(s)
				a.sync()
				a.event(a.jobs[j.ID], job.Event{Kind: job.EventRunning})
				a.finish(a.jobs[j.ID], o, nil)
				w.clock.advance(time.Minute)
			}
			end(job.Outcome{Result: "failed", Code: c.trouble, Message: "no"})
			if got := w.codes(store.ObjectRepository, string(s.RepositoryID)); got != c.trouble {
				t.Fatalf("conditions before: %q, want %s", got, c.trouble)
			}
			end(c.next)
			if got := w.codes(store.ObjectRepository, string(s.RepositoryID)); got != c.want {
				t.Errorf("conditions %q, want %q", got, c.want)
			}
		})
	}
}

// TestARepositoryThatWasSeenIsNotOutOfReach looks at what is told of it.
func TestARepositoryThatWasSeenIsNotOutOfReach(t *testing.T) {
	w := lite(t).watch()
	a, s := w.identified(snapshotID("aa"))
	w.end(a, s, job.Outcome{Result: "failed", Code: "repo_unreachable", Message: "connection refused"})
	w.look(a)
	w.want("out of reach", "repository_unreachable(critical):1")
	w.clock.advance(time.Minute)
	w.end(a, s, job.Outcome{Result: "failed", Code: "hook_failed", Message: "the database did not stop", RepositorySeen: snapshotID("aa")})
	w.look(a)
	w.want("a failure of its own", "job_failed(warning):1")
}

// TestTroubleOfOneHostWithARepositoryIsNotAnothers has one host reach what another does not.
func TestTroubleOfOneHostWithARepositoryIsNotAnothers(t *testing.T) {
	w := lite(t).watch()
	a, s := w.identified(snapshotID("aa"))
	r, err := w.store.Repository(t.Context(), s.RepositoryID)
	w.must(err)
	b := w.host("web-2")
	other := w.schedule(b, r, "daily")
	b.open()
	b.sync()
	w.end(a, s, job.Outcome{Result: "failed", Code: "repo_unreachable", Message: "no route"})
	w.end(b, other, job.Outcome{Result: "failed", Code: "source_missing", RepositorySeen: snapshotID("aa")})
	if got := w.codes(store.ObjectRepository, string(r.ID)); got != "repo_unreachable" {
		t.Errorf("conditions %q after another host has seen it", got)
	}
}
