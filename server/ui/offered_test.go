package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"restic-manager/server/api"
)

// listing adds operations that list ids, and two that ask for them.
func (c *contract) listing() {
	list := c.answers["GET /api/v1/operations"].(api.OperationList)
	const id = "[0-9a-f]{64}"
	places := []api.OperationPlaces{"maintenance_host"}
	repository := api.OperationField{Name: "repository_id", Type: "uuid", Required: true}
	list.Operations = append(list.Operations,
		api.Operation{Name: "check", Title: "Check", Lock: "exclusive", Places: places, Fields: []api.OperationField{repository},
			Rows: []api.OperationColumn{{Name: "pack_id", Label: "Pack", Type: "id"}, {Name: "error", Label: "Error", Type: "text"}}},
		api.Operation{Name: "inspect", Title: "Look", Lock: "none", Places: places, Fields: []api.OperationField{repository},
			Rows: []api.OperationColumn{{Name: "kind", Label: "What", Type: "text"}, {Name: "object", Label: "Object", Type: "path"}, {Name: "problem", Label: "Problem", Type: "text"}}},
		api.Operation{Name: "repair-packs", Title: "Repair packs", Places: places, Fields: []api.OperationField{repository,
			{Name: "pack_ids", Label: "Damaged packs", Type: "string_list", Pattern: id, From: []api.FieldSource{{Operation: "check", Column: "pack_id"}}}}},
		api.Operation{Name: "key-remove", Title: "Remove a key", Places: places, Fields: []api.OperationField{repository,
			{Name: "key_id", Label: "Key", Type: "string", Pattern: id, From: []api.FieldSource{{Operation: "inspect", Column: "object", Prefix: "keys/"}}}}})
	c.answers["GET /api/v1/operations"] = list
}

const damagedID = "01936f0e-5c1a-7c3e-9a54-000000000031"

// sampleDamage adds a check that found damaged packs.
func (c *contract) sampleDamage() {
	c.listing()
	c.answers["GET /api/v1/jobs/"+damagedID] = api.Job{Id: damagedID, HostId: hostID, HostName: "nas", RepositoryId: repositoryID, RepositoryName: "main", Operation: "check", State: "finished", CreatedAt: noon, FinishedAt: noon,
		Outcome: &api.Outcome{Result: "failed", Code: "repo_damaged", Message: "the repository is damaged: the check found 3 errors", NextStep: "do not prune; try to get the 2 damaged packs back from a copy of the storage"}}
	c.answers["GET /api/v1/jobs/"+damagedID+"/events"] = api.EventPage{End: true}
	c.answers["GET /api/v1/jobs/"+damagedID+"/rows"] = api.RowPage{Total: 3, Rows: []api.Row{
		api.Row(`{"pack_id":"` + fullIDOf(1) + `","error":"the pack is damaged"}`), api.Row(`{"pack_id":"` + fullIDOf(2) + `","error":"the pack is damaged"}`), api.Row(`{"error":"` + strings.Repeat("a long error ", 20) + `"}`),
	}}
}

func fullIDOf(n int) string { return fmt.Sprintf("%08x%056d", 0xabcdef+n, 0) }

// TestPacksThatACheckNamedAreRepairedWithoutTypingThem follows the way from the check.
func TestPacksThatACheckNamedAreRepairedWithoutTypingThem(t *testing.T) {
	c := newContract()
	c.listing()
	c.ended("check", "{}", `{"errors":3}`, "failed")
	c.many(450, func(n int) string { // far apart, twice each, beside errors about no pack
		if n%200 < 3 {
			return fmt.Sprintf(`{"pack_id":%q,"error":"the pack is damaged"}`, fullIDOf(n%200))
		}
		return `{"pack_id":"../` + markup[:1] + `","error":"` + hostile[:1] + `"}`
	})
	h := newPages(t, c)
	form := "/repositories/" + repositoryID + "/run/repair-packs"
	wantOnPage(t, visitPage(t, h, "GET", "/jobs/"+jobID, nil).Body.String(), `href="`+form+`?listed=`+jobID+`">Repair packs: 3 listed here…</a>`)
	body := visitPage(t, h, "GET", form+"?listed="+jobID, nil).Body.String()
	for n := range 3 {
		wantOnPage(t, body, `value="`+fullIDOf(n)+`" checked><span>`+fullIDOf(n)[:8]+" · the pack is damaged</span>")
	}
	if strings.Count(body, "checked") != 3 {
		t.Error("more is chosen than the check named")
	}
	other := fullIDOf(77)
	w := visitPage(t, h, "POST", form, url.Values{"pack_ids": {fullIDOf(0), fullIDOf(2), other + "\r\n"}, "confirm": {"main"}})
	if want := `"params":{"pack_ids":["` + fullIDOf(0) + `","` + fullIDOf(2) + `","` + other + `"]}`; w.Code != http.StatusSeeOther || len(c.got) != 1 || !strings.Contains(c.got[0], want) {
		t.Errorf("answered %d and sent %q, want %s", w.Code, c.got, want)
	}
	// What was typed and refused is there again, and no more.
	c.answers["POST "+repositoryPath+"/jobs"] = &api.Problem{Status: 422, Code: "confirmation_required", Title: "Type the name"}
	body = visitPage(t, h, "POST", form, url.Values{"pack_ids": {fullIDOf(1), other}}).Body.String()
	wantOnPage(t, body, `value="`+fullIDOf(1)+`" checked`, ">\n"+other+"</textarea>")
	if strings.Count(body, `name="pack_ids" value="`) != 0 && strings.Count(body, " checked>") != 1 {
		t.Error("more is chosen than was")
	}
}

// TestAKeyThatWasAddedIsRemovedWithoutTypingIt also from the repository, whose condition
// names the job that found it.
func TestAKeyThatWasAddedIsRemovedWithoutTypingIt(t *testing.T) {
	c := newContract()
	c.listing()
	c.ended("inspect", "{}", `{}`, "warning")
	rows := []string{
		`{"kind":"key","object":"keys/` + fullIDOf(1) + `","problem":"it was added"}`, `{"kind":"suspect","object":"snapshots/` + fullIDOf(2) + `","problem":"odd"}`,
		`{"kind":"foreign","object":"keys/` + fullIDOf(3) + `x","problem":"no key"}`,
	}
	c.many(len(rows), func(n int) string { return rows[n] })
	h := newPages(t, c)
	form := "/repositories/" + repositoryID + "/run/key-remove"
	body := visitPage(t, h, "GET", "/jobs/"+jobID, nil).Body.String()
	wantOnPage(t, body, `href="`+form+`?key_id=`+fullIDOf(1)+`">Remove a key…</a>`)
	if strings.Count(body, "Remove a key…") != 1 {
		t.Error("something else than a key is offered to be removed as one")
	}
	c.answers["GET /api/v1/jobs"] = api.JobPage{}
	r := c.answers["GET "+repositoryPath].(api.Repository)
	r.Conditions = nil
	c.answers["GET "+repositoryPath] = r
	if body := visitPage(t, h, "GET", form, nil).Body.String(); strings.Contains(body, fullIDOf(1)) {
		t.Error("a key is offered that no condition and no last job names")
	}
	r.Conditions = []api.Condition{{Code: "keys_changed", Severity: "warning", JobId: jobID}}
	c.answers["GET "+repositoryPath] = r
	wantOnPage(t, visitPage(t, h, "GET", form, nil).Body.String(), `<option value="`+fullIDOf(1)+`">`+fullIDOf(1)[:8]+" · it was added</option>")
	wantOnPage(t, visitPage(t, h, "GET", form+"?key_id="+fullIDOf(1), nil).Body.String(), `<option value="`+fullIDOf(1)+`" selected>`)
	r.Id = scheduleID // another one's job says nothing here
	c.answers["GET "+repositoryPath] = r
	if body := visitPage(t, h, "GET", form, nil).Body.String(); strings.Contains(body, fullIDOf(1)) {
		t.Error("what was listed of another repository is offered")
	}
}

func TestWhoOnlyReadsIsNotLedToRepairs(t *testing.T) {
	c := newContract()
	c.listing()
	c.ended("inspect", "{}", `{}`, "warning")
	c.many(1, func(int) string { return `{"kind":"key","object":"keys/` + fullIDOf(1) + `"}` })
	c.answers["GET /api/v1/me"] = api.User{Id: userID, Name: "vic", Role: "viewer", CreatedAt: noon}
	if body := visitPage(t, newPages(t, c), "GET", "/jobs/"+jobID, nil).Body.String(); strings.Contains(body, "Remove a key…") {
		t.Error("a viewer is offered to remove a key")
	}
}
