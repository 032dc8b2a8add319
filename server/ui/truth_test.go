package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"restic-manager/server/api"
)

// says is the dashboard's first sentence as text.
func (h headline) says() string {
	s := h.Start
	if h.Host != nil {
		s += string(h.Host.Name)
	}
	s += h.Then
	if !h.At.IsZero() {
		s += noon.Sub(h.At).String() + " ago"
	}
	return s + h.End
}

func TestTheFirstSentenceIsTrueOfEveryMix(t *testing.T) {
	worst := &api.Host{Name: "db-2", Protection: api.Protection{BreachAt: noon.Add(-3 * time.Hour)}}
	for want, c := range map[string]api.Overview{
		"No hosts yet.": {},
		"Whether your 3 hosts are protected is not known.":                    {Hosts: 3},
		"The host is protected.":                                              {Hosts: 1, Protection: api.ProtectionCounts{Protected: 1}},
		"All 42 hosts are protected.":                                         {Hosts: 42, Protection: api.ProtectionCounts{Protected: 42}},
		"41 of 42 hosts are protected; db-2 missed its objective 3h0m0s ago.": {Hosts: 42, Protection: api.ProtectionCounts{Protected: 41, Unprotected: 1}},
		"1 of 4 hosts is protected; 2 miss their objective.":                  {Hosts: 4, Protection: api.ProtectionCounts{Protected: 1, Unprotected: 2, AtRisk: 1}},
		"None of 2 hosts is protected; db-2 is at risk.":                      {Hosts: 2, Protection: api.ProtectionCounts{AtRisk: 1, Asleep: 1}},
		"The host is not protected; db-2 has no schedule with a time.":        {Hosts: 1, Protection: api.ProtectionCounts{NotScheduled: 1}},
		"2 of 5 hosts are protected; 3 have no good backup yet.":              {Hosts: 5, Protection: api.ProtectionCounts{Protected: 2, Never: 3}},
		"2 of 4 hosts are protected; 2 are asleep, their objectives met.":     {Hosts: 4, Protection: api.ProtectionCounts{Protected: 2, Asleep: 2}},
		"3 of 4 hosts are protected; db-2 is asleep, its objectives met.":     {Hosts: 9, Protection: api.ProtectionCounts{Protected: 3, Asleep: 1}},
		"None of 1000 hosts is protected; 1000 have no schedule with a time.": {Hosts: 1000, Protection: api.ProtectionCounts{NotScheduled: 1000}},
	} {
		if got := sentence(c, worst).says(); got != want {
			t.Errorf("%+v: %q, want %q", c.Protection, got, want)
		}
	}
}

func TestHostsThatAreAllDisabledAreNoEmptyFleet(t *testing.T) {
	c := newContract()
	c.answers["GET /api/v1/overview"] = api.Overview{Repositories: 1}
	h := newPages(t, c)
	if body := visitPage(t, h, "GET", "/", nil).Body.String(); !strings.Contains(body, "No host is in service") || strings.Contains(body, "a machine to back up") {
		t.Error("disabled hosts are not told")
	}
	c.answers["GET /api/v1/hosts"] = api.HostPage{}
	if body := visitPage(t, h, "GET", "/", nil).Body.String(); !strings.Contains(body, "No hosts yet.") || !strings.Contains(body, "a machine to back up") {
		t.Error("an empty fleet is not told")
	}
}

func TestEveryPageSaysThatTheServersDiskIsFull(t *testing.T) {
	const said = "what you see may be old"
	for _, path := range []string{"/", "/hosts", "/jobs", "/repositories"} {
		c := newContract()
		h := newPages(t, c)
		if strings.Contains(visitPage(t, h, "GET", path, nil).Body.String(), said) {
			t.Errorf("%s says so while there is room", path)
		}
		c.answers["GET /api/v1/overview"] = api.Overview{Hosts: 1, DiskFull: true}
		if w := visitPage(t, h, "GET", path, nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), said) {
			t.Errorf("%s: got %d without a word of it", path, w.Code)
		}
	}
}

func TestAPartThatIsNotKnownIsSaidAndThePageStands(t *testing.T) {
	for path, want := range map[string]string{
		"/": "Which alerts are open is not known now.", "/alerts": "Alerts are not known now.", "/alerts/rules": "Thresholds are not known now.", "/channels": "Channels are not known now.",
		"/hosts/{host}": "Last good backup", "/hosts/{host}/schedules/{schedule}": "How the time is read is told when it is saved.", "/channels/{channel}": "Not known now.",
	} {
		for _, problem := range []*api.Problem{{Status: 404, Code: "not_found"}, {Status: 503, Code: "unavailable"}} {
			c := newContract()
			for _, part := range []string{"/api/v1/history", "/api/v1/alerts", "/api/v1/alert-rules", "/api/v1/cron-preview", "/api/v1/channels", "/api/v1/channels/" + channelID + "/deliveries"} {
				c.answers["GET "+part] = problem
			}
			w := visitPage(t, newPages(t, c), "GET", known.Replace(path), nil)
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s with %s: got %d without %q", path, problem.Code, w.Code, want)
			}
		}
	}
}

// A fleet is larger than a page of it: what is counted and chosen from is whole.
func TestEveryHostIsCountedAndEveryRepositoryOffered(t *testing.T) {
	c := newContract()
	c.answers["GET /api/v1/overview"] = api.Overview{Hosts: 1000, Repositories: 250, Protection: api.ProtectionCounts{Protected: 900, Unprotected: 100}}
	c.answers["GET /api/v1/alerts"] = api.AlertPage{}
	c.lists = map[string]func(*http.Request) any{
		"GET /api/v1/hosts": func(r *http.Request) any {
			if r.URL.Query().Get("protection") != "unprotected" {
				return api.HostPage{}
			}
			return api.HostPage{Hosts: []api.Host{{Id: hostID, Name: "web-1"}}, NextPageToken: "more"}
		},
		"GET /api/v1/repositories": func(r *http.Request) any {
			n := 0
			_, _ = fmt.Sscan(r.URL.Query().Get("page_token"), &n)
			page := api.RepositoryPage{Repositories: []api.Repository{{Id: repositoryID, Name: fmt.Sprintf("nas-%d", n), SheetSaved: true}}}
			if n < 2 {
				page.NextPageToken = fmt.Sprint(n + 1)
			}
			return page
		},
	}
	h := newPages(t, c)
	body := visitPage(t, h, "GET", "/", nil).Body.String()
	for _, want := range []string{"900 of 1000 hosts are protected; 100 miss their objective.", "99 more", "/hosts?protection=unprotected"} {
		if !strings.Contains(body, want) {
			t.Errorf("the dashboard has no %q", want)
		}
	}
	if body := visitPage(t, h, "GET", "/hosts/new", nil).Body.String(); !strings.Contains(body, "nas-0 ") || !strings.Contains(body, "nas-2 ") {
		t.Error("not every repository is offered")
	}
}

// Every condition that needs a person is an alert too: the dashboard says it once, and
// by itself where alerts are not known.
func TestAConditionIsSaidByItsAlertOrByItself(t *testing.T) {
	c := newContract()
	host := c.answers["GET /api/v1/hosts/"+hostID].(api.Host)
	host.Conditions = []api.Condition{{Code: "clock_wrong", Severity: "warning", Message: "said by the condition", Since: noon}}
	c.answers["GET /api/v1/hosts"] = api.HostPage{Hosts: []api.Host{host}}
	c.answers["GET /api/v1/repositories"] = api.RepositoryPage{Repositories: []api.Repository{{Id: repositoryID, Name: "nas"}}}
	c.answers["GET /api/v1/alerts"] = api.AlertPage{}
	h := newPages(t, c)
	if body := visitPage(t, h, "GET", "/", nil).Body.String(); strings.Contains(body, "said by the condition") || !strings.Contains(body, "recovery sheet") {
		t.Error("with alerts, a condition is said again or the sheet is not")
	}
	c.answers["GET /api/v1/alerts"] = &api.Problem{Status: 503, Code: "unavailable"}
	if body := visitPage(t, h, "GET", "/", nil).Body.String(); !strings.Contains(body, "said by the condition") {
		t.Error("without alerts, a condition is not said")
	}
}

func TestADayIsShownByItsWorst(t *testing.T) {
	row := rowOfDays(history().Hosts[0], daysOf(history().To.Time))
	if len(row.Cells) != stripDays {
		t.Fatalf("%d days", len(row.Cells))
	}
	for i, want := range []string{"none nothing ran", "ok 2 succeeded", "warn 1 with warnings", "fail 1 failed, 2 missed", "missed 3 missed", "away 1 skipped"} {
		c := row.Cells[stripDays-6+i]
		if got := c.Glyph + " " + c.Word; got != want {
			t.Errorf("day %d is %q, want %q", i, got, want)
		}
	}
	if href := row.Cells[stripDays-3].Href; !strings.Contains(href, "from=2026-11-19T00%3A00%3A00Z&host_id="+hostID+"&to=2026-11-20") {
		t.Errorf("the day that failed leads to %q", href)
	}
}

func TestRunNowNamesTheScheduleItPicks(t *testing.T) {
	manual, timed, off := api.Schedule{Name: "m", Manual: true, Enabled: true}, api.Schedule{Name: "t", Enabled: true}, api.Schedule{Name: "o", Manual: true}
	for want, list := range map[string][]api.Schedule{"m": {timed, manual, off}, "t": {timed, off}, "pick": {timed, timed}, "pick two": {manual, manual}, "": {off}} {
		var b runButton
		b.choose(list, "/hosts/x")
		if what, _, _ := strings.Cut(want, " "); (what == "pick") != b.Pick || (!b.Pick && b.What != want) {
			t.Errorf("%q: %+v", want, b)
		}
	}
}

func TestAnEditKeepsWhatTheFormDoesNotShow(t *testing.T) {
	c := newContract()
	s := c.answers["GET "+schedulePath].(api.Schedule)
	s.Cron, s.Zone, s.ObjectiveS = "0 5 * * *", "Europe/Paris", 7200
	s.Options.Backup = api.BackupOptions{OneFileSystem: true, ExcludeLargerThan: 5, UseFsSnapshot: true, Compression: "max"}
	s.Options.MaxRunS, s.Options.Bandwidth = 3600, []api.BandwidthRule{{From: "08:00", To: "18:00", DownloadKibS: 5}}
	c.answers["GET "+schedulePath] = s
	visitPage(t, newPages(t, c), "POST", "/hosts/"+hostID+"/schedules/"+scheduleID, url.Values{"name": {"other"}, "manual": {"true"}, "version": {"2"}})
	sent := strings.Join(c.got, "\n")
	for _, want := range []string{`"name":"other"`, `"cron":"0 5 * * *"`, `"zone":"Europe/Paris"`, `"objective_s":7200`, `"max_run_s":3600`, `"backup":{"compression":"max","exclude_larger_than":5,"one_file_system":true,"use_fs_snapshot":true}`, `"download_kib_s":5`, `"before":"gone"`, `"windows":[{`, `"keep_daily":7`, `"tags":["t"]`} {
		if !strings.Contains(sent, want) {
			t.Errorf("sent without %s: %s", want, sent)
		}
	}
}

func TestWhatResticDoesIsSentAsItWasTyped(t *testing.T) {
	c := newContract()
	h := newPages(t, c)
	form := url.Values{"name": {"n"}, "manual": {"true"}, "paths": {"/etc"}, "exclude_files": {"/etc/ex\n"}, "exclude_if_present": {".nobackup\r\nCACHE"}, "exclude_larger_than": {"2 GiB"}, "compression": {"off"}, "read_concurrency": {"4"},
		"checks": {"exclude_caches one_file_system skip_if_unchanged"}, "skip_if_unchanged": {"true"}, "use_fs_snapshot": {"true"}}
	visitPage(t, h, "POST", "/hosts/"+hostID+"/schedules/new", form)
	want := `"backup":{"compression":"off","exclude_files":["/etc/ex"],"exclude_if_present":[".nobackup","CACHE"],"exclude_larger_than":2147483648,"read_concurrency":4,"skip_if_unchanged":true}`
	if sent := strings.Join(c.got, "\n"); !strings.Contains(sent, want) {
		t.Errorf("sent %s\nwant %s", sent, want)
	}
	form.Set("source", "pg-dump")
	visitPage(t, h, "POST", "/hosts/"+hostID+"/schedules/new", form)
	if sent := c.got[len(c.got)-1]; !strings.Contains(sent, `"backup":{"compression":"off"}`) {
		t.Errorf("of a named source was sent %s", sent)
	}
	form.Set("exclude_larger_than", "huge")
	if w := visitPage(t, h, "POST", "/hosts/"+hostID+"/schedules/new", form); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `id="f-exclude_larger_than-error"`) || !strings.Contains(w.Body.String(), `value="huge"`) {
		t.Errorf("a size that is none got %d", w.Code)
	}
}

func TestShadowCopiesAreOfferedOnWindowsAlone(t *testing.T) {
	c := newContract()
	host := c.answers["GET /api/v1/hosts/"+hostID].(api.Host)
	for system, want := range map[string]bool{"linux": false, "windows": true} {
		host.Os = system
		c.answers["GET /api/v1/hosts/"+hostID] = host
		body := visitPage(t, newPages(t, c), "GET", "/hosts/"+hostID+"/schedules/new", nil).Body.String()
		if got := strings.Contains(body, `name="use_fs_snapshot"`); got != want {
			t.Errorf("%s: offered %t", system, got)
		}
	}
}

// A new schedule has a time of its own from the first, where the host's other
// schedules have theirs.
func TestANewScheduleStartsWithATimeInTheZoneOfTheHost(t *testing.T) {
	value := func(body, id string) string {
		found := regexp.MustCompile(`<input[^>]*id="` + id + `"[^>]*>`).FindString(body)
		_, rest, _ := strings.Cut(found, ` value="`)
		got, _, _ := strings.Cut(rest, `"`)
		return got
	}
	paris, berlin, manual := api.Schedule{Zone: "Europe/Paris"}, api.Schedule{Zone: "Europe/Berlin"}, api.Schedule{Manual: true, Zone: "Asia/Tokyo"}
	for name, tc := range map[string]struct {
		others  []api.Schedule
		zone    string
		guessed bool
	}{
		"one zone":    {[]api.Schedule{paris, manual, paris}, "Europe/Paris", false},
		"two zones":   {[]api.Schedule{paris, berlin}, "UTC", true},
		"manual only": {[]api.Schedule{manual}, "UTC", true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContract()
			c.answers["GET /api/v1/hosts/"+hostID+"/schedules"] = api.SchedulePage{Schedules: tc.others}
			body := visitPage(t, newPages(t, c), "GET", "/hosts/"+hostID+"/schedules/new", nil).Body.String()
			cron := value(body, "f-cron")
			if !regexp.MustCompile(`^\d?[05] [123] \* \* \*$`).MatchString(cron) || value(body, "f-zone") != tc.zone || strings.Contains(body, " data-own-zone") != tc.guessed {
				t.Errorf("cron %q in %q, guessed %t", cron, value(body, "f-zone"), strings.Contains(body, " data-own-zone"))
			}
			if strings.Contains(regexp.MustCompile(`<input[^>]*id="f-manual"[^>]*>`).FindString(body), "checked") {
				t.Error("it is manual")
			}
		})
	}
	// What was typed stays, UTC too.
	body := visitPage(t, newPages(t, newContract()), "POST", "/hosts/"+hostID+"/schedules/new", url.Values{"cron": {"7 7 * * *"}, "zone": {"UTC"}, "jitter_s": {"soon"}}).Body.String()
	if value(body, "f-cron") != "7 7 * * *" || value(body, "f-zone") != "UTC" || strings.Contains(body, " data-own-zone") {
		t.Errorf("what was typed became %q in %q", value(body, "f-cron"), value(body, "f-zone"))
	}
}

// A script that no schedule can name is shown with the reason, and not to choose from.
func TestAScriptWithANameThatCannotBeUsedIsShownAndNotOffered(t *testing.T) {
	c := newContract()
	host := c.answers["GET /api/v1/hosts/"+hostID].(api.Host)
	host.Offers.Hooks = []api.Offer{{Name: "stop db", Problem: "rename it"}, {Name: "start-db"}}
	c.answers["GET /api/v1/hosts/"+hostID] = host
	pages := newPages(t, c)
	for _, path := range []string{"", "/policy"} {
		if body := visitPage(t, pages, "GET", "/hosts/"+hostID+path, nil).Body.String(); !strings.Contains(body, "stop db") || !strings.Contains(body, "rename it") {
			t.Errorf("%q does not show it", path)
		}
	}
	if body := visitPage(t, pages, "GET", "/hosts/"+hostID+"/schedules/new", nil).Body.String(); strings.Contains(body, "stop db") || !strings.Contains(body, `value="start-db"`) {
		t.Error("it can be chosen")
	}
}

func TestOneOfAUnitIsNotManyOfIt(t *testing.T) {
	for want, got := range map[string]string{"1 slot": amount(1, "slots"), "2 slots": amount(2, "slots"), "0 minutes": amount(0, "minutes"), "1 percent": amount(1, "percent"), "7": amount(7, "")} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A slot is read by people of other zones: it says whose time it is, without a script too.
func TestTheSizeOfAHostSaysWhatIsKnown(t *testing.T) {
	for want, size := range map[string]*api.HostSize{
		"–, ":                             nil,
		"2.0 GiB, not measured":           {SourceBytes: 2 << 30, Shared: true},
		"2.0 GiB, 1.0 GiB stored":         {SourceBytes: 2 << 30, StoredBytes: 1 << 30},
		"2.0 GiB, 9.0 GiB stored, shared": {SourceBytes: 2 << 30, StoredBytes: 9 << 30, Shared: true},
	} {
		f := sizeFact(size)
		if got := strings.ReplaceAll(f.Big+", "+f.Note, "\u00a0", " "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTheDashboardNamesTheRepositoriesThatNeedCare(t *testing.T) {
	c := newContract()
	well := api.Repository{Id: repositoryID, Name: "well", State: "ready", SheetSaved: true, Plan: api.MaintenancePlan{Retention: "0 4 * * *", Prune: "0 5 * * 0", Check: "0 6 * * *"}, Maintenance: api.RepositoryMaintenance{HostId: hostID, HostName: "nas", Mode: "folder", Allowed: "yes"},
		Health: api.RepositoryHealth{LastGoodCheckAt: noon, ReadShare: 1, LastPrune: &api.JobBrief{At: noon, Result: "succeeded"}, MeasuredAt: noon, NextCheckAt: noon.Add(time.Hour)}}
	left := well
	left.Id, left.Name, left.Health.LastGoodCheckAt, left.Health.ReadShare = userID, "left-alone", time.Time{}, 0
	c.answers["GET /api/v1/repositories"] = api.RepositoryPage{Repositories: []api.Repository{well, left}}
	body := visitPage(t, newPages(t, c), "GET", "/", nil).Body.String()
	wantOnPage(t, body, "1 of 2 repositories needs care.", `href="/repositories/`+userID+`">left-alone</a>`)
	if strings.Contains(body, ">well</a>") {
		t.Error("a healthy repository is said to need care")
	}
	c.answers["GET /api/v1/repositories"] = api.RepositoryPage{Repositories: []api.Repository{well}, NextPageToken: "n"}
	wantOnPage(t, visitPage(t, newPages(t, c), "GET", "/", nil).Body.String(), "None of the first 1 repository needs care.")
}

func TestASlotIsToldWithItsZoneAndTheNextOneNeverAsPast(t *testing.T) {
	c := newContract()
	page := c.answers["GET /api/v1/jobs"].(api.JobPage)
	page.Jobs[0].Slot = noon
	s := c.answers["GET "+schedulePath].(api.Schedule)
	s.Manual, s.Cron, s.Zone, s.NextRuns = false, "0 2 * * *", "Europe/Paris", []time.Time{noon}
	c.answers["GET /api/v1/hosts/"+hostID+"/schedules"] = api.SchedulePage{Schedules: []api.Schedule{s}}
	pages := newPages(t, c)
	if body := visitPage(t, pages, "GET", "/jobs", nil).Body.String(); !strings.Contains(body, "data-slot>Sat 21 Nov 12:00 UTC<") {
		t.Error("the slot has no zone")
	}
	if body := visitPage(t, pages, "GET", "/hosts/"+hostID+"/schedules", nil).Body.String(); !strings.Contains(body, "data-due>due now<") {
		t.Error("the next run is told as past")
	}
}

// Of each system the newest program that is whole is what a machine gets.
func TestTheSettingsSayWhichProgramsMachinesGet(t *testing.T) {
	c := newContract()
	body := visitPage(t, newPages(t, c), "GET", "/settings", nil).Body.String()
	for sha, want := range map[string]string{"1": "An older one", "2": "Handed out", "3": "Not handed out", "4": "Handed out"} {
		before, _, _ := strings.Cut(body, strings.Repeat(sha, 64))
		if row := before[strings.LastIndex(before, "<tr"):]; !strings.Contains(row, want) {
			t.Errorf("the program with the digest %s… is not %q: %s", sha, want, row)
		}
	}
	for _, want := range []string{"No restic for linux arm64, windows amd64:", "No restic-manager-agent for linux arm64, windows amd64:", "admin add-program --sha256"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	c.answers["GET /api/v1/programs"] = &api.Problem{Status: 503, Code: "unavailable"}
	if body := visitPage(t, newPages(t, c), "GET", "/settings", nil).Body.String(); !strings.Contains(body, "is not known now") || strings.Contains(body, "No restic") {
		t.Error("what is not known is told as none")
	}
}

func TestAScheduleShowsWhatItsHostDoesNotOffer(t *testing.T) {
	c := newContract()
	s := c.answers["GET "+schedulePath].(api.Schedule)
	s.Warnings = []api.FieldProblem{{Field: "/source", Code: "script_not_offered", Detail: "not offered: " + hostile}}
	c.answers["GET "+schedulePath] = s
	c.answers["GET /api/v1/hosts/"+hostID+"/schedules"] = api.SchedulePage{Schedules: []api.Schedule{s}}
	pages := newPages(t, c)
	for _, path := range []string{"", "/" + scheduleID} {
		if body := visitPage(t, pages, "GET", "/hosts/"+hostID+"/schedules"+path, nil).Body.String(); !strings.Contains(body, "not offered: &lt;img") {
			t.Errorf("%q does not say it", path)
		}
	}
}

// A manual schedule has no time, and hours of the day all the same.
func TestAManualScheduleWithHoursHasTheZoneThatTheyAreReadIn(t *testing.T) {
	c := newContract()
	visitPage(t, newPages(t, c), "POST", "/hosts/"+hostID+"/schedules/new", url.Values{"name": {"n"}, "manual": {"true"}, "cron": {"0 2 * * *"}, "zone": {"Europe/Paris"}, "bandwidth": {"08:00-18:00 upload 1 MiB/s"}})
	if sent := strings.Join(c.got, "\n"); !strings.Contains(sent, `"zone":"Europe/Paris"`) || strings.Contains(sent, `"cron"`) {
		t.Errorf("sent %s", sent)
	}
}

func TestTheWholeScheduleGoesThroughTheForm(t *testing.T) {
	c := newContract()
	w := visitPage(t, newPages(t, c), "POST", "/hosts/"+hostID+"/schedules/new", url.Values{
		"name": {"n"}, "enabled": {"true"}, "repository_id": {repositoryID}, "cron": {"0 2 * * *"}, "zone": {"UTC"}, "catch_up": {"skip"}, "jitter_s": {"15 min"}, "objective_s": {"2 d"}, "windows": {"mon-fri 22:00-06:00"},
		"source": {"pg-dump"}, "paths": {"/left/over"}, "bandwidth": {"08:00-18:00 upload 1 MiB/s"}, "max_run_s": {"8 h"}, "retry_attempts": {"3"}, "retry_after_s": {"10 min"},
		"before": {"stop-db"}, "before_failure": {"go_on"}, "after_success": {"s"}, "after_failure": {"f"}, "timeout_s": {"90 s"}, "keep_daily": {"7"},
	})
	want := `POST /api/v1/hosts/` + hostID + `/schedules {"cron":"0 2 * * *","enabled":true,"name":"n","objective_s":172800,"options":{"bandwidth":[{"from":"08:00","to":"18:00","upload_kib_s":1024}],"catch_up":"skip",` +
		`"hooks":{"after_failure":"f","after_success":"s","before":"stop-db","before_failure":"go_on","timeout_s":90},"jitter_s":900,"max_run_s":28800,"retry_after_s":600,"retry_attempts":3,` +
		`"windows":[{"days":["mon","tue","wed","thu","fri"],"from":"22:00","to":"06:00"}]},"repository_id":"` + repositoryID + `","retention":{"keep_daily":7},"source":"pg-dump","zone":"UTC"}`
	if w.Code != http.StatusSeeOther || len(c.got) != 1 || c.got[0] != want {
		t.Errorf("got %d, sent\n%s, want\n%s", w.Code, c.got, want)
	}
}

func TestAMistakeDeepInAScheduleStandsAtItsField(t *testing.T) {
	c := newContract()
	c.answers["POST /api/v1/hosts/"+hostID+"/schedules"] = &api.Problem{Status: 422, Code: "invalid_field", Fields: []api.FieldProblem{
		{Field: "/options/windows/0/from", Detail: "windows are wrong"}, {Field: "/options/hooks/before", Detail: "no such hook"}, {Field: "/cron", Detail: "the second column"}, {Field: "/retention/keep_daily", Detail: "too many"}}}
	body := visitPage(t, newPages(t, c), "POST", "/hosts/"+hostID+"/schedules/new", url.Values{"name": {"n"}, "windows": {"22:00-06:00"}, "before": {"stop-db"}, "cron": {"0 99 * * *"}, "zone": {"UTC"}, "keep_daily": {"7"}}).Body.String()
	for _, want := range []string{`id="f-windows-error"`, "windows are wrong", `id="f-before-error"`, `id="f-cron-error"`, "the second column", `id="f-keep_daily-error"`, `value="0 99 * * *"`, `<option value="stop-db" selected>`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	c = newContract()
	body = visitPage(t, newPages(t, c), "POST", "/hosts/"+hostID+"/schedules/new", url.Values{"name": {"n"}, "jitter_s": {"soon"}, "windows": {"always"}}).Body.String()
	if len(c.got) > 0 || !strings.Contains(body, `id="f-jitter_s-error"`) || !strings.Contains(body, `id="f-windows-error"`) || !strings.Contains(body, "always</textarea>") {
		t.Errorf("sent %q; or a mistake is not at its field", c.got)
	}
}

func TestADailyTimeIsOfferedOnceAndKeepsTheSchedule(t *testing.T) {
	c := newContract()
	h := newPages(t, c)
	action := `action="/hosts/` + hostID + `/schedules/` + scheduleID + `/daily"`
	if body := visitPage(t, h, "GET", "/hosts/"+hostID, nil).Body.String(); !strings.Contains(body, action) {
		t.Error("a manual schedule with a good backup is not offered a time")
	}
	visitPage(t, h, "POST", "/hosts/"+hostID+"/schedules/"+scheduleID+"/daily", url.Values{"zone": {"Europe/Paris"}})
	sent := strings.Join(c.got, "\n")
	for _, want := range []string{"PUT " + schedulePath + "?if_version=2", `"cron":"0 2 * * *"`, `"zone":"Europe/Paris"`, `"windows":[{`, `"keep_daily":7`, `"before":"gone"`} {
		if !strings.Contains(sent, want) {
			t.Errorf("sent without %s: %s", want, sent)
		}
	}
	if strings.Contains(sent, `"manual"`) {
		t.Error("it is still manual")
	}
	host := c.answers["GET /api/v1/hosts/"+hostID].(api.Host)
	host.Counts.TimedSchedules = 1
	c.answers["GET /api/v1/hosts/"+hostID] = host
	if body := visitPage(t, h, "GET", "/hosts/"+hostID, nil).Body.String(); strings.Contains(body, action) {
		t.Error("a host that is scheduled is offered a time")
	}
}

func TestAnAlertIsActedOn(t *testing.T) {
	for path, tc := range map[string]struct {
		form url.Values
		want string
	}{
		"acknowledge": {url.Values{"note": {"mine"}}, `/acknowledge {"note":"mine"}`},
		"resolve":     {url.Values{"note": {""}}, `/resolve {}`},
		"silence":     {url.Values{"for": {"60"}, "because": {"holiday"}}, `/silence {"note":"holiday","until":"2026-11-21T13:00:00Z"}`},
	} {
		c := newContract()
		w := visitPage(t, newPages(t, c), "POST", "/alerts/"+alertID+"/"+path, tc.form)
		if w.Code != http.StatusSeeOther || len(c.got) != 1 || c.got[0] != "POST "+alertPath+tc.want {
			t.Errorf("%s: got %d, sent %q", path, w.Code, c.got)
		}
	}
	c := newContract()
	if w := visitPage(t, newPages(t, c), "POST", "/alerts/"+alertID+"/silence", url.Values{"for": {"ever"}}); w.Code != http.StatusUnprocessableEntity || len(c.got) != 0 {
		t.Errorf("a silence for ever: got %d, sent %q", w.Code, c.got)
	}
}

// TestAnAlertWhoseCauseIsAwayIsNotSaidToBeThere wherever it is shown.
func TestAnAlertWhoseCauseIsAwayIsNotSaidToBeThere(t *testing.T) {
	for _, away := range []bool{false, true} {
		c := newContract()
		a := c.answers["GET "+alertPath].(api.Alert)
		if away {
			a.GoneSince = noon
		}
		c.answers["GET "+alertPath] = a
		c.answers["GET /api/v1/alerts"] = api.AlertPage{Alerts: []api.Alert{a}}
		h := newPages(t, c)
		for _, page := range []string{"/", "/alerts", "/alerts/" + alertID} {
			body := visitPage(t, h, "GET", page, nil).Body.String()
			if got := strings.Contains(body, "Not seen since") && strings.Contains(body, "stays open"); got != away {
				t.Errorf("%s, where it is away: %t, says so: %t", page, away, got)
			}
			if strings.Contains(body, "last seen <time") && away {
				t.Errorf("%s: it is said to have been seen just now", page)
			}
		}
	}
}

func TestRulesAreAddedAndRemovedOneByOne(t *testing.T) {
	for name, tc := range map[string]struct {
		form url.Values
		want []string
	}{
		"one for a tag":  {url.Values{"do": {"add"}, "version": {"5"}, "scope": {"tag"}, "tag": {"db"}, "code": {"host_silent"}, "does": {"on"}, "severity": {"critical"}, "threshold": {"7"}}, []string{"if_version=5", `{"code":"host_silent","enabled":true,"scope":"tag","severity":"critical","tag":"db","threshold":7}]}`, `"host_id":"` + hostID}},
		"one for a host": {url.Values{"do": {"add"}, "version": {"5"}, "scope": {"host"}, "host_id": {markup}, "code": {"host_silent"}, "does": {"off"}}, []string{`{"code":"host_silent","enabled":false,"host_id":"` + hostID + `","scope":"host"}]}`}},
		"one less":       {url.Values{"do": {"remove"}, "version": {"5"}, "number": {"0"}}, []string{`"rules":[{"code":"host_silent","scope":"tag"`}},
		"reminders":      {url.Values{"do": {"remind"}, "version": {"5"}, "remind_after_s": {"2 h"}}, []string{`"remind_after_s":7200`, `"tag":"lab"`}},
		"no reminders":   {url.Values{"do": {"remind"}, "version": {"5"}, "remind_after_s": {""}}, []string{`"remind_after_s":0`}},
	} {
		c := newContract()
		w := visitPage(t, newPages(t, c), "POST", "/alerts/rules", tc.form)
		for _, want := range tc.want {
			if w.Code != http.StatusSeeOther || len(c.got) != 1 || !strings.Contains(c.got[0], want) {
				t.Errorf("%s: got %d, sent %q without %s", name, w.Code, c.got, want)
			}
		}
	}
	c := newContract()
	if w := visitPage(t, newPages(t, c), "POST", "/alerts/rules", url.Values{"do": {"add"}, "scope": {"host"}, "host_id": {"nobody"}, "code": {"x"}}); w.Code != http.StatusUnprocessableEntity || len(c.got) > 0 {
		t.Errorf("a rule for nobody: got %d, sent %q", w.Code, c.got)
	}
}

func TestAChannelKeepsItsSecretsUntilTheyAreTypedOrRemoved(t *testing.T) {
	base := url.Values{"name": {"n"}, "version": {"4"}, "setting.url": {"https://x.test/"}, "min_severity": {"info"}, "quiet": {"22:00-07:00"}, "at": {"8:00"}}
	for name, tc := range map[string]struct{ key, value, want, not string }{
		"kept":    {"setting.token", "", `"settings":[{"name":"url","value":"https://x.test/"}]`, `"secrets"`},
		"typed":   {"setting.token", " s3 cret ", `"secrets":[{"name":"token","value":" s3 cret "}]`, `"value":""`},
		"removed": {"remove.token", "true", `"secrets":[{"name":"token","value":""}]`, `s3`},
	} {
		c := newContract()
		form := url.Values{tc.key: {tc.value}}
		for k, v := range base {
			form[k] = v
		}
		w := visitPage(t, newPages(t, c), "POST", "/channels/"+channelID, form)
		if w.Code != http.StatusSeeOther || len(c.got) != 1 || !strings.HasPrefix(c.got[0], "PUT "+channelPath+"?if_version=4 ") || !strings.Contains(c.got[0], tc.want) || strings.Contains(c.got[0], tc.not) {
			t.Errorf("%s: got %d, sent %q", name, w.Code, c.got)
		}
		for _, want := range []string{`"resolved":false`, `"quiet":[{"from":"22:00","to":"07:00"}]`, `"at":"08:00"`, `"enabled":false`} {
			if !strings.Contains(c.got[0], want) {
				t.Errorf("%s: sent without %s", name, want)
			}
		}
	}
}

func TestARefusedChannelShowsEachMistakeAtItsFieldAndNoSecret(t *testing.T) {
	c := newContract()
	c.answers["POST /api/v1/channels"] = &api.Problem{Status: 422, Code: "invalid_field", Fields: []api.FieldProblem{{Field: "/settings/0/value", Detail: "no https"}, {Field: "/secrets/token", Detail: "too short"}, {Field: "/route/quiet/0/to", Detail: "quiet is wrong"}}}
	body := visitPage(t, newPages(t, c), "POST", "/channels/new", url.Values{"kind": {"webhook"}, "name": {"n"}, "setting.url": {"http://x.test/"}, "setting.token": {"s3cret"}, "setting.door": {"https://s3cret.test/"}}).Body.String()
	for _, want := range []string{`id="f-setting.url-error"`, "no https", `id="f-setting.token-error"`, "too short", `id="f-quiet-error"`, `value="http://x.test/"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(body, "s3cret") {
		t.Error("the secret is shown again")
	}
}

func TestATestOfAChannelTellsWhatCameOfIt(t *testing.T) {
	c := newContract()
	h := newPages(t, c)
	if body := visitPage(t, h, "POST", "/channels/"+channelID+"/test", nil).Body.String(); !strings.Contains(body, "The test did not get through") {
		t.Error("a test that failed is not said to have failed")
	}
	c.answers["POST "+channelPath+"/test"] = api.Delivery{Id: jobID, State: "sent"}
	if body := visitPage(t, h, "POST", "/channels/"+channelID+"/test", nil).Body.String(); !strings.Contains(body, "The test was sent") {
		t.Error("a test that was sent is not said to be")
	}
}

func TestAChannelWorksOnlyWhenItsLastMessageGotThrough(t *testing.T) {
	for want, c := range map[string]api.Channel{
		"Off": {FailingSince: noon}, "Failing": {Enabled: true, FailingSince: noon, LastDelivery: &api.Delivery{State: "sent"}}, "Not used yet": {Enabled: true},
		"The last one failed": {Enabled: true, LastDelivery: &api.Delivery{State: "failed"}}, "Works": {Enabled: true, LastDelivery: &api.Delivery{State: "sent"}},
	} {
		if got := channelState(channel{Channel: c}).Word; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTheAuditNamesHostsInsteadOfTheirIds(t *testing.T) {
	c := newContract()
	host := c.answers["GET /api/v1/hosts/"+hostID].(api.Host)
	host.Name = "web-1"
	c.answers["GET /api/v1/hosts/"+hostID] = host
	c.answers["GET /api/v1/audit"] = api.AuditPage{Entries: []api.AuditEntry{{Seq: 2, At: noon, Actor: "agent:" + hostID, Action: "x"}, {Seq: 1, At: noon, Actor: "agent:" + userID, Action: "x"}}}
	body := visitPage(t, newPages(t, c), "GET", "/audit", nil).Body.String()
	if !strings.Contains(body, ">the agent of web-1</a>") || !strings.Contains(body, "an agent of a host that is gone, 01936f0e") {
		t.Error("hosts are not named")
	}
}
