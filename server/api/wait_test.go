package api_test

import (
	"fmt"
	"net/http"
	"testing"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
)

// parked sends a waiting request and gives its answer when it comes.
func (c *client) parked(path string) <-chan *answer {
	c.w.t.Helper()
	before := c.w.waker.Parked()
	got := make(chan *answer, 1)
	go func() {
		one := *c
		a, err := one.try(c.w.t.Context(), "GET", path, nil)
		if err != nil {
			c.w.t.Error(err)
		}
		got <- a
	}()
	eventually(c.w.t, "the request is parked", func() bool { return c.w.waker.Parked() > before })
	return got
}

func TestAWaitingReadIsAnsweredByTheChange(t *testing.T) {
	_, admin := newAdmin(t)
	repository := admin.repository("nas")
	host := admin.host("web-1", repository)
	cursor := get[api.ChangeList](admin, "/api/v1/changes").Cursor

	hosts := admin.parked(fmt.Sprintf("/api/v1/hosts/%s?wait=30&if_version=%d", host.Host.Id, host.Host.Version))
	changes := admin.parked(fmt.Sprintf("/api/v1/changes?since=%d&topics=hosts&wait=30", cursor))
	admin.must(http.StatusOK, "PATCH", "/api/v1/hosts/"+host.Host.Id, obj{"name": "web-2"})
	if got := into[api.Host](<-hosts); got.Name != "web-2" || got.Version <= host.Host.Version {
		t.Errorf("got %s at %d", got.Name, got.Version)
	}
	feed := into[api.ChangeList](<-changes)
	if len(feed.Changes) != 1 || feed.Changes[0] != (api.Change{Topic: api.Hosts, Id: host.Host.Id}) || feed.Cursor <= cursor {
		t.Errorf("got %+v", feed)
	}

	repositories := admin.parked(fmt.Sprintf("/api/v1/repositories/%s?wait=30&if_version=%d", repository,
		get[api.Repository](admin, "/api/v1/repositories/"+repository).Version))
	admin.must(http.StatusOK, "PATCH", "/api/v1/repositories/"+repository, obj{"name": "nas-2"})
	if got := into[api.Repository](<-repositories); got.Name != "nas-2" {
		t.Errorf("got %s", got.Name)
	}
}

func TestAWaitingReadWithAnOldVersionIsAnsweredAtOnce(t *testing.T) {
	_, admin := newAdmin(t)
	host := admin.host("web-1", admin.repository("nas"))
	a := admin.must(http.StatusOK, "GET", "/api/v1/hosts/"+host.Host.Id+"?wait=30&if_version=1", nil)
	if got := into[api.Host](a); got.Version != host.Host.Version {
		t.Errorf("got version %d", got.Version)
	}
}

func TestAStoppingServerAnswersWhoIsParked(t *testing.T) {
	w, admin := newAdmin(t)
	cursor := get[api.ChangeList](admin, "/api/v1/changes").Cursor
	got := admin.parked(fmt.Sprintf("/api/v1/changes?since=%d&topics=users&wait=30", cursor))
	w.waker.Close()
	feed := into[api.ChangeList](<-got)
	if len(feed.Changes) != 0 || feed.Cursor < cursor {
		t.Errorf("got %+v", feed)
	}
}

func TestASignInThatEndsMeanwhileGetsNoAnswer(t *testing.T) {
	w, admin := newAdmin(t)
	viewer := admin.user("viewer", fleet.Viewer)
	host := admin.host("web-1", admin.repository("nas"))
	got := viewer.parked(fmt.Sprintf("/api/v1/hosts/%s?wait=30&if_version=%d", host.Host.Id, host.Host.Version))
	user, err := w.store.UserByName(t.Context(), "viewer")
	if err != nil {
		t.Fatal(err)
	}
	admin.must(http.StatusOK, "PATCH", "/api/v1/users/"+string(user.ID), obj{"disabled": true})
	admin.must(http.StatusOK, "PATCH", "/api/v1/hosts/"+host.Host.Id, obj{"name": "secret-name"})
	if a := <-got; a.code() != "sign_in_ended" {
		t.Errorf("got %d %s", a.status, a.text)
	}
}

func TestChangesTellWhenTheirCursorIsTooOld(t *testing.T) {
	w, admin := newAdmin(t)
	if err := w.store.ResetFeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := get[api.ChangeList](admin, "/api/v1/changes?since=0")
	if !got.Reset {
		t.Errorf("got %+v", got)
	}
	if far := get[api.ChangeList](admin, "/api/v1/changes?since=999999"); !far.Reset {
		t.Errorf("got %+v", far)
	}
}

func TestAWatchedJobIsMarked(t *testing.T) {
	w, admin := newAdmin(t)
	host := admin.host("web-1", admin.repository("nas"))
	w.enrolled(host)
	run := admin.must(http.StatusAccepted, "POST", "/api/v1/hosts/"+host.Host.Id+"/schedules/"+host.Schedule.Id+"/run", nil)
	j := into[api.Job](run)
	watched := func() bool {
		t.Helper()
		m, err := w.store.Watched(t.Context(), []fleet.JobID{fleet.JobID(j.Id)}, fleet.At(w.store.Now()))
		if err != nil {
			t.Fatal(err)
		}
		return m[fleet.JobID(j.Id)]
	}
	admin.must(http.StatusOK, "GET", "/api/v1/jobs/"+j.Id, nil)
	if watched() {
		t.Error("a plain read marks it")
	}
	log := admin.parked("/api/v1/jobs/" + j.Id + "/log?wait=30")
	eventually(t, "the waiting read marks it", watched)
	admin.must(http.StatusAccepted, "POST", "/api/v1/jobs/"+j.Id+"/cancel", nil)
	if page := into[api.LogPage](<-log); !page.End || len(page.Lines) != 0 {
		t.Errorf("got %+v", page)
	}
	events := get[api.EventPage](admin, "/api/v1/jobs/"+j.Id+"/events")
	if !events.End {
		t.Errorf("got %+v", events)
	}
	admin.refused(http.StatusConflict, fleet.JobFinished, "POST", "/api/v1/jobs/"+j.Id+"/cancel", nil)
}
