package ui

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"restic-manager/server/api"
	"restic-manager/web/webtest"
)

var unlistedID, failedID = strings.Repeat("c", 64), strings.Repeat("f", 64)

const (
	restoredID = "01936f0e-5c1a-7c3e-9a54-000000000021"
	comparedID = "01936f0e-5c1a-7c3e-9a54-000000000022"
	dryID      = "01936f0e-5c1a-7c3e-9a54-000000000023"
	listingID  = "01936f0e-5c1a-7c3e-9a54-000000000024"
	waitingID  = "01936f0e-5c1a-7c3e-9a54-000000000025"
)

// sampleRestores adds to the fleet's morning a host that is being restored.
func (c *contract) sampleRestores(h api.Host) {
	h.Name, h.Presence = "web-1", "online"
	h.Policy.Restore = api.RestoreRule{StagingDir: "/var/lib/restic-manager-agent/restore", InPlace: []string{"/srv", "/etc/nginx"}}
	c.answers["GET /api/v1/hosts/"+hostID] = h
	add := func(id string, ago time.Duration, bytes int64) api.Snapshot {
		s := api.Snapshot{Id: id, RepositoryId: repositoryID, RepositoryName: "nas-main", HostId: hostID, HostName: "web-1", JobId: jobID, Time: noon.Add(-ago), FirstSeenAt: noon, Hostname: "web-1", Username: "root", Paths: []string{"/etc", "/home", "/srv"}, Tags: []string{"rm:x", "prod"}, Files: 1302118, Bytes: bytes, BytesAdded: bytes / 100}
		at := repositoryPath + "/snapshots/" + id
		c.answers["GET "+at] = api.SnapshotDetail{Snapshot: s, Version: 4, Index: api.SnapshotIndex{State: "ready", Entries: 1420011, MadeAt: noon.Add(-time.Hour)}}
		c.files(at)
		return s
	}
	list := []api.Snapshot{add(snapshotID, 9*time.Hour, 238<<30), add(olderID, 33*time.Hour, 237<<30), add(strings.Repeat("d", 64), 57*time.Hour, 236<<30), add(strings.Repeat("e", 64), 81*time.Hour, 235<<30)}
	c.answers["GET /api/v1/snapshots"] = api.SnapshotPage{Snapshots: list, NextPageToken: "n"}
	unlisted := list[1]
	unlisted.Id = unlistedID
	c.answers["GET "+repositoryPath+"/snapshots/"+unlistedID] = api.SnapshotDetail{Snapshot: unlisted, Version: 2, Index: api.SnapshotIndex{State: "building", JobId: listingID}}
	unlisted.Id = failedID
	c.answers["GET "+repositoryPath+"/snapshots/"+failedID] = api.SnapshotDetail{Snapshot: unlisted, Version: 2, Index: api.SnapshotIndex{State: "failed", Message: "restic could not read the repository: connection refused."}}
	job := api.Job{HostId: hostID, HostName: "web-1", RepositoryId: repositoryID, RepositoryName: "nas-main", Operation: "restore", Trigger: "run-now", CreatedBy: "ana", State: "finished", CreatedAt: noon.Add(-time.Hour), StartedAt: noon.Add(-time.Hour), FinishedAt: noon.Add(-58 * time.Minute), Version: 3, Attempt: 1,
		Params: json.RawMessage(`{"snapshot_id":"` + snapshotID + `","paths":["/etc/nginx","/srv"],"target":"staging","verify":true}`)}
	events := api.EventPage{Events: []api.Event{{Seq: 1, At: noon, Kind: "finished"}}, End: true}
	restored := job
	restored.Id, restored.Outcome = restoredID, &api.Outcome{Result: "warning", Code: "some_not_restored", Message: "3 entries could not be restored.", NextStep: "Look at the entries below.", Rows: 3, Facts: json.RawMessage(`{"target_path":"/var/lib/restic-manager-agent/restore/2026-11-21-0314","planned_files":1204,"planned_bytes":3554312192,"restored_files":1201,"restored_bytes":3554300000,"errors":3,"verified":true,"not_restored":["xattr"]}`)}
	compared := job
	compared.Id, compared.Operation, compared.Params = comparedID, "diff", json.RawMessage(`{"from":"`+olderID+`","to":"`+snapshotID+`"}`)
	compared.Outcome = &api.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"added_files":2,"added_bytes":40960}`), Rows: 3}
	dry := job
	dry.Id, dry.Params, dry.Outcome = dryID, json.RawMessage(`{"snapshot_id":"`+snapshotID+`","paths":["/etc/nginx","/srv"],"target":"staging","verify":true,"dry_run":true}`), &api.Outcome{Result: "succeeded", Facts: json.RawMessage(`{"planned_files":1204,"planned_bytes":3554312192}`)}
	listing := job
	listing.Id, listing.Operation, listing.State, listing.FinishedAt, listing.Progress = listingID, "index", "running", time.Time{}, &api.Progress{At: noon, Percent: 34, FilesDone: 481_200}
	waiting := job
	waiting.Id, waiting.Operation, waiting.State, waiting.FinishedAt, waiting.StartedAt, waiting.WaitingOn = waitingID, "forget", "waiting", time.Time{}, time.Time{}, "backup at web-1 since 2026-11-21 09:00 UTC and 1 more job"
	for _, j := range []api.Job{restored, compared, dry, listing, waiting} {
		c.answers["GET /api/v1/jobs/"+string(j.Id)] = j
		c.answers["GET /api/v1/jobs/"+string(j.Id)+"/events"] = events
	}
	rows := func(list ...string) any {
		p := api.RowPage{Total: int64(len(list))}
		for _, s := range list {
			p.Rows = append(p.Rows, api.Row(s))
		}
		return p
	}
	c.answers["GET /api/v1/jobs/"+restoredID+"/rows"] = rows(`{"path":"/srv/www/shop/uploads/2026/11/a-rather-long-name-of-a-picture-that-somebody-uploaded.jpeg","what":"error","detail":"no space left on device"}`, `{"path":"/srv/www/shop/cache","what":"error","detail":"permission denied"}`, `{"path":"/etc/nginx/run.sh","what":"stripped","detail":"setuid"}`)
	c.answers["GET /api/v1/jobs/"+comparedID+"/rows"] = rows(`{"path":"/etc/nginx/nginx.conf","modifier":"M","change":"changed"}`, `{"path":"/srv/www/shop/composer.lock","modifier":"-","change":"removed"}`, `{"path":"/home/ana/notes/","modifier":"+","change":"added"}`)
}

// wizard serves the sample fleet to a tab.
func wizard(t *testing.T, c *contract) string {
	t.Helper()
	site := httptest.NewServer(signedIn(c, newPages(t, c)))
	t.Cleanup(func() {
		site.CloseClientConnections()
		site.Close()
	})
	return site.URL
}

// By keyboard alone: find the file, pick it, have it told, restore it.
func TestFilesAreFoundPickedAndRestoredByKeyboard(t *testing.T) {
	c := sampleFleet()
	c.answers["POST /api/v1/hosts/"+hostID+"/jobs"] = api.Job{Id: restoredID}
	url := wizard(t, c)
	tab := openTab(t)
	webtest.Do(t, tab, chromedp.Navigate(url+known.Replace("/hosts/{host}/restore")))
	webtest.Until(t, tab, `document.querySelector(".tree[role=tree]") !== null`)
	focused := func(want string) {
		t.Helper()
		webtest.Until(t, tab, fmt.Sprintf(`document.activeElement.dataset.path === %q`, want))
	}
	press := func(keys ...string) {
		t.Helper()
		for _, k := range keys {
			webtest.Do(t, tab, chromedp.KeyEvent(k))
		}
	}
	webtest.Value[bool](t, tab, `(document.querySelector(".tree li").focus(), true)`)
	press(kb.ArrowDown, kb.ArrowRight)
	focused("/etc")
	webtest.Until(t, tab, `document.activeElement.getAttribute("aria-expanded") === "true"`)
	press(kb.ArrowRight)
	focused("/etc/nginx")
	press(" ", kb.ArrowDown)
	focused("/etc/fstab")
	press(kb.ArrowLeft)
	focused("/etc")
	webtest.Until(t, tab, `document.activeElement.getAttribute("aria-checked") === "mixed"`)
	press(kb.ArrowLeft)
	webtest.Until(t, tab, `!document.querySelector('[data-path="/etc/nginx"]')`) // closed; still picked
	press("s")
	focused("/srv")
	press(kb.Home)
	focused("/")
	press("/")
	webtest.Until(t, tab, `document.activeElement.id === "find"`)
	webtest.Value[bool](t, tab, `(document.activeElement.value = "", true)`) // a driver types the key although the page took it
	press("f", "s", "t", "a", "b")
	webtest.Until(t, tab, `document.querySelectorAll(".tree li").length === 1 && document.querySelector(".tree label").textContent === "/etc/fstab"`)
	press(kb.ArrowDown, " ")
	webtest.Until(t, tab, `document.querySelector("[data-paths]").textContent === "/etc/nginx/etc/fstab"`)
	if got := webtest.Value[string](t, tab, `document.querySelector(".sticky [data-picked]").textContent`); got != "2 files, 2.9\u00a0KiB" {
		t.Errorf("the review says %q", got)
	}
	webtest.Keep(t, tab, "restore-picked")
	if kept := webtest.Value[string](t, tab, `location.search`); !strings.Contains(kept, "path=%2Fetc%2Fnginx&path=%2Fetc%2Ffstab") || !strings.Contains(kept, "to=staging") {
		t.Errorf("a reload finds of what was chosen %s", kept)
	}
	webtest.Value[bool](t, tab, `(document.querySelector("button[value=run]").focus(), true)`)
	press(kb.Enter)
	webtest.Until(t, tab, `location.pathname === "/jobs/`+restoredID+`"`)
	want := "POST /api/v1/hosts/" + hostID + `/jobs {"operation":"restore","params":{"snapshot_id":"` + snapshotID + `","paths":["/etc/nginx","/etc/fstab"],"target":"staging"},"repository_id":"` + repositoryID + `"}`
	if !slices.Contains(c.got, want) {
		t.Errorf("sent %q, want %q", c.got, want)
	}
}

// Names with line ends are picked in rows that the server drew and in those of the script.
func TestFilesWithLineEndsInTheirNamesArePickedAndRestored(t *testing.T) {
	for name, tc := range map[string]struct{ address, open string }{
		"of the script": {"", "/srv"},
		"of the server": {"&path=%2Fsrv%2Ftwo%0Alines", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := sampleFleet()
			c.answers["POST /api/v1/hosts/"+hostID+"/jobs"] = api.Job{Id: restoredID}
			url := wizard(t, c)
			tab := openTab(t)
			webtest.Do(t, tab, chromedp.Navigate(url+"/hosts/"+hostID+"/restore?repository="+repositoryID+"&snapshot="+snapshotID+tc.address))
			webtest.Until(t, tab, `document.querySelector(".tree[role=tree]") !== null`)
			row := func(shown string) string {
				return fmt.Sprintf(`[...document.querySelectorAll(".tree li")].find((row) => row.querySelector("label").textContent === %q)`, shown)
			}
			press := func(shown, control string) {
				t.Helper()
				webtest.Until(t, tab, row(shown)+" !== undefined")
				webtest.Value[bool](t, tab, "("+row(shown)+`.querySelector("`+control+`").click(), true)`)
			}
			if tc.open != "" {
				press("srv/", ".twist")
				press("two␊lines", "input")
			}
			press("carriage␍return", "input")
			press("return␍/", ".twist")
			press("50%0A␉⟨U+202E⟩", "input")
			webtest.Until(t, tab, `document.querySelector("[data-paths]").textContent === "/srv/two␊lines/srv/carriage␍return/srv/return␍/50%0A␉⟨U+202E⟩"`)
			webtest.Do(t, tab, chromedp.Reload())
			webtest.Until(t, tab, `document.querySelectorAll("[data-picks] input").length === 3 && document.querySelector(".tree[role=tree]") !== null`)
			if got := webtest.Value[string](t, tab, `[...document.querySelectorAll(".tree [aria-checked=true] label")].map((label) => label.textContent).join()`); got != "50%0A␉⟨U+202E⟩,two␊lines,carriage␍return" {
				t.Errorf("a reload shows as picked %q", got)
			}
			webtest.Value[bool](t, tab, `(document.querySelector("button[value=run]").click(), true)`)
			webtest.Until(t, tab, `location.pathname === "/jobs/`+restoredID+`"`)
			for _, sent := range c.got {
				_, body, _ := strings.Cut(sent, "/jobs ")
				var order struct{ Params restoreParams }
				if json.Unmarshal([]byte(body), &order) != nil {
					continue
				}
				slices.Sort(order.Params.Paths)
				if !slices.Equal(order.Params.Paths, []string{"/srv/carriage\rreturn", "/srv/return\r/50%0A\t\u202e", "/srv/two\nlines"}) {
					t.Errorf("ordered %q", order.Params.Paths)
				}
				return
			}
			t.Errorf("sent %q", c.got)
		})
	}
}

// A snapshot is listed when somebody looks at it first, once, and then shows its files
// without a new page.
func TestASnapshotIsMadeBrowsableByLookingAtIt(t *testing.T) {
	c := sampleFleet()
	var asked, ready bool
	at := repositoryPath + "/snapshots/" + unlistedID
	detail := c.answers["GET "+at].(api.SnapshotDetail)
	posts := 0
	c.lists["GET "+at] = func(r *http.Request) any {
		d := detail
		switch {
		case !asked:
			d.Index, d.Version = api.SnapshotIndex{State: "none"}, 1
		case ready:
			d.Index, d.Version = api.SnapshotIndex{State: "ready", Entries: 9}, 3
		}
		ready = ready || asked && r.URL.Query().Get("if_version") == "2"
		return d
	}
	c.lists["POST "+at+"/index"] = func(*http.Request) any {
		asked = true
		posts++
		return detail
	}
	c.files(at)
	url := wizard(t, c)
	tab := openTab(t)
	webtest.Do(t, tab, chromedp.Navigate(url+"/repositories/"+repositoryID+"/snapshots/"+unlistedID))
	webtest.Until(t, tab, `document.querySelector(".tree[role=tree] [data-path='/etc']") !== null`)
	if posts != 1 {
		t.Errorf("it was asked for %d times", posts)
	}
}

func TestTheFilesOfASnapshotOpenByLinksWithoutAScript(t *testing.T) {
	pages := newPages(t, newContract())
	body := visitPage(t, pages, "GET", snapshotURL+"?path=/etc", nil).Body.String()
	wantOnPage(t, body, `data-path="/etc/nginx"`, `href="`+snapshotURL+`?path=%2Fetc%2Fnginx"`, `value="/srv"`)
	if strings.Contains(body, `data-path="/home/link"`) && !strings.Contains(body, "?path=%2Fhome") {
		t.Error("a folder that was not opened is open")
	}
	wantOnPage(t, visitPage(t, pages, "GET", snapshotURL+"?q=*.conf", nil).Body.String(), "1 entry is called like that.", ">/etc/nginx/nginx.conf</label>", `data-elsewhere hidden`)
	wantOnPage(t, visitPage(t, pages, "GET", snapshotURL+"?q=no+such", nil).Body.String(), `data-elsewhere><a href="/repositories/`+repositoryID+`/run/find?ignore_case=true&amp;patterns=%2Ano&#43;such%2A">`)
}
