package store_test

import (
	"context"
	"strings"
	"testing"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

// What is asked every few seconds, or for each report, must not read the history.
func TestWhatIsAskedOftenReadsNoHistory(t *testing.T) {
	s, err := store.Open(t.Context(), storetest.SQLite(t), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ended := func(_ any, err error) error {
		if fleet.Is(err, fleet.NotFound) {
			return nil
		}
		return err
	}
	for name, read := range map[string]func(context.Context, store.Queries) error{
		"jobs to expire":      func(ctx context.Context, q store.Queries) error { return ended(q.JobsToExpire(ctx, 1, 10)) },
		"silent jobs":         func(ctx context.Context, q store.Queries) error { return ended(q.SilentJobs(ctx, 1, false, 10)) },
		"lost jobs":           func(ctx context.Context, q store.Queries) error { return ended(q.SilentJobs(ctx, 1, true, 10)) },
		"jobs on agents":      func(ctx context.Context, q store.Queries) error { return ended(q.CountJobsOnAgents(ctx)) },
		"a host's jobs":       func(ctx context.Context, q store.Queries) error { return ended(q.ActiveJobs(ctx, "h")) },
		"a schedule's job":    func(ctx context.Context, q store.Queries) error { return ended(q.PendingJob(ctx, "s")) },
		"commands to be told": func(ctx context.Context, q store.Queries) error { return ended(q.QueuedCommands(ctx, "h", 20)) },
		"hosts to judge":      func(ctx context.Context, q store.Queries) error { return ended(q.HostsToJudge(ctx, 1, false, 10)) },
		"slots to check":      func(ctx context.Context, q store.Queries) error { return ended(q.SchedulesToCheck(ctx, 1, false, 10)) },
		"the dashboard's jobs": func(ctx context.Context, q store.Queries) error {
			_, _, err := q.Jobs(ctx, store.JobFilter{Active: true}, store.Page{})
			return err
		},
		"hosts by how they stand": func(ctx context.Context, q store.Queries) error {
			_, _, err := q.Hosts(ctx, store.HostFilter{Protection: fleet.Unprotected}, store.Page{})
			return err
		},
		"a repository's snapshots": func(ctx context.Context, q store.Queries) error {
			_, _, err := q.Snapshots(ctx, store.SnapshotFilter{Repository: "r"}, store.Page{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			plans, err := s.Plans(func(q store.Queries) error { return read(t.Context(), q) })
			if err != nil {
				t.Fatal(err)
			}
			if len(plans) == 0 {
				t.Fatal("no read was seen")
			}
			for _, plan := range plans {
				few := strings.Contains(plan, "active") || strings.Contains(plan, "INDEX hosts_away") || strings.Contains(plan, "INDEX hosts_unjudged")
				whole := strings.HasPrefix(plan, "SCAN") && !few
				history := strings.Contains(plan, "jobs_host ") || strings.Contains(plan, "jobs_schedule ")
				sorted := strings.Contains(plan, "FOR ORDER BY") && strings.Contains(name, "snapshots")
				if whole || history || sorted {
					t.Errorf("plan: %s", strings.Join(plans, "; "))
				}
			}
		})
	}
}
