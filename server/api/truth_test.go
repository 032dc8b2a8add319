package api_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
)

func TestACronIsToldBeforeItIsSaved(t *testing.T) {
	_, admin := newAdmin(t)
	ask := func(cron, zone string) string {
		return "/api/v1/cron-preview?" + url.Values{"cron": {cron}, "zone": {zone}}.Encode()
	}
	got := get[api.CronPreview](admin, ask("30 22 * * 1,4", "Europe/Berlin"))
	if got.Words != "Mondays and Thursdays at 22:30" || len(got.NextRuns) != 5 || got.ObjectiveS != 5*24*3600 {
		t.Errorf("got %+v", got)
	}
	for _, at := range got.NextRuns {
		if day := at.In(mustZone(t, "Europe/Berlin")).Weekday(); day != time.Monday && day != time.Thursday {
			t.Errorf("fires on %s", at)
		}
	}
	if p := admin.refused(422, fleet.InvalidField, "GET", ask("61 * * * *", "UTC"), nil); p.Field != "cron" {
		t.Errorf("points at %q: %s", p.Field, p.Detail)
	}
	if p := admin.refused(422, fleet.InvalidField, "GET", ask("0 2 * * *", "Mars/Olympus"), nil); p.Field != "zone" {
		t.Errorf("points at %q: %s", p.Field, p.Detail)
	}
}

func mustZone(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestWhatASchedulesOptionsSayIsChecked(t *testing.T) {
	w, admin := newAdmin(t)
	repository := admin.repository("nas")
	host := admin.host("web-1", repository)
	w.enrolled(host)
	path := "/api/v1/hosts/" + host.Host.Id + "/schedules"
	spec := func(change obj) obj {
		body := obj{"name": "nightly", "repository_id": repository, "paths": []string{"/etc"}, "cron": "30 2 * * *", "zone": "Europe/Paris"}
		for k, v := range change {
			body[k] = v
		}
		return body
	}
	for name, c := range map[string]struct {
		change obj
		field  string
	}{
		"neither paths nor source":    {obj{"paths": []string{}}, "/paths"},
		"both paths and source":       {obj{"source": "db.sh"}, "/source"},
		"a window of another clock":   {obj{"options": obj{"windows": []obj{{"from": "25:00", "to": "06:00"}}}}, "/options/windows/0/from"},
		"a day of another week":       {obj{"options": obj{"bandwidth": []obj{{"from": "20:00", "to": "06:00", "days": []string{"day"}}}}}, "/options/bandwidth/0/days/0"},
		"windows without a zone":      {obj{"manual": true, "zone": "", "options": obj{"windows": []obj{{"from": "22:00", "to": "06:00"}}}}, "/zone"},
		"a hook that is a path":       {obj{"options": obj{"hooks": obj{"before": "../x"}}}, "/options/hooks/before"},
		"more jitter than time":       {obj{"cron": "*/5 * * * *", "options": obj{"jitter_s": 3600}}, "/options/jitter_s"},
		"an objective it never keeps": {obj{"objective_s": 3600}, "/objective_s"},
	} {
		t.Run(name, func(t *testing.T) {
			a := admin.do("POST", path, spec(c.change))
			if p := into[api.Problem](a); a.status != 422 && a.status != 400 || p.Field != c.field {
				t.Errorf("%d, points at %q: %s", a.status, p.Field, p.Detail)
			}
		})
	}
	made := into[api.Schedule](admin.must(http.StatusCreated, "POST", path, spec(obj{
		"options": obj{"windows": []obj{{"from": "22:00", "to": "06:00", "days": []string{"mon"}}}, "jitter_s": 600, "hooks": obj{"before": "stop-db"}},
	})))
	if made.Words != "every day at 02:30" || made.EffectiveObjectiveS != 30*3600 || made.BreachAt.Sub(made.CreatedAt) != 30*time.Hour {
		t.Errorf("%q, objective %d s, breach at %s", made.Words, made.EffectiveObjectiveS, made.BreachAt)
	}
	if len(made.Options.Windows) != 1 || made.Options.JitterS != 600 || made.Options.Hooks.Before != "stop-db" {
		t.Errorf("options %+v", made.Options)
	}
	source := into[api.Schedule](admin.must(http.StatusCreated, "POST", path, spec(obj{"name": "db", "paths": []string{}, "source": "postgres"})))
	if source.Source != "postgres" || len(source.Paths) != 0 {
		t.Errorf("got %+v", source)
	}
}

func TestTheFleetsProtectionIsShown(t *testing.T) {
	w, admin := newAdmin(t)
	repository := admin.repository("nas")
	host := admin.host("web-1", repository)
	w.enrolled(host)
	path := "/api/v1/hosts/" + host.Host.Id
	if got := get[api.Host](admin, path); got.Protection.State != api.ProtectionStateNotScheduled || got.Protection.Reason == "" {
		t.Errorf("got %+v", got.Protection)
	}
	s := into[api.Schedule](admin.must(http.StatusCreated, "POST", path+"/schedules",
		obj{"name": "nightly", "repository_id": repository, "paths": []string{"/etc"}, "cron": "30 2 * * *", "zone": "UTC"}))
	got := get[api.Host](admin, path)
	if got.Protection.State != api.ProtectionStateNever || !got.NextSlotAt.Equal(s.NextRuns[0]) || !got.Protection.BreachAt.Equal(s.BreachAt) {
		t.Errorf("got %+v, next slot %s", got.Protection, got.NextSlotAt)
	}
	o := get[api.Overview](admin, "/api/v1/overview")
	if o.Protection.Never != 1 || o.Score != 0 || len(o.DueNext) != 1 || o.DueNext[0].ScheduleName != "nightly" || o.NextBreach.HostName != "web-1" {
		t.Errorf("got %+v", o)
	}
	if page := get[api.HistoryPage](admin, "/api/v1/history?days=3"); len(page.Hosts) != 1 || len(page.Hosts[0].Days) != 0 ||
		page.To.Sub(page.From.Time) != 2*24*time.Hour || page.Hosts[0].Protection.State != api.ProtectionStateNever {
		t.Errorf("got %+v", page)
	}

}

func TestWhatAnAgentTellsOfItsHostIsShown(t *testing.T) {
	w, admin := newAdmin(t)
	a := w.attends(admin.host("web-1", admin.repository("nas")))
	now := w.now().UTC()
	body := a.syncBody(0)
	body["offers"] = obj{"hooks": []obj{{"name": "stop-db"}}, "sources": []obj{{"name": "postgres", "problem": "it is a symlink"}}}
	body["absences"] = []obj{
		{"from": now.Add(-3 * time.Hour), "to": now.Add(-2 * time.Hour), "reason": "off"}, {"from": now.Add(-time.Hour), "to": now, "reason": "asleep"},
	}
	body["slots"] = []obj{{"schedule_id": fleet.NewID[string](), "schedule_version": 1, "from": now.Add(-time.Minute), "until": now}}
	a.must(http.StatusOK, "POST", "/agent/v1/sync", body)
	got := get[api.Host](admin, "/api/v1/hosts/"+a.host)
	if len(got.Offers.Hooks) != 1 || len(got.Offers.Sources) != 1 || got.Offers.Sources[0].Problem != "it is a symlink" {
		t.Errorf("offers %+v", got.Offers)
	}
	if len(got.Absences) != 2 || got.Absences[0].Reason != "asleep" {
		t.Errorf("absences %+v", got.Absences)
	}
}

// A host may get a script later, so a schedule that names one is taken, and says so.
func TestAScheduleWarnsOfAScriptThatItsHostDoesNotOffer(t *testing.T) {
	w, admin := newAdmin(t)
	repository := admin.repository("nas")
	made := admin.host("web-1", repository)
	a := w.attends(made)
	path := "/api/v1/hosts/" + made.Host.Id + "/schedules"
	spec := obj{"name": "nightly", "repository_id": repository, "source": "shop.dump", "manual": true, "options": obj{"hooks": obj{"before": "stop-db", "after_success": "start-db", "after_failure": "tell"}}}
	s := into[api.Schedule](admin.must(http.StatusCreated, "POST", path, spec))
	if len(s.Warnings) != 0 {
		t.Errorf("a host that has told nothing is judged: %+v", s.Warnings)
	}
	body := a.syncBody(0)
	body["offers"] = obj{"hooks": []obj{{"name": "start-db"}, {"name": "tell", "problem": "it is a symlink"}, {"name": "stop db", "problem": "misnamed"}}, "sources": []obj{}}
	a.must(http.StatusOK, "POST", "/agent/v1/sync", body)
	s = get[api.Schedule](admin, path+"/"+string(s.Id))
	want := []api.FieldProblem{
		{Field: "/source", Code: "script_not_offered", Detail: "The host does not offer the named source shop.dump yet; it offers none."},
		{Field: "/options/hooks/before", Code: "script_not_offered", Detail: "The host does not offer the hook stop-db yet; it offers start-db, tell."},
		{Field: "/options/hooks/after_failure", Code: "script_refused", Detail: "The host would refuse the hook tell: it is a symlink"},
	}
	if !slices.Equal(s.Warnings, want) {
		t.Errorf("got %+v", s.Warnings)
	}
	spec["name"] = "another" // the answer to a change warns too
	if s := into[api.Schedule](admin.must(http.StatusCreated, "POST", path, spec)); len(s.Warnings) != 3 {
		t.Errorf("the answer has %+v", s.Warnings)
	}
}

// The audit log is read by people: it has names where there are some, and no JSON.
func TestTheAuditLogTellsAScheduleInWordsAndNames(t *testing.T) {
	_, admin := newAdmin(t)
	repository := admin.repository("nas")
	host := admin.host("web-1", repository).Host.Id
	admin.must(http.StatusCreated, "POST", "/api/v1/hosts/"+host+"/schedules", obj{"name": "nightly", "repository_id": repository, "paths": []string{"/etc", "/srv/a; enabled false"}, "cron": "30 2 * * *", "zone": "UTC",
		"retention": obj{"keep_daily": 7}, "options": obj{"hooks": obj{"before": "stop-db"}}})
	page := get[api.AuditPage](admin, "/api/v1/audit?action=schedule.create")
	if len(page.Entries) == 0 {
		t.Fatal("there is no entry")
	}
	got := page.Entries[0].Detail
	for _, want := range []string{"host web-1; repository nas; ", `paths /etc + "/srv/a; enabled false"; excludes none; when "30 2 * * * UTC"; enabled true; keep keep_daily 7; options `, "hooks.before stop-db"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nis without %s", got, want)
		}
	}
	if strings.ContainsAny(got, "{}[]") || strings.Contains(got, host) {
		t.Errorf("the detail is %s", got)
	}
}
