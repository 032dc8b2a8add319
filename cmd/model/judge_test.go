package model_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/slot"
	"restic-manager/server/fleet"
	"restic-manager/server/job"
	"restic-manager/server/store"
)

// judge holds what the server says against what really happened.
func (w *world) judge(ctx context.Context) {
	w.judgePeace()
	l := w.plane.current()
	if l == nil || l.killed() {
		w.t.Error("the server died in peace")
		return
	}
	w.plane.mu.Lock()
	c := &court{w: w, store: l.store, jobs: l.jobs, setBack: w.plane.setBack}
	w.plane.mu.Unlock()
	all := c.listJobs(ctx)
	for id := range w.accept {
		if !c.setBack && !slices.ContainsFunc(all, func(j fleet.Job) bool { return string(j.ID) == id }) {
			w.t.Errorf("the API confirmed job %s, and nobody knows it", id)
		}
	}
	for i := range all {
		c.judgeJob(ctx, &all[i])
	}
	for _, h := range w.template.hosts {
		c.judgeHost(ctx, hostID(h), all)
	}
	for i := range w.decided {
		c.judgeSlots(&w.decided[i], all)
	}
	c.judgeSnapshots(ctx, all)
	if err := l.store.VerifyRollups(ctx); err != nil {
		w.t.Error(err)
	}
	if _, err := l.store.VerifyAudit(ctx); err != nil {
		w.t.Errorf("the audit log: %v", err)
	}
}

// parkedMost is how many requests an agent parks in calm minutes: a line that used to
// cut has taught it to wait for 5 s at a time, of which the server takes up to a fifth.
const parkedMost = 48

// judgePeace sees that nobody asks without end: of agents that have nothing to do and
// nothing to tell, parked requests come, and nothing else.
func (w *world) judgePeace() {
	const calm = 3 * time.Minute
	w.cover.high("virtual hours", time.Since(w.began).Hours())
	time.Sleep(time.Minute)
	type counts struct {
		kinds map[string]int
		all   int
	}
	before := make([]counts, len(w.machines))
	for i, m := range w.machines {
		before[i].kinds, before[i].all = m.line.counted()
	}
	time.Sleep(calm)
	for i, m := range w.machines {
		kinds, all := m.line.counted()
		w.cover.high("requests in three calm minutes", float64(all-before[i].all))
		for kind, n := range kinds {
			n -= before[i].kinds[kind]
			if kind != "sync" && n > 0 || n > parkedMost {
				w.t.Errorf("%s sent %d %s requests in %s of peace", m.name, n, kind, calm)
			}
		}
		hours := time.Since(w.began).Hours()
		w.cover.high("requests an hour", float64(all)/max(hours, 0.25))
		if most := 150 + 2000*hours; float64(all) > most {
			w.t.Errorf("%s sent %d requests in %.1f hours: %v", m.name, all, hours, kinds)
		}
	}
}

// court is what verdicts are found with.
type court struct {
	w     *world
	store *store.Store
	jobs  *job.Service

	setBack bool // the database was set back, so what the server was told may be forgotten
}

func (c *court) listJobs(ctx context.Context) []fleet.Job {
	var all []fleet.Job
	for page := (store.Page{Size: 200}); ; {
		jobs, next, err := c.store.Jobs(ctx, store.JobFilter{}, page)
		if err != nil {
			c.w.t.Fatal(err)
		}
		all = append(all, jobs...)
		if next == "" {
			return all
		}
		page.Token = next
	}
}

// machineOf finds the machine of a host, nil for one that has no agent.
func (c *court) machineOf(id fleet.HostID) *machine {
	for _, m := range c.w.machines {
		if m.identity.HostID == string(id) {
			return m
		}
	}
	return nil
}

// judgeHost looks at a host's commands and at what its row and its schedules' rows say
// of its jobs.
func (c *court) judgeHost(ctx context.Context, id fleet.HostID, all []fleet.Job) {
	t := c.w.t
	host, err := c.store.Host(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	own := slices.DeleteFunc(slices.Clone(all), func(j fleet.Job) bool { return j.HostID != id })
	c.judgeCommands(ctx, host, own)
	var backup, good fleet.Time
	lastGood, newest := map[fleet.ScheduleID]fleet.Time{}, map[fleet.ScheduleID]fleet.Time{}
	finished := map[fleet.JobID]fleet.Time{}
	for _, j := range own {
		finished[j.ID] = j.FinishedAt
		newest[j.ScheduleID] = max(newest[j.ScheduleID], j.CreatedAt)
		if j.Operation != "backup" || j.State != fleet.Finished || j.Result == fleet.Missed {
			continue
		}
		backup = max(backup, j.FinishedAt)
		if j.Result.Good() && j.SnapshotID != "" {
			good = max(good, j.FinishedAt)
			lastGood[j.ScheduleID] = max(lastGood[j.ScheduleID], j.FinishedAt)
		}
	}
	if finished[host.LastBackup] != backup {
		t.Errorf("%s: the last backup is job %q of %s, and the newest ended %s", host.Name, host.LastBackup, finished[host.LastBackup].Time(), backup.Time())
	}
	if host.LastGoodBackup != good {
		t.Errorf("%s: the last good backup is of %s, want %s", host.Name, host.LastGoodBackup.Time(), good.Time())
	}
	schedules, err := c.store.Schedules(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range schedules {
		if s.LastGood != lastGood[s.ID] {
			t.Errorf("schedule %s of %s: the last good backup is of %s, want %s", s.Name, host.Name, s.LastGood.Time(), lastGood[s.ID].Time())
		}
		i := slices.IndexFunc(own, func(j fleet.Job) bool { return j.ID == s.LastJob })
		if i < 0 && newest[s.ID] != 0 || i >= 0 && own[i].CreatedAt != newest[s.ID] {
			t.Errorf("schedule %s of %s: job %q is not its newest, which is of %s", s.Name, host.Name, s.LastJob, newest[s.ID].Time())
		}
	}
}

// judgeSlots demands a job for each slot between the agent's taking the times in force
// and the end: one that ran, was skipped, or is missed. Of a machine whose clock was wrong
// while the server was down nobody can say what its absences explain.
func (c *court) judgeSlots(s *fleet.Schedule, all []fleet.Job) {
	m := c.machineOf(s.HostID)
	if c.setBack || m == nil || m.setBack || m.clockMoved && c.w.plane.lives > 1 {
		return
	}
	slots, err := slot.Parse(s.Cron, s.Zone)
	if err != nil {
		c.w.t.Fatal(err)
	}
	byID := map[string]*fleet.Job{}
	for i := range all {
		byID[string(all[i].ID)] = &all[i]
	}
	from := max(s.ClaimFrom, s.TimingSince).Time()
	for at, ok := slots.Next(from); ok && fleet.At(at) <= min(s.ClaimUntil, s.CheckedUntil); at, ok = slots.Next(at) {
		j := byID[slot.JobID(uuid.MustParse(string(s.ID)), at).String()]
		switch {
		case j != nil:
			c.w.cover.hit(coveredSlots, string(j.Result))
			c.judgeMissed(j)
		case !summedUp(s, all, at):
			c.w.t.Errorf("schedule %s of %s (%s %s) lost its slot of %s: claimed %s to %s", s.ID, s.HostID, s.Cron, s.Zone, at,
				s.ClaimFrom.Time(), s.ClaimUntil.Time())
		}
	}
}

// judgeMissed demands a reason for a slot that nobody ran.
func (c *court) judgeMissed(j *fleet.Job) {
	if j.Result != fleet.Missed {
		return
	}
	var outcome struct{ Code string }
	if err := j.Outcome.Read(&outcome); err != nil {
		c.w.t.Fatal(err)
	}
	c.w.cover.hit(coveredSlots, "missed: "+outcome.Code)
	if outcome.Code == job.CodeNotFired || outcome.Code == job.CodeNoWord {
		c.w.t.Errorf("the slot %s of schedule %s was missed for no reason (%s)", j.Slot.Time(), j.ScheduleID, outcome.Code)
	}
}

// summedUp reports whether a missed job of the day stands for the slot.
func summedUp(s *fleet.Schedule, all []fleet.Job, at time.Time) bool {
	return slices.ContainsFunc(all, func(j fleet.Job) bool {
		return j.ScheduleID == s.ID && j.Result == fleet.Missed && j.MoreSlots > 0 && j.Slot.Time().Sub(at).Abs() < 25*time.Hour
	})
}

// judgeCommands sees that a host's commands are numbered densely and that none is left.
func (c *court) judgeCommands(ctx context.Context, host *fleet.Host, jobs []fleet.Job) {
	t := c.w.t
	var all []fleet.Command
	for _, j := range jobs {
		commands, err := c.store.CommandsOf(ctx, j.ID)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, commands...)
	}
	slices.SortFunc(all, func(a, b fleet.Command) int { return int(a.Seq - b.Seq) })
	for i, command := range all {
		if command.Seq != int64(i+1) && !c.setBack { // then numbers that the agent has used are passed over
			t.Errorf("%s: command %d is followed by %d", host.Name, i, command.Seq)
			return
		}
		if command.State == fleet.CommandQueued && c.machineOf(host.ID) != nil {
			t.Errorf("%s: command %d (%s) is still queued", host.Name, command.Seq, command.Kind)
		}
		if command.State == fleet.CommandAcked && command.Seq > host.AckedSeq {
			t.Errorf("%s: command %d is acknowledged beyond %d", host.Name, command.Seq, host.AckedSeq)
		}
	}
	if int64(len(all)) != host.CommandSeq && !c.setBack {
		t.Errorf("%s: %d commands, and the last has number %d", host.Name, len(all), host.CommandSeq)
	}
}

// judgeSnapshots compares the storage with what the server knows of it: every
// snapshot once, and those that it lacks it knows to be unconfirmed.
func (c *court) judgeSnapshots(ctx context.Context, all []fleet.Job) {
	t := c.w.t
	jobs := map[fleet.JobID]*fleet.Job{}
	for i := range all {
		jobs[all[i].ID] = &all[i]
	}
	for _, repository := range []string{c.w.template.ready, c.w.template.fresh} {
		known := map[string]fleet.Snapshot{}
		for page := (store.Page{Size: 200}); ; {
			rows, next, err := c.store.Snapshots(ctx, store.SnapshotFilter{Repository: fleet.RepositoryID(repository)}, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				known[row.ID] = row
			}
			if page.Token = next; next == "" {
				break
			}
		}
		for _, s := range c.w.depot.list(repository) {
			row, there := known[s.Id]
			delete(known, s.Id)
			j := jobs[fleet.JobID(jobOf(s.Tags))]
			switch {
			case j == nil && c.setBack:
			case there && j.SnapshotID != s.Id && row.HostID != "" && !c.machineOf(j.HostID).setBack: // nobody told of it; one that was set back may run a slot twice, and tells of both
				t.Errorf("snapshot %.8s of job %s, which told of %.8s, is attributed to %+v", s.Id, j.ID, j.SnapshotID, row)
			case there && j.SnapshotID == s.Id && (row.JobID != j.ID || row.HostID != j.HostID || row.ScheduleID != j.ScheduleID):
				t.Errorf("snapshot %.8s of job %s is attributed to %+v", s.Id, j.ID, row)
			case !there && !j.Unconfirmed && !c.setBack && !c.machineOf(j.HostID).setBack:
				t.Errorf("snapshot %.8s of job %s (%s) is not known, and the job is not unconfirmed", s.Id, j.ID, j.Result)
			}
		}
		for id := range known {
			t.Errorf("snapshot %.8s is known and does not exist", id)
		}
	}
}

// jobOf finds the job in the tags of one of our snapshots.
func jobOf(tags []string) string {
	const tag = "rm:job:"
	for _, t := range tags {
		if len(t) > len(tag) && t[:len(tag)] == tag {
			return t[len(tag):]
		}
	}
	return ""
}

// events reads all events of a job.
func (c *court) events(ctx context.Context, id fleet.JobID) []job.Event {
	rows, err := c.store.Events(ctx, id, 0, 10_000)
	if err != nil {
		c.w.t.Fatal(err)
	}
	events := make([]job.Event, len(rows))
	for i, row := range rows {
		if err := json.Unmarshal([]byte(row.Body), &events[i]); err != nil {
			c.w.t.Fatal(fmt.Errorf("event %d of job %s: %w", row.Seq, id, err))
		}
	}
	return events
}

// lines reads a job's whole log.
func (c *court) lines(ctx context.Context, id fleet.JobID) []job.LogLine {
	var lines []job.LogLine
	for query := (job.LogQuery{}); ; {
		page, err := c.jobs.Log(ctx, id, query)
		if err != nil {
			c.w.t.Fatal(err)
		}
		lines = append(lines, page.Lines...)
		if page.Next == query.AfterSeq {
			return lines
		}
		query.AfterSeq = page.Next
	}
}

// chunks reads a job's whole log.
func (c *court) chunks(ctx context.Context, id fleet.JobID) []fleet.LogChunk {
	chunks, err := c.store.LogChunks(ctx, id, 0, 100_000)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return chunks
}
