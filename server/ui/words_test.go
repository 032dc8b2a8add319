package ui

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"restic-manager/server/api"
)

func TestACredentialThatCanDeleteIsNamedAlsoWhereNobodyMaintains(t *testing.T) {
	r := api.Repository{Maintenance: api.RepositoryMaintenance{Mode: "none"}}
	if got := maintainerOf(r).Power; !strings.Contains(got, "could delete nothing there") {
		t.Errorf("without one: %s", got)
	}
	r.Credentials = []api.CredentialInfo{{Slot: "append"}, {Slot: "maintenance"}}
	if got := maintainerOf(r).Power; !strings.Contains(got, "could still delete the whole repository") {
		t.Errorf("with one: %s", got)
	}
}

// TestAFolderWithoutTheRepositoryIsNotShownAsFine although the host's policy allows it.
func TestAFolderWithoutTheRepositoryIsNotShownAsFine(t *testing.T) {
	r := newContract().answers["GET "+repositoryPath].(api.Repository)
	r.Maintenance = api.RepositoryMaintenance{Mode: "folder", HostId: hostID, HostName: "nas", Location: "/srv/web", Allowed: "yes"}
	page := func() string {
		c := newContract()
		c.answers["GET "+repositoryPath] = r
		return visitPage(t, newPages(t, c), "GET", "/repositories/"+repositoryID+"/maintenance", nil).Body.String()
	}
	r.Conditions = nil
	if body := page(); !strings.Contains(body, "Allowed") || strings.Contains(body, "Not usable there") {
		t.Error("a folder that is fine is not shown as that")
	}
	for code, word := range map[string]string{"maintenance_folder": "Not usable there", "maintenance_folder_gone": "Gone from there"} {
		r.Conditions = []api.Condition{{Code: code, Severity: api.SeverityCritical, Message: "It is gone from there.", NextStep: "Mount the disk", JobId: jobID}}
		body := page()
		for _, want := range []string{word, "It is gone from there.", "Mount the disk", "/jobs/" + jobID} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: nothing says %q", code, want)
			}
		}
		if strings.Contains(body, ">Allowed<") {
			t.Errorf("%s: it is shown as fine", code)
		}
	}
}

// TestWhatBeganBeforeARefusalIsSaid has the first of three jobs taken and the second refused.
func TestWhatBeganBeforeARefusalIsSaid(t *testing.T) {
	c := newContract()
	asked := 0
	c.lists["POST "+repositoryPath+"/jobs"] = func(*http.Request) any {
		if asked++; asked > 1 {
			return &api.Problem{Status: 409, Code: "no_host_online", Title: "No host", Detail: "No host is online."}
		}
		return api.Job{Id: jobID}
	}
	w := visitPage(t, newPages(t, c), "POST", "/repositories/"+repositoryID+"/start", url.Values{"what": {"reclaim"}, "typed": {markup}})
	wantOnPage(t, w.Body.String(), "Started in part", "Started: Thin out snapshots. Not started: Reclaim space. No host is online.")
}

func TestAPreviewIsFoundBehindManyRunsOfRetention(t *testing.T) {
	c := newContract()
	c.lists["GET /api/v1/jobs"] = func(r *http.Request) any {
		from, _ := strconv.Atoi(r.URL.Query().Get("page_token"))
		size, _ := strconv.Atoi(r.URL.Query().Get("page_size"))
		var p api.JobPage
		for n := from; n < min(from+size, 500); n++ {
			j := api.Job{Id: userID, Operation: "retention", State: "finished", CreatedAt: noon}
			if n == 499 {
				j.Id, j.Params = jobID, api.Params(`{"dry_run":true}`)
			}
			p.Jobs = append(p.Jobs, j)
		}
		if from+size < 500 {
			p.NextPageToken = strconv.Itoa(from + size)
		}
		return p
	}
	body := visitPage(t, newPages(t, c), "GET", "/repositories/"+repositoryID+"/retention", nil).Body.String()
	wantOnPage(t, body, "/jobs/"+jobID)
	if strings.Contains(body, "Nothing was previewed yet") {
		t.Error("a preview of long ago is not found")
	}
}

func TestPlainResticRestoresOnWindowsToTheDriveThatThePathIsOf(t *testing.T) {
	saved := []string{`C:\Users`, `D:\data`}
	for _, tc := range []struct {
		wish wish
		want string
	}{
		{wish{to: "in_place", paths: []string{"/C/Users/ann/it's.txt", "/D"}, overwrite: "always"},
			`restic restore 'bbbbbbbb:/C/Users/ann' --target 'C:\Users\ann' --overwrite always --include '/it''s.txt'` + "\n" + `restic restore 'bbbbbbbb:/D' --target 'D:\' --overwrite always`},
		{wish{to: "in_place", paths: []string{"/"}},
			`restic restore 'bbbbbbbb:/C' --target 'C:\' --include '/Users'` + "\n" + `restic restore 'bbbbbbbb:/D' --target 'D:\' --include '/data'`},
		{wish{to: "staging", paths: []string{"/C/Users"}, verify: true}, `restic restore bbbbbbbb --target 'C:\restic-restore\by-hand' --verify --include '/C/Users'`},
	} {
		tc.wish.snapshot = snapshotID
		if got := plainRestic(tc.wish, "", "windows", saved); got != tc.want {
			t.Errorf("%v:\n%s\nwant\n%s", tc.wish.paths, got, tc.want)
		}
	}
	if got := plainRestic(wish{snapshot: snapshotID, to: "in_place", paths: []string{"/etc"}}, "", "linux", nil); !strings.Contains(got, "--target / \\\n  --include /etc") {
		t.Errorf("elsewhere: %s", got)
	}
}

// TestACommandIsShownOnlyAsItWouldBeTyped since what a name shows in its place is another name.
func TestACommandIsShownOnlyAsItWouldBeTyped(t *testing.T) {
	c := newContract()
	h := c.answers["GET /api/v1/hosts/"+hostID].(api.Host)
	h.Policy = &api.PolicyReport{State: "ok", Restore: api.RestoreRule{StagingDir: "/var/stage"}}
	c.answers["GET /api/v1/hosts/"+hostID] = h
	for _, p := range []string{"/C/a\nb", "/C/a\rb", "/C/\u202eb"} {
		for _, os := range []string{"linux", "windows"} {
			if got := plainRestic(wish{snapshot: snapshotID, to: "in_place", paths: []string{"/C/a", p}}, "", os, nil) + allowing(os, []string{p}); got != "" {
				t.Errorf("%s: %q for %q", os, got, p)
			}
		}
		body := visitPage(t, newPages(t, c), "GET", "/hosts/"+hostID+"/restore?"+url.Values{"repository": {repositoryID}, "snapshot": {snapshotID}, "path": {p}}.Encode(), nil).Body.String()
		wantOnPage(t, body, "the whole command cannot be shown", "It cannot be shown: a name that is picked")
	}
	if got := plainRestic(wish{snapshot: snapshotID, to: "in_place", paths: []string{"/"}}, "", "windows", []string{"C:\\a\u202e"}); got != "" {
		t.Errorf("the snapshot's own path: %q", got)
	}
}

// TestNothingIsToldAsPlannedWhereNothingCanRun since plans pass over a repository that
// cannot be used.
func TestNothingIsToldAsPlannedWhereNothingCanRun(t *testing.T) {
	c := newContract()
	r := c.answers["GET "+repositoryPath].(api.Repository)
	c.sampleRepository(&r)
	for state, planned := range map[api.RepositoryState]bool{"ready": true, "failed": false, "new": false} {
		r.State = state
		facts, row := repositoryFacts(r, noon, noon), repositoryRowOf(r, noon)
		for _, f := range append(facts, row.Check, row.Prune) {
			if strings.Contains(f.Note, "next ") && !planned {
				t.Errorf("%s: %s is %s, %s", state, f.Term, f.Big, f.Note)
			}
		}
		if note := facts[4].Note; facts[4].Term != "Checked" || strings.HasPrefix(note, "next ") != planned || !planned && note != "not before it can be used" {
			t.Errorf("%s: checks are %q", state, note)
		}
	}
}

// TestHowOldAPolicyIsKnownIsSaidBesideIt since a change travels with the agent's next poll.
func TestHowOldAPolicyIsKnownIsSaidBesideIt(t *testing.T) {
	c := newContract()
	h := c.answers["GET /api/v1/hosts/"+hostID].(api.Host)
	h.Policy.Restore = api.RestoreRule{StagingDir: "/var/stage", InPlace: []string{"/srv"}}
	pages := newPages(t, c)
	for path, want := range map[string]string{
		"/policy": "A change is known here within half a minute; the agent reads the file again before each job.",
		"/restore?repository=" + repositoryID + "&snapshot=" + snapshotID: "as its policy file allows: a change of it is known here within half a minute",
	} {
		wantOnPage(t, visitPage(t, pages, "GET", "/hosts/"+hostID+path, nil).Body.String(), want)
	}
	h.Presence = api.PresenceOffline
	c.answers["GET /api/v1/hosts/"+hostID] = h
	wantOnPage(t, visitPage(t, pages, "GET", "/hosts/"+hostID+"/policy", nil).Body.String(), "This is what it was when its agent was last heard, <time")
}
