package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// metricsTimeout bounds one scrape; metricsHosts how many hosts one names.
const (
	metricsTimeout = 10 * time.Second
	metricsHosts   = 1000
)

// metrics answers scrapes of Prometheus that bear the token. Everything is read from
// the database when it is asked, so every replica answers the same.
func (s *Server) metrics(token, version string) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{store: s.store, version: version})
	h := promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: metricsTimeout, ErrorHandling: promhttp.HTTPErrorOnError})
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(given))
		if !bearer || subtle.ConstantTimeCompare(got[:], want[:]) != 1 { //guard:metrics-token
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "Give the metrics_token of this server as a bearer.", http.StatusUnauthorized)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "Only GET.", http.StatusMethodNotAllowed)
			return
		}
		conn := http.NewResponseController(w)
		_ = conn.SetWriteDeadline(time.Now().Add(3 * metricsTimeout)) // not every connection has deadlines
		w.Header().Set("Cache-Control", "no-store")
		h.ServeHTTP(w, r)
	})
}

// metric is something that a scrape tells.
type metric struct {
	name string
	desc *prometheus.Desc
}

func describe(name, help string, labels ...string) metric {
	name = "restic_manager_" + name
	return metric{name, prometheus.NewDesc(name, help, labels, nil)}
}

// What a scrape tells. deploy/grafana-dashboard.json uses these names.
var (
	metricBuild      = describe("build_info", "1, with the server's version.", "version")
	metricProtection = describe("hosts", "Hosts in service by protection.", "protection")
	metricPresence   = describe("hosts_presence", "Hosts by presence.", "presence")
	metricAlerts     = describe("alerts", "Open alerts by code and severity.", "code", "severity")
	metricJobs       = describe("jobs_finished_day", "Jobs that ended within the last 24 hours, by result.", "result")
	metricBreach     = describe("objective_breach_age_seconds", "For how long a host's first missed objective is missed; at most 1000 hosts.", "host")
	metricPending    = describe("deliveries_pending", "Messages that wait to be sent.")
	metricFailing    = describe("channels_failing", "Enabled channels whose last attempt failed.")
)

var allMetrics = []metric{
	metricBuild, metricProtection, metricPresence, metricAlerts, metricJobs, metricBreach, metricPending, metricFailing,
}

// collector reads the numbers when it is asked.
type collector struct {
	store   *store.Store
	version string
}

func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range allMetrics {
		out <- m.desc
	}
}

// Collect reads everything at one moment; what cannot be read is an error of the
// scrape.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), metricsTimeout)
	defer cancel()
	var found []prometheus.Metric
	gauge := func(m metric, value float64, labels ...string) {
		found = append(found, prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, value, labels...))
	}
	gauge(metricBuild, 1, c.version)
	if err := c.store.View(ctx, func(q store.Queries) error { return readMetrics(ctx, q, fleet.At(c.store.Now()), gauge) }); err != nil {
		out <- prometheus.NewInvalidMetric(metricBuild.desc, err)
		return
	}
	for _, m := range found {
		out <- m
	}
}

func readMetrics(ctx context.Context, q store.Queries, now fleet.Time, gauge func(metric, float64, ...string)) error {
	sums, err := q.FleetSums(ctx)
	if err != nil {
		return err
	}
	for _, p := range []fleet.ProtectionState{fleet.Protected, fleet.AtRisk, fleet.Unprotected, fleet.Asleep, fleet.NotScheduled, fleet.NeverBacked} {
		gauge(metricProtection, float64(sums.Protection[p]), string(p))
	}
	for _, p := range []fleet.Presence{fleet.Online, fleet.Offline, fleet.Never, fleet.Disabled} {
		gauge(metricPresence, float64(sums.Presence[p]), string(p))
	}
	alerts, err := q.AlertCounts(ctx)
	if err != nil {
		return err
	}
	for _, a := range alerts {
		gauge(metricAlerts, float64(a.N), a.Code, string(a.Severity))
	}
	ran, err := q.JobsFinishedSince(ctx, now.Add(-24*time.Hour))
	if err != nil {
		return err
	}
	for _, r := range fleet.Results {
		gauge(metricJobs, float64(ran[r]), string(r))
	}
	late, err := q.HostsInBreach(ctx, now, metricsHosts)
	if err != nil {
		return err
	}
	for _, h := range late {
		gauge(metricBreach, now.Time().Sub(h.BreachAt.Time()).Seconds(), h.Name)
	}
	pending, err := q.PendingDeliveries(ctx)
	if err != nil {
		return err
	}
	gauge(metricPending, float64(pending))
	channels, err := q.Channels(ctx)
	failing := 0
	for i := range channels {
		if channels[i].Enabled && !channels[i].FailingSince.IsZero() {
			failing++
		}
	}
	gauge(metricFailing, float64(failing))
	return err
}
