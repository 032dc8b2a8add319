package job_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// credential gives a host a way of its own to a repository.
func (w *world) credential(r *fleet.Repository, a *agent, location string) fleet.CredentialID {
	w.Helper()
	c := &fleet.Credential{
		ID: fleet.NewID[fleet.CredentialID](), RepositoryID: r.ID, HostID: a.id.Host, Slot: fleet.AppendSlot, Username: "of " + string(a.id.Host), Location: location, Version: 1,
	}
	c.Sealed = fmt.Sprintf("credentials/%s/sealed/1:own append", c.ID)
	w.write(func(tx *store.Tx) error { return tx.PutCredential(w.Context(), c) })
	return c.ID
}

// withoutGeneral takes the credential of all hosts from a repository.
func (w *world) withoutGeneral(r *fleet.Repository) {
	w.Helper()
	w.write(func(tx *store.Tx) error {
		_, err := tx.DeleteCredential(w.Context(), r.ID, "", fleet.AppendSlot)
		return err
	})
}

// other is a host in a session that has a repository of its own, and nothing to do with
// any other one.
func (w *world) other(name string) *agent {
	w.Helper()
	a := w.host(name)
	w.schedule(a, w.repository("of "+name, fleet.RepositoryReady), "daily")
	a.open()
	a.sync()
	return a
}

// restore is a job at a host that need not be configured for the repository.
func (w *world) restore(a *agent, r fleet.RepositoryID, snapshot string) *fleet.Job {
	w.Helper()
	j, _, err := w.jobs.Enqueue(w.Context(), someone, job.Request{
		Host: a.id.Host, Operation: "restore", Repository: r, Params: []byte(`{"target":"staging","snapshot_id":"` + snapshot + `"}`),
	})
	w.must(err)
	return j
}

// start has an agent pick a job up.
func (a *agent) start(j *fleet.Job) *work {
	a.Helper()
	a.sync()
	if a.jobs[j.ID] == nil {
		a.Fatalf("the agent was not told of job %s", j.ID)
	}
	return a.jobs[j.ID]
}

// refs are what a command names.
func refs(r *job.ConfigRepository) []job.SecretRef {
	list := []job.SecretRef{r.Password}
	if r.Append != nil {
		list = append(list, *r.Append)
	}
	return list
}

// restored is what a new host is told for a restore of another's snapshot.
func (w *world) restored(a *agent, r fleet.RepositoryID, snapshot string) (*fleet.Job, *job.ConfigRepository) {
	w.Helper()
	j := w.restore(a, r, snapshot)
	answer, err := a.ask()
	w.must(err)
	if len(answer.Commands) != 1 || answer.Commands[0].Repository == nil {
		w.Fatalf("got commands %+v, want one that brings the repository along", answer.Commands)
	}
	a.take(answer)
	return j, answer.Commands[0].Repository
}

func TestAHostGetsAnothersSecretsForAJobAndNoLonger(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		snapshot := a.backup(a.start(w.run(s)))
		b := w.other("web-2")
		foreign := refs(&a.config.Repositories[0])
		fetch := func(what string, good bool) {
			w.Helper()
			for _, ref := range foreign {
				got, err := w.jobs.FetchSecrets(w.Context(), b.id, b.session, []job.SecretRef{ref})
				if good && (err != nil || got[0].Value.Reveal() == "") {
					w.Errorf("%s: %v", what, err)
				}
				if !good {
					if err == nil {
						w.Errorf("%s: another's secret was given out", what)
					}
					w.wantCode(err, fleet.SecretNotYours)
				}
			}
		}
		fetch("before there is a job", false)
		j := w.restore(b, s.RepositoryID, snapshot)
		fetch("before the job was sent", false)
		answer, err := b.ask()
		w.must(err)
		brought := answer.Commands[0].Repository
		if brought == nil || !slices.Equal(refs(brought), foreign) || brought.Location != a.config.Repositories[0].Location {
			w.Fatalf("the command brings %+v, want the repository as %+v", brought, a.config.Repositories[0])
		}
		fetch("sent and not acknowledged", true)
		b.take(answer)
		b.sync()
		fetch("acknowledged", true)
		wk := b.jobs[j.ID]
		b.event(wk, job.Event{Kind: job.EventRunning})
		b.report(wk)
		fetch("running", true)
		_, err = w.jobs.FetchSecrets(w.Context(), b.id, b.session, []job.SecretRef{{ID: foreign[0].ID, Version: 2}})
		w.wantCode(err, fleet.SecretNotYours)
		b.finish(wk, job.Outcome{Result: "succeeded"}, nil)
		fetch("when it has ended", false)
	})
}

func TestAHostThatIsConfiguredGetsNothingBrought(t *testing.T) {
	w := lite(t)
	a, s := w.ready()
	snapshot := a.backup(a.start(w.run(s)))
	w.restore(a, s.RepositoryID, snapshot)
	answer := a.sync()
	if len(answer.Commands) != 1 || answer.Commands[0].Repository != nil {
		t.Errorf("got commands %+v, want one without a repository", answer.Commands)
	}
}

func TestWhatIsNotForEveryHostIsRefusedAtOnesThatAreNotConfigured(t *testing.T) {
	w := lite(t)
	_, s := w.ready()
	b := w.other("web-2")
	for _, op := range restic.Operations() {
		if op.Anywhere || len(op.Fields) == 0 || op.Name == "backup" {
			continue
		}
		_, _, err := w.jobs.Enqueue(t.Context(), someone, job.Request{Host: b.id.Host, Operation: op.Name, Repository: s.RepositoryID})
		if err == nil {
			t.Errorf("%s was ordered at a host that has nothing to do with the repository", op.Name)
		}
	}
	_, _, err := w.jobs.Enqueue(t.Context(), someone, job.Request{Host: b.id.Host, Operation: "restore", Repository: "01234567-89ab-7cde-8f01-23456789abcd"})
	w.wantCode(err, fleet.InvalidField)
	fresh := w.repository("fresh", fleet.RepositoryNew)
	_, _, err = w.jobs.Enqueue(t.Context(), someone, job.Request{
		Host: b.id.Host, Operation: "restore", Repository: fresh.ID, Params: []byte(`{"target":"staging","snapshot_id":"` + snapshotID("a1") + `"}`),
	})
	w.wantCode(err, fleet.RepositoryNotReady)
}

func TestTheCredentialOfTheSnapshotsHostIsUsed(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		own := w.credential(&fleet.Repository{ID: s.RepositoryID}, a, "rest:https://nas.test/private/web-1/")
		a.sync()
		snapshot := a.backup(a.start(w.run(s)))
		b := w.other("web-2")
		j, brought := w.restored(b, s.RepositoryID, snapshot)
		if brought.Append == nil || brought.Append.ID != own || brought.Location != "rest:https://nas.test/private/web-1/" || w.job(j.ID).AccessHost != a.id.Host {
			w.Errorf("the command brings %+v at %s, want the credential of the snapshot's host", brought.Append, brought.Location)
		}
		// A snapshot that nobody knows is reached by the credential of all hosts, and where
		// there is none by any.
		if _, brought = w.restored(b, s.RepositoryID, snapshotID("a2")); brought.Append == nil || brought.Append.ID == own {
			w.Errorf("the command brings %+v, want the credential of all hosts", brought.Append)
		}
		w.withoutGeneral(&fleet.Repository{ID: s.RepositoryID})
		if _, brought = w.restored(b, s.RepositoryID, snapshotID("a3")); brought.Append == nil || brought.Append.ID != own {
			w.Errorf("the command brings %+v, want the only credential that there is", brought.Append)
		}
	})
}

func TestWhatADeletedHostBackedUpIsRestoredOntoAnother(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		w.withoutGeneral(&fleet.Repository{ID: s.RepositoryID})
		own := w.credential(&fleet.Repository{ID: s.RepositoryID}, a, "rest:https://nas.test/private/web-1/")
		a.sync()
		snapshot := a.backup(a.start(w.run(s)))
		w.write(func(tx *store.Tx) error { return tx.DeleteHost(w.Context(), a.id.Host) })
		kept, err := w.store.Snapshot(w.Context(), s.RepositoryID, snapshot)
		w.must(err)
		if kept.HostID != "" || kept.Hostname != "web-1" {
			w.Errorf("the snapshot is of host %q called %q", kept.HostID, kept.Hostname)
		}
		b := w.other("web-2")
		_, brought := w.restored(b, s.RepositoryID, snapshot)
		if brought.Append == nil || brought.Append.ID != own || brought.Location != "rest:https://nas.test/private/web-1/" {
			w.Fatalf("the command brings %+v at %s, want what the deleted host had", brought.Append, brought.Location)
		}
		got, err := w.jobs.FetchSecrets(w.Context(), b.id, b.session, refs(brought))
		w.must(err)
		if got[0].Value.Reveal() != "password of main" || got[1].Value.Reveal() != "own append" {
			w.Error("got other secrets")
		}
	})
}

func TestTheCredentialOfADeletedHostGoesWhereOthersBackUp(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		r := &fleet.Repository{ID: s.RepositoryID}
		own := w.credential(r, a, "")
		b := w.host("web-2")
		w.schedule(b, r, "daily")
		w.withoutGeneral(r)
		w.write(func(tx *store.Tx) error { return tx.DeleteHost(w.Context(), a.id.Host) })
		list, err := w.store.Credentials(w.Context(), r.ID)
		w.must(err)
		if slices.ContainsFunc(list, func(c fleet.Credential) bool { return c.ID == own }) {
			w.Error("the credential of a deleted host is left to the others")
		}
	})
}

// An agent that invents a job of another's repository gets nothing by it.
func TestAnAgentCannotBearAJobThatBringsItAnothersSecrets(t *testing.T) {
	each(t, func(w *world) {
		a, s := w.ready()
		b := w.other("web-2")
		wk := b.bear(fleet.NewID[fleet.JobID](), &job.Opened{Operation: "restore", Trigger: fleet.ByRunNow, At: w.clock.now(), Repository: s.RepositoryID})
		b.event(wk, job.Event{Kind: job.EventRunning})
		b.report(wk)
		for _, ref := range refs(&a.config.Repositories[0]) {
			_, err := w.jobs.FetchSecrets(w.Context(), b.id, b.session, []job.SecretRef{ref})
			w.wantCode(err, fleet.SecretNotYours)
		}
		w.clock.advance(time.Minute)
	})
}
