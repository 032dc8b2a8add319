package job_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"restic-manager/server/alert"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
	"restic-manager/server/store/storetest"
)

// watch looks at a world's alerts.
type watch struct {
	*world
	alerts *alert.Service
}

func (w *world) watch() *watch {
	return &watch{w, &alert.Service{Store: w.store, Log: slog.New(slog.DiscardHandler), ServerVersion: "2.0.0", AuditEvery: time.Minute}}
}

// look evaluates twice, with the agents in touch.
func (w *watch) look(agents ...*agent) {
	w.Helper()
	for range 2 {
		w.clock.advance(20 * time.Second)
		for _, a := range agents {
			a.sync()
		}
		w.must(w.store.FlushContacts(w.Context()))
		w.must(w.alerts.Round(w.Context()))
	}
}

// open gives the codes of the alerts that are open, with the number of their objects.
func (w *watch) open() string {
	w.Helper()
	list, _, err := w.store.Alerts(w.Context(), store.AlertFilter{Open: true}, store.Page{Size: 200})
	w.must(err)
	var codes []string
	for _, a := range list {
		codes = append(codes, fmt.Sprintf("%s(%s):%d", a.Code, a.Severity, a.ObjectsTotal))
	}
	return strings.Join(codes, " ")
}

func (w *watch) want(step, want string) {
	w.Helper()
	if got := w.open(); got != want {
		w.Errorf("%s: alerts %q, want %q", step, got, want)
	}
}

// end runs a schedule and ends its job so.
func (w *watch) end(a *agent, s *fleet.Schedule, o job.Outcome) {
	w.Helper()
	j := w.run(s)
	a.sync()
	wk := a.jobs[j.ID]
	a.event(wk, job.Event{Kind: job.EventRunning})
	var snapshot *job.Snapshot
	if o.Result == "succeeded" || o.Result == "warning" {
		o.SnapshotID, o.Confirmed = snapshotID(string(j.ID)), true
		snapshot = a.snapshot(o.SnapshotID)
	}
	a.finish(wk, o, snapshot)
}

var good = job.Outcome{Result: "succeeded", Stats: &job.BackupStats{FilesProcessed: 1000, BytesProcessed: 1 << 20}}

func TestEachConditionOfABackupIsRaisedAndResolved(t *testing.T) {
	empty := job.Outcome{Result: "succeeded", Stats: &job.BackupStats{FilesProcessed: 10, BytesProcessed: 1 << 10}}
	warned := job.Outcome{Result: "warning", WarningsTotal: 100, Stats: good.Stats}
	missing, hollow, full, roomy := good, good, good, good
	missing.Sources = []job.SourceSeen{{Path: "/srv", State: "missing"}}
	hollow.Sources = []job.SourceSeen{{Path: "/srv", State: "empty"}}
	full.Storage = &job.StorageSpace{FreeBytes: 5, TotalBytes: 100}
	roomy.Storage = &job.StorageSpace{FreeBytes: 50, TotalBytes: 100}
	for _, c := range []struct {
		name            string
		bad, good       job.Outcome
		want, wantAfter string
	}{
		{"a failure", job.Outcome{Result: "failed", Code: "restic_failed", Message: "Fatal: no"}, good, "job_failed(warning):1", ""},
		{"an interrupt", job.Outcome{Result: "interrupted"}, good, "job_failed(warning):1", ""},
		{"a share of warnings", warned, good, "warnings_share(warning):1", ""},
		{"a source that shrank", empty, good, "source_shrank(warning):1", ""},
		{"a source that is missing", missing, good, "source_missing(warning):1", ""},
		{"a source that is empty", hollow, good, "source_empty(warning):1", ""},
		{"a storage that is nearly full", full, roomy, "repository_nearly_full(warning):1", ""},
		{"a repository out of reach", job.Outcome{Result: "failed", Code: "repo_unreachable", Message: "connection refused"}, good, "repository_unreachable(critical):1", ""},
		{"a repository that is gone", job.Outcome{Result: "failed", Code: "repo_missing", Message: "no config"}, good, "repo_missing(critical):1", ""},
		{"a repository that is full", job.Outcome{Result: "failed", Code: "repository_full"}, good, "repository_full(critical):1", ""},
		{"a proxy that refuses large uploads", job.Outcome{Result: "failed", Code: "repo_upload_refused"}, good, "repo_upload_refused(critical):1", ""},
		{"a credential that deletes", job.Outcome{Result: "failed", Code: "credential_can_delete", CanDelete: "yes"}, job.Outcome{Result: "succeeded", CanDelete: "no"},
			"credential_can_delete(critical):1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := lite(t).watch()
			a, s := w.ready()
			for range 4 { // what is usual
				w.end(a, s, good)
				w.clock.advance(time.Hour)
			}
			w.look(a)
			w.want("before", "")
			w.end(a, s, c.bad)
			w.clock.advance(20 * time.Second)
			a.sync()
			w.must(w.alerts.Round(t.Context()))
			w.want("after one evaluation", "")
			w.look(a)
			w.want("raised", c.want)
			w.clock.advance(time.Minute)
			w.end(a, s, c.good)
			w.look(a)
			w.want("resolved", c.wantAfter)
		})
	}
}

func TestEachConditionOfAHostIsRaisedAndResolved(t *testing.T) {
	each(t, func(plain *world) {
		w := plain.watch()
		a, _ := w.ready()
		w.look(a)
		w.want("an agent of version 1 at a server of version 2", "")

		// Its versions: the agent's is no version yet, restic's is too old.
		r := a.sessionRequest()
		r.AgentVersion, r.ResticVersion = "1.4.2", "0.17.3"
		answer, err := w.jobs.OpenSession(t.Context(), a.id, r)
		w.must(err)
		a.session = answer.Session
		w.look(a)
		w.want("old programs", "restic_too_old(warning):1 agent_too_old(info):1")
		r.AgentVersion, r.ResticVersion = "2.0.0", "0.19.1"
		answer, err = w.jobs.OpenSession(t.Context(), a.id, r)
		w.must(err)
		a.session = answer.Session
		w.look(a)
		w.want("new programs", "")

		// What it tells of itself.
		told := func(step, want string, tell func(*job.SyncRequest)) {
			t.Helper()
			for range 3 {
				w.clock.advance(20 * time.Second)
				request := a.syncRequest()
				tell(request)
				_, err := w.jobs.Sync(t.Context(), a.id, request, 20*time.Second)
				w.must(err)
				w.must(w.store.FlushContacts(t.Context()))
				w.must(w.alerts.Round(t.Context()))
			}
			w.want(step, want)
		}
		told("a clock that is ahead", "clock_wrong(warning):1", func(r *job.SyncRequest) { r.AgentTime = r.AgentTime.Add(10 * time.Minute) })
		told("a clock that is right", "", func(*job.SyncRequest) {})
		told("a locked policy file", "policy_file_insecure(critical):1", func(r *job.SyncRequest) {
			r.Status.Policy = &job.PolicyReport{State: job.PolicyLocked, Code: "policy_file_insecure", Message: "writable by group"}
		})
		told("a policy file in order", "", func(r *job.SyncRequest) { r.Status.Policy = &job.PolicyReport{State: "active"} })
		told("a spool that drops", "spool_dropping(warning):1", func(r *job.SyncRequest) { r.Status.Spool = &job.SpoolSummary{DroppedLines: 7} })
		w.clock.advance(25 * time.Hour)
		told("a spool that dropped long ago", "", func(r *job.SyncRequest) { r.Status.Spool = &job.SpoolSummary{DroppedLines: 7} })

		w.clock.advance(20 * time.Minute)
		w.look()
		w.want("silence", "host_silent(warning):1")
		w.look(a)
		w.want("a word", "")
	})
}

// TestANotificationSaysWhatIsWrongOnceInPlainWords and leaves restic's own to the pages.
func TestANotificationSaysWhatIsWrongOnceInPlainWords(t *testing.T) {
	raw := "the repository's storage cannot be reached (restic: unable to open config file: Head https://nas.test/main/config: dial tcp: connection refused)"
	for code, c := range map[string]struct{ message, says, once string }{
		"repo_unreachable": {raw, "Critical: Repository main cannot be reached\n\nweb-1 could not back up.\n", "reached"},
		"hook_failed":      {"the hook stop-db failed", "Warning: web-1: backup failed (daily)\n\nthe hook stop-db failed.\n", "stop-db failed"},
	} {
		w := lite(t).watch()
		a, s := w.ready()
		channel := &fleet.Channel{ID: fleet.NewID[fleet.ChannelID](), Name: "c", Kind: "webhook", Enabled: true, Settings: "{}", Route: "{}"}
		w.write(func(tx *store.Tx) error { return tx.CreateChannel(t.Context(), channel) })
		w.end(a, s, job.Outcome{Result: "failed", Code: code, Message: c.message, NextStep: "look at the job"})
		w.look(a)
		list, _, err := w.store.Deliveries(t.Context(), channel.ID, store.Page{Size: 10})
		w.must(err)
		if len(list) != 1 {
			t.Fatalf("%s: %d messages", code, len(list))
		}
		delivery, err := w.store.Delivery(t.Context(), list[0].ID)
		w.must(err)
		var p fleet.Parcel
		w.must(delivery.Body.Read(&p))
		got := p.Notices[0].Text()
		if !strings.HasPrefix(got, c.says) || strings.Count(got, c.once) != 1 || strings.Contains(got, "restic:") || strings.Contains(got, "dial tcp") {
			t.Errorf("%s:\n%s", code, got)
		}
		held, err := w.store.Conditions(t.Context(), store.ObjectRepository, string(s.RepositoryID))
		w.must(err)
		if code == "repo_unreachable" && (len(held) != 1 || held[0].Message != "The repository's storage cannot be reached. Seen by web-1 "+
			"(restic: unable to open config file: Head https://nas.test/main/config: dial tcp: connection refused).") {
			t.Errorf("the repository's page says %+v", held)
		}
	}
}

func TestAMissedObjectiveIsOneAlertWithItsCause(t *testing.T) {
	each(t, func(plain *world) {
		w := plain.watch()
		a := w.host("web-1")
		r := w.repository("main", fleet.RepositoryReady)
		s := &fleet.Schedule{
			ID: fleet.NewID[fleet.ScheduleID](), HostID: a.id.Host, RepositoryID: r.ID, Name: "hourly", Paths: fleet.NewList([]string{"/etc"}),
			Cron: "0 * * * *", Zone: "UTC", Enabled: true, Objective: 7200,
		}
		w.write(func(tx *store.Tx) error { return tx.CreateSchedule(w.Context(), s) })
		a.open()
		a.sync()
		w.end(a, s, good)
		w.look(a)
		w.want("good", "")
		w.end(a, s, job.Outcome{Result: "failed", Code: "restic_failed", Message: "Fatal: no"})
		w.look(a)
		w.want("failed", "job_failed(warning):1")
		list, err := w.store.Conditions(t.Context(), store.ObjectHost, string(a.id.Host))
		w.must(err)
		if len(list) != 1 || list[0].Code != job.CodeBackupFailed || list[0].Severity != fleet.Warn {
			t.Errorf("the host's own page says %+v, want the warning that the alert is", list)
		}
		w.clock.advance(4 * time.Hour)
		w.look(a)
		w.want("failed and late", "job_failed(critical):1")
		w.clock.advance(time.Hour) // and now silent, too: the failure was before
		w.look()
		w.want("silent", "host_silent(critical):1 job_failed(critical):1")
		w.look(a)
		w.end(a, s, good)
		w.look(a)
		w.want("good again", "")

		w.clock.advance(4 * time.Hour)
		w.look(a)
		if got := w.open(); !strings.Contains(got, "objective_missed(critical):1") || strings.Contains(got, "job_failed") {
			t.Errorf("late for no known reason: alerts %q, want objective_missed", got)
		}
	})
}

func TestMissedSlotsAreRaisedUntilTheNextGoodBackup(t *testing.T) {
	w := lite(t).watch()
	a := w.host("web-1")
	r := w.repository("main", fleet.RepositoryReady)
	s := &fleet.Schedule{
		ID: fleet.NewID[fleet.ScheduleID](), HostID: a.id.Host, RepositoryID: r.ID, Name: "hourly", Paths: fleet.NewList([]string{"/etc"}),
		Cron: "0 * * * *", Zone: "UTC", Enabled: true, Objective: 86400,
	}
	w.write(func(tx *store.Tx) error { return tx.CreateSchedule(w.Context(), s) })
	a.open()
	a.sync()
	w.end(a, s, good)
	from := w.clock.now()
	w.clock.advance(150 * time.Minute)
	request := a.syncRequest()
	request.Claims = []job.Claim{{Schedule: s.ID, Version: s.Version, From: from, Until: w.clock.now()}}
	_, err := w.jobs.Sync(t.Context(), a.id, request, 20*time.Second)
	w.must(err)
	w.must(w.jobs.CheckSlots(t.Context()))
	w.look(a)
	w.want("two slots without a job", "slot_missed(warning):1")
	w.end(a, s, good)
	w.look(a)
	w.want("a good backup", "")
}

func TestFortyHostsOnADeadRepositoryAreOneAlert(t *testing.T) {
	each(t, func(plain *world) {
		w := plain.watch()
		r := w.repository("nas", fleet.RepositoryReady)
		var agents []*agent
		var schedules []*fleet.Schedule
		for i := range 40 {
			a := w.host(fmt.Sprintf("web-%02d", i))
			schedules = append(schedules, w.schedule(a, r, "daily"))
			a.open()
			a.sync()
			agents = append(agents, a)
		}
		for i, a := range agents {
			w.end(a, schedules[i], job.Outcome{Result: "failed", Code: "repo_unreachable", Message: "connection refused"})
		}
		w.look(agents...)
		w.want("a dead repository", "repository_unreachable(critical):40")
		for i, a := range agents {
			w.end(a, schedules[i], good)
		}
		w.look(agents...)
		w.want("a repository that is back", "")
	})
}

func TestSevenDaysWithoutUsAreNoStorm(t *testing.T) {
	storetest.EachURL(t, func(t *testing.T, url string) {
		c := &clock{}
		c.micros.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMicro())
		start := func() *watch {
			s, err := store.Open(t.Context(), url, store.Options{Now: c.now})
			if err != nil {
				t.Fatal(err)
			}
			w := &world{t, s, &job.Service{Store: s, Sealer: plainSeals{}, Logger: slog.New(slog.DiscardHandler)}, c}
			return w.watch()
		}
		w := start()
		r := w.repository("nas", fleet.RepositoryReady)
		agents, schedules := []*agent{}, []*fleet.Schedule{}
		for i := range 12 {
			a := w.host(fmt.Sprintf("web-%02d", i))
			s := &fleet.Schedule{
				ID: fleet.NewID[fleet.ScheduleID](), HostID: a.id.Host, RepositoryID: r.ID, Name: "hourly", Paths: fleet.NewList([]string{"/etc"}),
				Cron: "0 * * * *", Zone: "UTC", Enabled: true,
			}
			w.write(func(tx *store.Tx) error { return tx.CreateSchedule(w.Context(), s) })
			a.open()
			a.sync()
			w.end(a, s, good)
			agents, schedules = append(agents, a), append(schedules, s)
		}
		w.look(agents...)
		w.want("before", "")
		channel := &fleet.Channel{ID: fleet.NewID[fleet.ChannelID](), Name: "c", Kind: "webhook", Enabled: true, Settings: "{}", Route: `{"min_severity":"info"}`}
		w.write(func(tx *store.Tx) error { return tx.CreateChannel(w.Context(), channel) })
		w.must(w.store.Close()) // it dies without a word

		c.advance(7 * 24 * time.Hour)
		w = start()
		t.Cleanup(func() { w.must(w.store.Close()) })
		for range 5 { // nobody is back yet
			w.look()
		}
		w.want("in the grace", "")
		for i, a := range agents[1:] { // what they did meanwhile comes in
			a.world = w.world
			a.open()
			a.sync()
			w.end(a, schedules[i+1], good)
		}
		for range 40 {
			w.look(agents[1:]...)
		}
		w.want("one host stays away", "host_silent(critical):1")
		list, _, err := w.store.Deliveries(t.Context(), channel.ID, store.Page{})
		w.must(err)
		if len(list) != 1 {
			t.Errorf("%d messages after a week's outage, want 1", len(list))
		}
	})
}
