package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/runner"
	"restic-manager/agent/spool"
)

// succeed is work that takes a minute and makes a snapshot.
func (m *machine) succeed(ctx context.Context, t *runner.Task) *runner.Ending {
	select {
	case <-time.After(time.Minute):
	case <-ctx.Done():
		return stoppedEnding(ctx)
	}
	m.worked(t.Job.ID)
	return &runner.Ending{Outcome: spool.Outcome{Result: spool.Succeeded}}
}

func stoppedEnding(ctx context.Context) *runner.Ending {
	result := spool.Interrupted
	if context.Cause(ctx) == runner.ErrCancelled {
		result = spool.Cancelled
	}
	return &runner.Ending{Outcome: spool.Outcome{Result: result}}
}

func TestACommandBecomesAResult(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		job := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "the result", 2*time.Minute, func() bool { return len(m.server.finished(job)) == 1 })
		if got := m.server.finished(job)[0]; got.Result != spool.Succeeded {
			t.Errorf("got %+v", got)
		}
		if n := m.ran(job); n != 1 {
			t.Errorf("carried out %d times", n)
		}
		eventually(t, "an empty spool", time.Minute, func() bool { return l.spool.Summary().Jobs == 0 })
		m.server.look(func() {
			if m.server.acked != 1 {
				t.Errorf("acknowledged %d commands, want 1", m.server.acked)
			}
			if m.server.lastSync.ConfigRevision != 1 {
				t.Errorf("configuration %d is in force, want 1", m.server.lastSync.ConfigRevision)
			}
			if n := m.server.requests["sync"]; n > 20 {
				t.Errorf("%d syncs for one job", n)
			}
		})
		l.end(t)
	})
}

// TestTheServerGoesAwayDuringABackup is promise one: it ends, and everything arrives
// afterwards.
func TestTheServerGoesAwayDuringABackup(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 2)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		job := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "the start", time.Minute, func() bool { return m.ran(job) == 1 })
		m.server.change(func() { m.server.fault = func(string) fault { return fault{loseAsk: true} } })
		time.Sleep(48 * time.Hour)
		if got := m.server.finished(job); len(got) != 0 {
			t.Fatal("the server was not away")
		}
		var before int
		m.server.change(func() { m.server.fault = nil; before = m.server.requests["sync"] + m.server.requests["reports"] })
		if perHour := before / 48; perHour > 400 {
			t.Errorf("%d requests an hour to a server that is away", perHour)
		}
		eventually(t, "the result", 2*time.Minute, func() bool { return len(m.server.finished(job)) == 1 })
		l.end(t)
	})
}

func TestACancelEndsARunningJob(t *testing.T) {
	t.Parallel()
	for name, cancel := range map[string]func(*double, string){
		"by a command": func(d *double, job string) { d.order("cancel", "", job, nil) },
		"by a directive": func(d *double, job string) {
			d.change(func() { d.wishes[job] = control.JobDirective{JobId: job, Desired: "stop"} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, 3)
			m.work = m.succeed
			m.inBubble(func(t *testing.T) {
				l := m.begin(t.Context())
				job := m.server.order("run", "backup", "", backupOf(1))
				eventually(t, "the start", time.Minute, func() bool { return m.ran(job) == 1 })
				time.Sleep(5 * time.Second)
				cancel(m.server, job)
				eventually(t, "the result", 30*time.Second, func() bool { return len(m.server.finished(job)) == 1 })
				if got := m.server.finished(job)[0]; got.Result != spool.Cancelled {
					t.Errorf("got %+v", got)
				}
				l.end(t)
			})
		})
	}
}

func TestACancelThatComesBeforeItsCommandPreventsTheRun(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 4)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		job := m.server.order("cancel", "", "33333333-3333-4333-8333-333333333333", nil)
		m.server.order("run", "backup", job, backupOf(1))
		l := m.begin(t.Context())
		eventually(t, "the result", time.Minute, func() bool { return len(m.server.finished(job)) == 1 })
		if got := m.server.finished(job)[0]; got.Result != spool.Cancelled || m.ran(job) != 0 {
			t.Errorf("got %+v, carried out %d times", got, m.ran(job))
		}
		l.end(t)
	})
}

// TestJobsOfOneScheduleRunOneAfterTheOther looks at what the second one waits for.
func TestJobsOfOneScheduleRunOneAfterTheOther(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 5)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		first := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "the first's start", time.Minute, func() bool { return m.ran(first) == 1 })
		second := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "the second to wait", 20*time.Second, func() bool {
			job, err := l.spool.Job(second)
			return err == nil && job.Phase == spool.Waiting
		})
		if m.ran(second) != 0 {
			t.Error("both ran at once")
		}
		eventually(t, "both results", 5*time.Minute, func() bool {
			return len(m.server.finished(first)) == 1 && len(m.server.finished(second)) == 1
		})
		l.end(t)
	})
}

// TestAJobThatWaitsIsStartedOnceWhateverArrives has two jobs wait that could then run
// side by side, while more commands come.
func TestAJobThatWaitsIsStartedOnceWhateverArrives(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 14)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		first := m.server.order("run", "identify", "", lookAtRepository) // has the repository alone
		eventually(t, "the first's start", time.Minute, func() bool { return m.ran(first) == 1 })
		waiting := []string{m.server.order("run", "locks", "", lookAtRepository)}
		for range 3 {
			time.Sleep(5 * time.Second)
			waiting = append(waiting, m.server.order("run", "locks", "", lookAtRepository))
		}
		for _, job := range waiting {
			eventually(t, "the result", 5*time.Minute, func() bool { return len(m.server.finished(job)) > 0 })
			if n := m.ran(job); n != 1 || len(m.server.finished(job)) != 1 {
				t.Errorf("carried out %d times, %d results", n, len(m.server.finished(job)))
			}
		}
		l.end(t)
	})
}

func TestARefusedConfigurationKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 6)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		eventually(t, "the first configuration", time.Minute, func() bool { return l.agent.inForce.revision() == 1 })
		m.server.change(func() {
			m.server.config.Revision = 2
			m.server.config.Repositories = []control.AgentRepository{{Id: modelRepository, Location: "sftp:-oProxyCommand=x:/y"}}
		})
		var told control.SyncRequest
		eventually(t, "the refusal to be told", time.Minute, func() bool {
			m.server.look(func() { told = m.server.lastSync })
			return told.ConfigError != nil
		})
		if told.ConfigRevision != 1 || told.ConfigError.Revision != 2 || told.ConfigError.Message == "" {
			t.Errorf("told %d in force and %+v", told.ConfigRevision, told.ConfigError)
		}
		job := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "a job of the old one", 2*time.Minute, func() bool { return len(m.server.finished(job)) == 1 })
		l.end(t)

		again := m.begin(t.Context())
		if got := again.agent.inForce.revision(); got != 1 {
			t.Errorf("after a restart configuration %d is in force, want 1", got)
		}
		again.end(t)
	})
}

func TestAJobWaitsForNoConfigurationThatIsNotInForce(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 7)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		job := m.server.order("run", "backup", "", backupOf(9))
		eventually(t, "the refusal", time.Minute, func() bool { return len(m.server.finished(job)) == 1 })
		if got := m.server.finished(job)[0]; got.Result != spool.Rejected || got.Code != runner.CodeConfigNotInForce {
			t.Errorf("got %+v", got)
		}
		l.end(t)
	})
}

// TestASupersededSessionLetsTheOtherSpeak has another take the session again and again.
func TestASupersededSessionLetsTheOtherSpeak(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 8)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		eventually(t, "a session", time.Minute, func() bool { return l.agent.session.Load() != nil })
		taken := 0
		for end := time.Now().Add(6 * time.Hour); time.Now().Before(end); {
			// Somebody else opens a session each time that ours is the current one.
			m.server.change(func() { m.server.sessions = append(m.server.sessions, "somebody-else") })
			taken++
			before := len(m.server.sessions)
			eventually(t, "our next session", time.Hour, func() bool {
				var now int
				m.server.look(func() { now = len(m.server.sessions) })
				return now > before
			})
		}
		if taken > 60 {
			t.Errorf("two agents took the session from each other %d times in six hours", taken)
		}
		l.end(t)
	})
}

func TestTheServerMayAskForEverythingAgain(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 9)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		eventually(t, "a session", time.Minute, func() bool { return l.agent.session.Load() != nil })
		m.server.change(func() { m.server.want = []string{"full_state"} })
		eventually(t, "another session", time.Minute, func() bool {
			var n int
			m.server.look(func() { n = len(m.server.opened) })
			return n == 2
		})
		l.end(t)
		if said := m.log.String(); strings.Contains(said, "server not reached") {
			t.Errorf("a wish of the server was taken for trouble:\n%s", said)
		}
	})
}

// TestAServersPaceEndsWithItsSession has a server that slows the agent down as far as it
// goes, and is another one then.
func TestAServersPaceEndsWithItsSession(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 43)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		pace := func() (int64, time.Duration) { return l.agent.uploadRate.Load(), l.agent.directives.reportEvery(nil) }
		m.server.change(func() {
			m.server.hints = &control.Hints{UploadBytesPerS: 1, ReportIntervalMs: 1 << 62, ReconnectAfterMs: 1 << 62}
		})
		eventually(t, "the slow pace", time.Minute, func() bool { rate, every := pace(); return rate == 1 && every == maxInterval })
		m.server.change(func() { m.server.hints, m.server.want = nil, []string{"full_state"} })
		eventually(t, "the pace of another session", 20*time.Minute, func() bool { rate, every := pace(); return rate == 0 && every == defaultInterval })
		l.end(t)
	})
}

func TestTheAgentsSecretIsReplaced(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 10)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		before, err := loadIdentity(m.store)
		if err != nil {
			t.Fatal(err)
		}
		lost := false
		m.server.change(func() {
			m.server.hints = &control.Hints{RotateCredential: true}
			m.server.fault = func(path string) fault {
				if path == "credentials" && !lost {
					lost = true
					return fault{loseReply: true}
				}
				return fault{}
			}
		})
		eventually(t, "another secret", 5*time.Minute, func() bool {
			now, err := loadIdentity(m.store)
			return err == nil && now.Next.IsZero() && !now.Secret.Equal(before.Secret)
		})
		m.server.change(func() { delete(m.server.hashes, hashOf(before.Secret.Reveal())) })
		job := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "a job under the new secret", 3*time.Minute, func() bool { return len(m.server.finished(job)) == 1 })
		l.end(t)

		again := m.begin(t.Context())
		eventually(t, "a session after a restart", time.Minute, func() bool { return again.agent.session.Load() != nil })
		again.end(t)
	})
}

func TestAStoppedAgentEndsItsJobsAndSaysSo(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 11)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		running := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "the start", time.Minute, func() bool { return m.ran(running) == 1 })
		waiting := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "the second to wait", 20*time.Second, func() bool {
			job, err := l.spool.Job(waiting)
			return err == nil && job.Phase == spool.Waiting
		})
		l.end(t)
		if got := m.server.finished(running); len(got) != 1 || got[0].Result != spool.Interrupted {
			t.Errorf("the running job: %+v", got)
		}
		if got := m.server.finished(waiting); len(got) != 0 || m.ran(waiting) != 0 {
			t.Errorf("the waiting job ended: %+v", got)
		}
		again := m.begin(t.Context())
		eventually(t, "the waiting job", 3*time.Minute, func() bool { return len(m.server.finished(waiting)) == 1 })
		if m.ran(running) != 1 || m.ran(waiting) != 1 {
			t.Errorf("carried out %d and %d times", m.ran(running), m.ran(waiting))
		}
		again.end(t)
	})
}

// TestAWatchedJobIsReportedEverySecond counts the samples that travel.
func TestAWatchedJobIsReportedEverySecond(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 12)
	m.work = func(ctx context.Context, task *runner.Task) *runner.Ending {
		for i := range 120 {
			task.Progress(spool.Progress{At: time.Now(), Percent: float64(i) / 1.2})
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return stoppedEnding(ctx)
			}
		}
		return &runner.Ending{Outcome: spool.Outcome{Result: spool.Succeeded}}
	}
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		job := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "the start", time.Minute, func() bool { return m.ran(job) == 1 })
		samples := func() (n int) {
			m.server.look(func() { n = m.server.jobs[job].progress })
			return n
		}
		time.Sleep(60 * time.Second)
		if n := samples(); n > 5 {
			t.Errorf("%d samples in a minute without anybody looking", n)
		}
		before := samples()
		m.server.change(func() {
			m.server.wishes[job] = control.JobDirective{JobId: job, ReportIntervalMs: 1000, Detail: "full"}
		})
		time.Sleep(30 * time.Second)
		if n := samples() - before; n < 25 || n > 40 {
			t.Errorf("%d samples in 30 s of looking, want about one a second", n)
		}
		l.end(t)
	})
}

// TestARecordThatIsRefusedDoesNotHoldUpTheRest has the server refuse one event.
func TestARecordThatIsRefusedDoesNotHoldUpTheRest(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 13)
	m.work = func(_ context.Context, task *runner.Task) *runner.Ending {
		task.Note("poison")
		return &runner.Ending{Outcome: spool.Outcome{Result: spool.Succeeded}}
	}
	m.inBubble(func(t *testing.T) {
		m.server.refuse = func(item control.ReportItem) *control.ReportVerdict {
			for _, e := range item.Events {
				if e.Message == "poison" {
					return &control.ReportVerdict{Outcome: "rejected", RejectedStream: "events", RejectedSeq: e.Seq}
				}
			}
			return nil
		}
		l := m.begin(t.Context())
		job := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "the result", 5*time.Minute, func() bool { return len(m.server.finished(job)) == 1 })
		l.end(t)
	})
}

// TestAReportThatIsRefusedWholeIsHalvedUntilTheRecordIsFound has the server refuse
// every report with a certain event in it, without saying which.
func TestAReportThatIsRefusedWholeIsHalvedUntilTheRecordIsFound(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 15)
	m.work = func(_ context.Context, task *runner.Task) *runner.Ending {
		for i := range 9 {
			task.Note(fmt.Sprintf("note %d", i))
		}
		task.Note("poison")
		return &runner.Ending{Outcome: spool.Outcome{Result: spool.Succeeded}}
	}
	m.inBubble(func(t *testing.T) {
		m.server.whole = func(q control.ReportRequest) bool {
			return slices.ContainsFunc(q.Items, func(item control.ReportItem) bool {
				return slices.ContainsFunc(item.Events, func(e control.Event) bool { return e.Message == "poison" })
			})
		}
		l := m.begin(t.Context())
		job := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "the result", time.Hour, func() bool { return len(m.server.finished(job)) == 1 })
		m.server.look(func() {
			var kinds []string
			for _, e := range m.server.jobs[job].events {
				kinds = append(kinds, e.Kind)
			}
			if n := strings.Count(strings.Join(kinds, " "), "note"); n != 9 || !slices.Contains(kinds, "gap") {
				t.Errorf("events %v: want nine notes and a gap", kinds)
			}
		})
		l.end(t)
	})
}

// TestABoxThatLetsLittleThroughTeachesASize answers reports above 64 KiB with 413.
func TestABoxThatLetsLittleThroughTeachesASize(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 16)
	const lines = 3000
	m.work = func(_ context.Context, task *runner.Task) *runner.Ending {
		for range lines {
			text := make([]byte, 100)
			for i := range text {
				text[i] = byte('!' + m.random.below(90))
			}
			task.Say(string(text))
		}
		return &runner.Ending{Outcome: spool.Outcome{Result: spool.Succeeded}}
	}
	m.inBubble(func(t *testing.T) {
		m.server.narrow = 64 << 10
		l := m.begin(t.Context())
		job := m.server.order("run", "backup", "", backupOf(1))
		eventually(t, "all of the log", time.Hour, func() (all bool) {
			m.server.look(func() {
				got := 0
				for _, c := range m.server.jobs[job].chunks {
					got += c.Lines
				}
				all = got == lines
			})
			return all
		})
		if got := l.agent.learnedLimits(limitsOf(control.Limits{})).batch.Bytes; got >= 512<<10 {
			t.Errorf("the size that gets through was not learned: %d", got)
		}
		l.end(t)
	})
}

// TestABoxThatAnswersInPlaceOfTheServerChangesNothing puts one on the way, two times of three.
func TestABoxThatAnswersInPlaceOfTheServerChangesNothing(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 204, 401, 403, 404, 407, 413, 502, 504} {
		m := newMachine(t, uint64(status))
		m.work = m.succeed
		m.inBubble(func(t *testing.T) {
			asked := map[string]int{}
			m.server.fault = func(what string) fault { // two of three requests of each kind
				if asked[what]++; asked[what]%3 != 0 {
					return fault{status: status}
				}
				return fault{}
			}
			l := m.begin(t.Context())
			job := m.server.order("run", "backup", "", backupOf(1))
			eventually(t, "the result in spite of HTML", time.Hour, func() bool { return len(m.server.finished(job)) >= 1 })
			m.server.look(func() {
				for _, e := range m.server.jobs[job].events {
					if e.Kind == "gap" {
						t.Errorf("with %d: a record was thrown away for a box's word: %+v", status, e.Gap)
					}
				}
			})
			if got := m.server.finished(job); len(got) != 1 || got[0].Result != spool.Succeeded || m.ran(job) != 1 {
				t.Errorf("with %d: %+v, carried out %d times", status, got, m.ran(job))
			}
			l.end(t)
		})
	}
}
