package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
)

func (c *client) readRepository(id string) api.Repository {
	c.w.t.Helper()
	return get[api.Repository](c, "/api/v1/repositories/"+id)
}

// TestARepositoryIsMaintainedByAHostInItsFolder goes from nobody to a host that is
// allowed to, with what its agent is told on the way.
func TestARepositoryIsMaintainedByAHostInItsFolder(t *testing.T) {
	w, admin, web, _ := newAttending(t)
	repository := get[api.RepositoryPage](admin, "/api/v1/repositories").Repositories[0]
	path := "/api/v1/repositories/" + repository.Id
	if repository.Maintenance.Mode != "none" || repository.Plan.Prune == "" || repository.Health.NextPruneAt.IsZero() {
		t.Errorf("a new repository is maintained %+v by the plan %+v", repository.Maintenance, repository.Plan)
	}
	other := admin.repository("other")
	nas := w.attends(admin.host("nas-1", other))
	nas.sync(0)
	before := nas.config

	admin.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "PUT", path+"/maintenance-host", obj{"host_id": nas.host, "location": "rest:https://nas.test/"})
	admin.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "PUT", path+"/maintenance-host", obj{"location": "/srv/nas"})
	admin.refused(http.StatusNotFound, fleet.NotFound, "PUT", path+"/maintenance-host", obj{"host_id": writer})
	got := into[api.Repository](admin.must(http.StatusOK, "PUT", path+"/maintenance-host", obj{"host_id": nas.host, "location": "/srv/nas/"}))
	if m := got.Maintenance; m.Mode != "folder" || m.HostName != "nas-1" || m.Location != "/srv/nas" || m.Allowed != "unknown" {
		t.Errorf("got %+v", m)
	}

	config := nas.sync(0).Config
	if config == nil || config.Revision <= before || len(config.Repositories) != 2 {
		t.Fatalf("the maintenance host is told %+v", config)
	}
	known := config.Repositories[0]
	if known.Id != repository.Id || known.Maintenance.Location != "/srv/nas" || known.Maintenance.Credential != nil || known.Credential != nil || known.Password.Id == "" {
		t.Errorf("the maintenance host knows it as %+v", known)
	}
	if s := known.Maintenance.Schedules; len(s) != 1 || s[0].HostName != "web-1" || s[0].SnapshotHost != "h" {
		t.Errorf("it keeps for %+v", s)
	}
	if config.Repositories[1].Maintenance.Location != "" {
		t.Error("it maintains a repository that it only backs up to")
	}
	web.config = 0
	if c := web.sync(0).Config; c.Repositories[0].Maintenance.Location != "" {
		t.Error("a host that does not maintain it is told how to")
	}

	// What is kept, and whose snapshots, is a part of it.
	schedule := get[api.SchedulePage](admin, "/api/v1/hosts/"+web.host+"/schedules").Schedules[0]
	admin.must(http.StatusOK, "PUT", "/api/v1/hosts/"+web.host+"/schedules/"+schedule.Id+"?if_version="+strconv.FormatInt(schedule.Version, 10), obj{
		"name": schedule.Name, "repository_id": repository.Id, "paths": []string{"/etc"}, "manual": true, "enabled": true,
		"retention": obj{"keep_daily": 7},
	})
	config = nas.sync(0).Config
	if config == nil || config.Repositories[0].Maintenance.Schedules[0].Retention.KeepDaily != 7 {
		t.Errorf("after another retention it is told %+v", config)
	}

	// Its own policy file has the last word.
	policy := func(rules ...obj) {
		body := nas.syncBody(0)
		body["policy"] = obj{"state": "ok", "maintenance": rules}
		nas.must(http.StatusOK, "POST", "/agent/v1/sync", body)
	}
	policy(obj{"location": "/srv/other"})
	got = admin.readRepository(repository.Id)
	if m := got.Maintenance; m.Allowed != "no" || !strings.Contains(m.NextStep, "policy allow maintenance --under /srv/nas") {
		t.Errorf("refused by its policy: %+v", m)
	}
	if len(got.Conditions) != 1 || got.Conditions[0].Code != "maintenance_not_allowed" {
		t.Errorf("conditions %+v", got.Conditions)
	}
	policy(obj{"location": "/srv", "keep_days": 14, "max_delete_fraction": 0.3}, obj{"location": "/srv/nas", "keep_days": 30, "keep_last": 3})
	got = admin.readRepository(repository.Id)
	if m := got.Maintenance; m.Allowed != "yes" || m.Floors.KeepDays != 30 || m.NextStep != "" || len(got.Conditions) != 0 {
		t.Errorf("allowed by its policy: %+v, conditions %+v", m, got.Conditions)
	}

	admin.must(http.StatusOK, "PUT", path+"/maintenance-host", obj{})
	if c := nas.sync(0).Config; c == nil || len(c.Repositories) != 1 {
		t.Errorf("after it was relieved it is told %+v", c)
	}
}

func TestAPlanIsReplacedWhole(t *testing.T) {
	_, admin := newAdmin(t)
	path := "/api/v1/repositories/" + admin.repository("nas")
	admin.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "PUT", path+"/maintenance-plan", obj{"prune": "every day"})
	got := into[api.Repository](admin.must(http.StatusOK, "PUT", path+"/maintenance-plan", obj{"zone": "Europe/Paris", "check": "0 6 * * *", "check_parts": 7}))
	if got.Plan.Check != "0 6 * * *" || got.Plan.Prune != "" || !got.Health.NextPruneAt.IsZero() || got.Health.NextCheckAt.IsZero() {
		t.Errorf("got %+v, next check %s", got.Plan, got.Health.NextCheckAt)
	}
	if got.Health.CheckParts != 7 || got.Health.NextCheckPart != 1 {
		t.Errorf("a check each day reads part %d of %d next", got.Health.NextCheckPart, got.Health.CheckParts)
	}
	if list := get[api.LockList](admin, path+"/locks"); len(list.Locks) != 0 || !list.SeenAt.IsZero() {
		t.Errorf("got %+v", list)
	}
	if days := get[api.RepositorySizes](admin, path+"/sizes"); len(days.Days) != 0 {
		t.Errorf("got %+v", days)
	}
}

// settle has the store write who was in touch.
func (w *world) settle() {
	w.t.Helper()
	if err := w.store.FlushContacts(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}
