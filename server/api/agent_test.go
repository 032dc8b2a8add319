package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"restic-manager/server/api"
	"restic-manager/server/auth"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// attending is an agent in a session.
type attending struct {
	*client
	host    string
	journal string
	session string
	install string
	acked   int64
	config  int64
}

// attends enrols a host that was just added and opens a session.
func (w *world) attends(h api.HostCreated) *attending {
	w.t.Helper()
	a := &attending{client: w.enrolled(h), host: h.Host.Id, journal: fleet.NewID[string]()}
	list, err := w.store.Installations(w.t.Context(), fleet.HostID(a.host))
	if err != nil {
		w.t.Fatal(err)
	}
	a.install = list[0].ID
	a.open()
	return a
}

func (a *attending) sessionBody() obj {
	return obj{
		"install_id": a.install, "journal_id": a.journal, "acked_seq": a.acked, "agent_version": "1", "os": "linux", "arch": "amd64",
		"hostname": "h", "protocol": obj{"min": 1, "max": 1}, "boot_id": "b", "config_revision": a.config, "jobs": []obj{},
	}
}

func (a *attending) open() api.SessionAnswer {
	a.w.t.Helper()
	answer := into[api.SessionAnswer](a.must(http.StatusOK, "POST", "/agent/v1/sessions", a.sessionBody()))
	a.session = answer.SessionId
	return answer
}

func (a *attending) syncBody(wait int) obj {
	return obj{"session_id": a.session, "journal_id": a.journal, "acked_seq": a.acked, "config_revision": a.config, "wait_s": wait}
}

func (a *attending) sync(wait int) api.SyncAnswer {
	a.w.t.Helper()
	answer := into[api.SyncAnswer](a.must(http.StatusOK, "POST", "/agent/v1/sync", a.syncBody(wait)))
	if answer.Config != nil {
		a.config = answer.Config.Revision
	}
	for _, c := range answer.Commands {
		a.acked = c.Seq
	}
	return answer
}

// park sends a sync that waits and gives a channel for its answer, once the request
// is parked.
func (a *attending) park(wait int) <-chan *answer {
	a.w.t.Helper()
	before := a.w.waker.Parked()
	answers := make(chan *answer, 1)
	body := a.syncBody(wait)
	go func() {
		got, err := a.try(a.w.t.Context(), "POST", "/agent/v1/sync", body)
		if err != nil {
			got = &answer{t: a.w.t}
		}
		answers <- got
	}()
	eventually(a.w.t, "the request is not parked", func() bool { return a.w.waker.Parked() > before })
	return answers
}

// newAttending starts a server with a host whose repository is ready and whose agent
// has its configuration.
func newAttending(t testing.TB) (*world, *client, *attending, api.HostCreated) {
	t.Helper()
	w, admin := newAdmin(t)
	a, h := w.attended(admin)
	return w, admin, a, h
}

// attended adds a host whose repository is ready and whose agent has its configuration.
func (w *world) attended(admin *client) (*attending, api.HostCreated) {
	w.t.Helper()
	repository := admin.repository("nas")
	h := admin.host("web-1", repository)
	a := w.attends(h)
	for range 2 { // the configuration, the init; its acknowledgement
		a.sync(0)
	}
	a.finishInit()
	a.sync(0)
	return a, h
}

// finishInit reports the only job as an init that went well.
func (a *attending) finishInit() {
	a.w.t.Helper()
	jobs, _, err := a.w.store.Jobs(a.w.t.Context(), store.JobFilter{Operation: "init"}, store.Page{})
	if err != nil || len(jobs) != 1 {
		a.w.t.Fatalf("got %d inits, %v", len(jobs), err)
	}
	v := a.report(string(jobs[0].ID), obj{"seq": 1, "at": time.Now(), "kind": "finished", "attempt": 1, "outcome": obj{
		"result": "succeeded", "repository": obj{"restic_id": strings.Repeat("a", 64), "key_id": strings.Repeat("b", 64)},
	}})
	if v.Outcome != "ok" {
		a.w.t.Fatalf("got %+v", v)
	}
}

const writer = "01936f0e-5c1a-7c3e-9a54-0d7d3b8f1c22"

func (a *attending) report(id string, events ...obj) api.ReportVerdict {
	a.w.t.Helper()
	body := obj{"session_id": a.session, "items": []obj{{"job_id": id, "epoch": 1, "writer_id": writer, "phase": "running", "events": events}}}
	return into[api.ReportAnswer](a.must(http.StatusOK, "POST", "/agent/v1/reports", body)).Items[0]
}

func TestAParkedRequestIsAnsweredAtOnceByAJob(t *testing.T) {
	_, admin, a, h := newAttending(t)
	parked := a.park(25)
	started := time.Now()
	j := into[api.Job](admin.must(http.StatusAccepted, "POST", "/api/v1/hosts/"+h.Host.Id+"/jobs", obj{"operation": "backup"}))
	answer := into[api.SyncAnswer](<-parked)
	if len(answer.Commands) != 1 || answer.Commands[0].JobId != j.Id || answer.Commands[0].Operation != "backup" {
		t.Fatalf("got %+v, want the run of %s", answer.Commands, j.Id)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("the parked request was answered after %s", took)
	}
	if s := answer.Commands[0].StartWithinS; s < 890 || s > 900 {
		t.Errorf("got %d seconds to start within, want about 900", s)
	}
}

func TestAParkedRequestEndsWithItsHoldWithAnEmptyAnswer(t *testing.T) {
	_, _, a, _ := newAttending(t)
	started := time.Now()
	answer := a.sync(2)
	if took := time.Since(started); took > 4*time.Second {
		t.Errorf("a hold of 2 s lasted %s", took)
	}
	if answer.Protocol != "restic-manager/1" || answer.ServerTime.IsZero() || len(answer.Commands) != 0 || answer.Config != nil {
		t.Errorf("got %+v, want the marker and nothing else", answer)
	}
}

func TestAnotherConfigurationEndsThePark(t *testing.T) {
	_, admin, a, h := newAttending(t)
	parked := a.park(25)
	schedules := get[api.SchedulePage](admin, "/api/v1/hosts/"+h.Host.Id+"/schedules").Schedules
	admin.must(http.StatusOK, "PUT", "/api/v1/hosts/"+h.Host.Id+"/schedules/"+schedules[0].Id, obj{
		"name": "renamed", "repository_id": schedules[0].RepositoryId, "paths": []string{"/home"}, "manual": true, "enabled": true,
	})
	answer := into[api.SyncAnswer](<-parked)
	if answer.Config == nil || answer.Config.Schedules[0].Paths[0] != "/home" || answer.Config.Schedules[0].Version != 2 {
		t.Errorf("got %+v, want the schedule's second version", answer.Config)
	}
}

func TestASessionThatBeginsEndsTheParkOfTheOneBefore(t *testing.T) {
	_, _, a, _ := newAttending(t)
	parked := a.park(25)
	a.open()
	if got := <-parked; got.status != http.StatusConflict || got.code() != "session_superseded" {
		t.Errorf("got %d %s, want 409 session_superseded", got.status, got.text)
	}
	parked = a.park(25)
	a.must(http.StatusOK, "POST", "/agent/v1/sessions/"+a.session+"/close", nil)
	if got := <-parked; got.status != http.StatusConflict || got.code() != "session_unknown" {
		t.Errorf("got %d %s, want 409 session_unknown", got.status, got.text)
	}
}

func TestAServerThatStopsAnswersParkedRequests(t *testing.T) {
	w, _, a, _ := newAttending(t)
	parked := a.park(25)
	w.waker.Close()
	got := <-parked
	answer := into[api.SyncAnswer](got)
	if got.status != http.StatusOK || answer.Hints == nil || answer.Hints.ReconnectAfterMs < 0 || answer.Hints.ReconnectAfterMs > 25_000 {
		t.Errorf("got %d %s, want 200 with a time to come back", got.status, got.text)
	}
}

func TestOnlyTheSecretSaysWhichAgentItIs(t *testing.T) {
	w, admin, a, h := newAttending(t)
	for name, header := range map[string]string{
		"none": "", "no scheme": h.Host.Id + "." + strings.Repeat("s", 43), "another scheme": "Basic " + h.Host.Id + "." + strings.Repeat("s", 43),
		"wrong secret": "Bearer " + h.Host.Id + "." + strings.Repeat("x", 43), "no secret": "Bearer " + h.Host.Id + ".",
		"unknown host": "Bearer " + fleet.NewID[string]() + "." + strings.Repeat("s", 43), "huge": "Bearer " + h.Host.Id + "." + strings.Repeat("s", 4000),
	} {
		t.Run(name, func(t *testing.T) {
			w.client().with("Authorization", header).refused(http.StatusUnauthorized, fleet.CredentialUnknown, "POST", "/agent/v1/sync", a.syncBody(0))
		})
	}
	b := w.attends(admin.host("web-2", admin.repository("other")))
	jobs, _, err := w.store.Jobs(t.Context(), store.JobFilter{Host: fleet.HostID(a.host)}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	theirs := string(jobs[0].ID)
	for path, body := range map[string]any{
		"/agent/v1/sync":                             a.syncBody(0),
		"/agent/v1/secrets":                          obj{"session_id": a.session, "refs": []obj{{"id": theirs, "version": 1}}},
		"/agent/v1/credentials":                      obj{"session_id": a.session, "new_secret_hash": strings.Repeat("a", 64)},
		"/agent/v1/sessions":                         a.sessionBody(),
		"/agent/v1/sessions/" + a.session + "/close": nil,
		"/agent/v1/reports":                          obj{"session_id": a.session, "items": []obj{}},
		"/agent/v1/reports?items":                    obj{"session_id": b.session, "items": []obj{{"job_id": theirs, "epoch": 1, "writer_id": writer, "phase": "running"}}},
	} {
		t.Run("another host's "+path, func(t *testing.T) {
			path, _, _ := strings.Cut(path, "?")
			b.refused(http.StatusForbidden, fleet.AgentMismatch, "POST", path, body)
		})
	}
	part := b.with("Content-Type", "application/octet-stream")
	part.refused(http.StatusForbidden, fleet.AgentMismatch, "PUT", "/agent/v1/jobs/"+theirs+"/artifacts/snapshots?offset=0&last=true", "x")
}

func TestAnAgentLearnsThatItsHostIsDisabledOrDeleted(t *testing.T) {
	w, admin, a, h := newAttending(t)
	parked := a.park(25)
	admin.must(http.StatusOK, "PATCH", "/api/v1/hosts/"+h.Host.Id, obj{"disabled": true})
	if got := <-parked; got.status != http.StatusForbidden || got.code() != "agent_disabled" {
		t.Errorf("got %d %s, want 403 agent_disabled", got.status, got.text)
	}
	a.refused(http.StatusForbidden, fleet.AgentDisabled, "POST", "/agent/v1/sync", a.syncBody(0))
	admin.must(http.StatusNoContent, "DELETE", "/api/v1/hosts/"+h.Host.Id, nil)
	w.auth.ForgetAgent(fleet.HostID(h.Host.Id))
	a.refused(http.StatusGone, fleet.AgentDeleted, "POST", "/agent/v1/sessions", a.sessionBody())
}

func TestARotatedSecretReplacesTheOldOneOnceUsed(t *testing.T) {
	w, _, a, _ := newAttending(t)
	next := strings.Repeat("n", 43)
	a.must(http.StatusOK, "POST", "/agent/v1/credentials", obj{"session_id": a.session, "new_secret_hash": auth.HashSecret(next)})
	a.sync(0) // the answer may have been lost: the old one still works
	renewed := a.with("Authorization", "Bearer "+a.host+"."+next)
	renewed.must(http.StatusOK, "POST", "/agent/v1/sync", a.syncBody(0))
	w.auth.ForgetAgent(fleet.HostID(a.host))
	a.refused(http.StatusUnauthorized, fleet.CredentialUnknown, "POST", "/agent/v1/sync", a.syncBody(0))
}

func TestReportsAreTakenCompressedAndWithinLimits(t *testing.T) {
	_, admin, a, h := newAttending(t)
	j := into[api.Job](admin.must(http.StatusAccepted, "POST", "/api/v1/hosts/"+h.Host.Id+"/jobs", obj{"operation": "backup"}))
	packed := a.with("Content-Encoding", "gzip")
	body := fmt.Sprintf(`{"session_id":%q,"items":[{"job_id":%q,"epoch":1,"writer_id":%q,"phase":"running","events":[{"seq":1,"at":"2026-01-01T00:00:00Z","attempt":1,"kind":"running"}]}]}`,
		a.session, j.Id, writer)
	if v := into[api.ReportAnswer](packed.must(http.StatusOK, "POST", "/agent/v1/reports", gzipped(t, body))).Items[0]; v.Outcome != "ok" || v.NextEventSeq != 2 {
		t.Errorf("got %+v", v)
	}
	packed.refused(http.StatusRequestEntityTooLarge, fleet.BodyTooLarge, "POST", "/agent/v1/reports", gzipped(t, strings.Repeat(" ", 5<<20)))
	events := make([]obj, 501)
	for i := range events {
		events[i] = obj{"seq": i + 2, "at": time.Now(), "kind": "note", "attempt": 1}
	}
	a.refused(http.StatusRequestEntityTooLarge, fleet.BodyTooLarge, "POST", "/agent/v1/reports",
		obj{"session_id": a.session, "items": []obj{{"job_id": j.Id, "epoch": 1, "writer_id": writer, "phase": "running", "events": events}}})
	if got := get[api.Job](admin, "/api/v1/jobs/"+j.Id); got.State != "running" || got.Events != 1 {
		t.Errorf("the job is %s with %d events", got.State, got.Events)
	}
}

func TestAnAgentFetchesTheSecretsThatItsConfigurationNames(t *testing.T) {
	_, _, a, _ := newAttending(t)
	a.config = 0
	repository := a.sync(0).Config.Repositories[0]
	if repository.ResticId != strings.Repeat("a", 64) || repository.Credential == nil {
		t.Fatalf("got %+v, want the pinned repository with a credential", repository)
	}
	answer := into[api.SecretsAnswer](a.must(http.StatusOK, "POST", "/agent/v1/secrets", obj{
		"session_id": a.session, "refs": []obj{{"id": repository.Credential.Id, "version": 1}, {"id": repository.Password.Id, "version": 1}},
	}))
	if answer.Secrets[0].Value != "append-secret" || answer.Secrets[0].Username != "u" || answer.Secrets[1].Value == "" {
		t.Error("got other secrets")
	}
}

func TestManyParkedAgentsAreEachWokenForTheirOwnJob(t *testing.T) {
	w, admin := newAdmin(t)
	repository := admin.repository("nas")
	const many = 20
	agents := make([]*attending, many)
	hosts := make([]api.HostCreated, many)
	for i := range many {
		hosts[i] = admin.host(fmt.Sprint("web-", i), repository)
		agents[i] = w.attends(hosts[i])
		for range 2 {
			agents[i].sync(0)
		}
	}
	agents[0].finishInit()
	var group sync.WaitGroup
	for i, a := range agents {
		a.config = 0
		a.sync(0)
		parked := a.park(25)
		group.Go(func() {
			if answer := into[api.SyncAnswer](<-parked); len(answer.Commands) != 1 {
				t.Errorf("agent %d got %d commands", i, len(answer.Commands))
			}
		})
	}
	for i := range many {
		admin.must(http.StatusAccepted, "POST", "/api/v1/hosts/"+hosts[i].Host.Id+"/jobs", obj{"operation": "backup"})
	}
	group.Wait()
}
