package server_test

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/restic"
	"restic-manager/server"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

const scrapeToken = "a token of at least twenty characters"

// scrape asks for the metrics as Prometheus does.
func (r *running) scrape(authorization string) (int, string) {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.URL()+"/metrics", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if authorization != "" {
		q.Header.Set("Authorization", authorization)
	}
	answer, err := r.client.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestMetricsWantTheirToken(t *testing.T) {
	o := options(t)
	o.MetricsToken = restic.NewSecret(scrapeToken)
	r := start(t, o)
	for _, wrong := range []string{"", "Bearer", "Bearer ", "Bearer x" + scrapeToken, "Basic " + scrapeToken, scrapeToken} {
		if status, text := r.scrape(wrong); status != http.StatusUnauthorized || strings.Contains(text, "restic_manager_") {
			t.Errorf("%q: %d %s", wrong, status, text)
		}
	}
	if status, _ := r.scrape("Bearer " + scrapeToken); status != http.StatusOK {
		t.Errorf("with the token: %d", status)
	}
	without := start(t, options(t))
	if status, text := without.scrape("Bearer " + scrapeToken); strings.Contains(text, "restic_manager_") {
		t.Errorf("without the option: %d %s", status, text)
	}
}

func TestMetricsTellHowTheFleetIsAndTheDashboardShowsThem(t *testing.T) {
	o := options(t)
	o.MetricsToken = restic.NewSecret(scrapeToken)
	r := start(t, o)
	ctx, s := t.Context(), r.Store()
	err := s.Write(ctx, func(tx *store.Tx) error {
		h := &fleet.Host{
			ID: fleet.NewID[fleet.HostID](), Name: "web-1", Profile: fleet.Guarded, EnrolledAt: 1, ContactDeadline: tx.Now.Add(time.Hour),
			Protection: fleet.Unprotected, BreachAt: tx.Now.Add(-time.Hour),
		}
		if err := tx.CreateHost(ctx, h); err != nil {
			return err
		}
		if _, err := tx.CreateJob(ctx, &fleet.Job{ID: fleet.NewID[fleet.JobID](), HostID: h.ID, Operation: "backup", Trigger: fleet.BySchedule,
			State: fleet.Finished, Result: fleet.Failed, CreatedAt: tx.Now, FinishedAt: tx.Now}); err != nil {
			return err
		}
		c := &fleet.Channel{ID: fleet.NewID[fleet.ChannelID](), Name: "c", Kind: "webhook", Enabled: true, Settings: "{}", Route: "{}", FailingSince: tx.Now}
		if err := tx.CreateChannel(ctx, c); err != nil {
			return err
		}
		_, err := tx.CreateAlert(ctx, &fleet.Alert{ID: fleet.NewID[fleet.AlertID](), Key: "k", Code: "objective_missed", Severity: fleet.Critical,
			Rank: 3, State: fleet.AlertAcknowledged, Title: "t"}, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, text := r.scrape("Bearer " + scrapeToken)
	for _, want := range []string{
		`restic_manager_hosts{protection="unprotected"} 1`, `restic_manager_hosts{protection="protected"} 0`,
		`restic_manager_hosts_presence{presence="online"} 1`, `restic_manager_alerts{code="objective_missed",severity="critical"} 1`,
		`restic_manager_jobs_finished_day{result="failed"} 1`, `restic_manager_objective_breach_age_seconds{host="web-1"} 36`,
		`restic_manager_channels_failing 1`, `restic_manager_deliveries_pending 0`, `restic_manager_build_info{version="test"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	dashboard, err := os.ReadFile("../deploy/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`restic_manager_[a-z_]+`)
	shown := name.FindAllString(string(dashboard), -1)
	slices.Sort(shown)
	known := server.MetricNames()
	slices.Sort(known)
	if got := slices.Compact(shown); !slices.Equal(got, known) {
		t.Errorf("the dashboard shows %v, a scrape tells %v", got, known)
	}
	for _, m := range known {
		if !strings.Contains(text, "\n"+m) {
			t.Errorf("a scrape does not tell %s", m)
		}
	}
}
