package ui

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"restic-manager/server/api"
)

var (
	snapshotID  = strings.Repeat("b", 64)
	olderID     = strings.Repeat("a", 64)
	snapshotAt  = repositoryPath + "/snapshots/" + snapshotID
	snapshotURL = "/repositories/" + repositoryID + "/snapshots/" + snapshotID
)

// sampleResults adds operations, and a snapshot with files.
func (c *contract) sampleResults() {
	field := func(name, kind string, required bool, options ...string) api.OperationField {
		return api.OperationField{Name: name, Label: strings.ToUpper(name[:1]) + strings.ReplaceAll(name[1:], "_", " "), Help: "what " + name + " is", Type: kind, Required: required, Options: options}
	}
	column := func(name, label, kind string) api.OperationColumn {
		return api.OperationColumn{Name: name, Label: label, Type: kind}
	}
	places := []api.OperationPlaces{"host", "maintenance_host"}
	repository := field("repository_id", "uuid", true)
	c.answers["GET /api/v1/operations"] = api.OperationList{Operations: []api.Operation{
		{Name: "backup", Group: "move", Title: "Back up", Description: "Backs up what a schedule names.", Lock: "shared", Slot: "append", Places: places, Fields: []api.OperationField{field("schedule_id", "uuid", true)}},
		{Name: "restore", Group: "move", Title: "Restore", Description: "Restores a snapshot.", Lock: "shared", Slot: "append", Places: places, Anywhere: true,
			Fields: []api.OperationField{repository, field("snapshot_id", "snapshot_id", true), field("paths", "path_list", false), field("target", "string", true, "staging", "in_place"), field("verify", "bool", false)},
			Facts:  []api.OperationColumn{column("target_path", "Restored to", "path"), column("planned_files", "Entries planned", "int"), column("planned_bytes", "Bytes planned", "bytes"), column("restored_files", "Entries restored", "int"), column("verified", "Verified", "bool"), column("not_restored", "Metadata left out", "list")},
			Rows:   []api.OperationColumn{column("path", "Path", "path"), column("what", "What", "text"), column("detail", "Detail", "text")}},
		{Name: "diff", Group: "look", Title: "Compare", Description: "Compares two snapshots.", Lock: "none", Slot: "append", Places: places, Fields: []api.OperationField{repository, field("from", "snapshot_id", true), field("to", "snapshot_id", true)},
			Facts: []api.OperationColumn{column("added_files", "Files added", "int"), column("added_bytes", "Added", "bytes")},
			Rows:  []api.OperationColumn{column("path", "Path", "path"), column("modifier", "Sign", "text"), column("change", "Change", "text")}},
		{Name: "forget", Group: "maintain", Title: "Forget", Description: "Removes snapshots.", Lock: "exclusive", Slot: "maintenance", Deletes: true, Confirm: true, Places: places[1:],
			Fields: []api.OperationField{repository, field("snapshot_ids", "snapshot_id_list", true), {Name: "most", Label: "At most", Type: "int", Min: 1, Max: 50}, field("dry_run", "bool", false), field("reason", "string", false),
				{Name: "mode", Label: "How", Help: "which way", Type: "string", Options: []string{"as-it-is", "other"}, Choices: []api.FieldChoice{{Value: "as-it-is", Label: "As it is"}, {Value: "other", Label: "Another way"}}, Default: "as-it-is"},
				{Name: "share", Label: "Share", Help: "so much of it", Type: "int", Min: 1, Max: 100, Unit: "%", Default: "nothing", Rare: true}}},
	}}
	newer := api.Snapshot{Id: snapshotID, RepositoryId: repositoryID, RepositoryName: hostile, HostId: hostID, HostName: hostile, JobId: jobID, Time: noon, FirstSeenAt: noon, Hostname: hostile, Paths: []string{hostile}, Tags: []string{"rm:x", hostile}, Files: 3, Bytes: 1 << 30}
	older := newer
	older.Id, older.Time = olderID, noon.Add(-24*time.Hour)
	c.answers["GET /api/v1/snapshots"] = api.SnapshotPage{Snapshots: []api.Snapshot{newer, older}}
	ready := api.SnapshotIndex{State: "ready", Entries: 1234, MadeAt: noon}
	c.answers["GET "+snapshotAt] = api.SnapshotDetail{Snapshot: newer, Index: ready, Version: 1}
	c.answers["POST "+snapshotAt+"/index"] = c.answers["GET "+snapshotAt]
	c.answers["GET "+repositoryPath+"/snapshots/"+olderID] = api.SnapshotDetail{Snapshot: older, Index: ready, Version: 1}
	c.answers["POST "+repositoryPath+"/jobs"] = api.Job{Id: jobID}
	c.lists = map[string]func(*http.Request) any{}
	c.files(snapshotAt)
	c.files(repositoryPath + "/snapshots/" + olderID)
}

// sampleFiles are the files of the sample snapshot, with a name of each kind.
var sampleFiles = []api.Entry{
	{Path: "/etc", Type: "dir", Files: 2, Size: 3000}, {Path: "/etc/nginx", Type: "dir", Files: 1, Size: 2000}, {Path: "/etc/nginx/nginx.conf", Type: "file", Size: 2000}, {Path: "/etc/fstab", Type: "file", Size: 1000},
	{Path: "/home", Type: "dir", Files: 2, Size: 7}, {Path: "/home/" + markup, Type: "file", Size: 7}, {Path: "/home/caf\ufffd", Type: "file", Lossy: true}, {Path: "/home/link", Type: "symlink"},
	{Path: "/srv", Type: "dir", Files: 4, Size: 5 << 20},
	{Path: "/srv/return\r", Type: "dir", Files: 1, Size: 9}, {Path: "/srv/return\r/50%0A\t\u202e", Type: "file", Size: 9}, {Path: "/srv/two\nlines", Type: "file", Size: 8}, {Path: "/srv/carriage\rreturn", Type: "file", Size: 7},
}

// files answers what is asked about the files of a snapshot.
func (c *contract) files(at string) {
	page := func(of func(api.Entry) bool) any {
		p := api.EntryPage{Entries: []api.Entry{}}
		for _, e := range sampleFiles {
			if e.Name, e.Mtime = path.Base(e.Path), noon; of(e) {
				p.Entries = append(p.Entries, e)
			}
		}
		return p
	}
	c.lists["GET "+at+"/entries"] = func(r *http.Request) any {
		folder := r.URL.Query().Get("path")
		return page(func(e api.Entry) bool { return folderOf(e.Path) == folder })
	}
	c.lists["GET "+at+"/search"] = func(r *http.Request) any {
		q := r.URL.Query().Get("q")
		return page(func(e api.Entry) bool {
			whole, _ := path.Match(q, e.Name)
			return whole || strings.Contains(e.Name, q)
		})
	}
}

// many answers with so many rows, by pages as the contract does.
func (c *contract) many(n int, row func(i int) string) {
	c.lists["GET /api/v1/jobs/"+jobID+"/rows"] = func(r *http.Request) any {
		size, _ := strconv.Atoi(r.URL.Query().Get("page_size"))
		from, _ := strconv.Atoi(r.URL.Query().Get("page_token"))
		p := api.RowPage{Rows: []api.Row{}, Total: int64(n)}
		for i := from; i < min(n, from+size); i++ {
			p.Rows = append(p.Rows, api.Row(row(i)))
		}
		if from+size < n {
			p.NextPageToken = strconv.Itoa(from + size)
		}
		return p
	}
}

// ended makes the sample job one that ended like that.
func (c *contract) ended(operation, params, facts string, result api.JobResult) {
	c.answers["GET /api/v1/jobs/"+jobID] = api.Job{Id: jobID, HostId: hostID, HostName: "web-1", RepositoryId: repositoryID, RepositoryName: "nas", Operation: operation, Params: json.RawMessage(params), State: "finished", CreatedAt: noon, FinishedAt: noon,
		Outcome: &api.Outcome{Result: result, Facts: json.RawMessage(facts)}}
}

func wantOnPage(t *testing.T, body string, wants ...string) {
	t.Helper()
	plainly := strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(body)
	for _, want := range wants {
		if !strings.Contains(plainly, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

func TestARestoreIsJudgedByWhatWasPlannedAndWhatWasDone(t *testing.T) {
	const asked = `{"snapshot_id":"x","target":"staging"}`
	for name, tc := range map[string]struct {
		params, facts, want string
		result              api.JobResult
	}{
		"all of it":             {asked, `{"planned_files":4,"planned_bytes":2048,"restored_files":4,"restored_bytes":2048,"verified":true}`, "Everything is back</span> <span>As much was restored as was planned. It was read again", "succeeded"},
		"some left as they are": {asked, `{"planned_files":4,"restored_files":1,"skipped_files":3}`, "3 entries were left as they were.", "succeeded"},
		"some missing":          {asked, `{"planned_files":4,"restored_files":3}`, "Not everything is back</span> <span>1 entry of what was chosen could not be restored, as the rows below say.", "succeeded"},
		"some with errors":      {asked, `{"planned_files":4,"restored_files":4,"errors":2}`, "2 entries of what was chosen could not be restored", "warning"},
		"device nodes stripped": {asked, `{"planned_files":4,"restored_files":3,"errors":0,"stripped":1}`, "Everything is back</span> <span>As much was restored as was planned. Privileges of 1 entry were taken away", "succeeded"},
		"none":                  {asked, `{"planned_files":4}`, "Not restored", "failed"},
		"a dry run":             {`{"snapshot_id":"x","target":"staging","dry_run":true}`, `{"planned_files":4,"planned_bytes":2048}`, "Dry run agrees</span> <span>restic would restore 4 entries, 2.0 KiB. Nothing was written.", "succeeded"},
		"all, but a hook":       {asked, `{"planned_files":4,"restored_files":4}`, "Look at the result", "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContract()
			c.ended("restore", tc.params, tc.facts, tc.result)
			wantOnPage(t, visitPage(t, newPages(t, c), "GET", "/jobs/"+jobID, nil).Body.String(), tc.want)
		})
	}
}

func TestFactsAreShownByTheirTypes(t *testing.T) {
	c := newContract()
	c.ended("restore", `{}`, `{"target_path":"/var/x","planned_bytes":1536,"verified":false,"not_restored":["acl","xattr"],"restored_files":"of a newer agent","unknown":1}`, "succeeded")
	wantOnPage(t, visitPage(t, newPages(t, c), "GET", "/jobs/"+jobID, nil).Body.String(),
		`<dt>Restored to</dt><dd><span class="mono">/var/x</span></dd>`, `1.5 KiB</data>`, "<dt>Verified</dt><dd>no</dd>", "acl<br>xattr", "of a newer agent")
}

func TestTheRowsOfAResultAreFoundByWordsAndKindsHoweverMany(t *testing.T) {
	c := newContract()
	c.ended("diff", `{"from":"`+olderID+`","to":"`+snapshotID+`"}`, `{"added_files":2}`, "succeeded")
	c.many(25_000, func(i int) string {
		return fmt.Sprintf(`{"path":"/srv/%05d","modifier":%q,"change":%q}`, i, []string{"+", "-", "M"}[i%3], []string{"added", "removed", "changed"}[i%3])
	})
	pages := newPages(t, c)
	look := func(q url.Values) string {
		return visitPage(t, pages, "GET", "/jobs/"+jobID+"?"+q.Encode(), nil).Body.String()
	}
	first := look(nil)
	wantOnPage(t, first, "25 000 in all", "/srv/00049", `rel="next"`, `<option value="changed">changed</option>`, "snapshot="+olderID)
	if strings.Contains(first, "/srv/00050") {
		t.Error("the first page has more than it should")
	}
	if n := strings.Count(first, ">Restore…</a>"); n != 33 { // what was added the older one does not have
		t.Errorf("%d rows can be restored", n)
	}
	wantOnPage(t, look(url.Values{"q": {"/09999"}}), "/srv/09999", "1 row is like that among the 10 000 looked at", `rel="next"`)
	only := look(url.Values{"only": {"removed"}})
	if wantOnPage(t, only, "/srv/00001"); strings.Contains(only, "/srv/00000<") {
		t.Error("another kind is shown")
	}
	wantOnPage(t, look(url.Values{"q": {"nowhere"}}), "None is like that so far. Look further")
	wantOnPage(t, look(url.Values{"q": {"nowhere"}, "page_token": {"20000"}}), "None is like that. Change or clear the filter.")
}

func TestAComparisonHasSizesWhereTheFilesAreListed(t *testing.T) {
	c := newContract()
	c.ended("diff", `{"from":"`+olderID+`","to":"`+snapshotID+`"}`, `{}`, "succeeded")
	c.answers["GET /api/v1/jobs/"+jobID+"/rows"] = api.RowPage{Total: 2, Rows: []api.Row{api.Row(`{"path":"/etc/nginx/","modifier":"M","change":"changed"}`), api.Row(`{"path":"/etc/nginx/gone.conf","modifier":"-","change":"removed"}`)}}
	h := newPages(t, c)
	body := visitPage(t, h, "GET", "/jobs/"+jobID, nil).Body.String()
	wantOnPage(t, body, `data-label="Before" class="num"><span><data value="2000"`, `data-label="After" class="num"><span><data value="2000"`, `data-label="After" class="num"><span>–`)
	if strings.Contains(body, "once to have them listed") {
		t.Error("a listing is asked for although both are there")
	}
	c.lists["GET "+repositoryPath+"/snapshots/"+olderID+"/entries"] = func(*http.Request) any {
		return &api.Problem{Status: 409, Code: "snapshot_not_indexed", Title: "Not listed"}
	}
	body = visitPage(t, h, "GET", "/jobs/"+jobID, nil).Body.String()
	wantOnPage(t, body, `<a class="mono" href="/repositories/`+repositoryID+`/snapshots/`+olderID+`">aaaaaaaa</a> once to have them listed`, `data-label="After"`)
	if strings.Contains(body, `data-label="Before"`) {
		t.Error("a size is told of a snapshot that was not listed")
	}
}

func TestAJobSaysWhatItWasAskedFor(t *testing.T) {
	c := newContract()
	c.ended("restore", `{"repository_id":"`+repositoryID+`","snapshot_id":"`+snapshotID+`","paths":["/etc","/srv"],"target":"staging","verify":true,"unknown":1}`, `{}`, "succeeded")
	wantOnPage(t, visitPage(t, newPages(t, c), "GET", "/jobs/"+jobID, nil).Body.String(), `<dt>Snapshot id</dt><dd><a class="mono" href="`+snapshotURL+`">bbbbbbbb</a>`, `<dt>Paths</dt><dd><span class="mono">/etc</span><br><span class="mono">/srv</span></dd>`, "<dt>Verify</dt><dd>yes</dd>")
	c.ended("forget", `{"mode":"other"}`, `{}`, "succeeded")
	wantOnPage(t, visitPage(t, newPages(t, c), "GET", "/jobs/"+jobID, nil).Body.String(), "<dt>How</dt><dd>Another way</dd>")
	list := c.answers["GET /api/v1/operations"].(api.OperationList)
	list.Operations = append(list.Operations, api.Operation{Name: "copy", Fields: []api.OperationField{
		{Name: "from_repository_id", Label: "From", Type: "uuid"}, {Name: "secret_id", Label: "Hidden", Type: "uuid"},
		{Name: "way", Label: "Way", Type: "string", Choices: []api.FieldChoice{{Value: "short", Label: "The short one"}}},
	}, Facts: []api.OperationColumn{{Name: "way", Label: "Went", Type: "text"}}})
	c.answers["GET /api/v1/operations"] = list
	c.ended("copy", `{"from_repository_id":"`+repositoryID+`","secret_id":"`+olderID+`"}`, `{"way":"short"}`, "succeeded")
	name := string(c.answers["GET "+repositoryPath].(api.Repository).Name)
	body := visitPage(t, newPages(t, c), "GET", "/jobs/"+jobID, nil).Body.String()
	wantOnPage(t, body, "<dt>From</dt><dd>"+html.EscapeString(name)+"</dd>", "<dt>Went</dt><dd>The short one</dd>")
	if strings.Contains(body, "Hidden") {
		t.Error("the id of a secret that the server filled in is shown")
	}
}

func TestTwoSnapshotsAreComparedFromTheOlderToTheNewer(t *testing.T) {
	keys := []string{repositoryID + ":" + snapshotID, repositoryID + ":" + olderID}
	for name, tc := range map[string]struct {
		picked []string
		want   string
	}{
		"in either order": {keys, ""}, "the other way round": {[]string{keys[1], keys[0]}, ""},
		"one": {keys[:1], "Pick two snapshots; 1 were picked."}, "twice the same": {[]string{keys[0], keys[0]}, "Pick two"},
		"two repositories": {[]string{keys[0], hostID + ":" + olderID}, "different repositories"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContract()
			w := visitPage(t, newPages(t, c), "POST", "/compare", url.Values{"s": tc.picked})
			if tc.want != "" {
				if wantOnPage(t, w.Body.String(), tc.want); len(c.got) > 0 {
					t.Errorf("sent %q", c.got)
				}
				return
			}
			want := "POST " + repositoryPath + `/jobs {"operation":"diff","params":{"from":"` + olderID + `","to":"` + snapshotID + `"}}`
			if len(c.got) != 1 || c.got[0] != want || w.Header().Get("Location") != "/jobs/"+jobID {
				t.Errorf("sent %q, want %q; led to %q", c.got, want, w.Header().Get("Location"))
			}
		})
	}
}

func TestARestoreIsOrderedAsItWasChosen(t *testing.T) {
	at := "/hosts/" + hostID + "/restore"
	base := url.Values{"repository": {repositoryID}, "snapshot": {snapshotID}, "to": {"staging"}, "path": {"/etc", "/etc/nginx", "/etc"}, "do": {"run"}, "overwrite": {"if-newer"}, "typed": {"web-1"}}
	with := func(name string, values ...string) url.Values {
		q := url.Values{}
		for k, v := range base {
			q[k] = v
		}
		q[name] = values
		return q
	}
	order := func(params, confirm string) string {
		return "POST /api/v1/hosts/" + hostID + `/jobs {` + confirm + `"operation":"restore","params":{"snapshot_id":"` + snapshotID + `",` + params + `},"repository_id":"` + repositoryID + `"}`
	}
	const typed = `"confirm":"web-1",`
	for name, tc := range map[string]struct {
		form       url.Values
		sent, want string
	}{
		"to a fresh folder":          {base, order(`"paths":["/etc"],"target":"staging"`, typed), ""},
		"everything":                 {with("path", "/", "/etc"), order(`"target":"staging"`, typed), ""},
		"in place":                   {with("to", "in_place"), order(`"paths":["/etc"],"target":"in_place","overwrite":"if-newer"`, typed), ""},
		"a dry run needs no name":    {with("do", "dry"), order(`"paths":["/etc"],"target":"staging","dry_run":true`, ""), ""},
		"nothing picked":             {with("path"), "", "Pick files or folders, or everything."},
		"what is no path":            {with("path", "etc"), "", "Pick files or folders, or everything."},
		"another host, not chosen":   {with("to", "other"), "", "Choose a host."},
		"a folder is opened instead": {with("toggle", "/home"), "", `value="/home/&lt;img`},
		"a search instead":           {with("do", "find"), "", "is called like that"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContract()
			if name == "a search instead" {
				tc.form = with("do", "find")
				tc.form["find"] = []string{"fstab"}
			}
			w := visitPage(t, newPages(t, c), "POST", at, tc.form)
			if tc.sent == "" {
				if wantOnPage(t, w.Body.String(), tc.want); len(c.got) > 0 {
					t.Errorf("sent %q", c.got)
				}
				return
			}
			if len(c.got) != 1 || c.got[0] != tc.sent || w.Code != http.StatusSeeOther {
				t.Errorf("got %d, sent %q, want %q", w.Code, c.got, tc.sent)
			}
		})
	}
}

// posted are the paths in the form of a page as a browser posts them: reading the page it takes
// each CR for a LF, and it sends each LF as CR LF.
func posted(body string) (paths []string) {
	for _, m := range regexp.MustCompile(`name="path" value="([^"]*)"( checked)?`).FindAllStringSubmatch(body, -1) {
		if m[2] != "" || strings.Contains(body, `<input type="hidden" `+m[0]) {
			read := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(html.UnescapeString(m[1]))
			paths = append(paths, strings.ReplaceAll(read, "\n", "\r\n"))
		}
	}
	return paths
}

func TestAPathWithALineEndIsRestoredAsItIs(t *testing.T) {
	for name, picked := range map[string][]string{
		"in the tree":      {"/srv/two\nlines", "/srv/carriage\rreturn", "/srv/return\r/50%0A\t\u202e"},
		"a folder":         {"/srv/return\r"},
		"not in the tree":  {"/srv/none\r\n", "/srv/%0D", "/srv/%25"},
		"nothing uncommon": {"/etc/nginx"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContract()
			pages := newPages(t, c)
			chosen := url.Values{"repository": {repositoryID}, "snapshot": {snapshotID}, "path": picked}
			from := visitPage(t, pages, "GET", "/restore?"+chosen.Encode(), nil)
			for range 2 { // from an address, and from the form of a snapshot's page
				chosen["path"] = posted(visitPage(t, pages, "GET", from.Header().Get("Location"), nil).Body.String())
				from = visitPage(t, pages, "POST", "/restore", chosen)
			}
			chosen.Set("to", "staging")
			chosen.Set("do", "run")
			visitPage(t, pages, "POST", "/hosts/"+hostID+"/restore", chosen)
			if len(c.got) != 1 {
				t.Fatalf("sent %q", c.got)
			}
			var order struct{ Params restoreParams }
			_, body, _ := strings.Cut(c.got[0], "jobs ")
			if err := json.Unmarshal([]byte(body), &order); err != nil {
				t.Fatal(err)
			}
			slices.Sort(order.Params.Paths)
			slices.Sort(picked)
			if !slices.Equal(order.Params.Paths, picked) {
				t.Errorf("ordered %q, want %q", order.Params.Paths, picked)
			}
		})
	}
}

func TestAFolderWithALineEndOpensWithoutAScript(t *testing.T) {
	pages := newPages(t, newContract())
	body := visitPage(t, pages, "POST", "/hosts/"+hostID+"/restore", url.Values{"repository": {repositoryID}, "snapshot": {snapshotID}, "toggle": {"/srv/return%0D"}}).Body.String()
	wantOnPage(t, body, `name="open" value="/srv/return%0D"`, `data-path="/srv/return%0D/50%250A`+"\t")
}

func TestARefusedRestoreKeepsWhatWasChosenAndSaysItWhereItBelongs(t *testing.T) {
	c := newContract()
	c.answers["POST /api/v1/hosts/"+hostID+"/jobs"] = &api.Problem{Status: 422, Code: "confirmation_required", Title: "Not valid", Field: "/confirm", Detail: "Type the host's name."}
	w := visitPage(t, newPages(t, c), "POST", "/hosts/"+hostID+"/restore", url.Values{"repository": {repositoryID}, "snapshot": {snapshotID}, "to": {"in_place"}, "path": {"/etc"}, "do": {"run"}, "verify": {"true"}, "typed": {"wrong"}})
	wantOnPage(t, w.Body.String(), `id="f-typed-error"`, `value="wrong"`, `value="/etc" checked`, `name="to" value="in_place" checked`, `checked id="f-verify"`)
}

func TestASnapshotThatWasRemovedMeanwhileIsSaidAndTheNewestIsChosen(t *testing.T) {
	c := newContract()
	gone := strings.Repeat("9", 64)
	w := visitPage(t, newPages(t, c), "GET", "/hosts/"+hostID+"/restore?"+url.Values{"repository": {repositoryID}, "snapshot": {gone}, "path": {"/etc/fstab"}}.Encode(), nil)
	wantOnPage(t, w.Body.String(), "Snapshot 99999999 is not there any more", `name="snapshot" value="`+snapshotID+`"`, "<code>/etc/fstab</code>")
	if w.Code != 200 {
		t.Errorf("answered %d", w.Code)
	}
}

func TestNothingIsRestoredOnAHostThatIsAway(t *testing.T) {
	c := newContract()
	h := c.answers["GET /api/v1/hosts/"+hostID].(api.Host)
	h.Presence = api.PresenceOffline
	c.answers["GET /api/v1/hosts/"+hostID] = h
	wantOnPage(t, visitPage(t, newPages(t, c), "GET", "/hosts/"+hostID+"/restore?repository="+repositoryID+"&snapshot="+snapshotID, nil).Body.String(), "The host is offline. Nothing can be restored on it now")
	w := visitPage(t, newPages(t, c), "POST", "/hosts/"+hostID+"/restore", url.Values{"repository": {repositoryID}, "snapshot": {snapshotID}, "path": {"/etc"}, "to": {"staging"}, "do": {"run"}})
	wantOnPage(t, w.Body.String(), "The host is offline. Choose another host")
	if len(c.got) > 0 || w.Code != http.StatusUnprocessableEntity {
		t.Errorf("answered %d and sent %q", w.Code, c.got)
	}
}

// TestAPreviewOfABackupIsNeitherARestoreNorABackup on its page and when it is run again.
func TestAPreviewOfABackupIsNeitherARestoreNorABackup(t *testing.T) {
	c := newContract()
	c.ended("preview", "{}", `{"planned_files":7,"planned_bytes":9}`, "succeeded")
	j := c.answers["GET /api/v1/jobs/"+jobID].(api.Job)
	j.ScheduleId = scheduleID
	c.answers["GET /api/v1/jobs/"+jobID] = j
	pages := newPages(t, c)
	if body := visitPage(t, pages, "GET", "/jobs/"+jobID, nil).Body.String(); strings.Contains(strings.ToLower(body), "restored") {
		t.Error("its page speaks of a restore")
	}
	visitPage(t, pages, "POST", "/jobs/"+jobID+"/again", nil)
	if want := `POST /api/v1/hosts/` + hostID + `/jobs {"operation":"preview","schedule_id":"` + scheduleID + `"}`; !slices.Equal(c.got, []string{want}) {
		t.Errorf("run again it sent %q, want %q", c.got, want)
	}
}

func TestADryRunThatFailedSaysWhy(t *testing.T) {
	j := api.Job{Operation: "restore", Params: json.RawMessage(`{"dry_run":true}`), Outcome: &api.Outcome{Result: "failed", Code: "no_space", Message: "the disk has 2 GiB free, and 9 GiB are needed", NextStep: "Make room.", Facts: json.RawMessage(`{"planned_files":7,"planned_bytes":9}`)}}
	if got := verdictOf(j).Text; got != "Nothing was written. The disk has 2 GiB free, and 9 GiB are needed. Make room." {
		t.Errorf("got %q", got)
	}
}

func TestADryRunThatLacksSomethingDoesNotAgree(t *testing.T) {
	for _, result := range []api.JobResult{"warning", "failed", "cancelled", "interrupted"} {
		c := newContract()
		c.ended("restore", `{"snapshot_id":"`+snapshotID+`","paths":["/etc","/none"],"target":"staging","dry_run":true}`, `{"planned_files":4,"planned_bytes":2048,"errors":1}`, result)
		j := c.answers["GET /api/v1/jobs/"+jobID].(api.Job)
		j.Outcome.Message = "of the 2 paths that were chosen, the snapshot does not have 1"
		pages := newPages(t, c)
		for _, at := range []string{"/jobs/" + jobID, "/hosts/" + hostID + "/restore?dry=" + jobID} {
			body := visitPage(t, pages, "GET", at, nil).Body.String()
			if wantOnPage(t, body, "Nothing was written. Of the 2 paths that were chosen, the snapshot does not have 1."); strings.Contains(body, "Dry run agrees") {
				t.Errorf("%s: %s says that a dry run agrees", result, at)
			}
			if lacks := strings.Contains(body, "Dry run lacks something"); lacks != (result == "warning") {
				t.Errorf("%s: %s says that it lacks something: %v", result, at, lacks)
			}
		}
	}
}

func TestTheOtherOperationsOnASnapshotAreFilledIn(t *testing.T) {
	body := visitPage(t, newPages(t, newContract()), "GET", snapshotURL, nil).Body.String()
	wantOnPage(t, body, `href="/repositories/`+repositoryID+`/run/forget?snapshot_ids=`+snapshotID+`"`)
	wantOnPage(t, visitPage(t, newPages(t, newContract()), "GET", "/repositories/"+repositoryID+"/run/forget?snapshot_ids="+snapshotID, nil).Body.String(), `value="`+snapshotID+`" checked`)
}

func TestADryRunSaysWhetherItWasAboutTheSame(t *testing.T) {
	c := newContract()
	c.ended("restore", `{"snapshot_id":"`+snapshotID+`","paths":["/etc"],"target":"staging","dry_run":true}`, `{"planned_files":4,"planned_bytes":2048}`, "succeeded")
	pages := newPages(t, c)
	at := "/hosts/" + hostID + "/restore"
	wantOnPage(t, visitPage(t, pages, "GET", at+"?dry="+jobID, nil).Body.String(), "Dry run agrees", "restic would restore 4 entries", `value="/etc" checked`)
	form := url.Values{"repository": {repositoryID}, "snapshot": {snapshotID}, "to": {"staging"}, "path": {"/srv"}, "dry": {jobID}, "toggle": {"/srv"}}
	wantOnPage(t, visitPage(t, pages, "POST", at, form).Body.String(), "Something else is chosen now")
}

func TestWhereTheHostDoesNotAllowItsOwnPlacesTheChoiceIsOff(t *testing.T) {
	c := newContract()
	h := c.answers["GET /api/v1/hosts/"+hostID].(api.Host)
	h.Policy = &api.PolicyReport{State: "ok", Restore: api.RestoreRule{StagingDir: "/var/stage"}}
	c.answers["GET /api/v1/hosts/"+hostID] = h
	w := visitPage(t, newPages(t, c), "GET", "/hosts/"+hostID+"/restore?path=/srv/it%27s", nil)
	wantOnPage(t, w.Body.String(), `value="in_place" disabled`, "policy allow restore-in-place --under &#39;/srv/it&#39;\\&#39;&#39;s&#39; --for 24h", "/var/stage")
}

func TestTheFilesOfAHostThatIsGoneComeBackOnAnother(t *testing.T) {
	c := newContract()
	d := c.answers["GET "+snapshotAt].(api.SnapshotDetail)
	d.Snapshot.HostId, d.Snapshot.HostName = "", ""
	c.answers["GET "+snapshotAt] = d
	pages := newPages(t, c)
	wantOnPage(t, visitPage(t, pages, "GET", snapshotURL, nil).Body.String(), "its host is not here any more", `name="host_name"`)
	form := url.Values{"repository": {repositoryID}, "snapshot": {snapshotID}, "path": {"/etc"}, "host_name": {markup}}
	to := "/hosts/" + hostID + "/restore?path=%2Fetc&repository=" + repositoryID + "&snapshot=" + snapshotID
	if got := visitPage(t, pages, "POST", "/restore", form).Header().Get("Location"); got != to {
		t.Errorf("led to %q, want %q", got, to)
	}
	wantOnPage(t, visitPage(t, pages, "GET", to, nil).Body.String(), "<h1>Restore onto ", "Others of this repository")
	form.Del("host_name")
	if got := visitPage(t, pages, "POST", "/restore", form).Header().Get("Location"); got != snapshotURL+"?choose=1#restore" {
		t.Errorf("without a host led to %q", got)
	}
}

// TestASnapshotThatNobodyConfirmsSaysWhy in the list, on its own page and where it is restored.
func TestASnapshotThatNobodyConfirmsSaysWhy(t *testing.T) {
	c := newContract()
	d := c.answers["GET "+snapshotAt].(api.SnapshotDetail)
	d.Snapshot.HostId, d.Snapshot.HostName, d.Snapshot.JobId = "", "", ""
	d.Snapshot.Doubt = &api.SnapshotDoubt{Code: "job_told_another", Message: "The backup that it names has made another.", JobId: jobID, HostName: "web-7"}
	c.answers["GET "+snapshotAt] = d
	c.answers["GET /api/v1/snapshots"] = api.SnapshotPage{Snapshots: []api.Snapshot{d.Snapshot}}
	pages := newPages(t, c)
	page := visitPage(t, pages, "GET", snapshotURL, nil).Body.String()
	wantOnPage(t, page, "not confirmed", "Nobody confirms whose this snapshot is. The backup that it names has made another.", `href="/jobs/`+jobID+`"`, "web-7")
	if strings.Contains(page, "its host is not here any more") {
		t.Error("the page says that its host is gone")
	}
	wantOnPage(t, visitPage(t, pages, "GET", "/snapshots", nil).Body.String(), `title="The backup that it names has made another.">not confirmed`)
	wantOnPage(t, visitPage(t, pages, "GET", "/hosts/"+hostID+"/restore?repository="+repositoryID+"&snapshot="+snapshotID, nil).Body.String(), "not confirmed</span> The backup that it names has made another.")
}

// TestASnapshotThatWasMadeFromAnotherSaysSo since it has the time and host of that one.
func TestASnapshotThatWasMadeFromAnotherSaysSo(t *testing.T) {
	c := newContract()
	d := c.answers["GET "+snapshotAt].(api.SnapshotDetail)
	d.Snapshot.Original = strings.Repeat("ab", 32)
	c.answers["GET "+snapshotAt] = d
	beside := d.Snapshot
	beside.Id, beside.Original = strings.Repeat("cd", 32), strings.Repeat("ef", 32)
	c.answers["GET /api/v1/snapshots"] = api.SnapshotPage{Snapshots: []api.Snapshot{d.Snapshot, beside}}
	pages := newPages(t, c)
	wantOnPage(t, visitPage(t, pages, "GET", snapshotURL, nil).Body.String(), "made from <code>abababab</code>", "cdcdcdcd, made from efefefef")
	wantOnPage(t, visitPage(t, pages, "GET", "/snapshots", nil).Body.String(), `made from <span class="mono">abababab</span>`)
}

func TestAFormLeadsBackToPagesOfOursAlone(t *testing.T) {
	for back, want := range map[string]string{"/hosts/x/restore?path=%2Fetc": "/hosts/x/restore?path=%2Fetc", "//evil.test/": snapshotURL, "https://evil.test/": snapshotURL, "/\\evil.test": snapshotURL, "": snapshotURL} {
		c := newContract()
		w := visitPage(t, newPages(t, c), "POST", snapshotURL+"/index", url.Values{"back": {back}})
		if got := w.Header().Get("Location"); got != want || len(c.got) != 1 {
			t.Errorf("%q led to %q, want %q; sent %q", back, got, want, c.got)
		}
	}
}

func TestAnyOperationIsStartedByItsFields(t *testing.T) {
	form := url.Values{"snapshot_ids": {snapshotID, olderID}, "most": {"7"}, "dry_run": {"true"}, "reason": {" as it was "}, "mode": {""}, "confirm": {"nas"}}
	t.Run("at a repository", func(t *testing.T) {
		c := newContract()
		w := visitPage(t, newPages(t, c), "POST", "/repositories/"+repositoryID+"/run/forget", form)
		want := "POST " + repositoryPath + `/jobs {"confirm":"nas","operation":"forget","params":{"dry_run":true,"most":7,"reason":" as it was ","snapshot_ids":["` + snapshotID + `","` + olderID + `"]}}`
		if len(c.got) != 1 || c.got[0] != want || w.Header().Get("Location") != "/jobs/"+jobID {
			t.Errorf("sent %q, want %q", c.got, want)
		}
	})
	t.Run("at a host, which names the repository", func(t *testing.T) {
		c := newContract()
		visitPage(t, newPages(t, c), "POST", "/hosts/"+hostID+"/run/restore", url.Values{"repository_id": {repositoryID}, "snapshot_id": {snapshotID}, "paths": {"/etc\r\n/srv\r\n"}, "target": {"staging"}})
		want := "POST /api/v1/hosts/" + hostID + `/jobs {"operation":"restore","params":{"paths":["/etc","/srv"],"snapshot_id":"` + snapshotID + `","target":"staging"},"repository_id":"` + repositoryID + `"}`
		if len(c.got) != 1 || c.got[0] != want {
			t.Errorf("sent %q, want %q", c.got, want)
		}
	})
	t.Run("what is no number is marked and sent nowhere", func(t *testing.T) {
		c := newContract()
		form["most"] = []string{"many"}
		w := visitPage(t, newPages(t, c), "POST", "/repositories/"+repositoryID+"/run/forget", form)
		wantOnPage(t, w.Body.String(), "Type a whole number.", `value="many"`, `value="`+olderID+`" checked`, `value=" as it was "`)
		if len(c.got) > 0 {
			t.Errorf("sent %q", c.got)
		}
	})
	t.Run("the contract's mistakes stand at their fields", func(t *testing.T) {
		c := newContract()
		form["most"] = []string{"7"}
		c.answers["POST "+repositoryPath+"/jobs"] = &api.Problem{Status: 422, Code: "invalid_field", Title: "Not valid", Fields: []api.FieldProblem{{Field: "/params/most", Detail: "Too many."}, {Field: "/confirm", Detail: "Not its name."}, {Field: "/params/snapshot_ids/0", Detail: "Protected."}}}
		w := visitPage(t, newPages(t, c), "POST", "/repositories/"+repositoryID+"/run/forget", form)
		wantOnPage(t, w.Body.String(), `id="f-most-error"`, `id="f-confirm-error"`, `id="f-snapshot_ids-error"`, "Not its name.")
	})
	t.Run("its options are told in words, and the usual one is sent by leaving it out", func(t *testing.T) {
		c := newContract()
		body := visitPage(t, newPages(t, c), "GET", "/repositories/"+repositoryID+"/run/forget", nil).Body.String()
		wantOnPage(t, body, `<option value="as-it-is" selected>As it is (as usual)</option>`, `>Another way</option>`, `<details><summary>Rarely needed`, `<span class="vh">, in %</span>`, "So much of it. From 1 to 100. Left empty: nothing.")
		form := url.Values{"snapshot_ids": {olderID}, "mode": {"as-it-is"}, "share": {"5"}, "confirm": {"nas"}}
		visitPage(t, newPages(t, c), "POST", "/repositories/"+repositoryID+"/run/forget", form)
		want := "POST " + repositoryPath + `/jobs {"confirm":"nas","operation":"forget","params":{"share":5,"snapshot_ids":["` + olderID + `"]}}`
		if len(c.got) != 1 || c.got[0] != want {
			t.Errorf("sent %q, want %q", c.got, want)
		}
		form.Set("mode", "other")
		form.Set("share", "x")
		body = visitPage(t, newPages(t, c), "POST", "/repositories/"+repositoryID+"/run/forget", form).Body.String()
		wantOnPage(t, body, `<option value="other" selected>`, `<details open><summary>Rarely needed`, "Type a whole number.")
	})
	t.Run("a name is asked for where the contract wants one", func(t *testing.T) {
		c := newContract()
		c.answers["POST /api/v1/hosts/"+hostID+"/jobs"] = &api.Problem{Status: 422, Code: "confirmation_required", Title: "Type the name", Detail: "Type the host's name."}
		w := visitPage(t, newPages(t, c), "POST", "/hosts/"+hostID+"/run/restore", url.Values{"target": {"in_place"}})
		wantOnPage(t, w.Body.String(), `name="confirm"`)
	})
}

func TestWhatAHostCannotDoIsSaidBesideIt(t *testing.T) {
	body := visitPage(t, newPages(t, newContract()), "GET", "/hosts/"+hostID+"/run", nil).Body.String()
	wantOnPage(t, body, "only at a maintenance host", "from the host&#39;s schedules", `href="/hosts/`+hostID+`/schedules"`, `href="/hosts/`+hostID+`/run/diff"`, `href="/hosts/`+hostID+`/restore"`)
	if strings.Contains(body, `/run/forget"`) {
		t.Error("what the host's policy does not allow is offered")
	}
}
