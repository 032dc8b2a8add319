package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"restic-manager/server/api"
	"restic-manager/web/webtest"
)

// axe is the checker of accessibility, as its project publishes it.
const axe = "../../cmd/e2e/testdata/axe-core-4.14.1/axe.min.js"

// fault is a rule of axe that a page breaks.
type fault struct {
	ID     string   `json:"id"`
	Impact string   `json:"impact"`
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"`
}

// runAxe has the page checked, by all rules or by some: runOnly of axe's options.
func runAxe(rules ...string) string {
	options := map[string]any{"resultTypes": []string{"violations"}}
	if len(rules) > 0 {
		options["runOnly"] = map[string]any{"type": "rule", "values": rules}
	}
	text, _ := json.Marshal(options) // has nothing that cannot be written
	return `axe.run(document, ` + string(text) + `).then((r) => JSON.stringify(r.violations
	.filter((v) => ["serious", "critical"].includes(v.impact))
	.map((v) => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 5).map((n) => n.target.join(" ") + " " + n.html.slice(0, 160) + " " + (n.any[0]?.message ?? ""))}))))`
}

// colours are the rules about them, in which alone a theme differs from the other.
var colours = []string{"color-contrast", "link-in-text-block"}

// Every page with the sample of a fleet, as a person sees it: it fits the window, says
// nothing on the console and has no serious fault of accessibility. RM_SCREENSHOTS
// names a folder for pictures.
func TestEveryPageFitsAndHasNoSeriousFaultOfAccessibility(t *testing.T) {
	checker, err := os.ReadFile(axe)
	if err != nil {
		t.Fatal(err)
	}
	c := sampleFleet()
	c.sampleDamage()
	site := httptest.NewServer(signedIn(c, newPages(t, c)))
	t.Cleanup(func() {
		site.CloseClientConnections()
		site.Close()
	})
	tab := openTab(t)
	paths := map[string]string{
		"job-damaged": "/jobs/" + damagedID, "run-repair": "/repositories/{repository}/run/repair-packs?listed=" + damagedID,
		"dashboard": "/", "hosts": "/hosts", "host": "/hosts/{host}", "host-new": "/hosts/new", "host-settings": "/hosts/{host}/settings", "host-jobs": "/hosts/{host}/jobs",
		"host-policy": "/hosts/{host}/policy", "host-snapshots": "/hosts/{host}/snapshots", "joining": "/hosts/{host}/joining", "joining-told": "",
		"schedules": "/hosts/{host}/schedules", "schedule-new": "/hosts/{host}/schedules/new", "schedule": "/hosts/{host}/schedules/{schedule}",
		"alerts": "/alerts", "alert": "/alerts/{alert}", "rules": "/alerts/rules", "channels": "/channels", "channel": "/channels/{channel}", "channel-kinds": "/channels/new", "channel-new": "/channels/new?kind=email",
		"job": "/jobs/{job}", "job-restored": "/jobs/" + restoredID, "job-compared": "/jobs/" + comparedID, "jobs": "/jobs", "snapshot": "/repositories/{repository}/snapshots/{snapshot}?path=/etc", "snapshot-unlisted": "/repositories/{repository}/snapshots/" + unlistedID,
		"restore": "/hosts/{host}/restore?repository={repository}&snapshot={snapshot}&path=/etc/nginx", "restore-dry": "/hosts/{host}/restore?dry=" + dryID, "restore-first": "/hosts/{host}/restore", "run-host": "/hosts/{host}/run", "run-repository-list": "/repositories/{repository}/run", "run-restore": "/hosts/{host}/run/restore",
		"job-waiting": "/jobs/" + waitingID, "snapshot-failed": "/repositories/{repository}/snapshots/" + failedID, "nothing-found": "/repositories/{repository}/snapshots/{snapshot}?q=nothing-like-this", "restore-gone": "/hosts/{host}/restore?repository={repository}&snapshot=" + strings.Repeat("9", 64),
		"jobs-none": "/jobs?state=pending&operation=none", "not-found": "/nowhere", "run-repository": "/repositories/{repository}/run/{operation}", "snapshots": "/snapshots", "repositories": "/repositories", "repository": "/repositories/{repository}", "repository-new": "/repositories/new",
		"audit": "/audit", "users": "/users", "account": "/account", "settings": "/settings", "sign-in": "/sign-in",
	}
	for _, tab := range []string{"maintenance", "retention", "settings"} {
		paths["repository-"+tab] = "/repositories/{repository}/" + tab
	}
	webtest.Do(t, tab, chromedp.Navigate(site.URL+"/account"))
	webtest.Value[bool](t, tab, string(checker)+`; document.querySelector("main label").remove(); true`)
	if found := webtest.Value[string](t, tab, runAxe()); !strings.Contains(found, `"label"`) {
		t.Fatalf("a field whose label was taken away is no fault: %s", found)
	}
	c.answers["POST /api/v1/hosts"] = api.HostCreated{Host: c.answers["GET /api/v1/hosts/"+hostID].(api.Host), Enrolment: api.Enrolment{LineLinux: "printf %s 'x' | sh -c 'set -e; f=$(mktemp); curl -fsS -o \"$f\" https://backup.test/install/install.sh; sh \"$f\"'", EnrollLinux: "printf %s 'x' | restic-manager-agent enroll --server https://backup.test", LineWindows: "'x' | & restic-manager-agent.exe enroll", EnrollWindows: "'x' | & restic-manager-agent.exe enroll"}}
	for name, path := range paths {
		webtest.Do(t, tab, chromedp.Navigate(site.URL+known.Replace(path)))
		if name == "joining-told" { // the answer to a form
			webtest.Do(t, tab, chromedp.Navigate(site.URL+"/hosts/new"), chromedp.SetValue(chromedp.CSS("#f-name"), "web-3"), chromedp.SetValue(chromedp.CSS("#f-paths"), "/etc"), chromedp.Click(chromedp.CSS("main .btn.primary")))
			webtest.Until(t, tab, `document.getElementById("line-linux-enrol") !== null`)
		}
		webtest.Value[bool](t, tab, string(checker)+"; true")
		for _, width := range []int64{1280, 390} {
			webtest.Do(t, tab, chromedp.EmulateViewport(width, 900))
			if over := webtest.Value[int](t, tab, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("%s is %d px wider than a window of %d", path, over, width)
			}
			for _, theme := range []string{"light", "dark"} {
				webtest.Value[string](t, tab, fmt.Sprintf(`document.documentElement.dataset.theme = %q`, theme))
				webtest.Keep(t, tab, fmt.Sprintf("%s-%d-%s", name, width, theme))
				if width < 1000 && theme == "dark" {
					continue // each theme and each width was looked at
				}
				var rules []string
				if theme == "dark" {
					rules = colours
				}
				var faults []fault
				if err := json.Unmarshal([]byte(webtest.Value[string](t, tab, runAxe(rules...))), &faults); err != nil {
					t.Fatal(err)
				}
				for _, f := range faults {
					t.Errorf("%s at %d px, %s: %s %s: %s\n\t%s", path, width, theme, f.Impact, f.ID, f.Help, strings.Join(f.Nodes, "\n\t"))
				}
			}
		}
	}
}

// A time is read while it is typed; without a script the page says it when it is saved.
func TestATimeIsReadWhileItIsTyped(t *testing.T) {
	c := sampleFleet()
	c.lists["GET /api/v1/cron-preview"] = func(r *http.Request) any {
		switch q := r.URL.Query(); q.Get("cron") {
		case "0 * * * *":
			return api.CronPreview{Words: "every hour, read by the server", ObjectiveS: 10800, NextRuns: []time.Time{time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC)}}
		case "0 99 * * *":
			return &api.Problem{Status: 422, Code: "invalid_field", Fields: []api.FieldProblem{{Field: "/cron", Detail: "The second column is wrong."}}}
		}
		return api.CronPreview{Words: "something else", NextRuns: []time.Time{}}
	}
	site := httptest.NewServer(signedIn(c, newPages(t, c)))
	t.Cleanup(func() {
		site.CloseClientConnections()
		site.Close()
	})
	tab := openTab(t, "422")
	webtest.Do(t, tab, chromedp.Navigate(site.URL+known.Replace("/hosts/{host}/schedules/{schedule}")))
	webtest.Until(t, tab, `"script" in document.documentElement.dataset`)
	words := `document.querySelector("cron-preview [data-words]").textContent`
	webtest.Do(t, tab, chromedp.Click(chromedp.CSS(`button[data-cron="0 * * * *"]`)))
	webtest.Until(t, tab, words+` === "every hour, read by the server"`)
	if got := webtest.Value[string](t, tab, `document.querySelector("cron-preview [data-runs]").textContent + " " + document.getElementById("f-objective_s").placeholder`); got != "Wed 1 Jul 2026, 12:00 +02:00 3 h" {
		t.Errorf("the next run is %q", got)
	}
	webtest.Value[bool](t, tab, `((f) => (f.value = "0 99 * * *", f.dispatchEvent(new Event("input", {bubbles: true}))))(document.getElementById("f-cron"))`)
	webtest.Until(t, tab, words+` === "The second column is wrong." && document.querySelector("cron-preview").hasAttribute("data-wrong") && !document.querySelector("cron-preview li")`)
	if !webtest.Value[bool](t, tab, `document.querySelectorAll("#zones option").length > 100`) {
		t.Error("no zones are suggested")
	}
	webtest.Value[bool](t, tab, `(document.getElementById("f-source").value = "pg-dump", true)`)
	if webtest.Value[bool](t, tab, `document.getElementById("f-paths").checkVisibility()`) {
		t.Error("paths are asked for beside a named source")
	}
	webtest.Do(t, tab, chromedp.Click(chromedp.CSS(`#f-manual`)))
	if webtest.Value[bool](t, tab, `document.getElementById("f-cron").checkVisibility() || !document.getElementById("f-repository_id").checkVisibility()`) {
		t.Error("a manual schedule has a time, or hides more than that")
	}
}

// Where a host has no zone of its own yet, a new schedule has that of who makes it.
func TestANewScheduleHasTheZoneOfTheBrowserWhereTheHostsIsNotKnown(t *testing.T) {
	t.Setenv("TZ", "Asia/Tokyo") // Chromium's
	c := sampleFleet()
	c.answers["GET /api/v1/hosts/"+hostID+"/schedules"] = api.SchedulePage{}
	site := httptest.NewServer(signedIn(c, newPages(t, c)))
	t.Cleanup(func() {
		site.CloseClientConnections()
		site.Close()
	})
	tab := openTab(t)
	webtest.Do(t, tab, chromedp.Navigate(site.URL+known.Replace("/hosts/{host}/schedules/new")))
	webtest.Until(t, tab, `document.getElementById("f-zone").value === "Asia/Tokyo" && document.querySelector("[data-in-zone]").textContent === "Asia/Tokyo"`)
	webtest.Keep(t, tab, "schedule-new-own-zone")
}

func TestTheSpeedOfARunningJobIsDrawn(t *testing.T) {
	c := sampleFleet()
	job := c.answers["GET /api/v1/jobs/"+jobID].(api.Job)
	var samples atomic.Int64
	c.lists["GET /api/v1/jobs/"+jobID] = func(r *http.Request) any {
		n, next := samples.Add(1), job
		next.Version = n
		next.Progress = &api.Progress{At: noon.Add(time.Duration(n) * time.Second), Percent: 41, BytesDone: n * n << 20, BytesTotal: 1 << 40}
		return next
	}
	site := httptest.NewServer(signedIn(c, newPages(t, c)))
	t.Cleanup(func() {
		site.CloseClientConnections()
		site.Close()
	})
	tab := openTab(t)
	webtest.Do(t, tab, chromedp.Navigate(site.URL+known.Replace("/jobs/{job}")))
	webtest.Until(t, tab, `document.querySelector("job-throughput polyline").points.length >= 4`)
	if got := webtest.Value[string](t, tab, `document.querySelector("job-throughput svg").getAttribute("aria-label")`); !strings.Contains(got, "MiB/s") {
		t.Errorf("the picture says %q", got)
	}
	if !webtest.Value[bool](t, tab, `document.querySelector("job-throughput").checkVisibility()`) {
		t.Error("the picture is hidden")
	}
	webtest.Keep(t, tab, "throughput")
}

// signedIn serves contract and pages to a browser as if it had signed in.
func signedIn(contract, pages http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	mux.Handle("/api/", contract)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Cookie", "rm=somebody")
		mux.ServeHTTP(w, r)
	})
}

// openTab opens a tab of a browser of its own; the sample has no log.
func openTab(t *testing.T, quiet ...string) context.Context {
	t.Helper()
	return webtest.Open(t, webtest.Browser(t), append(quiet, "404")...)
}

// sampleFleet is a contract that tells of a fleet as it may be one morning.
func sampleFleet() *contract {
	c := newContract()
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	names := []string{"build-linux", "build-win", "db-1", "db-2", "git", "laptop-ana", "mail", "nas-main", "pi-door", "web-1", "web-2", "ws-klaus-with-a-rather-long-name"}
	states := []api.ProtectionState{"protected", "protected", "protected", "unprotected", "protected", "asleep", "at_risk", "protected", "not_scheduled", "protected", "never", "protected"}
	reasons := map[api.ProtectionState]string{
		"unprotected": `schedule "nightly": the last good backup is 3 h older than its objective`, "at_risk": `schedule "nightly": the last run left out 3 files`,
		"never": `schedule "nightly" has made no good backup yet`, "not_scheduled": "only manual schedules", "asleep": "away since 9 h, objectives met",
	}
	hosts := []api.Host{}
	days := []api.HistoryHost{}
	for i, name := range names {
		h := api.Host{Id: api.Id(fmt.Sprintf("01936f0e-5c1a-7c3e-9a54-0000000001%02d", i)), Name: name, Tags: []api.Tag{"lab", "x86"}[:i%3], Presence: "online", Availability: "always_on", Profile: "guarded", Version: 1, CreatedAt: ago(900 * time.Hour),
			LastContactAt: ago(20 * time.Second), Hostname: name, Os: "linux", Arch: "amd64", AgentVersion: "1.4.0", ResticVersion: "0.18.0", LastGoodBackupAt: ago(time.Duration(i+1) * time.Hour), NextSlotAt: noon.Add(time.Duration(14+i) * time.Hour),
			Counts: api.HostCounts{Schedules: 1, EnabledSchedules: 1, TimedSchedules: 1, Snapshots: 40 + i}, Size: &api.HostSize{SourceBytes: int64(i) << 33, StoredBytes: int64(i%3) << 34, Shared: i%2 == 0}, Absences: []api.Absence{}, Conditions: []api.Condition{},
			Protection: api.Protection{State: states[i], Reason: reasons[states[i]], Since: ago(30 * time.Hour), BreachAt: noon.Add(20 * time.Hour)}}
		switch states[i] {
		case "unprotected":
			h.Protection.BreachAt, h.LastGoodBackupAt = ago(3*time.Hour), ago(29*time.Hour)
		case "asleep":
			h.Presence, h.Availability = "offline", "come_and_go"
		case "never", "not_scheduled":
			h.LastGoodBackupAt, h.Protection.BreachAt, h.NextSlotAt = time.Time{}, time.Time{}, time.Time{}
		}
		hosts = append(hosts, h)
		d := api.HistoryHost{HostId: h.Id, HostName: name, Protection: h.Protection}
		for n := range 21 {
			day := api.HistoryDay{Day: history().To, Worst: "good", Succeeded: 1}
			day.Day.Time = day.Day.AddDate(0, 0, -n)
			switch {
			case (n*7+i*3)%23 == 0:
				day.Worst, day.Succeeded, day.Failed = "bad", 0, 1
			case (n*5+i)%19 == 0:
				day.Worst, day.Warning = "warning", 1
			case (n+i*11)%17 == 0:
				day.Worst, day.Succeeded, day.Missed = "bad", 0, 2
			case i == 8 || (i == 5 && n%7 > 4):
				continue
			case i == 4 && n == 3:
				day.Worst, day.Succeeded, day.Skipped = "none", 0, 1
			}
			d.Days = append(d.Days, day)
		}
		days = append(days, d)
	}
	c.perHost(hosts)
	one := hosts[3]
	one.Id = hostID
	one.Offers = api.Offers{Hooks: []api.Offer{{Name: "stop-db"}, {Name: "tell-chat", Problem: "the file can be changed by others than root; chmod go-w /etc/restic-manager/hooks/tell-chat"}}, Sources: []api.Offer{{Name: "pg-dump"}}}
	one.Absences = []api.Absence{{From: ago(40 * time.Hour), To: ago(31 * time.Hour), Reason: "asleep"}, {From: ago(90 * time.Hour), To: ago(89 * time.Hour), Reason: "off"}}
	one.Policy = &api.PolicyReport{State: "ok", Profile: "guarded", Digest: "sha256:5f2b", Rules: []api.PolicyRule{{Name: "operations", Value: "backup check restore"}}}
	page := history()
	page.NextPageToken, page.Hosts = "", days
	brief := &api.JobBrief{Id: jobID, Operation: "backup", State: "finished", Result: "failed", At: ago(11 * time.Hour), Message: "the repository is locked by nas, pid 4120"}
	s := api.Schedule{Id: scheduleID, HostId: hostID, Name: "nightly", Warnings: []api.FieldProblem{{Field: "/source", Code: "script_not_offered", Detail: "The host does not offer the named source shop.dump yet; it offers pg-dump."}}, RepositoryId: repositoryID, RepositoryName: "nas-main", Paths: []string{"/etc", "/home", "/var/lib"}, Excludes: []string{"*.tmp"}, Tags: []api.Tag{"prod"}, Cron: "0 2 * * *", Zone: "Europe/Paris", Words: "every day at 02:00",
		Enabled: true, Retention: api.Retention{KeepDaily: 7, KeepWeekly: 4}, Version: 12, LastJob: brief, LastGoodAt: ago(29 * time.Hour), BreachAt: ago(3 * time.Hour), NextRuns: []time.Time{noon.Add(13 * time.Hour)}, EffectiveObjectiveS: 93600,
		Options: api.ScheduleOptions{CatchUp: "latest", Windows: []api.Window{{From: "22:00", To: "06:00"}}, Bandwidth: []api.BandwidthRule{{Days: []api.Weekday{"mon", "tue", "wed", "thu", "fri"}, From: "08:00", To: "18:00", UploadKibS: 1024}}, RetryAttempts: 3, Hooks: api.ScheduleHooks{Before: "stop-db"}}}
	manual := s
	manual.Id, manual.Name, manual.Manual, manual.NextRuns, manual.BreachAt = userID, "Initial schedule", true, nil, time.Time{}
	repository := c.answers["GET "+repositoryPath].(api.Repository)
	repository.Name, repository.Conditions, repository.State, repository.SheetSaved, repository.LastSnapshotAt = "nas-main", nil, "ready", true, ago(time.Hour)
	repository.Credentials[0].Username = "web"
	c.sampleRepository(&repository)
	sampleFormer(&repository)
	ended := c.answers["GET /api/v1/jobs/"+jobID].(api.Job)
	ended.HostName, ended.RepositoryName, ended.ScheduleName, ended.WaitingOn, ended.Trigger, ended.CreatedBy, ended.Slot, ended.CreatedAt = "db-2", "nas-main", "nightly", "", "schedule", "", ago(10*time.Hour), ago(10*time.Hour)
	ended.Outcome = &api.Outcome{Result: "failed", Code: "repository_locked", Message: "repository is already locked by PID 4120 on nas", NextStep: "Wait for the prune on nas to end.", DurationMs: 4000}
	missed := ended
	missed.Outcome, missed.Attempt, missed.StartedAt = &api.Outcome{Result: "missed", Code: "host_off", Message: "The machine was asleep from 01:10 to 07:40."}, 1, time.Time{}
	running := ended
	running.State, running.Outcome, running.Progress, running.FinishedAt, running.HostName = "running", nil, &api.Progress{At: ago(time.Second), Percent: 41.5, BytesDone: 61 << 30, BytesTotal: 147 << 30, FilesDone: 81231, BytesPerS: 168 << 20}, time.Time{}, "db-1"
	waiting := running
	waiting.State, waiting.WaitingOn, waiting.HostName, waiting.Progress = "waiting", "the window 22:00–06:00 of its schedule", "web-2", nil
	snapshot := c.answers["GET /api/v1/snapshots"].(api.SnapshotPage).Snapshots[0]
	snapshot.HostName, snapshot.RepositoryName, snapshot.Hostname, snapshot.Paths = "db-2", "nas-main", "db-2", []string{"/etc", "/home"}
	for key, answer := range map[string]any{
		"GET /api/v1/overview": api.Overview{Hosts: 12, Online: 11, Offline: 1, Repositories: 1, RepositoriesReady: 1, ActiveJobs: 2, Snapshots: 533, Alerts: 2, Score: 64, StoredBytes: 612 << 30, SourceBytes: 3100 << 30, GrowthBytesPerDay: 2 << 30, RepositoriesMeasured: 1, RepositoriesHeld: 1, Protection: api.ProtectionCounts{Protected: 7, AtRisk: 1, Unprotected: 1, Asleep: 1, NotScheduled: 1, Never: 1},
			NextBreach: api.Due{HostId: hostID, HostName: "web-1", ScheduleId: scheduleID, ScheduleName: "nightly", At: noon.Add(5 * time.Hour)},
			DueNext:    []api.Due{{HostId: hostID, HostName: "git", ScheduleId: scheduleID, ScheduleName: "nightly", At: noon.Add(time.Hour)}, {HostId: hostID, HostName: "web-1", ScheduleId: scheduleID, ScheduleName: "hourly", At: noon.Add(2 * time.Hour)}}},
		"GET /api/v1/hosts/" + hostID:                one,
		"GET /api/v1/hosts/" + hostID + "/schedules": api.SchedulePage{Schedules: []api.Schedule{s, manual}}, "GET " + schedulePath: s,
		"GET /api/v1/cron-preview": api.CronPreview{Words: "every day at 02:00", ObjectiveS: 93600, NextRuns: []time.Time{noon.Add(13 * time.Hour), noon.Add(37 * time.Hour), noon.Add(61 * time.Hour), noon.Add(85 * time.Hour), noon.Add(109 * time.Hour)}},
		"GET /api/v1/repositories": api.RepositoryPage{Repositories: []api.Repository{repository}}, "GET " + repositoryPath: repository,
		"GET /api/v1/jobs/" + jobID:             running,
		"GET /api/v1/jobs/" + jobID + "/events": api.EventPage{Events: []api.Event{{Seq: 1, At: ago(time.Minute), Kind: "acked"}, {Seq: 2, At: ago(time.Second), Kind: "running", Attempt: 2, Message: "the second attempt"}}, End: true},
		"GET /api/v1/snapshots":                 api.SnapshotPage{Snapshots: []api.Snapshot{snapshot}},
		"GET /api/v1/programs": api.ProgramList{Programs: []api.Program{{File: "restic-0.18.0-linux-amd64", Name: "restic", Version: "0.18.0", Os: "linux", Arch: "amd64", Sha256: strings.Repeat("1", 64), Bytes: 25 << 20}, {File: "restic-0.19.0-linux-amd64", Name: "restic", Version: "0.19.0", Os: "linux", Arch: "amd64", Sha256: strings.Repeat("2", 64), Bytes: 26 << 20}, {File: "restic-0.19.1-linux-amd64", Name: "restic", Version: "0.19.1", Os: "linux", Arch: "amd64", Sha256: strings.Repeat("3", 64), Problem: "its content has changed since it was added"},
			{File: "restic-manager-agent-1.0-linux-amd64", Name: "restic-manager-agent", Version: "1.0", Os: "linux", Arch: "amd64", Sha256: strings.Repeat("4", 64), Bytes: 14 << 20}}},
		"GET /api/v1/audit": api.AuditPage{Entries: []api.AuditEntry{{Seq: 2, At: ago(time.Hour), Actor: "ana", Action: "schedule.update", ObjectName: "nightly", Detail: "cron"}, {Seq: 1, At: ago(2 * time.Hour), Actor: "agent:" + hostID, Action: "host.enrol", ObjectName: "db-2"}}},
	} {
		c.answers[key] = answer
	}
	c.sampleAlerts(hosts)
	c.sampleRestores(one)
	c.lists["GET /api/v1/history"] = func(r *http.Request) any {
		all := page
		if r.URL.Query().Get("host_id") != "" {
			all.Hosts = all.Hosts[3:4]
		}
		return all
	}
	c.lists["GET /api/v1/jobs"] = func(r *http.Request) any {
		switch {
		case r.URL.Query().Get("operation") == "retention":
			return api.JobPage{Jobs: []api.Job{previewed(ended)}}
		case r.URL.Query().Get("active") != "":
			return api.JobPage{Jobs: []api.Job{running, waiting}}
		case r.URL.Query().Get("state") != "":
			return api.JobPage{Jobs: []api.Job{ended, missed}}
		}
		return api.JobPage{Jobs: []api.Job{running, waiting, ended, missed}}
	}
	return c
}

// perHost answers lists of hosts by how they are protected.
func (c *contract) perHost(hosts []api.Host) {
	c.lists = map[string]func(*http.Request) any{"GET /api/v1/hosts": func(r *http.Request) any {
		page := api.HostPage{Hosts: []api.Host{}}
		for _, h := range hosts {
			if want := r.URL.Query().Get("protection"); (want == "" || string(h.Protection.State) == want) && r.URL.Query().Get("attention") == "" {
				page.Hosts = append(page.Hosts, h)
			}
		}
		return page
	}}
}

func (c *contract) sampleAlerts(hosts []api.Host) {
	var touched []api.AlertObject
	for _, h := range hosts[8:] {
		touched = append(touched, api.AlertObject{ObjectType: "host", ObjectId: string(h.Id), Name: string(h.Name), Message: "dial tcp 10.0.0.7:8000: connection refused", Since: noon.Add(-2 * time.Hour), JobId: jobID})
	}
	dead := api.Alert{Id: alertID, Code: "repository_unreachable", Severity: "critical", State: "raised", Title: "offsite cannot be reached", Message: "Five hosts were refused by rest:https://offsite:8000/. Their backups wait.", NextStep: "Look whether rest-server runs there.", Objects: touched, ObjectsTotal: 5, RaisedAt: noon.Add(-2 * time.Hour), LastSeenAt: noon.Add(-time.Minute)}
	full := dead
	full.Id, full.Code, full.Severity, full.Title, full.Message, full.NextStep, full.Objects, full.ObjectsTotal = jobID, "repository_full", "warning", "nas-main is nearly full", "7.1 of 7.7 TiB are used.", "Prune it, or add room.", []api.AlertObject{{ObjectType: "repository", ObjectId: repositoryID, Name: "nas-main", Since: noon}}, 1
	silent := full
	silent.Id, silent.State, silent.SilencedUntil, silent.Title, silent.Note = userID, "silenced", noon.Add(20*time.Hour), "build-win is silent", "Moved to another room until tomorrow."
	c.answers["GET /api/v1/alerts"] = api.AlertPage{Alerts: []api.Alert{dead, full, silent}}
	c.answers["GET "+alertPath] = dead
	off, limit := false, int64(60)
	c.answers["GET /api/v1/alert-rules"] = api.AlertRules{Version: 3, RemindAfterS: 86400, Rules: []api.AlertRule{{Scope: "tag", Tag: "lab", Code: "host_silent", Threshold: &limit, Severity: "info"}, {Scope: "host", HostId: hostID, Code: "source_shrank", Enabled: &off}},
		Kinds: []api.AlertKind{{Code: "host_silent", Title: "A host is silent", Description: "Its agent has not been heard of, although the machine is said to be always on.", Severity: "warning", Unit: "minutes", Threshold: 15}, {Code: "source_shrank", Title: "A source shrank", Description: "A backup has far fewer bytes than those before.", Severity: "warning", Unit: "percent", Threshold: 50}, {Code: "objective_missed", Title: "An objective is missed", Description: "The last good backup is too old.", Severity: "critical"}}}
	email := api.ChannelKind{Name: "email", Title: "Mail", Description: "By your own SMTP server.", Fields: []api.ChannelField{{Name: "host", Label: "SMTP server", Type: "text", Required: true, Help: "Name and port, such as smtp.example.org:587"}, {Name: "security", Label: "Encryption", Type: "choice", Options: []string{"starttls", "tls"}, Default: "starttls", Required: true}, {Name: "password", Label: "Password", Type: "password", Secret: true}, {Name: "to", Label: "To", Type: "list", Required: true, Help: "One address a line."}}}
	kinds := api.ChannelKindList{Kinds: []api.ChannelKind{email, {Name: "ntfy", Title: "ntfy", Description: "A push message to a phone."}, {Name: "webhook", Title: "Webhook", Description: "A signed request to an address of yours."}}}
	sent := api.Delivery{Id: jobID, ChannelId: channelID, AlertId: alertID, Kind: "raised", State: "sent", Subject: "Critical: offsite cannot be reached", Attempts: 1, CreatedAt: noon.Add(-2 * time.Hour), SentAt: noon.Add(-2 * time.Hour)}
	waiting := sent
	waiting.State, waiting.Kind, waiting.Error, waiting.Attempts, waiting.NextAttemptAt, waiting.Subject = "pending", "reminder", "451 try again later", 3, noon.Add(time.Minute), "Still open: offsite cannot be reached"
	mail := api.Channel{Id: channelID, Name: "ops by mail", Kind: "email", Enabled: true, Settings: []api.ChannelSetting{{Name: "host", Value: "smtp.example.org:587"}, {Name: "to", Value: "ops@example.org"}}, SecretsSet: []string{"password"}, LastDelivery: &waiting, FailingSince: noon.Add(-time.Hour), Version: 3, Route: api.ChannelRoute{MinSeverity: "warning", Digest: "hourly", Quiet: []api.Window{{From: "22:00", To: "07:00"}}, Zone: "Europe/Paris", Report: "daily", At: "08:00"}}
	phone := mail
	phone.Id, phone.Name, phone.Kind, phone.FailingSince, phone.LastDelivery = userID, "Ana's phone", "ntfy", time.Time{}, &sent
	c.answers["GET /api/v1/channel-kinds"] = kinds
	c.answers["GET /api/v1/channels"] = map[string]any{"channels": []api.Channel{mail, phone}}
	c.answers["GET "+channelPath] = mail
	c.answers["GET "+channelPath+"/deliveries"] = api.DeliveryPage{Deliveries: []api.Delivery{waiting, sent}}
}
