package ui

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"restic-manager/server/api"
)

// sampleFormer gives a repository a password that was exchanged, and that one host has not
// fetched yet.
func sampleFormer(r *api.Repository) {
	r.PasswordExchangedAt = noon.Add(-26 * time.Hour)
	r.Credentials = append(r.Credentials, api.CredentialInfo{Slot: "second_password", Version: 2, KeyId: strings.Repeat("4f2a", 16), Former: true})
	r.FormerPassword = &api.FormerPassword{Hosts: 22, HostNames: []api.Name{"db-1", "web-2"},
		Remove: `runuser -u "$(stat -c %U '/srv/restic/main')" -- env RESTIC_PASSWORD_FILE=FILE restic -r '/srv/restic/main' --no-cache --retry-lock 1h key remove ` + strings.Repeat("4f2a", 16)}
}

// TestTheSecondPasswordBecomesTheOneThatHostsUse by the key that the page has shown, and
// only once the name was typed.
func TestTheSecondPasswordBecomesTheOneThatHostsUse(t *testing.T) {
	c := newContract()
	h := newPages(t, c)
	path, use := "/repositories/"+repositoryID, repositoryPath+"/credentials/second-password/use"
	key := strings.Repeat("c", 64)
	show := func(change func(*api.Repository)) string {
		r := c.answers["GET "+repositoryPath].(api.Repository)
		r.Credentials, r.FormerPassword = nil, nil
		change(&r)
		c.answers["GET "+repositoryPath] = r
		return html.UnescapeString(visitPage(t, h, "GET", path+"/settings", nil).Body.String())
	}
	second := api.CredentialInfo{Slot: "second_password", Version: 1}
	if body := show(func(r *api.Repository) { r.Credentials = []api.CredentialInfo{second} }); strings.Contains(body, "second-password/use") || !strings.Contains(body, "No job has proven") {
		t.Error("what is not proven is offered to hosts")
	}
	second.KeyId = key
	body := show(func(r *api.Repository) { r.Credentials = []api.CredentialInfo{second} })
	if !strings.Contains(body, path+`/second-password/use"`) || !strings.Contains(body, `name="key_id" value="`+key+`"`) || strings.Contains(body, "Take it back") {
		t.Error("what is proven is not offered to hosts")
	}

	form := url.Values{"key_id": {key}, "use_confirm": {"x"}, "own_password": {"own password"}}
	w := visitPage(t, h, "POST", path+"/second-password/use", form)
	if body := w.Body.String(); w.Code != http.StatusUnprocessableEntity || len(c.got) > 0 || !strings.Contains(body, `id="f-use_confirm-error"`) || strings.Contains(body, "own password\"") {
		t.Errorf("got %d, and the contract was asked for %q", w.Code, c.got)
	}
	form.Set("use_confirm", markup)
	for code, shown := range map[string]string{"reauth_required": `id="f-own_password-error"`, "key_not_proven": "Have its key added."} {
		refusal := &api.Problem{Status: 409, Code: code, Title: "Key not proven", Detail: "Have its key added."}
		if code == "reauth_required" {
			refusal.Status, refusal.Field = 403, "/own_password"
		}
		c.answers["POST "+use] = refusal
		w := visitPage(t, h, "POST", path+"/second-password/use", form)
		if body := w.Body.String(); w.Code != http.StatusUnprocessableEntity || !strings.Contains(body, shown) || !strings.Contains(body, "Not exchanged") || strings.Contains(body, "own password\"") {
			t.Errorf("%s: got %d without %q", code, w.Code, shown)
		}
	}
	c.got = nil
	c.answers["POST "+use] = c.answers["GET "+repositoryPath]
	w = visitPage(t, h, "POST", path+"/second-password/use", form)
	if at := w.Header().Get("Location"); w.Code != http.StatusSeeOther || at != path+"?done=password-exchanged#sheet" || len(c.got) != 1 ||
		!strings.HasPrefix(c.got[0], "POST "+use) || !strings.Contains(c.got[0], `"key_id":"`+key+`"`) || !strings.Contains(c.got[0], `"own_password":"own password"`) {
		t.Errorf("got %d to %q, and the contract was asked for %q", w.Code, at, c.got)
	}

	body = show(sampleFormer)
	for _, want := range []string{"Take it back", "db-1, web-2, 20 more", "runuser -u", "Forget the former password here"} {
		if !strings.Contains(body, want) {
			t.Errorf("after the exchange the page does not show %q", want)
		}
	}
	if body := show(func(r *api.Repository) {
		sampleFormer(r)
		r.FormerPassword = &api.FormerPassword{}
		r.Credentials[0].KeyId = ""
	}); strings.Contains(body, "Take it back") ||
		strings.Contains(body, "To end it") || !strings.Contains(body, "Its key is gone") || !strings.Contains(body, "Every host that uses the repository has fetched") {
		t.Error("after the former key has gone the page offers a way back, or does not say so")
	}
	body = visitPage(t, h, "GET", path, nil).Body.String()
	if !strings.Contains(body, "To be saved anew") || !strings.Contains(body, `id="f-own_password"`) {
		t.Error("after the exchange the sheet is not asked for again, or shown without the own password")
	}
}
