package api_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// TestTheCredentialThatCanDeleteIsGivenForAJobAlone tries to fetch it before, by the
// wrong host, for the wrong operation, and after.
func TestTheCredentialThatCanDeleteIsGivenForAJobAlone(t *testing.T) {
	w, admin, web, _ := newAttending(t)
	repository := get[api.RepositoryPage](admin, "/api/v1/repositories").Repositories[0]
	path := "/api/v1/repositories/" + repository.Id
	nas := w.attends(admin.host("nas-1", admin.repository("other")))
	admin.must(http.StatusOK, "PUT", path+"/maintenance-host", obj{"host_id": nas.host})
	admin.must(http.StatusNoContent, "PUT", path+"/credentials/maintenance", obj{
		"username": "keeper", "secret": "deleting-secret", "location": "rest:https://nas.test:8001/nas/",
	})
	got := admin.readRepository(repository.Id)
	if got.Maintenance.Mode != "credential" || len(got.Credentials) != 2 {
		t.Errorf("got %+v with %+v", got.Maintenance, got.Credentials)
	}
	var ref *api.SecretRef
	for ref == nil {
		config := nas.sync(0).Config
		if config == nil {
			t.Fatal("the maintenance host is told of no credential")
		}
		ref = config.Repositories[0].Maintenance.Credential
		if at := config.Repositories[0].Maintenance.Location; at != "rest:https://nas.test:8001/nas/" {
			t.Errorf("it holds at %s", at)
		}
	}
	fetch := func(a *attending) obj {
		return obj{"session_id": a.session, "refs": []obj{{"id": ref.Id, "version": ref.Version}}}
	}
	refuse := func(when string, a *attending) {
		t.Helper()
		if answer := a.do("POST", "/agent/v1/secrets", fetch(a)); answer.code() != string(fleet.SecretNotYours) {
			t.Errorf("%s: %d %s", when, answer.status, answer.code())
		}
	}
	refuse("without a job", nas)
	refuse("another host", web)

	start := func(operation string) api.Job {
		w.settle()
		return into[api.Job](admin.must(http.StatusAccepted, "POST", path+"/jobs", obj{"operation": operation, "confirm": repository.Name}))
	}
	start("check")
	nas.sync(0)
	nas.sync(0)
	refuse("for a job that deletes nothing", nas)
	running := get[api.JobPage](admin, "/api/v1/jobs?operation=check").Jobs[0]
	nas.report(running.Id, obj{"seq": 1, "at": w.now(), "kind": "finished", "attempt": 1, "outcome": obj{"result": "succeeded"}})

	inspect := start("inspect") // only what maintains it may look at its keys
	nas.sync(0)
	nas.must(http.StatusOK, "POST", "/agent/v1/secrets", fetch(nas))
	nas.report(inspect.Id, obj{"seq": 1, "at": w.now(), "kind": "finished", "attempt": 1, "outcome": obj{"result": "succeeded"}})

	prune := start("prune")
	if prune.HostId != nas.host {
		t.Errorf("it was started at %s", prune.HostName)
	}
	refuse("before its agent has the job", nas)
	nas.sync(0)
	answer := into[api.SecretsAnswer](nas.must(http.StatusOK, "POST", "/agent/v1/secrets", fetch(nas)))
	if s := answer.Secrets[0]; s.Value != "deleting-secret" || s.Username != "keeper" {
		t.Error("got another secret")
	}
	refuse("another host, during the job", web)
	nas.sync(0)
	nas.report(prune.Id, obj{"seq": 1, "at": w.now(), "kind": "finished", "attempt": 1, "outcome": obj{"result": "succeeded"}})
	refuse("after the job", nas)

	again := start("prune")
	nas.sync(0)
	admin.must(http.StatusOK, "PUT", path+"/maintenance-host", obj{"host_id": web.host})
	refuse("when another host maintains it", nas)
	admin.must(http.StatusAccepted, "POST", "/api/v1/jobs/"+again.Id+"/cancel", nil)
	admin.must(http.StatusNoContent, "DELETE", path+"/credentials/maintenance", nil)
	admin.must(http.StatusNoContent, "DELETE", path+"/credentials/maintenance", nil)
	admin.must(http.StatusOK, "PUT", path+"/maintenance-host", obj{"host_id": nas.host, "location": "/srv/nas"})
	admin.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "PUT", path+"/credentials/maintenance", obj{"username": "keeper", "secret": "x"})
}

// TestAFolderMakesTheCredentialThatCanDeleteGo: with a folder, the contract says, there is none.
func TestAFolderMakesTheCredentialThatCanDeleteGo(t *testing.T) {
	w, admin, _, h := newAttending(t)
	repository := get[api.RepositoryPage](admin, "/api/v1/repositories").Repositories[0]
	path := "/api/v1/repositories/" + repository.Id
	admin.must(http.StatusNoContent, "PUT", path+"/credentials/maintenance", obj{"username": "keeper", "secret": "deleting-secret"})
	slots := func() (list []string) {
		for _, c := range admin.readRepository(repository.Id).Credentials {
			list = append(list, string(c.Slot))
		}
		return list
	}
	for _, maintainer := range []obj{{"host_id": h.Host.Id}, {}} {
		if admin.must(http.StatusOK, "PUT", path+"/maintenance-host", maintainer); len(slots()) != 2 {
			t.Errorf("without a folder: %v", slots())
		}
	}
	admin.must(http.StatusOK, "PUT", path+"/maintenance-host", obj{"host_id": h.Host.Id, "location": "/srv/nas"})
	if got := slots(); len(got) != 1 || got[0] != "append" {
		t.Errorf("in its folder: %v", got)
	}
	entries, _, err := w.store.AuditEntries(t.Context(), store.AuditFilter{}, store.Page{Size: 1})
	if err != nil || len(entries) != 1 || !strings.Contains(entries[0].Detail, "in the folder /srv/nas; the credential that can delete was removed") {
		t.Errorf("the audit log has %+v, %v", entries, err)
	}
	admin.must(http.StatusOK, "PUT", path+"/maintenance-host", obj{"host_id": h.Host.Id})
	if m := admin.readRepository(repository.Id).Maintenance; m.Mode != "credential" || m.NextStep == "" {
		t.Errorf("without the folder again: %+v", m)
	}
}

func TestAJobOnARepositoryFindsItsHost(t *testing.T) {
	w, admin, web, h := newAttending(t)
	repository := get[api.RepositoryPage](admin, "/api/v1/repositories").Repositories[0]
	path := "/api/v1/repositories/" + repository.Id
	w.settle()
	admin.refused(http.StatusConflict, fleet.NoMaintenanceHost, "POST", path+"/jobs", obj{"operation": "prune", "confirm": "nas"})
	if j := into[api.Job](admin.must(http.StatusAccepted, "POST", path+"/jobs", obj{"operation": "snapshots"})); j.HostId != h.Host.Id {
		t.Errorf("started at %s", j.HostName)
	}
	admin.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "POST", path+"/jobs", obj{"operation": "backup"})
	nas := w.attends(admin.host("nas-1", admin.repository("other")))
	nas.sync(0)
	w.settle()
	admin.must(http.StatusOK, "PUT", path+"/maintenance-host", obj{"host_id": nas.host, "location": "/srv/nas"})
	admin.refused(http.StatusUnprocessableEntity, fleet.ConfirmationNeeded, "POST", path+"/jobs", obj{"operation": "prune"})
	problem := admin.refused(http.StatusConflict, fleet.OperationElsewhere, "POST", "/api/v1/hosts/"+web.host+"/jobs",
		obj{"operation": "prune", "repository_id": repository.Id, "confirm": "nas"})
	if !strings.Contains(problem.Detail, "nas-1") {
		t.Errorf("it does not say where: %s", problem.Detail)
	}
	prune := into[api.Job](admin.must(http.StatusAccepted, "POST", path+"/jobs", obj{"operation": "prune", "confirm": "nas"}))
	if prune.HostId != nas.host {
		t.Errorf("prune was started at %s", prune.HostName)
	}
	second := into[api.Job](admin.must(http.StatusAccepted, "POST", path+"/jobs", obj{"operation": "prune", "confirm": "nas"}))
	if second.State != "waiting" || !strings.HasPrefix(second.WaitingOn, "Reclaim space at nas-1") {
		t.Errorf("the second is %s on %q", second.State, second.WaitingOn)
	}
	hold := admin.readRepository(repository.Id).Hold
	if hold.JobId != prune.Id || !hold.Running || hold.HostName != "nas-1" || hold.Next != 1 {
		t.Errorf("the repository is held: %+v", hold)
	}
	if answer := web.sync(0); len(answer.Holds) != 1 || answer.Holds[0].JobId != prune.Id || answer.Holds[0].ForS < 1 || answer.Holds[0].ForS > 300 {
		t.Errorf("a host is told of holds %+v", answer.Holds)
	}
	w.pass(5 * 60 * 1e9)
	w.settle()
	admin.refused(http.StatusConflict, fleet.NoHostOnline, "POST", path+"/jobs", obj{"operation": "snapshots"})
}

// TestAForcedUnlockRunsAsWhatDeletes since the process that has the lock may live.
func TestAForcedUnlockRunsAsWhatDeletes(t *testing.T) {
	w, admin, web, _ := newAttending(t)
	repository := get[api.RepositoryPage](admin, "/api/v1/repositories").Repositories[0]
	path := "/api/v1/repositories/" + repository.Id
	id := "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	forced := obj{"operation": "unlock", "confirm": repository.Name, "params": obj{"force": true, "lock_ids": []string{id}}}
	admin.refused(http.StatusConflict, fleet.NoMaintenanceHost, "POST", path+"/jobs", forced)
	nas := w.attends(admin.host("nas-1", admin.repository("other")))
	admin.must(http.StatusOK, "PUT", path+"/maintenance-host", obj{"host_id": nas.host})
	admin.must(http.StatusNoContent, "PUT", path+"/credentials/maintenance", obj{"username": "keeper", "secret": "deleting-secret"})
	var ref *api.SecretRef
	for ref == nil {
		ref = nas.sync(0).Config.Repositories[0].Maintenance.Credential
	}
	w.settle()
	there := obj{"repository_id": repository.Id}
	maps.Copy(there, forced)
	admin.refused(http.StatusConflict, fleet.OperationElsewhere, "POST", "/api/v1/hosts/"+web.host+"/jobs", there)
	j := into[api.Job](admin.must(http.StatusAccepted, "POST", path+"/jobs", forced))
	if j.HostId != nas.host {
		t.Errorf("it was started at %s", j.HostName)
	}
	nas.sync(0)
	nas.sync(0)
	answer := nas.do("POST", "/agent/v1/secrets", obj{"session_id": nas.session, "refs": []obj{{"id": ref.Id, "version": ref.Version}}})
	if answer.status != http.StatusOK {
		t.Errorf("it is refused what can delete: %d %s", answer.status, answer.code())
	}
}
