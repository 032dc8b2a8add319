package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/agent/runner"
	"restic-manager/agent/slot"
	"restic-manager/agent/spool"
)

// times gives the machine's one schedule a cron, by another revision.
func (m *machine) times(cron string, change ...func(*control.AgentSchedule)) {
	m.server.change(func() {
		c := m.server.config
		c.Revision++
		s := c.Schedules[0]
		s.Version, s.Manual, s.Enabled, s.Cron, s.Zone = s.Version+1, false, true, cron, "UTC"
		for _, ch := range change {
			ch(&s)
		}
		c.Schedules = []control.AgentSchedule{s}
		m.server.config = c
	})
}

// jobAt is the id of the job of a slot, such as "01-01 02:00".
func jobAt(t *testing.T, at string) string {
	t.Helper()
	when, err := time.Parse("2006-01-02 15:04", "2000-"+at)
	if err != nil {
		t.Fatal(err)
	}
	return slot.JobID(uuid.MustParse(modelSchedule), when).String()
}

// away cuts the line to the server, or lets it through again.
func (m *machine) away(is bool) {
	m.server.change(func() {
		m.server.fault = nil
		if is {
			m.server.fault = func(string) fault { return fault{loseAsk: true} }
		}
	})
}

// results are those that the server has of all jobs.
func (d *double) results() map[spool.Result]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	counts := map[spool.Result]int{}
	for _, j := range d.jobs {
		for _, e := range j.events {
			if e.Outcome != nil {
				counts[e.Outcome.Result]++
			}
		}
	}
	return counts
}

// quick is work of some seconds that says a little.
func (m *machine) quick(ctx context.Context, t *runner.Task) *runner.Ending {
	t.Say("working")
	select {
	case <-time.After(5 * time.Second):
	case <-ctx.Done():
		return stoppedEnding(ctx)
	}
	m.worked(t.Job.ID)
	return &runner.Ending{Outcome: spool.Outcome{Result: spool.Succeeded}}
}

// TestSevenDaysWithoutTheServer has the whole agent, with its spool on the disk.
func TestSevenDaysWithoutTheServer(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 30)
	m.work = m.quick
	m.inBubble(func(t *testing.T) {
		m.times("0 */12 * * *")
		l := m.begin(t.Context())
		eventually(t, "the configuration", time.Minute, func() bool { return l.agent.inForce.revision() == 2 })
		m.away(true)
		time.Sleep(7 * 24 * time.Hour)
		const slots = 7 * 2
		m.set(func() {
			if len(m.runs) != slots {
				t.Errorf("%d slots ran, want %d", len(m.runs), slots)
			}
			for job, n := range m.runs {
				if n != 1 {
					t.Errorf("job %s ran %d times", job, n)
				}
			}
		})
		if bytes := l.spool.Summary().Bytes; bytes > slots*4096 {
			t.Errorf("%d bytes wait", bytes)
		}
		order := watchOrder(m)
		m.away(false)
		eventually(t, "everything to arrive", time.Hour, func() bool { return l.spool.Summary().Jobs == 0 })
		if got := m.server.results(); got[spool.Succeeded] != slots || len(got) != 1 {
			t.Errorf("results: %v", got)
		}
		m.server.look(func() {
			if order.late > 0 {
				t.Errorf("%d events came after the first log", order.late)
			}
			if !slices.IsSortedFunc(order.slots, time.Time.Compare) || len(order.slots) != slots {
				t.Errorf("%d jobs were opened, in order of their slots: %v", len(order.slots), slices.IsSortedFunc(order.slots, time.Time.Compare))
			}
		})
		eventually(t, "the claim", time.Minute, func() bool {
			claims := m.server.claimed()
			return len(claims) > 0 && time.Since(claims[len(claims)-1].Until) < 12*time.Hour+time.Minute
		})
		l.end(t)
	})
}

// arrival is in which order things come.
type arrival struct {
	logs  bool
	late  int
	slots []time.Time
}

func watchOrder(m *machine) *arrival {
	a := &arrival{}
	m.server.change(func() {
		m.server.whole = func(q control.ReportRequest) bool {
			for _, item := range q.Items {
				if item.Opened != nil {
					a.slots = append(a.slots, item.Opened.Slot)
				}
				for _, e := range item.Events {
					if a.logs && time.Since(e.At) > time.Hour {
						a.late++
					}
				}
			}
			for _, item := range q.Items {
				a.logs = a.logs || len(item.Log) > 0
			}
			return false
		}
	})
	return a
}

// claimed are the claims that the server was told, in order.
func (d *double) claimed() []control.SlotClaim {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.claims)
}

func TestAHostThatWasOffForTwoDaysCatchesUpOnce(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 31)
	m.work = m.quick
	m.inBubble(func(t *testing.T) {
		m.times("0 * * * *")
		l := m.begin(t.Context())
		time.Sleep(90 * time.Minute)
		l.end(t)
		m.set(func() { m.boot = "another" })
		time.Sleep(48 * time.Hour)
		l = m.begin(t.Context())
		eventually(t, "the run", time.Minute, func() bool { return len(m.server.finished(jobAt(t, "01-03 01:00"))) == 1 })
		eventually(t, "the claim", time.Minute, func() bool {
			claims := m.server.claimed()
			return claims[len(claims)-1].Until.Equal(time.Date(2000, 1, 3, 1, 0, 0, 0, time.UTC))
		})
		m.set(func() {
			if len(m.runs) != 2 {
				t.Errorf("%d runs, want the one before and one to catch up", len(m.runs))
			}
		})
		if missed := m.unanswered(t, "0 * * * *"); len(missed) != 47 {
			t.Errorf("%d slots were claimed and have no job, want 47: %v", len(missed), missed)
		}
		m.server.look(func() {
			want := []control.Absence{{From: time.Date(2000, 1, 1, 1, 30, 0, 0, time.UTC), To: time.Date(2000, 1, 3, 1, 30, 0, 0, time.UTC), Reason: "off"}}
			if diff := cmp.Diff(want, m.server.absences); diff != "" {
				t.Error(diff)
			}
		})
		l.end(t)
	})
}

// unanswered are the slots that were claimed and have no job at the server.
func (m *machine) unanswered(t *testing.T, cron string) []string {
	t.Helper()
	slots, err := slot.Parse(cron, "UTC")
	if err != nil {
		t.Fatal(err)
	}
	claims := m.server.claimed()
	if len(claims) == 0 {
		return nil
	}
	last := claims[len(claims)-1]
	var list []string
	m.server.look(func() {
		for at, ok := slots.Next(last.From); ok && !at.After(last.Until); at, ok = slots.Next(at) {
			if m.server.jobs[slot.JobID(uuid.MustParse(modelSchedule), at).String()] == nil {
				list = append(list, at.Format("01-02 15:04"))
			}
		}
	})
	return list
}

// TestKillAtEachStepOfAScheduledRun kills the process before and after each write
// between a slot and the end of its report. Whatever the next process finds, the slot
// makes one snapshot and has one true result, and the next one runs.
func TestKillAtEachStepOfAScheduledRun(t *testing.T) {
	t.Parallel()
	var names []string
	for first := 1; !slices.Contains(names, "") && !t.Failed(); first += 8 {
		died := make([]string, 8)
		t.Run(fmt.Sprintf("from step %d", first), func(t *testing.T) {
			for i := range died {
				t.Run(fmt.Sprintf("step %d", first+i), func(t *testing.T) {
					t.Parallel()
					died[i] = killAtStep(t, func(_ string, n int) bool { return n == first+i })
				})
			}
		})
		names = append(names, died...)
	}
	for _, must := range []string{"open:before", "open:after", "start:before", "start:after", "finish:before", "finish:after", "applied:after"} {
		if slices.Contains(names, must) {
			continue
		}
		t.Run(must, func(t *testing.T) { // the order of steps is not the same each time
			if killAtStep(t, func(name string, _ int) bool { return name == must }) != must {
				t.Errorf("nobody died at %s; the steps were %s", must, strings.Join(names, " "))
			}
		})
	}
}

// killAtStep kills at the first step that is chosen by its name and number, and returns
// its name, empty if there was none.
func killAtStep(t *testing.T, here func(name string, n int) bool) (died string) {
	m := newMachine(t, 32)
	made := map[string]int{}
	m.work = func(ctx context.Context, task *runner.Task) *runner.Ending {
		e := m.quick(ctx, task)
		m.set(func() {
			if e.Result == spool.Succeeded {
				made[task.Job.ID]++
			}
		})
		return e
	}
	m.inBubble(func(t *testing.T) {
		m.times("0 */8 * * *")
		l := m.begin(t.Context())
		time.Sleep(8*time.Hour - time.Second)
		steps := 0
		m.set(func() {
			m.step = func(name string) error {
				m.mu.Lock()
				defer m.mu.Unlock()
				if steps++; died == "" && here(name, steps) {
					died = name
					return errDead
				}
				return nil
			}
		})
		select {
		case <-l.dead:
		case <-time.After(2 * time.Minute):
			m.set(func() { m.step = nil })
			l.end(t)
			died = ""
			return
		}
		l.end(t)
		m.set(func() { m.step = nil })
		time.Sleep(10 * time.Minute)
		l = m.begin(t.Context())
		job := jobAt(t, "01-01 08:00")
		eventually(t, "the result", time.Hour, func() bool { return len(m.server.finished(job)) > 0 })
		eventually(t, "an empty spool", time.Hour, func() bool { return l.spool.Summary().Jobs == 0 })
		results := m.server.finished(job)
		// A run that was cut off is tried again, and one that made its snapshot is not.
		if len(results) != 1 || m.ran(job) > 2 || made[job] != 1 {
			t.Errorf("killed at %s: ran %d times, %d snapshots, results %+v", died, m.ran(job), made[job], results)
		}
		truth := []spool.Result{spool.Succeeded, spool.Warning}
		if m.ran(job) == 2 {
			truth = []spool.Result{spool.Succeeded}
		}
		if !slices.Contains(truth, results[0].Result) {
			t.Errorf("killed at %s: ran %d times and is %s", died, m.ran(job), results[0].Result)
		}
		time.Sleep(8 * time.Hour)
		if next := jobAt(t, "01-01 16:00"); m.ran(next) != 1 || len(m.server.finished(next)) != 1 {
			t.Errorf("killed at %s: the next slot ran %d times", died, m.ran(next))
		}
		if missed := m.unanswered(t, "0 */8 * * *"); len(missed) > 0 {
			t.Errorf("killed at %s: claimed without a job: %v", died, missed)
		}
		l.end(t)
	})
	return died
}

func TestManualSchedulesFireNeitherAtTheirTimesNorAtAStart(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*control.AgentSchedule){
		"manual":              func(s *control.AgentSchedule) { s.Manual, s.Cron = true, "" },
		"manual with a cron":  func(s *control.AgentSchedule) { s.Manual = true },
		"disabled":            func(s *control.AgentSchedule) { s.Enabled = false },
		"disabled and manual": func(s *control.AgentSchedule) { s.Enabled, s.Manual = false, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, 33)
			m.work = m.quick
			m.inBubble(func(t *testing.T) {
				m.times("0 * * * *", change)
				l := m.begin(t.Context())
				time.Sleep(3 * time.Hour)
				l.end(t)
				m.set(func() { m.boot = "another" })
				time.Sleep(24 * time.Hour)
				l = m.begin(t.Context())
				time.Sleep(3 * time.Hour)
				if got := m.server.results(); len(got) > 0 || len(m.server.claimed()) > 0 {
					t.Errorf("results %v, claims %v", got, m.server.claimed())
				}
				l.end(t)
			})
		})
	}
}

func TestAConfigurationThatChangesWhileTheAgentIsAway(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 34)
	m.work = m.quick
	m.inBubble(func(t *testing.T) {
		m.times("0 * * * *")
		l := m.begin(t.Context())
		time.Sleep(90 * time.Minute)
		m.away(true)
		time.Sleep(time.Minute)
		m.times("30 * * * *")
		time.Sleep(2*time.Hour + 5*time.Minute) // after half past three; two and three o'clock by the old times
		m.away(false)
		eventually(t, "the new times", 5*time.Minute, func() bool { return l.agent.inForce.revision() == 3 })
		time.Sleep(time.Hour)
		var ran []string
		m.server.look(func() {
			for at := time.Date(2000, 1, 1, 0, 30, 0, 0, time.UTC); at.Before(time.Now()); at = at.Add(30 * time.Minute) {
				if m.server.jobs[slot.JobID(uuid.MustParse(modelSchedule), at).String()] != nil {
					ran = append(ran, at.Format("15:04"))
				}
			}
		})
		if diff := cmp.Diff([]string{"01:00", "02:00", "03:00", "04:30"}, ran); diff != "" {
			t.Error(diff)
		}
		claims := m.server.claimed()
		if last := claims[len(claims)-1]; last.ScheduleVersion != 3 || last.From.Before(time.Date(2000, 1, 1, 3, 30, 0, 0, time.UTC)) {
			t.Errorf("the last claim is %+v", last)
		}
		l.end(t)
	})
}

// TestAConfigurationThatChangesWhileAJobRuns changes and then removes its schedule.
func TestAConfigurationThatChangesWhileAJobRuns(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 35)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		m.times("0 * * * *")
		l := m.begin(t.Context())
		time.Sleep(time.Hour + 10*time.Second)
		job := jobAt(t, "01-01 01:00")
		if m.ran(job) != 1 {
			t.Fatal("it does not run")
		}
		m.times("*/2 * * * *")
		eventually(t, "the new times", 30*time.Second, func() bool { return l.agent.inForce.revision() == 3 })
		m.server.change(func() {
			m.server.config.Revision++
			m.server.config.Schedules = []control.AgentSchedule{}
		})
		eventually(t, "the result", 2*time.Minute, func() bool { return len(m.server.finished(job)) == 1 })
		if got := m.server.finished(job)[0]; got.Result != spool.Succeeded {
			t.Errorf("got %+v", got)
		}
		time.Sleep(time.Hour)
		m.set(func() {
			if len(m.runs) != 1 {
				t.Errorf("%d runs", len(m.runs))
			}
		})
		l.end(t)
	})
}

// TestARefusedConfigurationKeepsTheOldTimes offers times that cannot be read.
func TestARefusedConfigurationKeepsTheOldTimes(t *testing.T) {
	t.Parallel()
	many := make([]control.AgentSchedule, maxSchedules+1)
	for name, test := range map[string]struct {
		spoil func(*control.AgentConfig)
		says  string
	}{
		"a cron that cannot be read": {func(c *control.AgentConfig) { c.Schedules[0].Cron = "0 25 * * *" }, "column 2, the hour"},
		"a zone that is none":        {func(c *control.AgentConfig) { c.Schedules[0].Zone = "Mars/Olympus" }, "no such time zone"},
		"too many schedules":         {func(c *control.AgentConfig) { c.Schedules = many }, "1001 schedules"},
		"a window that is none": {func(c *control.AgentConfig) {
			c.Schedules[0].Options = &control.ScheduleOptions{Windows: []control.Window{{From: "25:00", To: "06:00"}}}
		}, "options.windows[0].from"},
		"a rule beyond all bounds": {func(c *control.AgentConfig) {
			c.Schedules[0].Options = &control.ScheduleOptions{Bandwidth: []control.BandwidthRule{{From: "08:00", To: "18:00", UploadKibS: -1}}}
		}, "options.bandwidth[0]"},
		"a jitter beyond all bounds": {func(c *control.AgentConfig) { c.Schedules[0].Options = &control.ScheduleOptions{JitterS: 1 << 40} }, "options.jitter_s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, 36)
			m.work = m.quick
			m.inBubble(func(t *testing.T) {
				m.times("0 * * * *")
				l := m.begin(t.Context())
				eventually(t, "the configuration", time.Minute, func() bool { return l.agent.inForce.revision() == 2 })
				m.server.change(func() {
					c := m.server.config
					c.Revision, c.Schedules = 3, slices.Clone(c.Schedules)
					test.spoil(&c)
					m.server.config = c
				})
				time.Sleep(time.Hour + time.Minute)
				m.server.look(func() {
					told := m.server.lastSync
					if told.ConfigRevision != 2 || told.ConfigError == nil || told.ConfigError.Revision != 3 || !strings.Contains(told.ConfigError.Message, test.says) {
						t.Errorf("told revision %d and %+v, want it to say %q", told.ConfigRevision, told.ConfigError, test.says)
					}
				})
				if m.ran(jobAt(t, "01-01 01:00")) != 1 {
					t.Error("the old times are not in force")
				}
				l.end(t)
				l = m.begin(t.Context()) // and after a restart
				time.Sleep(time.Hour)
				if m.ran(jobAt(t, "01-01 02:00")) != 1 {
					t.Error("the old times are not in force after a restart")
				}
				l.end(t)
			})
		})
	}
}

func TestALockedPolicyHoldsSlotsBackUntilItIsMended(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 37)
	m.work = m.quick
	m.inBubble(func(t *testing.T) {
		m.times("0 * * * *")
		l := m.begin(t.Context())
		time.Sleep(30 * time.Minute)
		m.set(func() { m.locked = true })
		time.Sleep(5 * time.Hour)
		if got := m.server.results(); len(got) > 0 {
			t.Errorf("results: %v", got)
		}
		m.set(func() { m.locked = false })
		eventually(t, "the latest slot's run", 2*time.Minute, func() bool { return len(m.server.finished(jobAt(t, "01-01 05:00"))) == 1 })
		time.Sleep(time.Minute)
		if missed := m.unanswered(t, "0 * * * *"); len(missed) != 4 {
			t.Errorf("claimed without a job: %v", missed)
		}
		m.server.look(func() {
			if n := len(m.server.absences); n != 1 || m.server.absences[0].Reason != "locked" {
				t.Errorf("absences: %+v", m.server.absences)
			}
		})
		l.end(t)
	})
}

// TestTwoAgentsWithOneIdentityKeepTheirSchedules copies a machine while it is off.
func TestTwoAgentsWithOneIdentityKeepTheirSchedules(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 38)
	m.work = m.quick
	m.inBubble(func(t *testing.T) {
		m.times("0 * * * *")
		l := m.begin(t.Context())
		time.Sleep(30 * time.Minute)
		l.end(t)
		clone := &machine{
			t: m.t, server: m.server, dir: filepath.Join(m.t.TempDir(), "clone"), store: m.store, random: m.random, log: m.log,
			runs: map[string]int{}, snapshots: map[string]bool{}, boot: "clone", network: m.network, rules: m.rules,
		}
		clone.work = clone.quick
		copyFolder(t, filepath.Join(m.dir, "host"), filepath.Join(clone.dir, "host"))
		both := []*life{m.begin(t.Context()), clone.begin(t.Context())}
		before := 0
		m.server.look(func() { before = m.server.requests["sessions"] })
		time.Sleep(24 * time.Hour)
		for _, one := range []*machine{m, clone} {
			one.set(func() {
				if len(one.runs) != 24 {
					t.Errorf("%d slots ran at one of them", len(one.runs))
				}
				for job, n := range one.runs {
					if n != 1 {
						t.Errorf("job %s ran %d times at one of them", job, n)
					}
				}
			})
		}
		for hour := range 24 {
			at := time.Date(2000, 1, 1, 1+hour, 0, 0, 0, time.UTC).Format("01-02 15:04")
			if len(m.server.finished(jobAt(t, at))) == 0 && hour < 23 {
				t.Errorf("the server has heard of no run at %s", at)
			}
		}
		m.server.look(func() {
			if n := m.server.requests["sessions"] - before; n > 24*20 {
				t.Errorf("%d sessions in a day", n)
			}
		})
		for _, l := range both {
			l.end(t)
		}
	})
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chmod(path, 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOptionsBecomeTiming reads every option.
func TestOptionsBecomeTiming(t *testing.T) {
	var s control.AgentSchedule
	text := `{"id":"` + modelSchedule + `","enabled":true,"cron":"0 2 * * *","zone":"Europe/Berlin","options":{
		"catch_up":"skip","jitter_s":60,"windows":[{"days":["sat"],"from":"22:00","to":"06:00"}],
		"bandwidth":[{"from":"08:00","to":"18:00","upload_kib_s":5}],"max_run_s":3600,"retry_attempts":2,"retry_after_s":30}}`
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	got, err := timingOf(s)
	if err != nil {
		t.Fatal(err)
	}
	if got.Zone.String() != "Europe/Berlin" || got.Jitter != time.Minute || len(got.Windows) != 1 || len(got.Bandwidth) != 1 ||
		got.Bandwidth[0].UploadKiB != 5 || got.MaxRun != time.Hour || got.Retries != 2 || got.RetryAfter != 30*time.Second {
		t.Errorf("got %+v", got)
	}
	if entries := entriesOf(control.AgentConfig{Schedules: []control.AgentSchedule{s}}); len(entries) != 1 || entries[0].CatchUp {
		t.Errorf("got %+v", entries)
	}
	s.Options = nil
	if got, err := timingOf(s); err != nil || got.Retries != 0 || got.RetryAfter != 5*time.Minute {
		t.Errorf("without options: %+v, %v", got, err)
	}
	if entries := entriesOf(control.AgentConfig{Schedules: []control.AgentSchedule{s}}); !entries[0].CatchUp {
		t.Error("without options it does not catch up")
	}
}
