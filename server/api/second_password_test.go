package api_test

import (
	"net/http"
	"strings"
	"testing"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// TestTheSecondPasswordIsGivenForItsJobAlone tries to fetch it before, by the wrong host,
// for the wrong operation, in a later version, and after.
func TestTheSecondPasswordIsGivenForItsJobAlone(t *testing.T) {
	w, admin, web, _ := newAttending(t)
	repository := get[api.RepositoryPage](admin, "/api/v1/repositories").Repositories[0]
	path := "/api/v1/repositories/" + repository.Id
	nas := w.attends(admin.host("nas-1", admin.repository("other")))
	admin.must(http.StatusOK, "PUT", path+"/maintenance-host", obj{"host_id": nas.host, "location": "/srv/nas"})
	order := obj{"operation": "key-add", "confirm": repository.Name}
	if problem := admin.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "POST", path+"/jobs", order); !strings.Contains(problem.Detail, "second password") {
		t.Errorf("without a second password: %s", problem.Detail)
	}
	set := func(password string) fleet.Credential {
		t.Helper()
		admin.must(http.StatusNoContent, "PUT", path+"/credentials/second-password", obj{"password": password})
		c, err := w.store.Credential(t.Context(), fleet.RepositoryID(repository.Id), "", fleet.SecondPasswordSlot)
		if err != nil || strings.Contains(c.Sealed, password) {
			t.Fatalf("it is kept as %+v, %v", c, err)
		}
		return *c
	}
	fetch := func(a *attending, c fleet.Credential) *answer {
		return a.do("POST", "/agent/v1/secrets", obj{"session_id": a.session, "refs": []obj{{"id": c.ID, "version": c.Version}}})
	}
	refuse := func(when string, a *attending, c fleet.Credential) {
		t.Helper()
		if answer := fetch(a, c); answer.code() != string(fleet.SecretNotYours) {
			t.Errorf("%s: %d %s", when, answer.status, answer.code())
		}
	}
	second := set("the second password")
	nas.sync(0)
	web.sync(0)
	w.settle()
	refuse("without a job", nas, second)
	refuse("another host", web, second)
	admin.refused(http.StatusUnprocessableEntity, fleet.ConfirmationNeeded, "POST", path+"/jobs", obj{"operation": "key-add"})
	admin.refused(http.StatusConflict, fleet.OperationElsewhere, "POST", "/api/v1/hosts/"+web.host+"/jobs",
		obj{"operation": "key-add", "repository_id": repository.Id, "confirm": repository.Name})
	look := into[api.Job](admin.must(http.StatusAccepted, "POST", path+"/jobs", obj{"operation": "inspect"}))
	nas.sync(0)
	nas.sync(0)
	refuse("for a job that adds no key", nas, second)
	end := func(id string) {
		t.Helper()
		nas.report(id, obj{"seq": 1, "at": w.now(), "kind": "finished", "attempt": 1, "outcome": obj{"result": "succeeded"}})
	}
	end(look.Id)

	for _, wrong := range []obj{{"secret_id": repository.Id}, {"secret_version": 2}} {
		admin.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "POST", path+"/jobs",
			obj{"operation": "key-add", "confirm": repository.Name, "params": wrong})
	}
	add := into[api.Job](admin.must(http.StatusAccepted, "POST", path+"/jobs", order))
	if add.HostId != nas.host || strings.Contains(string(add.Params), "password") {
		t.Errorf("it was started at %s with %s", add.HostName, add.Params)
	}
	refuse("before its agent has the job", nas, second)
	nas.sync(0)
	refuse("another host, during the job", web, second)
	given := fetch(nas, second)
	if given.status != http.StatusOK || into[api.SecretsAnswer](given).Secrets[0].Value != "the second password" {
		t.Errorf("for its job it is not given: %d %s", given.status, given.code())
	}
	later := set("the third password")
	refuse("the one before, once it is replaced", nas, second)
	refuse("one that was set after the order", nas, later)
	nas.sync(0)
	end(add.Id)

	add = into[api.Job](admin.must(http.StatusAccepted, "POST", path+"/jobs", order))
	nas.sync(0)
	if a := fetch(nas, later); a.status != http.StatusOK {
		t.Errorf("for its own job: %d", a.status)
	}
	nas.sync(0)
	end(add.Id)
	refuse("after the job", nas, later)
	add = into[api.Job](admin.must(http.StatusAccepted, "POST", path+"/jobs", order))
	nas.sync(0)
	admin.must(http.StatusOK, "PUT", path+"/maintenance-host", obj{"host_id": web.host})
	refuse("when another host maintains it", nas, later)
}

func TestTheSecondPasswordIsWriteOnlyAndOneThatResticReadsAsItIs(t *testing.T) {
	w, admin, _, _ := newAttending(t)
	repository := get[api.RepositoryPage](admin, "/api/v1/repositories").Repositories[0]
	path := "/api/v1/repositories/" + repository.Id + "/credentials/second-password"
	own := into[api.RecoverySheet](admin.must(http.StatusOK, "POST", "/api/v1/repositories/"+repository.Id+"/recovery-sheet", nil)).Password
	for _, wrong := range []string{" blank before it", "blank behind it\n", "two\nlines of it", "\ufeffmarked as bytes", own} {
		problem := admin.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "PUT", path, obj{"password": wrong})
		if problem.Field != "/password" || strings.Contains(problem.Detail, strings.TrimSpace(wrong)) {
			t.Errorf("%q: %+v", wrong, problem)
		}
	}
	admin.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "PUT", path, obj{"password": "short"})
	admin.must(http.StatusNoContent, "PUT", path, obj{"password": "canary of a password"})
	view := admin.must(http.StatusOK, "GET", "/api/v1/repositories/"+repository.Id, nil)
	if slots := into[api.Repository](view).Credentials; len(slots) != 2 || slots[1].Slot != "second_password" || strings.Contains(string(view.text), "canary") {
		t.Errorf("the repository shows %s", view.text)
	}
	entries, _, err := w.store.AuditEntries(t.Context(), store.AuditFilter{Action: "repository.second-password"}, store.Page{})
	if err != nil || len(entries) != 1 || strings.Contains(entries[0].Detail, "canary") || entries[0].ObjectName != repository.Name {
		t.Errorf("the audit log has %+v, %v", entries, err)
	}
	admin.must(http.StatusNoContent, "DELETE", path, nil)
	admin.must(http.StatusNoContent, "DELETE", path, nil)
	if slots := admin.readRepository(repository.Id).Credentials; len(slots) != 1 {
		t.Errorf("after it was forgotten: %+v", slots)
	}
}
