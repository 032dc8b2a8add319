package alert_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"restic-manager/server/alert"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

func itoa(t fleet.Time) string { return strconv.FormatInt(int64(t), 10) }

func number(n int64) *int64 { return &n }

func TestTheNearestRuleCounts(t *testing.T) {
	no, yes := false, true
	now := fleet.At(time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC))
	host := func(id, tag string, availability fleet.Availability) fleet.Host {
		return fleet.Host{
			ID: fleet.HostID(id), Name: id, Tags: fleet.NewList([]string{tag}), Availability: availability, EnrolledAt: 1,
			LastContact: now.Add(-2 * time.Hour), ContactDeadline: now.Add(-2 * time.Hour),
		}
	}
	facts := &store.AlertFacts{Now: now, Hosts: []fleet.Host{
		host("a", "prod", fleet.AlwaysOn), host("b", "test", fleet.AlwaysOn), host("laptop", "prod", fleet.ComeAndGo),
	}}
	silent := func(scope, tag, id string, r fleet.AlertRule) fleet.AlertRule {
		r.Scope, r.Tag, r.Host, r.Code = scope, tag, fleet.HostID(id), alert.HostSilent
		return r
	}
	for _, c := range []struct {
		name  string
		rules []fleet.AlertRule
		want  string
	}{
		{"no rule", nil, "a/warning b/warning"},
		{"off for the fleet", []fleet.AlertRule{silent("fleet", "", "", fleet.AlertRule{Enabled: &no})}, ""},
		{"on for a tag", []fleet.AlertRule{silent("tag", "prod", "", fleet.AlertRule{Enabled: &yes}), silent("fleet", "", "", fleet.AlertRule{Enabled: &no})}, "a/warning"},
		{"a host's own severity", []fleet.AlertRule{silent("host", "", "b", fleet.AlertRule{Severity: fleet.Info}), silent("tag", "test", "", fleet.AlertRule{Severity: fleet.Critical})},
			"a/warning b/info"},
		{"a longer time", []fleet.AlertRule{silent("fleet", "", "", fleet.AlertRule{Threshold: number(180)})}, ""},
		{"the last of a scope", []fleet.AlertRule{silent("fleet", "", "", fleet.AlertRule{Threshold: number(180)}), silent("fleet", "", "", fleet.AlertRule{Threshold: number(60)})},
			"a/warning b/warning"},
		{"a laptop by its tag", []fleet.AlertRule{silent("tag", "prod", "", fleet.AlertRule{Threshold: number(60)})}, "a/warning b/warning laptop/warning"},
	} {
		wanted, _ := alert.Evaluate(alert.Input{AlertFacts: facts, Rules: c.rules})
		var got []string
		for _, w := range wanted {
			got = append(got, fmt.Sprintf("%s/%s", w.SubjectID, w.Severity))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestMistakesInRulesAreNamedByTheirField(t *testing.T) {
	yes := true
	for _, c := range []struct {
		rule  fleet.AlertRule
		field string
	}{
		{fleet.AlertRule{Scope: "fleet", Code: "host_silnet", Enabled: &yes}, "/rules/0/code"},
		{fleet.AlertRule{Scope: "tag", Code: alert.HostSilent, Enabled: &yes}, "/rules/0/tag"},
		{fleet.AlertRule{Scope: "host", Code: alert.HostSilent, Enabled: &yes}, "/rules/0/host_id"},
		{fleet.AlertRule{Scope: "fleet", Tag: "x", Code: alert.HostSilent, Enabled: &yes}, "/rules/0/tag"},
		{fleet.AlertRule{Scope: "fleet", Code: alert.JobFailed, Threshold: number(1)}, "/rules/0/threshold"},
		{fleet.AlertRule{Scope: "fleet", Code: alert.WarningsShare, Threshold: number(101)}, "/rules/0/threshold"},
		{fleet.AlertRule{Scope: "fleet", Code: alert.HostSilent}, "/rules/0/enabled"},
	} {
		err := alert.CheckRules(&fleet.AlertRules{Rules: []fleet.AlertRule{c.rule}})
		fields, ok := err.(fleet.Fields) //nolint:errorlint // as it comes
		if !ok || fields[0].Field != c.field {
			t.Errorf("%+v: %v, want a mistake at %s", c.rule, err, c.field)
		}
	}
}

func TestOneCauseIsOneAlert(t *testing.T) {
	now := fleet.At(time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC))
	online, gone := now.Add(time.Hour), now.Add(-time.Hour)
	facts := func(f fleet.ScheduleFacts) fleet.Doc {
		doc, err := fleet.NewDoc(f)
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	dead := facts(fleet.ScheduleFacts{Job: "j", Result: fleet.Failed, Code: "repo_unreachable", Message: "refused"})
	locked := facts(fleet.ScheduleFacts{Job: "j", Result: fleet.Rejected, Code: "policy_file_insecure"})
	late := now.Add(-time.Hour)
	for _, c := range []struct {
		name       string
		deadline   fleet.Time
		schedule   fleet.Schedule
		conditions []fleet.Condition
		want       []string
	}{
		{"a silent host says nothing of what it missed", gone, fleet.Schedule{Missed: 5, BreachAt: late}, nil, []string{"host_silent"}},
		{"a dead repository says nothing of what fails on it", online, fleet.Schedule{Missed: 5, BreachAt: late, Facts: dead},
			[]fleet.Condition{{ObjectType: "host", ObjectID: "h", Code: "backup_failed", Severity: fleet.Critical},
				{ObjectType: "repository", ObjectID: "r", Code: "repo_unreachable", Severity: fleet.Critical}}, []string{"repository_unreachable"}},
		{"a repository that could not be made usable says nothing beside what kept it from that", online, fleet.Schedule{},
			[]fleet.Condition{{ObjectType: "repository", ObjectID: "r", Code: "repository_init_failed", Severity: fleet.Critical},
				{ObjectType: "repository", ObjectID: "r", Code: "repo_unreachable", Severity: fleet.Critical}}, []string{"repository_unreachable"}},
		{"a repository that could not be made usable", online, fleet.Schedule{},
			[]fleet.Condition{{ObjectType: "repository", ObjectID: "r", Code: "repository_init_failed", Severity: fleet.Critical}}, []string{"repository_init_failed"}},
		{"a locked agent says nothing of what it rejects", online, fleet.Schedule{Missed: 2, BreachAt: late, Facts: locked},
			[]fleet.Condition{{ObjectType: "host", ObjectID: "h", Code: "policy_file_insecure", Severity: fleet.Critical}}, []string{"policy_file_insecure"}},
		{"a failure says nothing of the slots since", online, fleet.Schedule{Missed: 2, BreachAt: late, Facts: facts(fleet.ScheduleFacts{Result: fleet.Failed, Code: "restic_failed"})},
			nil, []string{"job_failed"}},
		{"a failure says nothing more of the source that it lacks", online, fleet.Schedule{Facts: facts(fleet.ScheduleFacts{Result: fleet.Failed, Code: "source_missing",
			Sources: []fleet.SourceSeen{{Path: "/srv", State: "missing"}}})}, nil, []string{"job_failed"}},
		{"a backup that lacks one of its sources says so", online, fleet.Schedule{Facts: facts(fleet.ScheduleFacts{Result: fleet.Warning, Code: "source_missing",
			Sources: []fleet.SourceSeen{{Path: "/srv", State: "missing"}}})}, nil, []string{"source_missing"}},
		{"an objective says nothing of the slots since", online, fleet.Schedule{Missed: 2, BreachAt: late}, nil, []string{"objective_missed"}},
		{"a host asleep is not late", gone, fleet.Schedule{Missed: 2, BreachAt: late}, nil, nil},
	} {
		h := fleet.Host{ID: "h", Name: "web-1", EnrolledAt: 1, LastContact: c.deadline, ContactDeadline: c.deadline, Availability: fleet.AlwaysOn}
		if c.want == nil {
			h.Availability, h.Protection = fleet.ComeAndGo, fleet.Asleep
		}
		s := c.schedule
		s.ID, s.HostID, s.RepositoryID, s.Name, s.Enabled = "s", "h", "r", "daily", true
		wanted, _ := alert.Evaluate(alert.Input{AlertFacts: &store.AlertFacts{
			Now: now, Hosts: []fleet.Host{h}, Schedules: []fleet.Schedule{s}, Repositories: []fleet.Repository{{ID: "r", Name: "nas"}}, Conditions: c.conditions,
		}})
		var got []string
		for _, w := range wanted {
			got = append(got, w.Code)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestEveryKindSaysWhatItIs(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range alert.Kinds {
		if k.Code == "" || k.Title == "" || k.Description == "" || k.Severity.Order() == 0 || seen[k.Code] {
			t.Errorf("kind %+v", k)
		}
		if (k.Unit == "") != (k.Threshold == 0) {
			t.Errorf("kind %s has threshold %d of unit %q", k.Code, k.Threshold, k.Unit)
		}
		seen[k.Code] = true
	}
}
