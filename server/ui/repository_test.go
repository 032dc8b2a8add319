package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/server/api"
	"restic-manager/web"
)

// sampleRepository fills in what is known of a repository after some months, with its
// locks, sizes and last preview.
func (c *contract) sampleRepository(r *api.Repository) {
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	const day = 24 * time.Hour
	r.Hosts, r.Schedules, r.Snapshots = 12, 14, 533
	r.Hold = api.RepositoryHold{JobId: jobID, HostName: "nas", Operation: "prune", Running: true, Since: ago(12 * time.Minute), HeldBackUntil: ago(-time.Hour)}
	r.Maintenance = api.RepositoryMaintenance{Mode: "folder", HostId: hostID, HostName: "nas", Location: "/srv/restic/main/", Allowed: "yes",
		Floors: api.MaintenanceRule{Location: "/srv/restic/", RunAs: "restic", KeepDays: 14, KeepLast: 3, MaxDeleteFraction: 0.3, UndoDays: 14}}
	r.Plan = api.MaintenancePlan{Zone: "Europe/Paris", Retention: "30 4 * * *", Prune: "0 5 * * 0", Check: "0 6 * * *", CheckParts: 28, Measure: "30 6 * * *"}
	brief := func(operation string, result api.JobResult, d time.Duration) *api.JobBrief {
		return &api.JobBrief{Id: jobID, Operation: operation, State: "finished", Result: result, At: ago(d)}
	}
	r.Health = api.RepositoryHealth{MeasuredAt: ago(5 * time.Hour), StoredBytes: 612 << 30, PlainBytes: 790 << 30, SourceBytes: 3100 << 30, Blobs: 8_231_114, GrowthBytesPerDay: 2 << 30, FreeBytes: 300 << 30, TotalBytes: 1 << 40,
		FullAt: noon.Add(150 * day), LastCheck: brief("check", "succeeded", 6*time.Hour), LastGoodCheckAt: ago(6 * time.Hour), ReadShare: 0.62, LastPrune: brief("prune", "succeeded", 6*day), LastRetention: brief("retention", "succeeded", 7*time.Hour),
		UndoUntil: noon.Add(8 * day), Locks: 3, Keys: 1, ForeignObjects: 2, Suspects: 1, InspectJobId: jobID, AppendProvenAt: ago(9 * time.Hour),
		NextCheckAt: noon.Add(18 * time.Hour), NextPruneAt: noon.Add(17 * time.Hour), NextRetentionAt: noon.Add(16 * time.Hour), NextMeasureAt: noon.Add(19 * time.Hour)}
	lock := func(id string, host string, pid int, alive api.RepositoryLockAlive, removable api.RepositoryLockRemovable) api.RepositoryLock {
		return api.RepositoryLock{Id: strings.Repeat(id, 64), Hostname: host, HostName: host, Username: "root", Pid: pid, Alive: alive, AliveAt: ago(time.Minute), Removable: removable, CreatedAt: ago(time.Duration(pid) * time.Second)}
	}
	alive, dead, foreign := lock("a", "nas", 4120, "yes", ""), lock("b", "web-1", 812, "no", "by_rule"), lock("c", "old-laptop", 90_000, "unknown", "typed")
	alive.HostId, alive.JobId, alive.Operation, alive.Exclusive = hostID, jobID, "prune", true
	dead.HostId, foreign.HostName, foreign.AliveAt = hostID, "", time.Time{}
	c.answers["GET "+repositoryPath+"/locks"] = api.LockList{SeenAt: ago(time.Minute), Locks: []api.RepositoryLock{alive, dead, foreign}}
	var sizes api.RepositorySizes
	for n := range 90 {
		d := api.RepositoryDay{Day: history().To, StoredBytes: (440 + int64(n)*2 - int64(n/7)*3) << 30, PlainBytes: 700 << 30, SourceBytes: 3000 << 30, Snapshots: int64(400 + n)}
		d.Day.Time = noon.AddDate(0, 0, n-89)
		sizes.Days = append(sizes.Days, d)
	}
	c.answers["GET "+repositoryPath+"/sizes"] = sizes
	var rows api.RowPage
	for n := range 40 {
		verdict, why := "keep", fmt.Sprintf("daily %d of 7", n+1)
		switch {
		case n == 3:
			verdict, why = "suspect", "claims another day than it was first seen on"
		case n > 30:
			verdict, why = "later", "one run removes no more"
		case n > 12:
			verdict, why = "remove", "no rule keeps it"
		}
		claims := ago(time.Duration(n) * day)
		if n == 3 {
			claims = claims.Add(-90 * day)
		}
		rows.Rows = append(rows.Rows, api.Row(fmt.Sprintf(`{"snapshot_id":%q,"verdict":%q,"reasons":[%q],"first_seen":%q,"time":%q,"host":"web-1","schedule_id":%q,"schedule":"nightly","bytes":%d}`,
			fmt.Sprintf("%064x", n+4096), verdict, why, ago(time.Duration(n)*day).Format(time.RFC3339), claims.Format(time.RFC3339), scheduleID, int64(n)<<28)))
	}
	c.answers["GET /api/v1/jobs/"+jobID+"/rows"] = rows
}

// previewed is a finished job that only planned.
func previewed(j api.Job) api.Job {
	j.Operation, j.Params, j.State, j.FinishedAt = "retention", api.Params(`{"dry_run":true}`), "finished", noon.Add(-5*time.Minute)
	j.Outcome = &api.Outcome{Result: "succeeded", Message: "18 of 40 snapshots would go now.", Facts: api.Facts(`{"dry_run":true,"snapshots":40,"keep_days":14,"keep_last":3,"max_delete_fraction":0.3}`)}
	return j
}

func TestARepositorySaysWhetherItIsHealthyAndWhatToDoFirst(t *testing.T) {
	healthy := func() api.Repository {
		var r api.Repository
		newContract().sampleRepository(&r)
		r.State, r.SheetSaved = "ready", true
		r.Health.ReadShare, r.Health.Suspects, r.Health.ForeignObjects = 1, 0, 0
		return r
	}
	for name, c := range map[string]struct {
		change func(*api.Repository)
		locks  []api.RepositoryLock
		starts string
		do     string
	}{
		"all is well":             {func(*api.Repository) {}, nil, "Healthy: checks have read all of its data", ""},
		"nobody maintains it":     {func(r *api.Repository) { r.Maintenance = api.RepositoryMaintenance{Mode: "none"} }, nil, "Not quite healthy: nobody maintains it.", "Choose who maintains it"},
		"the host does not allow": {func(r *api.Repository) { r.Maintenance.Allowed = "no" }, nil, "Not quite healthy: nas does not allow it yet.", "How to allow it"},
		"never checked":           {func(r *api.Repository) { r.Health.LastGoodCheckAt = time.Time{} }, nil, "Not quite healthy: no check has gone well yet.", "Check now"},
		"a check failed":          {func(r *api.Repository) { r.Health.LastCheck.Result = "failed" }, nil, "Not healthy: the last check: failed.", "Show the job"},
		"a check found damage": {func(r *api.Repository) {
			r.Health.LastCheck.Result = "failed"
			r.Conditions = []api.Condition{{Code: "check_failed", Severity: "critical", Message: "A check found it damaged.", NextStep: "do not prune; repair packs", JobId: r.Health.LastCheck.Id}}
		}, nil, "Not healthy: the last check found damage.", "Show the job"},
		"pruned long ago":          {func(r *api.Repository) { r.Health.LastPrune.At = noon.AddDate(0, -2, 0) }, nil, "Not quite healthy: space was last reclaimed", "Reclaim now…"},
		"nearly full":              {func(r *api.Repository) { r.Health.FullAt = noon.AddDate(0, 0, 5) }, nil, "Not healthy: its storage is full in about 5 days.", "Reclaim now…"},
		"a lock of nobody we know": {func(*api.Repository) {}, []api.RepositoryLock{{Id: "a", Removable: "typed"}}, "Not quite healthy: 1 lock whose owner", "Look at the locks"},
		"a lock of the dead":       {func(*api.Repository) {}, []api.RepositoryLock{{Id: "a", Removable: "by_rule"}}, "Healthy: ", ""},
		"a sheet that nobody has":  {func(r *api.Repository) { r.SheetSaved = false }, nil, "Not quite healthy: its recovery sheet was not saved.", "Go to the sheet"},
		"the worst comes first":    {func(r *api.Repository) { r.SheetSaved, r.Health.LastCheck.Result = false, "failed" }, nil, "Not healthy: the last check: failed. Then 1 more thing.", "Show the job"},
		"said once": {func(r *api.Repository) {
			r.Health.Suspects = 2
			r.Conditions = []api.Condition{{Code: "suspect_snapshots", Severity: "critical", Message: "the same"}}
		}, nil, "Not healthy: 2 snapshots that are odd in themselves, such as of another time than they claim.", "Look at them"},
		"not made yet": {func(r *api.Repository) { r.State = "new" }, nil, "Not made yet", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := healthy()
			c.change(&r)
			h := healthOf(r, c.locks, noon)
			if !strings.HasPrefix(h.Sentence, c.starts) {
				t.Errorf("it says %q", h.Sentence)
			}
			do := ""
			if h.Open > 0 && h.Findings[0].Do != nil && h.Findings[0].Do.Primary {
				do = h.Findings[0].Do.Label
			}
			if do != c.do {
				t.Errorf("the first thing to do is %q, want %q", do, c.do)
			}
			if len(r.Conditions) > 0 && r.Conditions[0].NextStep != "" && !strings.Contains(h.Findings[0].Note, r.Conditions[0].NextStep) {
				t.Errorf("%q does not say what to do next", h.Findings[0].Note)
			}
		})
	}
}

func TestNothingIsReclaimedUnlessTheRepositorysNameIsTyped(t *testing.T) {
	c := newContract()
	h := newPages(t, c)
	w := visitPage(t, h, "POST", "/repositories/"+repositoryID+"/start", url.Values{"what": {"reclaim"}, "typed": {"another"}})
	if w.Code != http.StatusUnprocessableEntity || len(c.got) > 0 {
		t.Fatalf("got %d, and the contract was asked for %q", w.Code, c.got)
	}
	w = visitPage(t, h, "POST", "/repositories/"+repositoryID+"/start", url.Values{"what": {"reclaim"}, "typed": {markup}})
	if w.Code != http.StatusSeeOther || len(c.got) != 2 || !strings.Contains(c.got[0], `"operation":"retention"`) || !strings.Contains(c.got[1], `"operation":"prune"`) || !strings.Contains(c.got[1], `"confirm":"`) {
		t.Errorf("got %d, and the contract was asked for %q", w.Code, c.got)
	}
}

func TestACheckReadsAsMuchAsWasChosen(t *testing.T) {
	c := newContract()
	r := c.answers["GET "+repositoryPath].(api.Repository)
	r.State, r.Health = "ready", api.RepositoryHealth{CheckParts: 28, NextCheckPart: 3}
	c.answers["GET "+repositoryPath] = r
	h := newPages(t, c)
	wantOnPage(t, visitPage(t, h, "GET", "/repositories/"+repositoryID, nil).Body.String(), `<option value="part" selected>And the next part of the data, 3 of 28</option>`, `href="/repositories/`+repositoryID+`/run/check"`)
	for what, params := range map[string]string{"check": "", "part": `,"params":{"part":3,"parts":28}`, "sample": `,"params":{"percent":5}`, "read": `,"params":{"read_data":true}`} {
		c.got = nil
		visitPage(t, h, "POST", "/repositories/"+repositoryID+"/start", url.Values{"what": {what}})
		if want := "POST " + repositoryPath + `/jobs {"operation":"check"` + params + "}"; len(c.got) != 1 || c.got[0] != want {
			t.Errorf("%s sent %q, want %q", what, c.got, want)
		}
	}
}

func TestAWaitingJobLeadsToWhatIsInItsWay(t *testing.T) {
	c := newContract()
	waiting := api.Job{Id: jobID, HostId: hostID, HostName: "nas", RepositoryId: repositoryID, RepositoryName: "main", Operation: "prune", State: "waiting", WaitingOn: "backup at web-1 since noon"}
	other := func(id, operation string, state api.JobState) api.Job {
		return api.Job{Id: api.Id(id), HostId: hostID, HostName: "web-1", RepositoryId: repositoryID, Operation: operation, State: state}
	}
	c.answers["GET /api/v1/jobs/"+jobID] = waiting
	c.answers["GET /api/v1/jobs"] = api.JobPage{Jobs: []api.Job{waiting, other(userID, "backup", "running"), other(alertID, "backup", "pending"), other(channelID, "diff", "running")}}
	body := visitPage(t, newPages(t, c), "GET", "/jobs/"+jobID, nil).Body.String()
	wantOnPage(t, body, "backup at web-1 since noon.", `<a href="/jobs/`+userID+`">Back up on web-1</a>`, `<a href="/repositories/`+repositoryID+`#locks">Locks of main</a>`)
	wantOnPage(t, body, `data-state="waiting" hidden><header><h2>Progress`)
	for what, id := range map[string]string{"a job that has not begun": alertID, "one that takes no lock": channelID} {
		if strings.Contains(body, `href="/jobs/`+id+`"`) {
			t.Errorf("%s is said to be in the way", what)
		}
	}
}

func TestALockIsRemovedByTheAgentThereOrByWhoTypesTheName(t *testing.T) {
	c := newContract()
	h := newPages(t, c)
	dead, foreign := strings.Repeat("e", 64), strings.Repeat("d", 64)
	visitPage(t, h, "POST", "/repositories/"+repositoryID+"/unlock", url.Values{"lock": {dead}})
	visitPage(t, h, "POST", "/repositories/"+repositoryID+"/unlock", url.Values{"lock": {foreign}, "force": {"true"}, "typed": {"a"}})
	if w := visitPage(t, h, "POST", "/repositories/"+repositoryID+"/unlock", url.Values{"lock": {"gone"}, "force": {"true"}}); w.Code != http.StatusConflict {
		t.Errorf("a lock that is gone got %d", w.Code)
	}
	want := []string{
		"POST /api/v1/hosts/" + hostID + `/jobs {"operation":"unlock","params":{"lock_ids":["` + dead + `"]},"repository_id":"` + repositoryID + `"}`,
		"POST " + repositoryPath + `/jobs {"confirm":"a","operation":"unlock","params":{"force":true,"lock_ids":["` + foreign + `"]}}`,
	}
	if !slices.Equal(c.got, want) {
		t.Errorf("the contract was asked for\n%s\nwant\n%s", strings.Join(c.got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAPlanIsSentAsItWasTypedAndAMistakeIsSaidAtItsField(t *testing.T) {
	c := newContract()
	h := newPages(t, c)
	form := url.Values{"zone": {"Europe/Paris"}, "retention": {"30 4 * * *"}, "prune": {""}, "check": {"0 6 * * *"}, "check_parts": {"28"}, "measure": {"30 6 * * *"}}
	if w := visitPage(t, h, "POST", "/repositories/"+repositoryID+"/plan", form); w.Code != http.StatusSeeOther {
		t.Fatalf("got %d", w.Code)
	}
	want := "PUT " + repositoryPath + `/maintenance-plan {"check":"0 6 * * *","check_parts":28,"measure":"30 6 * * *","retention":"30 4 * * *","zone":"Europe/Paris"}`
	if len(c.got) != 1 || c.got[0] != want {
		t.Errorf("the contract got %q, want %q", c.got, want)
	}
	c.answers["PUT "+repositoryPath+"/maintenance-plan"] = &api.Problem{Status: 422, Code: "invalid_field", Fields: []api.FieldProblem{{Field: "/check", Detail: "The second column is wrong."}}}
	form.Set("check", "0 99 * * *")
	w := visitPage(t, h, "POST", "/repositories/"+repositoryID+"/plan", form)
	if body := w.Body.String(); w.Code != http.StatusUnprocessableEntity || !strings.Contains(body, `id="f-check-error"`) || !strings.Contains(body, `value="0 99 * * *"`) {
		t.Errorf("got %d, without the mistake at its field or what was typed", w.Code)
	}
}

func TestWhoMaintainsItIsSentWithTheHostsIdAndARefusalIsSaidAtItsField(t *testing.T) {
	c := newContract()
	h := newPages(t, c)
	path := "/repositories/" + repositoryID + "/maintainer"
	visitPage(t, h, "POST", path, url.Values{"host": {markup}, "folder": {"/srv/restic/a"}})
	visitPage(t, h, "POST", path, url.Values{"host": {""}, "folder": {"/srv/restic/a"}})
	want := []string{"PUT " + repositoryPath + `/maintenance-host {"host_id":"` + hostID + `","location":"/srv/restic/a"}`, "PUT " + repositoryPath + "/maintenance-host {}"}
	if !slices.Equal(c.got, want) {
		t.Errorf("the contract was asked for %q", c.got)
	}
	if w := visitPage(t, h, "POST", path, url.Values{"host": {"nobody"}}); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "No host has this name.") {
		t.Errorf("an unknown host got %d", w.Code)
	}
	c.answers["PUT "+repositoryPath+"/maintenance-host"] = &api.Problem{Status: 422, Code: "invalid_field", Fields: []api.FieldProblem{{Field: "/location", Detail: "Not an absolute path."}}}
	w := visitPage(t, h, "POST", path, url.Values{"host": {markup}, "folder": {"srv"}})
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `id="f-folder-error"`) {
		t.Errorf("got %d, without the mistake at its field", w.Code)
	}
}

// TestAKeyIsAddedBySettingItsPasswordFirst, which no address and no page has again.
func TestAKeyIsAddedBySettingItsPasswordFirst(t *testing.T) {
	c := newContract()
	c.answers["POST "+repositoryPath+"/jobs"] = api.Job{Id: jobID}
	h := newPages(t, c)
	path := "/repositories/" + repositoryID
	form := url.Values{"password": {"second password"}, "again": {"another one"}, "confirm": {"x"}}
	w := visitPage(t, h, "POST", path+"/key", form)
	if body := w.Body.String(); w.Code != http.StatusUnprocessableEntity || len(c.got) > 0 || !strings.Contains(body, `id="f-again-error"`) || !strings.Contains(body, `id="f-confirm-error"`) || strings.Contains(body, "second password\"") {
		t.Errorf("got %d, and the contract was asked for %q", w.Code, c.got)
	}
	form.Set("again", "second password")
	form.Set("confirm", markup)
	w = visitPage(t, h, "POST", path+"/key", form)
	want := []string{"PUT " + repositoryPath + `/credentials/second-password {"password":"second password"}`, "POST " + repositoryPath + "/jobs "}
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/jobs/"+jobID || len(c.got) != 2 || c.got[0] != want[0] ||
		!strings.HasPrefix(c.got[1], want[1]) || !strings.Contains(c.got[1], `"operation":"key-add"`) || strings.Contains(c.got[1], "second password") {
		t.Errorf("got %d to %s, and the contract was asked for %q", w.Code, w.Header().Get("Location"), c.got)
	}
	c.answers["POST "+repositoryPath+"/jobs"] = &api.Problem{Status: 409, Code: "no_maintenance_host", Detail: "Nobody maintains it."}
	w = visitPage(t, h, "POST", path+"/key", form)
	if body := w.Body.String(); w.Code != http.StatusUnprocessableEntity || !strings.Contains(body, "The password is kept, and not added yet") || strings.Contains(body, `value="second password"`) {
		t.Errorf("got %d, without saying what stands", w.Code)
	}
	c.got = nil
	w = visitPage(t, h, "POST", path+"/second-password/delete", nil)
	if want := "DELETE " + repositoryPath + "/credentials/second-password"; w.Code != http.StatusSeeOther || len(c.got) != 1 || !strings.HasPrefix(c.got[0], want) {
		t.Errorf("got %d, and the contract was asked for %q", w.Code, c.got)
	}
	r := c.answers["GET "+repositoryPath].(api.Repository)
	r.Maintenance, r.Credentials = api.RepositoryMaintenance{Mode: "none"}, []api.CredentialInfo{{Slot: "second_password", Version: 3}}
	c.answers["GET "+repositoryPath] = r
	body := visitPage(t, h, "GET", path+"/settings", nil).Body.String()
	if strings.Contains(body, path+`/key"`) || !strings.Contains(body, "Choose that host") || !strings.Contains(body, "of version 3") || !strings.Contains(body, path+`/second-password/delete"`) {
		t.Error("where nobody maintains it the page offers to add a key, or hides that a password is kept")
	}
	c.answers["GET /api/v1/operations"] = api.OperationList{Operations: []api.Operation{{Name: "key-add", Title: "Add a key", Places: []api.OperationPlaces{"maintenance_host"}, Fields: []api.OperationField{{Name: "secret_id"}}}}}
	body = visitPage(t, h, "GET", path+"/run", nil).Body.String()
	if strings.Contains(body, path+`/run/key-add"`) || !strings.Contains(body, path+`/settings#key"`) {
		t.Error("the list of operations offers a form without a password, or leads nowhere")
	}
	w = visitPage(t, h, "GET", path+"/run/key-add", nil)
	if at := visitPage(t, h, "GET", "/hosts/"+hostID+"/run/key-add", nil); w.Header().Get("Location") != path+"/settings#key" || at.Code != http.StatusNotFound {
		t.Errorf("its form leads to %q; at a host it is %d", w.Header().Get("Location"), at.Code)
	}
}

func TestTheChartOfSizesTellsWhatItShows(t *testing.T) {
	day := func(n int, gib int64) api.RepositoryDay {
		d := api.RepositoryDay{StoredBytes: gib << 30}
		d.Day.Time = time.Date(2026, 1, 1+n, 0, 0, 0, 0, time.UTC)
		return d
	}
	c := drawSizes([]api.RepositoryDay{day(0, 100), day(10, 300), day(20, 200)}, 1<<30)
	if c.Line != "0.0,90.0 240.0,30.0 480.0,60.0" || c.Ahead != "480.0,60.0 600,58.5" || c.Top != 400<<30 {
		t.Errorf("drawn is %q, then %q, below %d", c.Line, c.Ahead, c.Top>>30)
	}
	if c.Told != "It went from 100\u00a0GiB to 200\u00a0GiB. If it goes on like that it is 205\u00a0GiB on 26 Jan 2026." || c.Days[0].StoredBytes != 200<<30 {
		t.Errorf("it says %q", c.Told)
	}
	for _, days := range [][]api.RepositoryDay{nil, {day(0, 5)}} {
		if c := drawSizes(days, 1); c.Line != "" || len(c.Days) != len(days) {
			t.Errorf("%d days are drawn as %q", len(days), c.Line)
		}
	}
	if c := drawSizes([]api.RepositoryDay{day(0, 0), day(1, 0)}, -5); strings.Contains(c.Line, "NaN") || c.Ahead != "" {
		t.Errorf("nothing is drawn as %q", c.Line)
	}
}

func TestHowSoonStorageIsFullIsToldRoughly(t *testing.T) {
	for days, want := range map[int]string{0: "full now", 1: "full in about 1 day", 13: "full in about 13 days", 20: "full in about 3 weeks", 150: "full in about 5 months", 800: "full in about 2 years"} {
		if got := fullIn(noon.AddDate(0, 0, days), noon); got != want {
			t.Errorf("%d days: %q, want %q", days, got, want)
		}
	}
}

// A number that nobody has found out is not told as one.
func TestWhatIsNotKnownOfARepositoryIsNotTold(t *testing.T) {
	r := api.Repository{State: "ready", Plan: api.MaintenancePlan{Prune: "0 5 * * 0"}, Health: api.RepositoryHealth{NextPruneAt: noon.Add(time.Hour), NextRetentionAt: noon.Add(time.Hour)}}
	told := map[string]string{}
	for _, f := range repositoryFacts(r, time.Time{}, noon) {
		told[f.Term] = f.Big + " " + f.Note
	}
	for term, want := range map[string]string{"Locks": "– not listed yet", "Stored": "– not known yet", "Data read by checks": "– not known yet", "Foreign files": "– seen where its folder is",
		"Space reclaimed": "never nobody maintains it", "Thinned out": "never nobody maintains it", "Checked": "never not planned"} {
		if told[term] != want {
			t.Errorf("%s: %q, want %q", term, told[term], want)
		}
	}
}

// A look at the folder, and a measuring of what a restore would write, come with a time
// and say nothing of what is stored.
func TestASizeIsToldOnlyWhereItWasMeasured(t *testing.T) {
	health := api.RepositoryHealth{MeasuredAt: noon, SourceBytes: 3 << 30, FreeBytes: 1 << 30, TotalBytes: 2 << 30}
	stored := func(r api.Repository) (string, bool) {
		asks := slices.ContainsFunc(odd(r, nil), func(f finding) bool { return f.State.Word == "Not measured" })
		return repositoryFacts(r, time.Time{}, noon)[0].Big, asks
	}
	if got, asks := stored(api.Repository{State: "ready", Snapshots: 3, Health: health}); got != "–" || !asks {
		t.Errorf("looked at: stored %q, asks to measure: %t", got, asks)
	}
	if got, asks := stored(api.Repository{State: "ready", Health: health}); !strings.HasPrefix(got, "0") || asks {
		t.Errorf("measured empty: stored %q, asks to measure: %t", got, asks)
	}
	health.StoredBytes = 1 << 20
	if got, asks := stored(api.Repository{State: "ready", Snapshots: 3, Health: health}); !strings.HasPrefix(got, "1.0") || asks {
		t.Errorf("measured: stored %q, asks to measure: %t", got, asks)
	}
}

func TestALockIsRemovedByAPersonOnlyOnceNoResticRefreshesIt(t *testing.T) {
	for age, want := range map[time.Duration]string{10 * time.Minute: web.Relative(noon.Add(20*time.Minute), noon), 31 * time.Minute: ""} {
		row := lockRowOf(api.Repository{}, api.RepositoryLock{Id: strings.Repeat("a", 64), Removable: api.Typed, CreatedAt: noon.Add(-age)}, noon)
		if can := row.Remove != nil; can != (want == "") || !strings.Contains(row.May, want) {
			t.Errorf("a lock of %s ago may be removed: %v, %s", age, can, row.May)
		}
	}
}

func TestTheWorstOfARepositoryThatFailedStandsFirst(t *testing.T) {
	r := api.Repository{State: "failed", SheetSaved: true, Conditions: []api.Condition{
		{Code: "repository_init_failed", Severity: "warning"}, {Code: "repo_credentials_rejected", Severity: "critical", JobId: jobID},
	}}
	found := healthOf(r, nil, noon).Findings
	if found[0].Code != "repo_credentials_rejected" || !strings.HasSuffix(found[0].Do.Href, "/settings") {
		t.Errorf("first stands %+v", found[0])
	}
}

func TestReclaimingSaysWhetherItCanBeUndone(t *testing.T) {
	r := api.Repository{Maintenance: api.RepositoryMaintenance{HostId: hostID, HostName: "nas", Mode: "folder", Floors: api.MaintenanceRule{MaxDeleteFraction: 0.3, UndoDays: 14}}}
	if got := reclaimDialog(r).Text; !strings.Contains(got, "can be brought back there for 14 days") {
		t.Errorf("in the folder: %s", got)
	}
	r.Maintenance.Mode = "credential"
	if got := reclaimDialog(r).Text; !strings.Contains(got, "cannot be brought back") {
		t.Errorf("with a credential: %s", got)
	}
}

func TestAScheduleSaysWhoRemovesWhatItsRulesDoNotKeep(t *testing.T) {
	maintained := api.RepositoryMaintenance{HostId: hostID, HostName: "nas", Allowed: "yes"}
	for want, r := range map[string]api.Repository{
		"thinned out by nas":                                      {Maintenance: maintained, Plan: api.MaintenancePlan{Retention: "0 4 * * *"}},
		"thinned out by nas when somebody asks":                   {Maintenance: maintained},
		"nas may not maintain the repository: nothing is removed": {Maintenance: api.RepositoryMaintenance{HostId: hostID, HostName: "nas", Allowed: "no"}},
		"nobody maintains the repository: nothing is removed":     {Maintenance: api.RepositoryMaintenance{Mode: "none"}},
	} {
		c := newContract()
		r.Id = repositoryID
		c.answers["GET "+repositoryPath] = r
		body := visitPage(t, newPages(t, c), "GET", "/hosts/"+hostID+"/schedules", nil).Body.String()
		if !strings.Contains(body, `<span class="sub">`+want+"</span>") || !strings.Contains(body, "/preview\"") {
			t.Errorf("%s is not said, or there is no preview", want)
		}
	}
}

func TestAListOfRepositoriesLeavesResticsWordsToTheirPages(t *testing.T) {
	r := api.Repository{State: "failed", Conditions: []api.Condition{{Code: "repo_unreachable", Severity: "critical",
		Message: "The repository's storage cannot be reached. Seen by web-1 (restic: dial tcp)."}}}
	if got := repositoryRowOf(r, noon).Next; !strings.HasPrefix(got, "The repository's storage cannot be reached. Seen by web-1.") || strings.Contains(got, "dial") {
		t.Errorf("it says %q", got)
	}
	if got := healthOf(r, nil, noon).Findings[0].Text; !strings.Contains(got, "dial tcp") {
		t.Errorf("its page says %q", got)
	}
}

func TestARepositoryThatCannotBeUsedIsTheLastToChoose(t *testing.T) {
	c := newContract()
	c.answers["GET /api/v1/repositories"] = api.RepositoryPage{Repositories: []api.Repository{
		{Id: olderID, Name: "away", State: "failed"}, {Id: repositoryID, Name: "nas", State: "ready"}}}
	body := visitPage(t, newPages(t, c), "GET", "/hosts/new", nil).Body.String()
	away, nas := strings.Index(body, ">away"), strings.Index(body, ">nas")
	if away < 0 || nas < 0 || away < nas || !strings.Contains(body, "could not be made usable") {
		t.Errorf("away stands at %d, nas at %d", away, nas)
	}
}
