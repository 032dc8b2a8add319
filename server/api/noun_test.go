package api_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic/restictest"
	"restic-manager/server/api"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func TestAddingAHostMakesItsLineAndSchedule(t *testing.T) {
	_, admin := newAdmin(t)
	repository := admin.repository("nas")
	made := admin.host("web-1", repository)
	s := made.Schedule
	if s == nil || s.Name != "Initial schedule" || !s.Manual || !s.Enabled || s.RepositoryId != repository || len(s.NextRuns) != 0 {
		t.Errorf("schedule: %+v", s)
	}
	if made.Host.Presence != api.PresenceNever || made.Host.Profile != api.Guarded || made.Host.Counts.Schedules != 1 {
		t.Errorf("host: %+v", made.Host)
	}
	token := strings.Split(made.Enrolment.LineLinux, "'")[1]
	want := "printf %s '" + token + "' | restic-manager-agent enroll --server http://127.0.0.1:8080 --profile guarded" +
		" --allow-repository 'rest:https://nas.test:8000/nas/' --token-stdin"
	if diff := cmp.Diff(want, made.Enrolment.LineLinux); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	want = "'" + token + "' | & restic-manager-agent.exe enroll --server http://127.0.0.1:8080 --profile guarded" +
		" --allow-repository 'rest:https://nas.test:8000/nas/' --token-stdin"
	if diff := cmp.Diff(want, made.Enrolment.LineWindows); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if valid := made.Enrolment.Token.ExpiresAt.Sub(made.Enrolment.Token.CreatedAt); valid != time.Hour {
		t.Errorf("the token is good for %s", valid)
	}
}

// TestTheLineMeansWhatItSays gives lines with nasty locations to a real shell and
// looks at what reaches the agent.
func TestTheLineMeansWhatItSays(t *testing.T) {
	shell := restictest.Program(t, "sh")
	_, admin := newAdmin(t)
	places := t.TempDir()
	program := "#!/bin/sh\ncat > stdin\nfor a; do printf '%s\\n' \"$a\"; done > arguments\n"
	if err := os.WriteFile(filepath.Join(places, "restic-manager-agent"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, location := range []string{
		"/srv/it's mine", "/srv/$(touch pwned)", "/srv/`touch pwned`", `/srv/a\b`, "/srv/;touch pwned;", "/srv/a  b", "/srv/--profile trusting", "/srv/*",
	} {
		made := into[api.HostCreated](admin.must(http.StatusCreated, "POST", "/api/v1/hosts",
			obj{"name": location, "repository_prefixes": []string{location}}))
		folder := t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		cmd := exec.CommandContext(ctx, shell, "-c", made.Enrolment.LineLinux)
		cmd.Dir, cmd.Env = folder, []string{"PATH=" + places + ":" + os.Getenv("PATH")}
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("%s: %v %s", made.Enrolment.LineLinux, err, out)
		}
		got, err := os.ReadFile(filepath.Join(folder, "arguments"))
		if err != nil {
			t.Fatal(err)
		}
		want := "enroll\n--server\nhttp://127.0.0.1:8080\n--profile\nguarded\n--allow-repository\n" + location + "\n--token-stdin\n"
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s\n%s", made.Enrolment.LineLinux, diff)
		}
		if _, err := os.Stat(filepath.Join(folder, "pwned")); err == nil {
			t.Errorf("%s: the location ran", location)
		}
	}
}

func TestANewLineTakesThePlaceOfTheOneBefore(t *testing.T) {
	w, admin := newAdmin(t)
	made := admin.host("web-1", admin.repository("nas"))
	path := "/api/v1/hosts/" + made.Host.Id + "/enrolment-tokens"
	second := into[api.Enrolment](admin.must(http.StatusCreated, "POST", path,
		obj{"profile": "trusting", "repository_prefixes": []string{"/srv/backup/"}, "valid_for_s": 60}))
	if !strings.Contains(second.LineLinux, "--profile trusting --allow-repository '/srv/backup' ") {
		t.Errorf("got %s", second.LineLinux)
	}
	states := func() (all []api.EnrolmentTokenState) {
		for _, token := range get[api.EnrolmentTokenList](admin, path).Tokens {
			all = append(all, token.State)
		}
		return all
	}
	if diff := cmp.Diff([]api.EnrolmentTokenState{api.EnrolmentTokenStateOpen, api.EnrolmentTokenStateRevoked}, states()); diff != "" {
		t.Error(diff)
	}
	w.pass(61 * time.Second)
	if diff := cmp.Diff([]api.EnrolmentTokenState{api.EnrolmentTokenStateExpired, api.EnrolmentTokenStateRevoked}, states()); diff != "" {
		t.Error(diff)
	}
	third := into[api.Enrolment](admin.must(http.StatusCreated, "POST", path, obj{}))
	admin.must(http.StatusNoContent, "DELETE", path+"/"+third.Token.Id, nil)
	admin.must(http.StatusNoContent, "DELETE", path+"/"+third.Token.Id, nil)
	admin.refused(http.StatusNotFound, fleet.NotFound, "DELETE", path+"/"+nobody, nil)
}

func TestHostsAreCheckedAsAWhole(t *testing.T) {
	_, admin := newAdmin(t)
	repository := admin.repository("nas")
	for name, c := range map[string]struct {
		body   obj
		status int
		code   fleet.Code
		field  string
	}{
		"paths without a repository": {obj{"name": "h", "paths": []string{"/etc"}}, 422, fleet.InvalidField, "/repository_id"},
		"a path that is relative":    {obj{"name": "h", "repository_id": repository, "paths": []string{"etc"}}, 422, fleet.InvalidField, "/paths/0"},
		"a prefix of another kind":   {obj{"name": "h", "repository_prefixes": []string{"/srv/r", "rclone:x:"}}, 422, fleet.LocationInvalid, "/repository_prefixes/1"},
		"a quotation mark":           {obj{"name": "h", "repository_prefixes": []string{`/srv/"r`}}, 422, fleet.LocationInvalid, "/repository_prefixes/0"},
		"a repository of nothing":    {obj{"name": "h", "repository_id": nobody, "paths": []string{"/etc"}}, 404, fleet.NotFound, ""},
		"a control character":        {obj{"name": "a\nb"}, 422, fleet.InvalidField, "/name"},
		"a tag with a comma":         {obj{"name": "h", "tags": []string{"a,b"}}, 422, fleet.InvalidField, "/tags/0"},
	} {
		t.Run(name, func(t *testing.T) {
			if p := admin.refused(c.status, c.code, "POST", "/api/v1/hosts", c.body); p.Field != c.field {
				t.Errorf("points at %q, want %q: %s", p.Field, c.field, p.Detail)
			}
		})
	}
	if hosts := get[api.HostPage](admin, "/api/v1/hosts").Hosts; len(hosts) != 0 {
		t.Errorf("%d hosts were left", len(hosts))
	}
}

func TestHostsAreFilteredAndDeleted(t *testing.T) {
	w, admin := newAdmin(t)
	made := admin.host("web-1", admin.repository("nas"))
	admin.must(http.StatusCreated, "POST", "/api/v1/hosts", obj{"name": "db-1", "tags": []string{"production"}})
	for query, want := range map[string]string{"?q=EB": "web-1", "?tag=production": "db-1", "?presence=never": "db-1 web-1", "?presence=online": ""} {
		var names []string
		for _, h := range get[api.HostPage](admin, "/api/v1/hosts"+query).Hosts {
			names = append(names, h.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	agent := w.enrolled(made)
	path := "/api/v1/hosts/" + made.Host.Id
	admin.must(http.StatusOK, "PATCH", path, obj{"disabled": true})
	if h := get[api.Host](admin, path); h.Presence != api.PresenceDisabled {
		t.Errorf("presence %s", h.Presence)
	}
	admin.must(http.StatusNoContent, "DELETE", path, nil)
	admin.refused(http.StatusNotFound, fleet.NotFound, "GET", path, nil)
	agent.refused(http.StatusGone, fleet.AgentDeleted, "POST", "/agent/v1/sessions/"+nobody+"/close", nil)
}

func TestAHostWithARunningJobStays(t *testing.T) {
	w, admin := newAdmin(t)
	host := admin.host("web-1", admin.repository("nas"))
	w.enrolled(host)
	path := "/api/v1/hosts/" + host.Host.Id
	j := into[api.Job](admin.must(http.StatusAccepted, "POST", path+"/jobs", obj{"operation": "backup"}))
	set := func(state fleet.JobState) {
		t.Helper()
		err := w.store.Write(t.Context(), func(tx *store.Tx) error {
			job, err := tx.LockJob(t.Context(), fleet.JobID(j.Id))
			if err != nil {
				return err
			}
			job.State = state
			return tx.SaveJob(t.Context(), job)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set(fleet.Running)
	admin.refused(http.StatusConflict, fleet.HostBusy, "DELETE", path, nil)
	set(fleet.Unresponsive) // its agent may be gone for good
	admin.must(http.StatusNoContent, "DELETE", path, nil)
}

func TestSchedulesAreWhole(t *testing.T) {
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
	made := into[api.Schedule](admin.must(http.StatusCreated, "POST", path, spec(obj{
		"excludes": []string{"*.tmp"}, "tags": []string{"daily"}, "retention": obj{"keep_daily": 7},
	})))
	if !made.Enabled || made.Manual || len(made.NextRuns) != 5 || made.Retention.KeepDaily != 7 || made.RepositoryName != "nas" {
		t.Errorf("got %+v", made)
	}
	for name, c := range map[string]struct {
		change obj
		field  string
	}{
		"no cron":         {obj{"cron": ""}, "/cron"},
		"a cron of words": {obj{"cron": "@every 1m"}, "/cron"},
		"no such day":     {obj{"cron": "0 0 31 2 *"}, "/cron"},
		"no zone":         {obj{"zone": ""}, "/zone"},
		"another planet":  {obj{"zone": "Mars/Olympus"}, "/zone"},
		"our tag":         {obj{"tags": []string{"rm:job:x"}}, "/tags/0"},
		"a relative path": {obj{"paths": []string{"/etc", "home"}}, "/paths/1"},
	} {
		t.Run(name, func(t *testing.T) {
			if p := admin.refused(422, fleet.InvalidField, "POST", path, spec(c.change)); p.Field != c.field {
				t.Errorf("points at %q: %s", p.Field, p.Detail)
			}
		})
	}
	t.Run("without a cron it may have been meant as manual", func(t *testing.T) {
		if p := admin.refused(422, fleet.InvalidField, "POST", path, spec(obj{"cron": ""})); !strings.Contains(p.Detail, "is manual.") {
			t.Error(p.Detail)
		}
	})
	t.Run("a cron and a zone that are wrong are both named", func(t *testing.T) {
		p := admin.refused(422, fleet.InvalidField, "POST", path, spec(obj{"cron": "* * * *", "zone": "Berlin"}))
		if len(p.Fields) != 2 || p.Fields[0].Field != "/cron" || p.Fields[1].Field != "/zone" {
			t.Errorf("got %+v", p.Fields)
		}
	})
	t.Run("a manual one needs no time, whatever stands there", func(t *testing.T) {
		got := into[api.Schedule](admin.must(http.StatusCreated, "POST", path, spec(obj{"name": "m", "manual": true, "cron": "nonsense", "zone": ""})))
		if len(got.NextRuns) != 0 {
			t.Errorf("got %v", got.NextRuns)
		}
	})
	t.Run("the faster one wins", func(t *testing.T) {
		one := path + "/" + made.Id
		replaced := into[api.Schedule](admin.must(http.StatusOK, "PUT", one+"?if_version=1", spec(obj{"name": "weekly", "enabled": false})))
		if replaced.Version != 2 || replaced.Enabled || len(replaced.Excludes) != 0 || replaced.Retention.KeepDaily != 0 {
			t.Errorf("got %+v", replaced)
		}
		admin.refused(409, fleet.VersionConflict, "PUT", one+"?if_version=1", spec(nil))
		admin.refused(409, fleet.NameTaken, "PUT", one, spec(obj{"name": "m"}))
		admin.refused(409, fleet.ScheduleDisabled, "POST", one+"/run", nil)
		admin.must(http.StatusNoContent, "DELETE", one, nil)
		admin.refused(404, fleet.NotFound, "GET", one, nil)
	})
	t.Run("pages", func(t *testing.T) {
		page := get[api.SchedulePage](admin, path+"?page_size=1")
		if len(page.Schedules) != 1 || page.NextPageToken == "" {
			t.Fatalf("got %+v", page)
		}
		rest := get[api.SchedulePage](admin, path+"?page_token="+page.NextPageToken)
		if len(rest.Schedules) != 1 || rest.Schedules[0].Name != "m" || rest.NextPageToken != "" {
			t.Errorf("got %+v", rest)
		}
	})
}

func TestRunNowPicksTheScheduleThatIsMeant(t *testing.T) {
	w, admin := newAdmin(t)
	repository := admin.repository("nas")
	host := admin.host("web-1", repository)
	jobs := "/api/v1/hosts/" + host.Host.Id + "/jobs"
	admin.refused(409, fleet.HostNotEnrolled, "POST", jobs, obj{"operation": "backup"})
	w.enrolled(host)
	first := into[api.Job](admin.must(http.StatusAccepted, "POST", jobs, obj{"operation": "backup"}))
	if first.ScheduleId != host.Schedule.Id || first.ScheduleName != "Initial schedule" || first.HostName != "web-1" || first.CreatedBy != "admin" {
		t.Errorf("got %+v", first)
	}
	again := into[api.Job](admin.must(http.StatusOK, "POST", jobs, obj{"operation": "backup"}))
	if again.Id != first.Id {
		t.Errorf("got %s, want the one that waits", again.Id)
	}
	admin.must(http.StatusCreated, "POST", "/api/v1/hosts/"+host.Host.Id+"/schedules",
		obj{"name": "second", "repository_id": repository, "paths": []string{"/srv"}, "manual": true})
	admin.refused(409, fleet.PickASchedule, "POST", jobs, obj{"operation": "backup"})
	admin.refused(422, fleet.UnknownOperation, "POST", jobs, obj{"operation": "exec"})
	list := get[api.JobPage](admin, "/api/v1/jobs?operation=backup&host_id="+host.Host.Id)
	if len(list.Jobs) != 1 {
		t.Errorf("%d jobs", len(list.Jobs))
	}
}

func TestRepositoriesAreChecked(t *testing.T) {
	_, admin := newAdmin(t)
	for name, c := range map[string]struct {
		body  obj
		code  fleet.Code
		field string
	}{
		"credentials in the location": {obj{"location": "rest:https://u:p@nas/"}, fleet.LocationInvalid, "/location"},
		"a program":                   {obj{"location": "rclone:remote:x"}, fleet.LocationInvalid, "/location"},
		"existing without password":   {obj{"location": "/srv/r", "existing": true}, fleet.InvalidField, "/password"},
		"a name without a secret":     {obj{"location": "rest:https://nas/", "username": "u"}, fleet.InvalidField, "/append_secret"},
		"a secret without a name":     {obj{"location": "rest:https://nas/", "append_secret": "s"}, fleet.InvalidField, "/username"},
		"a name for a disk":           {obj{"location": "/srv/r", "username": "u", "append_secret": "s"}, fleet.InvalidField, "/username"},
	} {
		t.Run(name, func(t *testing.T) {
			c.body["name"] = "r"
			if p := admin.refused(422, c.code, "POST", "/api/v1/repositories", c.body); p.Field != c.field {
				t.Errorf("points at %q: %s", p.Field, p.Detail)
			}
		})
	}
	made := into[api.Repository](admin.must(201, "POST", "/api/v1/repositories", obj{"name": "r", "location": "rest:https://NAS.test:443/a/b"}))
	if made.Location != "rest:https://nas.test/a/b/" || !made.PasswordMadeHere || !made.HasPassword || made.State != "new" || len(made.Credentials) != 0 {
		t.Errorf("got %+v", made)
	}
	path := "/api/v1/repositories/" + made.Id
	host := admin.host("web-1", made.Id)
	admin.must(204, "PUT", path+"/credentials/append", obj{"username": "u", "secret": "one"})
	admin.must(204, "PUT", path+"/credentials/append", obj{"username": "u", "secret": "two"})
	admin.must(204, "PUT", path+"/credentials/append", obj{"username": "w", "secret": "three", "host_id": host.Host.Id, "location": "/mnt/r"[:0]})
	got := get[api.Repository](admin, path)
	if len(got.Credentials) != 2 || got.Credentials[0].Version != 2 || got.Credentials[1].HostId != host.Host.Id {
		t.Errorf("got %+v", got.Credentials)
	}
	admin.refused(404, fleet.NotFound, "PUT", path+"/credentials/append", obj{"username": "u", "secret": "s", "host_id": nobody})
	admin.refused(409, fleet.RepositoryInUse, "DELETE", path, nil)
	admin.must(204, "DELETE", "/api/v1/hosts/"+host.Host.Id+"/schedules/"+host.Schedule.Id, nil)
	admin.must(204, "DELETE", path, nil)
}

func TestEveryListHasItsPages(t *testing.T) {
	_, admin := newAdmin(t)
	for _, path := range []string{"hosts", "repositories", "jobs", "snapshots", "audit", "users"} {
		admin.must(http.StatusOK, "GET", "/api/v1/"+path+"?page_size=1", nil)
		admin.refused(400, fleet.Invalid, "GET", "/api/v1/"+path+"?page_size=0", nil)
		admin.refused(400, fleet.Invalid, "GET", "/api/v1/"+path+"?page_size=201", nil)
		admin.refused(400, fleet.InvalidPageToken, "GET", "/api/v1/"+path+"?page_token=x", nil)
		admin.refused(400, fleet.UnknownField, "GET", "/api/v1/"+path+"?stat=running", nil)
		admin.refused(400, fleet.Invalid, "GET", "/api/v1/"+path+"?page_token=%ff", nil)
	}
	admin.must(http.StatusOK, "GET", "/api/v1/overview", nil)
	admin.must(http.StatusOK, "GET", "/api/v1/operations", nil)
}
