package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"restic-manager/server/api"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

const signingSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

// raise puts an alert into the database, as two evaluations do.
func (w *world) raise(code string, severity fleet.Severity) {
	w.t.Helper()
	h := &fleet.Host{ID: fleet.NewID[fleet.HostID](), Name: fmt.Sprintf("host-%s", code), Tags: `["prod"]`, Profile: fleet.Guarded, EnrolledAt: 1,
		ContactDeadline: fleet.At(w.now().Add(1000 * time.Hour))}
	err := w.store.Write(w.t.Context(), func(tx *store.Tx) error {
		if err := tx.CreateHost(w.t.Context(), h); err != nil {
			return err
		}
		_, err := tx.RaiseCondition(w.t.Context(), fleet.Condition{ObjectType: "host", ObjectID: string(h.ID), Code: code, Severity: severity, Message: "It is so."})
		return err
	})
	for range 2 {
		w.pass(time.Minute)
		if err == nil {
			err = w.alerts.Round(w.t.Context())
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestPeopleLookAfterAlerts(t *testing.T) {
	w, admin := newAdmin(t)
	operator := admin.user("olga", fleet.Operator)
	w.raise("config_refused", fleet.Warn)
	w.raise("agent_cloned", fleet.Critical)
	list := into[api.AlertPage](admin.must(http.StatusOK, "GET", "/api/v1/alerts", nil))
	if len(list.Alerts) != 2 || list.Alerts[0].Code != "agent_cloned" || len(list.Alerts[0].Objects) != 1 {
		t.Fatalf("alerts %+v", list.Alerts)
	}
	one := into[api.AlertPage](admin.must(http.StatusOK, "GET", "/api/v1/alerts?page_size=1&tag=prod", nil))
	rest := into[api.AlertPage](admin.must(http.StatusOK, "GET", "/api/v1/alerts?page_size=1&tag=prod&page_token="+one.NextPageToken, nil))
	if len(rest.Alerts) != 1 || rest.Alerts[0].Code != "config_refused" {
		t.Errorf("second page %+v", rest)
	}
	overview := into[api.Overview](admin.must(http.StatusOK, "GET", "/api/v1/overview", nil))
	if overview.Alerts != 2 {
		t.Errorf("the overview counts %d alerts, want 2", overview.Alerts)
	}
	path := "/api/v1/alerts/" + list.Alerts[0].Id
	seen := into[api.Alert](operator.must(http.StatusOK, "POST", path+"/acknowledge", obj{"note": "on it"}))
	if seen.State != "acknowledged" || seen.AcknowledgedBy != "olga" || seen.Note != "on it" {
		t.Errorf("acknowledged: %+v", seen)
	}
	operator.must(http.StatusOK, "POST", path+"/acknowledge", nil)
	quiet := into[api.Alert](operator.must(http.StatusOK, "POST", path+"/silence", obj{"until": w.now().Add(time.Hour)}))
	if quiet.State != "silenced" || quiet.SilencedUntil.IsZero() {
		t.Errorf("silenced: %+v", quiet)
	}
	operator.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "POST", path+"/silence", obj{"until": w.now().Add(1000 * 24 * time.Hour)})
	over := into[api.Alert](operator.must(http.StatusOK, "POST", path+"/resolve", nil))
	if over.State != "resolved" || over.ResolvedBy != "olga" {
		t.Errorf("resolved: %+v", over)
	}
	for _, verb := range []string{"/acknowledge", "/resolve"} {
		operator.refused(http.StatusConflict, fleet.AlertIsResolved, "POST", path+verb, nil)
	}
	if got := into[api.AlertPage](admin.must(http.StatusOK, "GET", "/api/v1/alerts?state=resolved", nil)); len(got.Alerts) != 1 {
		t.Errorf("%d resolved alerts, want 1", len(got.Alerts))
	}
	admin.refused(http.StatusNotFound, fleet.NotFound, "GET", "/api/v1/alerts/01936f0e-5c1a-7c3e-9a54-0d7d3b8f1c22", nil)
}

func TestAnAlertSaysSinceWhenItsCauseIsAway(t *testing.T) {
	w, admin := newAdmin(t)
	w.raise("config_refused", fleet.Warn)
	read := func(state string) api.Alert {
		return into[api.AlertPage](admin.must(http.StatusOK, "GET", "/api/v1/alerts?state="+state, nil)).Alerts[0]
	}
	if a := read("open"); !a.GoneSince.IsZero() {
		t.Errorf("it is there, and gone since %s", a.GoneSince)
	}
	clear := func(tx *store.Tx) error {
		_, err := tx.ClearCondition(t.Context(), "host", read("open").Objects[0].ObjectId, "config_refused")
		return err
	}
	if err := w.store.Write(t.Context(), clear); err != nil {
		t.Fatal(err)
	}
	for i, state := range []string{"open", "resolved"} {
		w.pass(time.Minute)
		if err := w.alerts.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a := read(state); a.GoneSince.IsZero() != (i == 1) {
			t.Errorf("%s: gone since %s", state, a.GoneSince)
		}
	}
}

func TestRulesAreReplacedWhole(t *testing.T) {
	_, admin := newAdmin(t)
	rules := into[api.AlertRules](admin.must(http.StatusOK, "GET", "/api/v1/alert-rules", nil))
	if len(rules.Kinds) < 15 || rules.RemindAfterS != 86400 || rules.Version != 0 {
		t.Errorf("rules %+v", rules)
	}
	body := obj{"remind_after_s": 3600, "rules": []obj{{"scope": "tag", "tag": "prod", "code": "host_silent", "threshold": 5, "severity": "critical"}}}
	after := into[api.AlertRules](admin.must(http.StatusOK, "PUT", "/api/v1/alert-rules", body))
	if after.Version != 1 || len(after.Rules) != 1 || *after.Rules[0].Threshold != 5 || after.RemindAfterS != 3600 {
		t.Errorf("rules %+v", after)
	}
	admin.must(http.StatusOK, "PUT", "/api/v1/alert-rules?if_version=1", body)
	admin.refused(http.StatusConflict, fleet.VersionConflict, "PUT", "/api/v1/alert-rules?if_version=1", body)
	p := admin.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "PUT", "/api/v1/alert-rules",
		obj{"rules": []obj{{"scope": "fleet", "code": "host_silnet", "enabled": false}}})
	if p.Field != "/rules/0/code" {
		t.Errorf("the mistake is at %q", p.Field)
	}
}

func TestChannelsNeverGiveTheirSecretsBack(t *testing.T) {
	_, admin := newAdmin(t)
	operator, viewer := admin.user("olga", fleet.Operator), admin.user("vera", fleet.Viewer)
	answer := http.StatusOK
	var bodies []string
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		rw.WriteHeader(answer)
	}))
	t.Cleanup(receiver.Close)
	setting := func(name, value string) obj { return obj{"name": name, "value": value} }
	spec := obj{"name": "hook", "kind": "webhook", "secrets": []obj{setting("url", receiver.URL+"/canary-path"), setting("secret", signingSecret)},
		"route": obj{"min_severity": "info", "resolved": false, "quiet": []obj{{"from": "22:00", "to": "06:00", "days": []string{"mon"}}}}}
	made := admin.must(http.StatusCreated, "POST", "/api/v1/channels", spec)
	c := into[api.Channel](made)
	path := "/api/v1/channels/" + c.Id
	if c.Route.Resolved == nil || *c.Route.Resolved || c.Route.Zone != "UTC" || strings.Join(c.SecretsSet, " ") != "secret url" {
		t.Errorf("channel %s", made.text)
	}
	admin.refused(http.StatusConflict, fleet.NameTaken, "POST", "/api/v1/channels", spec)
	sent := into[api.Delivery](operator.must(http.StatusOK, "POST", path+"/test", nil))
	answer = http.StatusForbidden
	failed := into[api.Delivery](operator.must(http.StatusOK, "POST", path+"/test", nil))
	if sent.State != "sent" || failed.State != "failed" || !strings.Contains(failed.Error, "403") || len(bodies) != 2 {
		t.Errorf("tests %+v, %+v; %d arrived", sent, failed, len(bodies))
	}
	delete(spec, "secrets")
	spec["name"], spec["enabled"] = "renamed", false
	admin.must(http.StatusOK, "PUT", path+"?if_version=1", spec)
	admin.refused(http.StatusConflict, fleet.VersionConflict, "PUT", path+"?if_version=1", spec)
	for _, a := range []*answerOf{
		{viewer, "/api/v1/channels"}, {viewer, path}, {viewer, path + "/deliveries"}, {viewer, "/api/v1/channel-kinds"}, {admin, "/api/v1/audit"},
	} {
		got := a.who.must(http.StatusOK, "GET", a.path, nil)
		for _, secret := range []string{"canary", signingSecret, strings.TrimPrefix(signingSecret, "whsec_")} {
			if strings.Contains(string(got.text), secret) || strings.Contains(string(made.text), secret) {
				t.Errorf("%s shows a secret: %s", a.path, got.text)
			}
		}
	}
	spec["route"] = obj{"zone": "Mars/Olympus"}
	if p := admin.refused(http.StatusUnprocessableEntity, fleet.InvalidField, "PUT", path, spec); p.Field != "/route/zone" {
		t.Errorf("the mistake is at %q", p.Field)
	}
	deliveries := into[api.DeliveryPage](viewer.must(http.StatusOK, "GET", path+"/deliveries?page_size=1", nil))
	if len(deliveries.Deliveries) != 1 || deliveries.NextPageToken == "" {
		t.Errorf("deliveries %+v", deliveries)
	}
	admin.must(http.StatusNoContent, "DELETE", path, nil)
	admin.refused(http.StatusNotFound, fleet.NotFound, "GET", path, nil)
}

type answerOf struct {
	who  *client
	path string
}
