package ui

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"restic-manager/server/api"
	"restic-manager/web"
)

const (
	hostID       = "01936f0e-5c1a-7c3e-9a54-000000000001"
	scheduleID   = "01936f0e-5c1a-7c3e-9a54-000000000002"
	repositoryID = "01936f0e-5c1a-7c3e-9a54-000000000003"
	jobID        = "01936f0e-5c1a-7c3e-9a54-000000000004"
	userID       = "01936f0e-5c1a-7c3e-9a54-000000000005"
	alertID      = "01936f0e-5c1a-7c3e-9a54-000000000007"
	channelID    = "01936f0e-5c1a-7c3e-9a54-000000000008"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// hostile is what a machine may send as a name or message.
const hostile = markup + "\u202e\x1b[31m"

// markup is what a person may type as a name.
const markup = "<img src=x onerror=alert(1)>"

// contract answers as the server would, with one of everything.
type contract struct {
	setUp   bool
	answers map[string]any // "GET /path" → what comes back; a *api.Problem is an error
	got     []string       // method, path and body of each change
	seen    func(*http.Request)
	lists   map[string]func(*http.Request) any // what depends on the query
}

func newContract() *contract {
	id := func(s string) api.Id { return api.Id(s) }
	host := api.Host{
		Id: id(hostID), Name: markup, Tags: []api.Tag{"lab"}, Presence: api.PresenceOnline, Profile: "guarded", Version: 3, CreatedAt: noon, LastContactAt: noon, Hostname: hostile, Os: "linux", Arch: "amd64",
		AgentVersion: "1.0", ResticVersion: "0.18.0", Counts: api.HostCounts{Schedules: 1, EnabledSchedules: 1, Snapshots: 2, ActiveJobs: 1}, LastGoodBackupAt: noon.Add(-time.Hour),
		LastBackup:   &api.JobBrief{Id: id(jobID), Operation: "backup", State: "finished", Result: "succeeded", At: noon},
		Policy:       &api.PolicyReport{State: "ok", Profile: "guarded", Digest: "sha256:1", Rules: []api.PolicyRule{{Name: "operations", Value: hostile}}},
		Conditions:   []api.Condition{{Code: "x", Severity: "critical", Message: hostile, NextStep: hostile, Since: noon, JobId: id(jobID)}},
		Availability: "come_and_go", NextSlotAt: noon.Add(time.Hour), Protection: api.Protection{State: "unprotected", Reason: hostile, Since: noon, BreachAt: noon.Add(-3 * time.Hour)},
		Offers:   api.Offers{Hooks: []api.Offer{{Name: "stop-db"}, {Name: "bad", Problem: hostile}}, Sources: []api.Offer{{Name: "pg-dump"}}},
		Absences: []api.Absence{{From: noon.Add(-9 * time.Hour), To: noon.Add(-time.Hour), Reason: "asleep"}, {From: noon, To: noon, Reason: hostile}},
	}
	schedule := api.Schedule{Id: id(scheduleID), HostId: id(hostID), Name: markup, RepositoryId: id(repositoryID), RepositoryName: markup, Paths: []string{"/etc", markup, "/a", "/b"}, Tags: []api.Tag{"t"},
		Manual: true, Enabled: true, Retention: api.Retention{KeepDaily: 7}, Version: 2, LastJob: host.LastBackup, CreatedAt: noon, UpdatedAt: noon, LastGoodAt: noon, BreachAt: noon.Add(time.Hour), Words: "every day at 02:00",
		Options: api.ScheduleOptions{Hooks: api.ScheduleHooks{Before: "gone"}, Windows: []api.Window{{Days: []api.Weekday{"mon", "tue", "wed"}, From: "20:00", To: "06:00"}}}}
	repository := api.Repository{Id: id(repositoryID), Name: markup, Location: "rest:https://nas:8000/a/", State: "failed", ResticId: strings.Repeat("a", 64), InitJobId: id(jobID), HasPassword: true, Conditions: host.Conditions, CreatedAt: noon,
		Credentials: []api.CredentialInfo{{Slot: "append", Username: hostile, Version: 1, CanDelete: "no", UpdatedAt: noon}}}
	repository.Hold = api.RepositoryHold{JobId: id(jobID), HostName: hostile, Operation: "prune", Since: noon.Add(-time.Hour), WaitsFor: hostile, HeldBackUntil: noon.Add(time.Hour), Next: 2}
	repository.Maintenance = api.RepositoryMaintenance{Mode: "credential", HostId: id(hostID), HostName: markup, Location: "/srv/" + markup, Allowed: "no", NextStep: hostile, Floors: api.MaintenanceRule{Location: "/srv", KeepDays: 14, KeepLast: 3, MaxDeleteFraction: 0.3}}
	repository.Plan = api.MaintenancePlan{Zone: "UTC", Retention: "30 4 * * *", CheckParts: 7}
	locks := api.LockList{SeenAt: noon, Locks: []api.RepositoryLock{{Id: strings.Repeat("d", 64), Hostname: hostile, Username: hostile, Pid: 7, Alive: "unknown", Removable: "typed", CreatedAt: noon}, {Id: strings.Repeat("e", 64), Hostname: hostile, HostId: id(hostID), HostName: hostile, JobId: id(jobID), Operation: hostile, Alive: "no", Removable: "by_rule", CreatedAt: noon, AliveAt: noon}}}
	running := api.Job{Id: id(jobID), HostId: id(hostID), HostName: markup, RepositoryId: id(repositoryID), RepositoryName: markup, ScheduleId: id(scheduleID), ScheduleName: markup, Operation: "backup", Trigger: "run-now", CreatedBy: "ana",
		State: "running", WaitingOn: hostile, Attempt: 2, Progress: &api.Progress{At: noon, Percent: 41.5}, CreatedAt: noon, StartedAt: noon, Version: 9}
	ended := running
	ended.State, ended.FinishedAt, ended.Late, ended.Unconfirmed = "finished", noon.Add(time.Minute), true, true
	ended.Outcome = &api.Outcome{Result: "warning", Code: "some_unreadable", Message: hostile, NextStep: hostile, SnapshotId: strings.Repeat("b", 64), Stats: &api.BackupStats{FilesProcessed: 12}, WarningsTotal: 1,
		Warnings: []api.FileWarning{{Path: hostile, Message: hostile}}, Locks: []api.LockInfo{{Id: "abc", Hostname: hostile, Pid: 7, CreatedAt: noon}}, DurationMs: 61000}
	preview := ended
	preview.Operation, preview.Params = "retention", api.Params(`{"dry_run":true}`)
	snapshot := api.Snapshot{Id: strings.Repeat("b", 64), RepositoryId: id(repositoryID), RepositoryName: hostile, HostId: id(hostID), HostName: hostile, JobId: id(jobID), Time: noon, FirstSeenAt: noon, Hostname: hostile, Paths: []string{hostile}, Tags: []string{"rm:x"}, Files: 3, Bytes: 1 << 30}
	alert := api.Alert{Id: id(alertID), Code: "repository_unreachable", Severity: "critical", State: "raised", Title: hostile, Message: hostile, NextStep: hostile, Note: hostile, RaisedAt: noon, LastSeenAt: noon, Version: 1, ObjectsTotal: 40,
		Objects: []api.AlertObject{{ObjectType: "host", ObjectId: "somebody", Name: hostile, Message: hostile, JobId: id(jobID), Since: noon}, {ObjectType: "fleet", Name: hostile, Since: noon}}}
	off := false
	limit := int64(30)
	rules := api.AlertRules{Version: 5, RemindAfterS: 86400, Kinds: []api.AlertKind{{Code: "host_silent", Title: "A host is silent", Description: "d", Severity: "warning", Unit: "minutes", Threshold: 15}},
		Rules: []api.AlertRule{{Scope: "host", HostId: id(hostID), Code: "host_silent", Enabled: &off}, {Scope: "tag", Tag: "lab", Code: "host_silent", Severity: "info", Threshold: &limit}}}
	webhook := api.ChannelKind{Name: "webhook", Title: "Webhook", Description: "d", Fields: []api.ChannelField{{Name: "url", Label: "URL", Type: "url", Required: true}, {Name: "token", Label: "Token", Type: "password", Secret: true}, {Name: "door", Label: "Door", Type: "url", Secret: true}, {Name: "how", Label: "How", Type: "choice", Options: []string{"a", "b"}}, {Name: "to", Label: "To", Type: "list"}}}
	failed := api.Delivery{Id: id(jobID), ChannelId: id(channelID), AlertId: id(alertID), Kind: "raised", State: "failed", Subject: hostile, Error: hostile, Attempts: 3, CreatedAt: noon}
	sender := api.Channel{Id: id(channelID), Name: markup, Kind: "webhook", Enabled: true, Settings: []api.ChannelSetting{{Name: "url", Value: "https://hook.test/" + markup}}, SecretsSet: []string{"token"}, LastDelivery: &failed, FailingSince: noon, Version: 4, CreatedAt: noon}
	user := api.User{Id: id(userID), Name: "ana", Role: "admin", CreatedAt: noon}
	c := &contract{setUp: true, answers: map[string]any{
		"GET /api/v1/changes": api.ChangeList{Cursor: 42, Changes: []api.Change{}},
		"GET /api/v1/me":      user,
		"GET /api/v1/overview": api.Overview{Hosts: 1, Online: 1, Repositories: 1, ActiveJobs: 1, Alerts: 1, Protection: api.ProtectionCounts{Unprotected: 1},
			NextBreach: api.Due{HostId: id(hostID), HostName: hostile, At: noon.Add(time.Hour)}, DueNext: []api.Due{{HostId: id(hostID), HostName: hostile, ScheduleId: id(scheduleID), ScheduleName: hostile, At: noon.Add(time.Hour)}}},
		"GET /api/v1/cron-preview":                   api.CronPreview{Words: "every day at 02:00", NextRuns: []time.Time{noon}, ObjectiveS: 93600},
		"GET /api/v1/history":                        history(),
		"GET /api/v1/alerts":                         api.AlertPage{Alerts: []api.Alert{alert}, NextPageToken: "n"},
		"GET " + alertPath:                           alert,
		"GET /api/v1/alert-rules":                    rules,
		"PUT /api/v1/alert-rules":                    rules,
		"POST " + alertPath + "/acknowledge":         alert,
		"POST " + alertPath + "/silence":             alert,
		"POST " + alertPath + "/resolve":             alert,
		"GET /api/v1/channel-kinds":                  api.ChannelKindList{Kinds: []api.ChannelKind{webhook}},
		"GET /api/v1/channels":                       map[string]any{"channels": []any{sender}},
		"GET " + channelPath:                         sender,
		"PUT " + channelPath:                         sender,
		"POST /api/v1/channels":                      sender,
		"POST " + channelPath + "/test":              failed,
		"GET " + channelPath + "/deliveries":         api.DeliveryPage{Deliveries: []api.Delivery{failed}},
		"GET /api/v1/hosts":                          api.HostPage{Hosts: []api.Host{host}, NextPageToken: "n"},
		"GET /api/v1/hosts/" + hostID:                host,
		"GET /api/v1/hosts/" + hostID + "/schedules": api.SchedulePage{Schedules: []api.Schedule{schedule}},
		"GET " + schedulePath:                        schedule,
		"GET /api/v1/repositories":                   api.RepositoryPage{Repositories: []api.Repository{repository}},
		"GET /api/v1/repositories/" + repositoryID:   repository,
		"GET " + repositoryPath + "/locks":           locks,
		"GET " + repositoryPath + "/sizes":           api.RepositorySizes{Days: []api.RepositoryDay{{Day: history().From, StoredBytes: 1 << 30}, {Day: history().To, StoredBytes: 2 << 30, PlainBytes: 3 << 30, SourceBytes: 9 << 30, Snapshots: 4}}},
		"GET /api/v1/jobs/" + jobID + "/rows":        api.RowPage{Total: 2, Rows: []api.Row{api.Row(`{"snapshot_id":"zz","verdict":"remove","reasons":["\u202e<img src=x onerror=alert(1)>"],"host":"\u001b[31m","schedule":"<b>","first_seen":"2026-11-01T00:00:00Z","time":"2026-10-01T00:00:00Z"}`), api.Row(`{"verdict":7}`)}},
		"POST " + repositoryPath + "/jobs":           running,
		"GET /api/v1/jobs":                           api.JobPage{Jobs: []api.Job{running, ended, preview}},
		"GET /api/v1/jobs/" + jobID:                  ended,
		"GET /api/v1/jobs/" + jobID + "/events":      api.EventPage{Events: []api.Event{{Seq: 1, At: noon, Kind: "finished", Message: hostile, Outcome: ended.Outcome, Gap: &api.Gap{Stream: "log", FirstSeq: 1, LastSeq: 2, Reason: hostile}}}, End: true},
		"GET /api/v1/operations":                     api.OperationList{Operations: []api.Operation{{Name: "backup"}}},
		"GET /api/v1/snapshots":                      api.SnapshotPage{Snapshots: []api.Snapshot{snapshot}},
		"GET /api/v1/audit":                          api.AuditPage{Entries: []api.AuditEntry{{Seq: 1, At: noon, Actor: hostile, Action: "host.create", ObjectName: hostile, Detail: hostile}}},
		"GET /api/v1/programs": api.ProgramList{Programs: []api.Program{{File: "restic-0.18.0-linux-amd64", Name: "restic", Version: "0.18.0", Os: "linux", Arch: "amd64", Sha256: strings.Repeat("1", 64), Bytes: 25 << 20}, {File: "restic-0.19.0-linux-amd64", Name: "restic", Version: "0.19.0", Os: "linux", Arch: "amd64", Sha256: strings.Repeat("2", 64), Bytes: 26 << 20}, {File: "restic-0.19.1-linux-amd64", Name: "restic", Version: "0.19.1", Os: "linux", Arch: "amd64", Sha256: strings.Repeat("3", 64), Problem: hostile},
			{File: "restic-manager-agent-1.0-linux-amd64", Name: "restic-manager-agent", Version: "1.0", Os: "linux", Arch: "amd64", Sha256: strings.Repeat("4", 64), Bytes: 14 << 20}}},
		"GET /api/v1/users":                                  api.UserPage{Users: []api.User{user}},
		"POST /api/v1/hosts":                                 api.HostCreated{Host: host, Enrolment: api.Enrolment{LineLinux: "the linux line", LineWindows: "the windows line"}},
		"POST /api/v1/hosts/" + hostID + "/jobs":             running,
		"POST " + schedulePath + "/run":                      running,
		"POST /api/v1/jobs/" + jobID + "/cancel":             running,
		"POST " + repositoryPath + "/recovery-sheet":         api.RecoverySheet{Text: "the sheet"},
		"POST /api/v1/hosts/" + hostID + "/schedules":        schedule,
		"PUT " + schedulePath:                                schedule,
		"POST /api/v1/sign-in":                               user,
		"PATCH /api/v1/users/" + userID:                      user,
		"POST /api/v1/hosts/" + hostID + "/enrolment-tokens": api.Enrolment{LineLinux: "the linux line"},
	}}
	c.sampleResults()
	return c
}

const (
	schedulePath   = "/api/v1/hosts/" + hostID + "/schedules/" + scheduleID
	repositoryPath = "/api/v1/repositories/" + repositoryID
	alertPath      = "/api/v1/alerts/" + alertID
	channelPath    = "/api/v1/channels/" + channelID
)

func history() api.HistoryPage {
	day := func(n int) openapi_types.Date {
		return openapi_types.Date{Time: noon.AddDate(0, 0, -n).Truncate(24 * time.Hour)}
	}
	return api.HistoryPage{From: day(20), To: day(0), NextPageToken: "n", Hosts: []api.HistoryHost{{HostId: hostID, HostName: hostile, Protection: api.Protection{State: "at_risk"}, Days: []api.HistoryDay{
		{Day: day(4), Worst: "good", Succeeded: 2}, {Day: day(3), Worst: "warning", Warning: 1}, {Day: day(2), Worst: "bad", Failed: 1, Missed: 2}, {Day: day(1), Worst: "bad", Missed: 3}, {Day: day(0), Worst: "none", Skipped: 1},
	}}}}
}

func (c *contract) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if c.seen != nil {
		c.seen(r)
	}
	if r.Method != http.MethodGet {
		c.got = append(c.got, r.Method+" "+r.URL.RequestURI()+" "+strings.TrimSpace(string(body)))
	}
	a, ok := c.answers[r.Method+" "+r.URL.Path]
	if list := c.lists[r.Method+" "+r.URL.Path]; list != nil {
		a, ok = list(r), true
	}
	switch {
	case r.URL.Path == "/api/v1/setup" && r.Method == http.MethodGet && !c.setUp:
		a = api.Setup{Open: true}
	case r.Header.Get("Cookie") == "" && !strings.HasPrefix(r.URL.Path, "/api/v1/s"):
		a = &api.Problem{Status: 401, Code: "sign_in_required", Title: "Sign in"}
	case !ok && r.Method != http.MethodGet:
		w.WriteHeader(http.StatusNoContent)
		return
	case !ok:
		a = &api.Problem{Status: 404, Code: "not_found", Title: "Not found"}
	}
	if p, isProblem := a.(*api.Problem); isProblem {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(p.Status)
	}
	_ = json.NewEncoder(w).Encode(a)
}

func newPages(t *testing.T, c *contract) http.Handler {
	t.Helper()
	u, err := New(Options{API: c, Version: "test", Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	mux := chi.NewRouter()
	u.Mount(mux)
	return mux
}

func visitPage(t *testing.T, h http.Handler, method, path string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Cookie", "rm=somebody")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// What a page fetches by itself is no use of a sign-in, and only the browser's header
// tells it from what a person does.
func TestTheContractLearnsWhetherAPersonAsked(t *testing.T) {
	modes := map[string]bool{}
	c := newContract()
	pages := newPages(t, c)
	c.seen = func(r *http.Request) { modes[r.Header.Get("Sec-Fetch-Mode")] = true }
	r := httptest.NewRequest("GET", "/hosts", nil)
	r.Header.Set("Cookie", "rm=somebody")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	pages.ServeHTTP(httptest.NewRecorder(), r)
	if len(modes) != 1 || !modes["cors"] {
		t.Errorf("the contract was asked with %v", modes)
	}
}

// known are the paths that stand for each pattern.
var known = strings.NewReplacer("{host}", hostID, "{schedule}", scheduleID, "{repository}", repositoryID, "{job}", jobID, "{user}", userID, "{alert}", alertID, "{channel}", channelID, "{snapshot}", snapshotID, "{operation}", "forget")

func TestEveryPageIsRenderedWholeAndShowsNamesAsText(t *testing.T) {
	c := newContract()
	h := newPages(t, c)
	u, _ := New(Options{API: c, Now: time.Now})
	for _, pattern := range u.Patterns() {
		method, path, _ := strings.Cut(pattern, " ")
		if method != "GET" || strings.HasSuffix(path, "*") || path == "/restore" { // which leads on
			continue
		}
		t.Run(path, func(t *testing.T) {
			c.setUp = path != "/setup"
			w := visitPage(t, h, "GET", known.Replace(path), nil)
			if w.Code != http.StatusOK {
				t.Fatalf("got %d: %s", w.Code, w.Body)
			}
			body := w.Body.String()
			for _, bad := range []string{"<img src=x", "\u202e", "\x1b", "<no value>", "ZgotmplZ", " style=", "<script>", "onclick="} {
				if strings.Contains(body, bad) {
					t.Errorf("the page holds %q", bad)
				}
			}
			if !strings.HasSuffix(strings.TrimSpace(body), "</html>") {
				t.Error("the page is not whole")
			}
			if got := w.Header().Get("Content-Security-Policy"); got != web.ContentSecurityPolicy {
				t.Errorf("policy %q", got)
			}
			if ids := twice(body); len(ids) > 0 {
				t.Errorf("ids that stand twice: %v", ids)
			}
		})
	}
}

var idAttribute = regexp.MustCompile(` id="([^"]+)"`)

func twice(body string) (ids []string) {
	seen := map[string]bool{}
	for _, m := range idAttribute.FindAllStringSubmatch(body, -1) {
		if seen[m[1]] {
			ids = append(ids, m[1])
		}
		seen[m[1]] = true
	}
	return ids
}

func TestAFormChangesThroughTheContractAndLeadsOn(t *testing.T) {
	for name, tc := range map[string]struct {
		path     string
		form     url.Values
		wantSent string
		wantTo   string
	}{
		"run now":            {"/hosts/" + hostID + "/run", nil, `POST /api/v1/hosts/` + hostID + `/jobs {"operation":"backup"}`, "/jobs/" + jobID},
		"run a schedule":     {"/hosts/" + hostID + "/schedules/" + scheduleID + "/run", nil, "POST " + schedulePath + "/run {}", "/jobs/" + jobID},
		"preview a schedule": {"/hosts/" + hostID + "/schedules/" + scheduleID + "/preview", nil, `POST /api/v1/hosts/` + hostID + `/jobs {"operation":"preview","schedule_id":"` + scheduleID + `"}`, "/jobs/" + jobID},
		"cancel":             {"/jobs/" + jobID + "/cancel", nil, "POST /api/v1/jobs/" + jobID + "/cancel", "/jobs/" + jobID},
		"a manual schedule": {"/hosts/" + hostID + "/schedules/new", url.Values{"name": {"n"}, "repository_id": {repositoryID}, "paths": {"/etc\r\n/home \r\n\r\n"}, "manual": {"true"}, "cron": {"nonsense"}, "enabled": {"true"}, "keep_daily": {"7"}},
			`POST /api/v1/hosts/` + hostID + `/schedules {"enabled":true,"manual":true,"name":"n","options":{},"paths":["/etc","/home "],"repository_id":"` + repositoryID + `","retention":{"keep_daily":7}}`,
			"/hosts/" + hostID + "/schedules?done=schedule-created"},
		"an edit knows its version": {"/hosts/" + hostID + "/schedules/" + scheduleID, url.Values{"name": {"n"}, "version": {"2"}, "cron": {"0 2 * * *"}, "zone": {"UTC"}},
			`PUT ` + schedulePath + `?if_version=2 {"cron":"0 2 * * *","enabled":false,"name":"n","options":{"hooks":{"before":"gone"},"windows":[{"days":["mon","tue","wed"],"from":"20:00","to":"06:00"}]},` +
				`"paths":["/etc","\u003cimg src=x onerror=alert(1)\u003e","/a","/b"],"repository_id":"` + repositoryID + `","retention":{"keep_daily":7},"tags":["t"],"zone":"UTC"}`,
			"/hosts/" + hostID + "/schedules?done=schedule-saved"},
		"sign in and go on":      {"/sign-in", url.Values{"name": {"ana"}, "password": {" pass "}, "to": {"/jobs?x=1"}}, `POST /api/v1/sign-in {"name":"ana","password":" pass "}`, "/jobs?x=1"},
		"sign in, not elsewhere": {"/sign-in", url.Values{"name": {"ana"}, "password": {"p"}, "to": {"//evil.test"}}, `POST /api/v1/sign-in {"name":"ana","password":"p"}`, "/"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContract()
			w := visitPage(t, newPages(t, c), "POST", tc.path, tc.form)
			if w.Code != http.StatusSeeOther || w.Header().Get("Location") != tc.wantTo {
				t.Errorf("got %d to %q, want 303 to %q\n%s", w.Code, w.Header().Get("Location"), tc.wantTo, w.Body)
			}
			if len(c.got) != 1 || c.got[0] != strings.TrimSpace(tc.wantSent)+ifNoBody(tc.wantSent) {
				t.Errorf("sent %q, want %q", c.got, tc.wantSent)
			}
		})
	}
}

// ifNoBody is the blank that stands where a body would.
func ifNoBody(sent string) string {
	if strings.HasSuffix(sent, "}") {
		return ""
	}
	return " "
}

func TestARefusedFormKeepsWhatWasTypedAndShowsEachMistakeAtItsField(t *testing.T) {
	c := newContract()
	c.answers["POST /api/v1/hosts"] = &api.Problem{Status: 422, Code: "invalid_field", Title: "Not valid", Fields: []api.FieldProblem{{Field: "/paths/0", Code: "invalid_field", Detail: "Must be absolute."}, {Field: "/name", Code: "name_taken", Detail: "Taken."}}}
	w := visitPage(t, newPages(t, c), "POST", "/hosts/new", url.Values{"name": {"web-1"}, "paths": {"etc"}, "repository_id": {repositoryID}, "profile": {"guarded"}})
	body := w.Body.String()
	if w.Code != http.StatusUnprocessableEntity {
		t.Errorf("got %d", w.Code)
	}
	for _, want := range []string{`value="web-1"`, "etc</textarea>", "Must be absolute.", "Taken.", `id="f-paths-error"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

func TestTheFirstFieldWithAMistakeHasTheFocus(t *testing.T) {
	c := newContract()
	c.answers["POST /api/v1/hosts"] = &api.Problem{Status: 422, Code: "invalid_field", Title: "Not valid", Fields: []api.FieldProblem{{Field: "/paths/0", Code: "invalid_field", Detail: "Must be absolute."}}}
	w := visitPage(t, newPages(t, c), "POST", "/hosts/new", url.Values{"name": {"web-1"}, "paths": {"etc"}, "repository_id": {repositoryID}, "profile": {"guarded"}})
	focused := regexp.MustCompile(`id="([^"]*)"[^>]* autofocus`).FindAllStringSubmatch(w.Body.String(), -1)
	if len(focused) != 1 || focused[0][1] != "f-paths" {
		t.Errorf("got %q, want the paths alone", focused)
	}
}

func TestWhoIsNotSignedInIsLedToTheSignInAndBack(t *testing.T) {
	h := newPages(t, newContract())
	r := httptest.NewRequest("GET", "/jobs?state=running", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got, want := w.Header().Get("Location"), "/sign-in?to=%2Fjobs%3Fstate%3Drunning"; w.Code != http.StatusSeeOther || got != want {
		t.Errorf("got %d to %q, want %q", w.Code, got, want)
	}
}

// TestAFormThatWasSentSignedOutLeadsBackToItsPage, and to no other site.
func TestAFormThatWasSentSignedOutLeadsBackToItsPage(t *testing.T) {
	for referer, want := range map[string]string{
		"http://example.com/hosts/1/restore?path=%2Fetc": "/sign-in?to=%2Fhosts%2F1%2Frestore%3Fpath%3D%252Fetc",
		"http://evil.test/hosts/1/restore":               "/sign-in",
		"":                                               "/sign-in",
	} {
		r := httptest.NewRequest("POST", "/hosts/"+hostID+"/restore", nil)
		r.Header.Set("Referer", referer)
		w := httptest.NewRecorder()
		newPages(t, newContract()).ServeHTTP(w, r)
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("from %q: to %q, want %q", referer, got, want)
		}
	}
}

func TestNothingIsDeletedUntilItsNameWasTyped(t *testing.T) {
	for _, path := range []string{"/hosts/" + hostID + "/delete", "/repositories/" + repositoryID + "/delete"} {
		c := newContract()
		w := visitPage(t, newPages(t, c), "POST", path, url.Values{"typed": {"another"}})
		if w.Code != http.StatusUnprocessableEntity || len(c.got) != 0 {
			t.Errorf("%s: got %d, sent %q", path, w.Code, c.got)
		}
	}
}

var postedTo = regexp.MustCompile(`<form[^>]* method="post"[^>]* action="([^"]*)"`)

func TestWhoOnlyReadsIsOfferedNothingElse(t *testing.T) {
	c := newContract()
	c.answers["GET /api/v1/me"] = api.User{Id: userID, Name: "vic", Role: "viewer", CreatedAt: noon}
	h := newPages(t, c)
	for _, path := range []string{"/", "/hosts", "/hosts/{host}", "/hosts/{host}/schedules", "/hosts/{host}/jobs", "/hosts/{host}/snapshots", "/hosts/{host}/policy", "/repositories", "/repositories/{repository}", "/jobs", "/jobs/{job}", "/snapshots", "/alerts", "/alerts/{alert}", "/alerts/rules", "/channels", "/channels/{channel}"} {
		body := visitPage(t, h, "GET", known.Replace(path), nil).Body.String()
		for _, m := range postedTo.FindAllStringSubmatch(body, -1) {
			if m[1] != "/theme" && m[1] != "/sign-out" {
				t.Errorf("%s offers to post to %s", path, m[1])
			}
		}
		for _, word := range []string{"Run now</button>", "popovertarget=\"delete", "popovertarget=\"cancel", "Add a host", "Add a repository", "Add a schedule", "Show the sheet", "Acknowledge", "Add a channel", "Send a test", "Add the rule"} {
			if strings.Contains(body, word) {
				t.Errorf("%s shows %q", path, word)
			}
		}
	}
}

func TestALineToPasteWaitsForItsOwnUseAlthoughAnAgentIsThere(t *testing.T) {
	const token = "01936f0e-5c1a-7c3e-9a54-000000000006"
	for state, want := range map[api.EnrolmentTokenState]string{"open": "Waiting for the agent", "used": "The agent is here"} {
		c := newContract()
		c.answers["POST /api/v1/hosts/"+hostID+"/enrolment-tokens"] = api.Enrolment{LineLinux: "the linux line", Token: api.EnrolmentToken{Id: token}}
		c.answers["GET /api/v1/hosts/"+hostID+"/enrolment-tokens"] = api.EnrolmentTokenList{Tokens: []api.EnrolmentToken{{Id: token, State: state}}}
		body := visitPage(t, newPages(t, c), "POST", "/hosts/"+hostID+"/joining", url.Values{"profile": {"guarded"}}).Body.String()
		if !strings.Contains(body, want) || !strings.Contains(body, "joining?token="+token) {
			t.Errorf("with a token that is %s the page does not say %q", state, want)
		}
	}
}

func TestARepositoryThatIsThereAlreadyIsIdentifiedAtTheNextTry(t *testing.T) {
	c := newContract()
	r := c.answers["GET "+repositoryPath].(api.Repository)
	c.answers["GET /api/v1/jobs/"+string(r.InitJobId)] = api.Job{Id: r.InitJobId, HostId: hostID, Operation: "init", State: api.JobStateFinished,
		Outcome: &api.Outcome{Result: "failed", Code: "repo_exists"}}
	w := visitPage(t, newPages(t, c), "POST", "/repositories/"+repositoryID+"/prepare", nil)
	want := "POST /api/v1/hosts/" + hostID + `/jobs {"operation":"identify","repository_id":"` + repositoryID + `"}`
	if w.Code != http.StatusSeeOther || len(c.got) != 1 || c.got[0] != want {
		t.Errorf("got %d, sent %q, want %q", w.Code, c.got, want)
	}
}

func TestAFailedRepositoryIsTriedAgainAtAnotherHostWhenTheFirstIsGone(t *testing.T) {
	c := newContract()
	r := c.answers["GET "+repositoryPath].(api.Repository)
	r.InitJobId = ""
	c.answers["GET "+repositoryPath] = r
	w := visitPage(t, newPages(t, c), "POST", "/repositories/"+repositoryID+"/prepare", nil)
	want := "POST /api/v1/hosts/" + hostID + `/jobs {"operation":"init","repository_id":"` + repositoryID + `"}`
	if w.Code != http.StatusSeeOther || len(c.got) != 1 || c.got[0] != want {
		t.Errorf("got %d, sent %q, want %q", w.Code, c.got, want)
	}
}
