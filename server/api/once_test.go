package api_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func TestRepeatingARequestGivesTheFirstAnswer(t *testing.T) {
	_, admin := newAdmin(t)
	repository := admin.repository("nas")
	keyed := admin.with("Idempotency-Key", "the-first-key")
	body := obj{"name": "web-1", "repository_id": repository, "paths": []string{"/etc"}}

	first := keyed.must(http.StatusCreated, "POST", "/api/v1/hosts", body)
	again := keyed.must(http.StatusCreated, "POST", "/api/v1/hosts", body)
	if string(first.text) != string(again.text) {
		t.Errorf("got %s, want %s", again.text, first.text)
	}
	if hosts := get[api.HostPage](admin, "/api/v1/hosts").Hosts; len(hosts) != 1 {
		t.Errorf("%d hosts", len(hosts))
	}
	t.Run("another body", func(t *testing.T) {
		keyed.refused(http.StatusUnprocessableEntity, fleet.IdempotencyMismatch, "POST", "/api/v1/hosts", obj{"name": "web-2"})
	})
	t.Run("the key of somebody else is another key", func(t *testing.T) {
		other := admin.user("other", fleet.Admin).with("Idempotency-Key", "the-first-key")
		other.must(http.StatusCreated, "POST", "/api/v1/hosts", obj{"name": "web-2"})
	})
	t.Run("another operation's key is another key", func(t *testing.T) {
		keyed.must(http.StatusCreated, "POST", "/api/v1/repositories", obj{"name": "disk", "location": "/srv/r"})
	})
	t.Run("a key that is too short", func(t *testing.T) {
		admin.with("Idempotency-Key", "short").refused(http.StatusBadRequest, fleet.Invalid, "POST", "/api/v1/hosts", body)
	})
}

func TestARefusedRequestMayBeRepeated(t *testing.T) {
	_, admin := newAdmin(t)
	keyed := admin.with("Idempotency-Key", "the-first-key")
	body := obj{"name": "web-1"}
	admin.must(http.StatusCreated, "POST", "/api/v1/hosts", body)
	keyed.refused(http.StatusConflict, fleet.NameTaken, "POST", "/api/v1/hosts", body)
	id := get[api.HostPage](admin, "/api/v1/hosts").Hosts[0].Id
	admin.must(http.StatusNoContent, "DELETE", "/api/v1/hosts/"+id, nil)
	keyed.must(http.StatusCreated, "POST", "/api/v1/hosts", body)
}

// A client that goes away the moment its repository was made asks again, and must
// get the answer that it missed.
func TestAClientThatGoesAwayGetsItsAnswerByAskingAgain(t *testing.T) {
	w, admin := newAdmin(t)
	const body, path = `{"name": "nas", "location": "/srv/r"}`, "/api/v1/repositories"
	keyed := admin.with("Idempotency-Key", "the-first-key")
	ctx, leave := context.WithCancel(t.Context())
	w.store.OnCommit(func(e store.Effects) {
		for _, c := range e.Changes {
			if c.Topic == fleet.TopicRepositories {
				leave()
			}
		}
	})
	r := httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(body))
	maps.Copy(r.Header, keyed.header)
	r.Header.Set("Cookie", keyed.cookie)
	r.Header.Set("Content-Type", "application/json")
	w.http.Config.Handler.ServeHTTP(httptest.NewRecorder(), r)
	if ctx.Err() == nil {
		t.Fatal("the repository was not made")
	}
	again := into[api.Repository](keyed.must(http.StatusCreated, "POST", path, body))
	if list := get[api.RepositoryPage](admin, path).Repositories; len(list) != 1 || list[0].Id != again.Id {
		t.Errorf("got %s, there are %+v", again.Id, list)
	}
}

func TestOfManyEqualRequestsOneIsDone(t *testing.T) {
	w, admin := newAdmin(t)
	keyed := admin.with("Idempotency-Key", "the-first-key")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			one := *keyed
			a, err := one.try(t.Context(), "POST", "/api/v1/hosts", obj{"name": "web-1"})
			if err != nil || a.status != http.StatusCreated && a.code() != "idempotency_in_flight" {
				t.Errorf("got %v %v", a, err)
			}
		})
	}
	all.Wait()
	entries, _, err := w.store.AuditEntries(t.Context(), store.AuditFilter{Action: "host.create"}, store.Page{})
	if err != nil || len(entries) != 1 {
		t.Errorf("made %d times, %v", len(entries), err)
	}
}

// TestKeptAnswersHoldNoSecret looks for the token of an enrolment line in
// everything that the database has: it exists in the line alone.
func TestKeptAnswersHoldNoSecret(t *testing.T) {
	w, admin := newAdmin(t)
	a := admin.with("Idempotency-Key", "the-first-key").must(http.StatusCreated, "POST", "/api/v1/hosts", obj{"name": "web-1"})
	token := strings.Split(into[api.HostCreated](a).Enrolment.LineLinux, "'")[1]
	if len(token) != 43 {
		t.Fatalf("token %q", token)
	}
	for table, rows := range w.dump() {
		if strings.Contains(rows, token) {
			t.Errorf("table %s holds the token", table)
		}
	}
}

func TestSecretsAreOnlyInTheRecoverySheet(t *testing.T) {
	w, admin := newAdmin(t)
	const own, append = "my-own-repository-password", "my-append-secret"
	made := admin.must(http.StatusCreated, "POST", "/api/v1/repositories", obj{
		"name": "nas", "location": "rest:https://nas.test/web-1/", "password": own, "username": "web-1", "append_secret": append,
	})
	id := into[api.Repository](made).Id
	for _, path := range []string{"/api/v1/repositories", "/api/v1/repositories/" + id, "/api/v1/audit", "/api/v1/changes?since=0"} {
		text := string(admin.must(http.StatusOK, "GET", path, nil).text)
		if strings.Contains(text, own) || strings.Contains(text, append) {
			t.Errorf("%s shows a secret", path)
		}
	}
	for table, rows := range w.dump() {
		if strings.Contains(rows, own) || strings.Contains(rows, append) {
			t.Errorf("table %s holds a secret", table)
		}
	}

	sheetPath := "/api/v1/repositories/" + id + "/recovery-sheet"
	sheet := into[api.RecoverySheet](admin.must(http.StatusOK, "POST", sheetPath, nil))
	if sheet.Password != own || sheet.AppendSecret != append || sheet.Username != "web-1" {
		t.Errorf("got %+v", sheet)
	}
	for _, part := range []string{
		"export RESTIC_REPOSITORY='rest:https://nas.test/web-1/'", "export RESTIC_PASSWORD='" + own + "'",
		"export RESTIC_REST_USERNAME='web-1'", "export RESTIC_REST_PASSWORD='" + append + "'", "restic restore latest --target",
		"$env:RESTIC_PASSWORD = '" + own + "'",
	} {
		if !strings.Contains(sheet.Text, part) {
			t.Errorf("the sheet lacks %q", part)
		}
	}
	audit := get[api.AuditPage](admin, "/api/v1/audit?action=repository.recovery-sheet")
	if len(audit.Entries) != 1 || audit.Entries[0].ObjectId != id {
		t.Errorf("audit: %+v", audit.Entries)
	}

	saved := into[api.Repository](admin.must(http.StatusOK, "POST", sheetPath+"/saved", nil))
	if !saved.SheetSaved {
		t.Error("not saved")
	}
	admin.refused(http.StatusForbidden, fleet.ReauthRequired, "POST", sheetPath, nil)
	admin.refused(http.StatusForbidden, fleet.ReauthRequired, "POST", sheetPath, obj{"own_password": "a wrong password"})
	admin.must(http.StatusOK, "POST", sheetPath, obj{"own_password": password})
}

// dump is every text of every table, read from the database file itself.
func (w *world) dump() map[string]string {
	w.t.Helper()
	file := w.openFile()
	var tables []string
	if err := file.Select(&tables, `SELECT name FROM sqlite_master WHERE type = 'table'`); err != nil {
		w.t.Fatal(err)
	}
	dumped := map[string]string{}
	for _, table := range tables {
		rows, err := file.Queryx(`SELECT * FROM ` + table)
		if err != nil {
			w.t.Fatal(err)
		}
		var text strings.Builder
		for rows.Next() {
			row, err := rows.SliceScan()
			if err != nil {
				w.t.Fatal(err)
			}
			for _, value := range row {
				if b, ok := value.([]byte); ok {
					value = string(b)
				}
				fmt.Fprintln(&text, value)
			}
		}
		dumped[table] = text.String()
	}
	if len(dumped) < 10 || dumped["idempotency"] == "" && dumped["credentials"] == "" {
		w.t.Fatalf("the dump has too little: %d tables", len(dumped))
	}
	return dumped
}
