package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

const secondPassword = "the second password"

var ownKey, secondKey = strings.Repeat("b", 64), strings.Repeat("c", 64)

// exchanging is a repository with a host that backs up to it and one that maintains it.
type exchanging struct {
	*world
	admin    *client
	web, nas *attending
	path     string
	own      string // its first password
}

func newExchanging(t *testing.T, database string) *exchanging {
	t.Helper()
	e := &exchanging{world: newWorldOn(t, database)}
	e.admin = e.setUp()
	e.web, _ = e.attended(e.admin)
	e.path = "/api/v1/repositories/" + get[api.RepositoryPage](e.admin, "/api/v1/repositories").Repositories[0].Id
	e.nas = e.attends(e.admin.host("nas-1", e.admin.repository("other")))
	e.admin.must(http.StatusOK, "PUT", e.path+"/maintenance-host", obj{"host_id": e.nas.host, "location": "/srv/the nas"})
	e.web.sync(0)
	e.nas.sync(0)
	e.settle()
	e.own = e.sheet("").Password
	return e
}

func (e *exchanging) repository() api.Repository {
	e.t.Helper()
	return get[api.Repository](e.admin, e.path)
}

func (e *exchanging) sheet(own string) api.RecoverySheet {
	e.t.Helper()
	return into[api.RecoverySheet](e.admin.must(http.StatusOK, "POST", e.path+"/recovery-sheet", obj{"own_password": own}))
}

func (e *exchanging) order(key string) obj {
	return obj{"key_id": key, "confirm": "nas", "own_password": password}
}

func (e *exchanging) exchange(key string) api.Repository {
	e.t.Helper()
	return into[api.Repository](e.admin.must(http.StatusOK, "POST", e.path+"/credentials/second-password/use", e.order(key)))
}

func (e *exchanging) refuse(code fleet.Code, order obj) api.Problem {
	e.t.Helper()
	status := map[fleet.Code]int{fleet.ReauthRequired: http.StatusForbidden, fleet.ConfirmationNeeded: http.StatusUnprocessableEntity, fleet.NotFound: http.StatusNotFound}[code]
	if status == 0 {
		status = http.StatusConflict
	}
	return e.admin.refused(status, code, "POST", e.path+"/credentials/second-password/use", order)
}

func (e *exchanging) setSecond(password string) {
	e.t.Helper()
	e.admin.must(http.StatusNoContent, "PUT", e.path+"/credentials/second-password", obj{"password": password})
}

// job has an agent carry out an operation, and end it with an outcome.
func (e *exchanging) job(at *attending, operation string, params, outcome obj) {
	e.t.Helper()
	e.pass(time.Minute)
	j := into[api.Job](e.admin.must(http.StatusAccepted, "POST", e.path+"/jobs", obj{"operation": operation, "confirm": "nas", "params": params}))
	if j.HostId != at.host {
		e.t.Fatalf("%s was started at %s", operation, j.HostName)
	}
	e.carryOut(at, j.Id, outcome)
}

func (e *exchanging) carryOut(at *attending, id string, outcome obj) {
	e.t.Helper()
	at.sync(0)
	at.sync(0)
	began := e.now()
	e.pass(time.Second)
	v := at.report(id, obj{"seq": 1, "at": began, "kind": "running", "attempt": 1}, obj{"seq": 2, "at": e.now(), "kind": "finished", "attempt": 1, "outcome": outcome})
	if v.Outcome != "ok" {
		e.t.Fatalf("the report got %+v", v)
	}
}

func (e *exchanging) addKey(key string) {
	e.t.Helper()
	e.job(e.nas, "key-add", obj{}, obj{"result": "succeeded", "facts": obj{"key_id": key, "keys": 2}})
	if got := e.second().KeyId; len(key) == 64 && got != key {
		e.t.Fatalf("after key-add the second password's key is %q", got)
	}
}

func (e *exchanging) listKeys(at *attending, operation string, keys ...string) {
	e.t.Helper()
	e.pass(time.Minute)
	j := into[api.Job](e.admin.must(http.StatusAccepted, "POST", "/api/v1/hosts/"+at.host+"/jobs", obj{"operation": operation, "repository_id": strings.TrimPrefix(e.path, "/api/v1/repositories/")}))
	e.carryOut(at, j.Id, obj{"result": "succeeded", "facts": obj{"keys": len(keys), "key_ids": keys}})
}

func (e *exchanging) fetch(a *attending, ref api.SecretRef) *answer {
	return a.do("POST", "/agent/v1/secrets", obj{"session_id": a.session, "refs": []obj{{"id": ref.Id, "version": ref.Version}}})
}

// password is the reference that a host's configuration names, which it fetches.
func (e *exchanging) password(a *attending) (api.SecretRef, string) {
	e.t.Helper()
	a.config = 0
	config := a.sync(0).Config
	i := slices.IndexFunc(config.Repositories, func(r api.AgentRepository) bool { return strings.HasSuffix(e.path, r.Id) })
	r := config.Repositories[i]
	if r.KeyId != e.repository().KeyId {
		e.t.Errorf("the configuration names key %s", r.KeyId)
	}
	answer := e.fetch(a, r.Password)
	if answer.status != http.StatusOK {
		e.t.Fatalf("its password is refused: %d %s", answer.status, answer.code())
	}
	return r.Password, into[api.SecretsAnswer](answer).Secrets[0].Value
}

func (e *exchanging) second() api.CredentialInfo {
	e.t.Helper()
	for _, c := range e.repository().Credentials {
		if c.Slot == "second_password" {
			return c
		}
	}
	return api.CredentialInfo{}
}

// TestPasswordsAreExchangedAndBack has a host with the configuration of before fetch on, one
// that is away be named, and the order repeated.
func TestPasswordsAreExchangedAndBack(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, database string) {
		e := newExchanging(t, database)
		before, _ := e.password(e.web)
		e.admin.must(http.StatusOK, "POST", e.path+"/recovery-sheet/saved", nil)
		e.setSecond(secondPassword)
		e.addKey(secondKey)
		if second := e.second(); second.KeyId != secondKey || second.Former {
			t.Errorf("proven is %+v", second)
		}
		r := e.exchange(secondKey)
		if r.KeyId != secondKey || r.SheetSaved || r.PasswordExchangedAt.IsZero() || r.FormerPassword == nil || r.FormerPassword.Hosts != 2 || !slices.Equal(r.FormerPassword.HostNames, []string{"nas-1", "web-1"}) {
			t.Fatalf("exchanged, it is %+v, former %+v", r, r.FormerPassword)
		}
		want := `runuser -u "$(stat -c %U '/srv/the nas')" -- env RESTIC_PASSWORD_FILE=FILE restic -r '/srv/the nas' --no-cache --retry-lock 1h key remove ` + ownKey
		if r.FormerPassword.Remove != want {
			t.Errorf("root is told %q", r.FormerPassword.Remove)
		}
		// The same order changes nothing any more.
		if again := e.exchange(secondKey); again.KeyId != secondKey || e.second().KeyId != ownKey || !e.second().Former || again.PasswordExchangedAt != r.PasswordExchangedAt {
			t.Errorf("repeated, it is of key %s, the second of %+v", again.KeyId, e.second())
		}
		// What names the version of before still gets that one.
		if a := e.fetch(e.web, before); a.status != http.StatusOK || into[api.SecretsAnswer](a).Secrets[0].Value != e.own {
			t.Errorf("a job that was sent before gets %d %s", a.status, a.code())
		}
		before.Version += 2
		if a := e.fetch(e.web, before); a.code() != string(fleet.SecretNotYours) {
			t.Errorf("a version that never was gets %d %s", a.status, a.code())
		}
		if f := e.repository().FormerPassword; f.Hosts != 2 {
			t.Errorf("after it fetched the former one: %+v", f)
		}
		if _, got := e.password(e.web); got != secondPassword {
			t.Error("the host gets another password than the second")
		}
		if f := e.repository().FormerPassword; f.Hosts != 1 || !slices.Equal(f.HostNames, []string{"nas-1"}) {
			t.Errorf("after it fetched: %+v", f)
		}
		e.admin.refused(http.StatusForbidden, fleet.ReauthRequired, "POST", e.path+"/recovery-sheet", nil)
		sheet := e.sheet(password)
		if sheet.Password != secondPassword || sheet.FormerPassword != e.own || !strings.Contains(sheet.Text, e.own) || !strings.Contains(sheet.Text, "RESTIC_PASSWORD='"+secondPassword+"'") {
			t.Errorf("the sheet is\n%s", sheet.Text)
		}

		back := e.exchange(ownKey)
		if back.KeyId != ownKey || e.second().KeyId != secondKey || back.FormerPassword.Hosts != 2 {
			t.Errorf("taken back, it is of key %s, the second of %+v, %+v", back.KeyId, e.second(), back.FormerPassword)
		}
		if _, got := e.password(e.web); got != e.own {
			t.Error("taken back, the host gets another password than its first")
		}
		entries, _, err := e.store.AuditEntries(t.Context(), store.AuditFilter{Action: "repository.password-exchanged"}, store.Page{})
		if err != nil || len(entries) != 3 || entries[0].ObjectName != "nas" || !strings.Contains(entries[0].Detail, "hosts use key "+ownKey) || strings.Contains(entries[0].Detail, secondPassword) {
			t.Errorf("the audit log has %+v, %v", entries, err)
		}
		e.admin.must(http.StatusNoContent, "DELETE", e.path+"/credentials/second-password", nil)
		if r := e.repository(); r.FormerPassword != nil || r.PasswordExchangedAt.IsZero() || e.sheet(password).FormerPassword != "" {
			t.Errorf("forgotten, it is %+v", r.FormerPassword)
		}
		before.Version--
		if a := e.fetch(e.web, before); a.code() != string(fleet.SecretNotYours) {
			t.Errorf("once the former one is forgotten its version gets %d %s", a.status, a.code())
		}
	})
}

func TestPasswordsAreExchangedOnlyWhenTheKeyIsProven(t *testing.T) {
	e := newExchanging(t, storetest.SQLite(t))
	e.refuse(fleet.KeyNotProven, e.order(secondKey))
	e.setSecond(secondPassword)
	problem := e.refuse(fleet.KeyNotProven, e.order(secondKey))
	if !strings.Contains(problem.Detail, "key-add") {
		t.Errorf("the next step is not told: %s", problem.Detail)
	}
	wrong := e.order(secondKey)
	wrong["confirm"] = "Nas"
	e.refuse(fleet.ConfirmationNeeded, wrong)
	wrong = e.order(secondKey)
	wrong["own_password"] = "another password"
	e.refuse(fleet.ReauthRequired, wrong)
	delete(wrong, "own_password")
	e.refuse(fleet.ReauthRequired, wrong)

	failed := obj{"result": "failed", "code": "key_not_added", "message": "no", "facts": obj{"key_id": secondKey, "keys": 2}}
	for name, unproven := range map[string]func(){
		"a key-add that failed":             func() { e.job(e.nas, "key-add", obj{}, failed) },
		"one that failed later":             func() { e.addKey(secondKey); e.job(e.nas, "key-add", obj{}, failed) },
		"one that told no key":              func() { e.addKey("cc") },
		"another password since":            func() { e.addKey(secondKey); e.setSecond(secondPassword) },
		"a listing of the maintenance host": func() { e.addKey(secondKey); e.listKeys(e.nas, "inspect", ownKey) },
		"one to identify":                   func() { e.addKey(secondKey); e.listKeys(e.nas, "identify", ownKey) },
		"its removal": func() {
			e.addKey(secondKey)
			e.job(e.nas, "key-remove", obj{"key_id": secondKey}, obj{"result": "succeeded", "facts": obj{"keys": 1}})
		},
		"one for the password of before that": func() { e.late() },
	} {
		unproven()
		e.t.Log(name)
		e.refuse(fleet.KeyNotProven, e.order(secondKey))
	}
	// What proves nothing against it: another host's word, an incomplete list, another key's end.
	e.addKey(secondKey)
	for _, result := range []string{"failed", "cancelled"} {
		e.job(e.nas, "key-add", obj{}, obj{"result": result, "code": "repo_unreachable", "message": "no"})
	}
	e.listKeys(e.web, "identify", ownKey)
	e.listKeys(e.nas, "inspect", ownKey, secondKey)
	e.listKeys(e.nas, "inspect")
	e.job(e.nas, "key-remove", obj{"key_id": strings.Repeat("d", 64)}, obj{"result": "succeeded", "facts": obj{"keys": 2}})
	e.refuse(fleet.VersionConflict, e.order(strings.Repeat("d", 64)))
	if r := e.repository(); r.KeyId != ownKey || !r.PasswordExchangedAt.IsZero() || e.sheet("").Password != e.own {
		t.Errorf("what was refused left key %s", r.KeyId)
	}
	e.exchange(secondKey)
	// The former key is gone: there is no way back until it is added again.
	e.listKeys(e.nas, "inspect", secondKey)
	e.refuse(fleet.KeyNotProven, e.order(ownKey))
	if r := e.repository(); r.FormerPassword.Remove != "" || e.second().KeyId != "" || e.sheet(password).FormerPassword != "" {
		t.Errorf("after the former key has gone: %+v", r.FormerPassword)
	}
}

// late has a key-add end whose password was replaced while it ran.
func (e *exchanging) late() {
	e.t.Helper()
	j := into[api.Job](e.admin.must(http.StatusAccepted, "POST", e.path+"/jobs", obj{"operation": "key-add", "confirm": "nas"}))
	e.nas.sync(0)
	e.setSecond(secondPassword)
	e.carryOut(e.nas, j.Id, obj{"result": "succeeded", "facts": obj{"key_id": secondKey, "keys": 2}})
}

func TestTheCommandThatRemovesTheFormerKeyFitsWhoMaintains(t *testing.T) {
	e := newExchanging(t, storetest.SQLite(t))
	e.setSecond(secondPassword)
	e.addKey(secondKey)
	e.exchange(secondKey)
	e.admin.must(http.StatusOK, "PUT", e.path+"/maintenance-host", obj{"host_id": e.nas.host})
	if told := e.repository().FormerPassword.Remove; told != "" {
		t.Errorf("without a credential that can delete root is told %q", told)
	}
	e.admin.must(http.StatusNoContent, "PUT", e.path+"/credentials/maintenance", obj{"username": "kee'per", "secret": "deleting-secret"})
	told := e.repository().FormerPassword.Remove
	if !strings.HasPrefix(told, `RESTIC_PASSWORD_FILE=FILE RESTIC_REST_USERNAME='kee'\''per' RESTIC_REST_PASSWORD="$(cat FILE-OF-THE-CREDENTIAL)" restic -r 'rest:`) ||
		!strings.HasSuffix(told, "key remove "+ownKey) || strings.Contains(told, "deleting-secret") {
		t.Errorf("root is told %q", told)
	}
	e.admin.must(http.StatusOK, "PUT", e.path+"/maintenance-host", obj{})
	if told := e.repository().FormerPassword.Remove; told != "" {
		t.Errorf("where nobody maintains it root is told %q", told)
	}
}
