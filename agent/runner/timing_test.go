package runner

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/agent/slot"
	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// timed is a host whose backups are what a test makes of them, in virtual time.
type timed struct {
	*place
	work func(ctx context.Context, attempt int) *Ending
	ran  []string // when each attempt began, on the wall
}

func newTimed(t *testing.T) *timed {
	t.Helper()
	p := &timed{place: newPlace(t, "/nowhere/restic")}
	p.work = func(context.Context, int) *Ending { return &Ending{Outcome: spool.Outcome{Result: spool.Succeeded}} }
	p.options.Recipes = []Recipe{{Operation: "backup", Run: func(ctx context.Context, t *Task) *Ending {
		p.mu.Lock()
		p.ran = append(p.ran, time.Now().UTC().Format("01-02 15:04:05"))
		work := p.work
		p.mu.Unlock()
		return work(ctx, t.Job.Attempt)
	}}, {Operation: "locks", Alone: true, Run: func(ctx context.Context, t *Task) *Ending {
		pause(ctx, 3*time.Hour)
		return &Ending{Outcome: spool.Outcome{Result: spool.Succeeded}}
	}}}
	p.runner = New(p.options)
	return p
}

// begin starts a job, and returns how to end it and where it says that it is over.
func (p *timed) begin(job spool.Job) (end context.CancelCauseFunc, over chan struct{}) {
	ctx, end := context.WithCancelCause(context.Background())
	over = make(chan struct{})
	go func() { p.runner.Run(ctx, job); close(over) }()
	synctest.Wait()
	return end, over
}

// born is a job of the schedule for a slot that is now.
func (p *timed) born(trigger string) spool.Job {
	p.t.Helper()
	job, created, err := p.spool.OpenJob(p.t.Context(), spool.NewJob{
		ID: uuid.NewString(), Operation: "backup", Trigger: trigger, ScheduleID: scheduleID, ScheduleVersion: 3,
		Params: []byte(fmt.Sprintf(`{"schedule_id":%q,"schedule_version":3}`, scheduleID)), Slot: time.Now(),
	})
	if err != nil || !created {
		p.t.Fatal(created, err)
	}
	return job
}

func mustWindow(t *testing.T, from, to string, days ...string) slot.Window {
	t.Helper()
	w, err := slot.ParseWindow(days, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// messages are the events of a job with what they say.
func (r recorded) messages() []string {
	var list []string
	for _, e := range r.events {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%d %s %s", e.Attempt, e.Kind, e.Message)))
	}
	return list
}

func failing(code restic.Code) *Ending { return failed(string(code), "the storage is away", "") }

func TestARunOfAScheduleWaitsForItsWindow(t *testing.T) {
	p := newTimed(t)
	p.schedule(func(s *Schedule) {
		s.Zone = time.FixedZone("", 2*3600)
		s.Windows = []slot.Window{mustWindow(t, "22:00", "06:00", "sat")}
	})
	synctest.Test(t, func(t *testing.T) {
		job := p.born("schedule") // Saturday, 2000-01-01, two o'clock there: the night before belongs to Friday
		_, over := p.begin(job)
		if got, _ := p.spool.Job(job.ID); got.Phase != spool.Waiting {
			t.Errorf("it is %s", got.Phase)
		}
		<-over
		if diff := cmp.Diff([]string{"01-01 20:00:00"}, p.ran); diff != "" {
			t.Error(diff)
		}
		want := []string{"0 acked", "0 waiting waits for its window, opens at 22:00", "1 running", "1 finished"}
		if diff := cmp.Diff(want, p.recorded(job.ID).messages()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestARunThatAPersonStartedWaitsForNoWindowAndNoTurn(t *testing.T) {
	p := newTimed(t)
	p.schedule(func(s *Schedule) {
		s.Windows, s.Jitter = []slot.Window{mustWindow(t, "22:00", "23:00")}, time.Hour
	})
	synctest.Test(t, func(t *testing.T) {
		_, over := p.begin(p.command("backup", backupParams()))
		<-over
		if diff := cmp.Diff([]string{"01-01 00:00:00"}, p.ran); diff != "" {
			t.Error(diff)
		}
	})
}

// TestAWindowThatClosedMeanwhileIsWaitedForAgain has another job in the way until then.
func TestAWindowThatClosedMeanwhileIsWaitedForAgain(t *testing.T) {
	p := newTimed(t)
	p.schedule(func(s *Schedule) { s.Windows = []slot.Window{mustWindow(t, "00:00", "02:00")} })
	synctest.Test(t, func(t *testing.T) {
		p.begin(p.command("locks", repositoryParams()))
		job := p.born("schedule")
		_, over := p.begin(job)
		<-over
		if diff := cmp.Diff([]string{"01-02 00:00:00"}, p.ran); diff != "" {
			t.Error(diff)
		}
		if got := strings.Join(p.recorded(job.ID).messages(), "\n"); !strings.Contains(got, "waits for job") || !strings.Contains(got, "opens at 00:00") {
			t.Error(got)
		}
	})
}

func TestAWindowThatIsChangedWhileARunWaitsHoldsSoon(t *testing.T) {
	p := newTimed(t)
	p.schedule(func(s *Schedule) { s.Windows = []slot.Window{mustWindow(t, "22:00", "23:00")} })
	synctest.Test(t, func(t *testing.T) {
		_, over := p.begin(p.born("schedule"))
		time.Sleep(time.Hour + time.Second)
		p.schedule(func(s *Schedule) { s.Windows = nil })
		<-over
		if diff := cmp.Diff([]string{"01-01 01:00:20"}, p.ran); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTheJobsIdSaysHowMuchLaterItBegins(t *testing.T) {
	due := time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)
	timing := Timing{Jitter: 10 * time.Minute}
	seen := map[time.Time]bool{}
	for range 200 {
		job := spool.Job{ID: uuid.NewString(), Slot: due, OpenedAt: due.Add(time.Second)}
		at := timing.turn(job)
		if at.Before(due) || at.After(due.Add(10*time.Minute)) {
			t.Fatalf("%s is not within ten minutes", at)
		}
		if again := timing.turn(job); !again.Equal(at) {
			t.Fatalf("%s, then %s", at, again)
		}
		seen[at] = true
		job.OpenedAt = due.Add(5 * time.Hour)
		if late := timing.turn(job); late.Sub(job.OpenedAt) != at.Sub(due) {
			t.Fatalf("a job that catches up begins %s after it was noticed, want %s", late.Sub(job.OpenedAt), at.Sub(due))
		}
	}
	if len(seen) < 100 {
		t.Errorf("200 jobs begin at %d moments", len(seen))
	}
	if got := (Timing{}).turn(spool.Job{ID: "x", Slot: due, OpenedAt: due}); !got.Equal(due) {
		t.Errorf("without jitter it begins at %s", got)
	}
}

func TestAClockThatWasPutBackHoldsUpNoJob(t *testing.T) {
	ahead := time.Date(2027, 1, 1, 2, 0, 0, 0, time.UTC)
	timing := Timing{Jitter: 10 * time.Minute, Retries: 1, RetryAfter: time.Hour}
	fresh := spool.Job{ID: uuid.NewString(), Slot: ahead, OpenedAt: ahead}
	again := spool.Job{ID: uuid.NewString(), Slot: ahead, OpenedAt: ahead, Attempt: 1, RetryAt: ahead.Add(time.Hour)}
	for name, job := range map[string]spool.Job{"for its turn": fresh, "for its next attempt": again} {
		if at, _ := timing.begins(job, ahead.Add(-time.Second)); at.IsZero() {
			t.Errorf("it does not wait %s", name)
		}
		if at, _ := timing.begins(job, ahead.AddDate(-1, 0, 0)); !at.IsZero() {
			t.Errorf("it waits %s until %s, a year away", name, at)
		}
	}
}

func TestAFailureThatMayPassIsTriedAgain(t *testing.T) {
	p := newTimed(t)
	p.schedule(func(s *Schedule) { s.Retries, s.RetryAfter = 3, 5*time.Minute })
	p.work = func(_ context.Context, attempt int) *Ending {
		if attempt < 4 {
			return failing(restic.CodeRepoUnreachable)
		}
		return &Ending{Outcome: spool.Outcome{Result: spool.Succeeded}}
	}
	synctest.Test(t, func(t *testing.T) {
		job := p.command("backup", backupParams(), func(c *control.Command) { c.StartWithinS = 60 })
		_, over := p.begin(job)
		<-over
		if diff := cmp.Diff([]string{"01-01 00:00:00", "01-01 00:05:00", "01-01 00:15:00", "01-01 00:35:00"}, p.ran); diff != "" {
			t.Error(diff)
		}
		want := []string{
			"0 acked", "1 running", "1 waiting waits for attempt 2 of 4, at 00:05; the last one failed: the storage is away",
			"2 running", "2 waiting waits for attempt 3 of 4, at 00:15; the last one failed: the storage is away",
			"3 running", "3 waiting waits for attempt 4 of 4, at 00:35; the last one failed: the storage is away",
			"4 running", "4 finished",
		}
		if diff := cmp.Diff(want, p.recorded(job.ID).messages()); diff != "" {
			t.Error(diff)
		}
		p.recorded(job.ID).want(spool.Succeeded, "")
	})
}

func TestTheLastAttemptsFailureIsTheResult(t *testing.T) {
	p := newTimed(t)
	p.schedule(func(s *Schedule) { s.Retries, s.RetryAfter = 1, time.Minute })
	p.work = func(context.Context, int) *Ending { return failing(restic.CodeRepoUnreachable) }
	synctest.Test(t, func(t *testing.T) {
		job := p.born("schedule")
		_, over := p.begin(job)
		<-over
		p.recorded(job.ID).want(spool.Failed, "repo_unreachable")
		if len(p.ran) != 2 {
			t.Errorf("tried %d times", len(p.ran))
		}
	})
}

func TestWhatAPersonMustMendIsNotTriedAgain(t *testing.T) {
	endings := map[string]*Ending{
		"a wrong password":              failing(restic.CodeWrongPassword),
		"a full storage":                failing(restic.CodeRepositoryFull),
		"a repository that is gone":     failed(CodeRepoMissing, "", ""),
		"a repository that was changed": failed(CodeRepositoryChanged, "", ""),
		"the host's policy":             rejected("path_not_allowed", "", ""),
		"a hook that is not sound":      failed("hook_file_insecure", "", ""),
		"a warning":                     {Outcome: spool.Outcome{Result: spool.Warning, Code: "source_missing"}},
		"an interruption":               {Outcome: spool.Outcome{Result: spool.Interrupted, Code: CodeAgentDied}},
	}
	for name, ending := range endings {
		if _, again := (Timing{Retries: 5, RetryAfter: time.Minute}).retry(1, ending); again {
			t.Errorf("%s is tried again", name)
		}
	}
}

func TestThePauseBetweenAttemptsDoublesUpToADay(t *testing.T) {
	timing := Timing{Retries: 10, RetryAfter: 4 * time.Hour}
	var got []time.Duration
	for attempt := 1; attempt <= 5; attempt++ {
		pause, ok := timing.retry(attempt, failing(restic.CodeRepoUnreachable))
		if !ok {
			t.Fatalf("no attempt after %d", attempt)
		}
		got = append(got, pause/time.Hour)
	}
	if diff := cmp.Diff([]time.Duration{4, 8, 16, 24, 24}, got); diff != "" {
		t.Error(diff)
	}
}

// TestCancelWorksWhileAJobWaits tries each thing that a job can wait for.
func TestCancelWorksWhileAJobWaits(t *testing.T) {
	waits := map[string]struct {
		schedule func(*Schedule)
		prepare  func(*timed)
		code     string
	}{
		"for its turn":         {func(s *Schedule) { s.Jitter = 24 * time.Hour }, nil, CodeCancelledBeforeStart},
		"for its window":       {func(s *Schedule) { s.Windows = []slot.Window{mustWindow(t, "22:00", "23:00")} }, nil, CodeCancelledBeforeStart},
		"for another job":      {func(*Schedule) {}, func(p *timed) { p.begin(p.command("locks", repositoryParams())) }, CodeCancelledBeforeStart},
		"for its next attempt": {func(s *Schedule) { s.Retries, s.RetryAfter = 1, time.Hour }, nil, CodeCancelled},
	}
	for name, test := range waits {
		t.Run(name, func(t *testing.T) {
			p := newTimed(t)
			p.schedule(test.schedule)
			p.work = func(context.Context, int) *Ending { return failing(restic.CodeRepoUnreachable) }
			synctest.Test(t, func(t *testing.T) {
				if test.prepare != nil {
					test.prepare(p)
				}
				job := p.born("schedule")
				end, over := p.begin(job)
				time.Sleep(30 * time.Second)
				if got, _ := p.spool.Job(job.ID); got.Phase != spool.Waiting {
					t.Errorf("it is %s", got.Phase)
				}
				end(ErrCancelled)
				synctest.Wait()
				select {
				case <-over:
				default:
					t.Fatal("it still waits")
				}
				p.recorded(job.ID).want(spool.Cancelled, test.code)
				synctest.Wait()
				time.Sleep(4 * time.Hour) // the other job ends
			})
		})
	}
}

// TestAJobThatWaitsOutlastsTheAgent stops the agent while a job waits, and begins again.
func TestAJobThatWaitsOutlastsTheAgent(t *testing.T) {
	waits := map[string]struct {
		schedule func(*Schedule)
		want     []string
	}{
		"for its window":       {func(s *Schedule) { s.Windows = []slot.Window{mustWindow(t, "22:00", "23:00")} }, []string{"01-01 22:00:00"}},
		"for its next attempt": {func(s *Schedule) { s.Retries, s.RetryAfter = 1, time.Hour }, []string{"01-01 00:00:00", "01-01 01:00:00"}},
	}
	for name, test := range waits {
		t.Run(name, func(t *testing.T) {
			p := newTimed(t)
			p.schedule(test.schedule)
			p.work = func(_ context.Context, attempt int) *Ending {
				if attempt == 1 && strings.Contains(name, "attempt") {
					return failing(restic.CodeRepoUnreachable)
				}
				return &Ending{Outcome: spool.Outcome{Result: spool.Succeeded}}
			}
			synctest.Test(t, func(t *testing.T) {
				job := p.born("schedule")
				end, over := p.begin(job)
				time.Sleep(10 * time.Minute)
				end(ErrStopping)
				<-over
				pending := p.spool.Pending()
				if len(pending) != 1 || pending[0].ID != job.ID {
					t.Fatalf("the journal has %+v", pending)
				}
				p.runner = New(p.options)
				_, over = p.begin(pending[0])
				<-over
				if diff := cmp.Diff(test.want, p.ran); diff != "" {
					t.Error(diff)
				}
				p.recorded(job.ID).want(spool.Succeeded, "")
			})
		})
	}
}

func TestARunThatTakesTooLongIsStoppedAndHasFailed(t *testing.T) {
	p := newTimed(t)
	p.schedule(func(s *Schedule) { s.MaxRun, s.Retries, s.RetryAfter = 90*time.Minute, 3, time.Minute })
	p.work = func(ctx context.Context, _ int) *Ending { <-ctx.Done(); return stopped(ctx) }
	for _, job := range []func() spool.Job{
		func() spool.Job { return p.born("schedule") },
		func() spool.Job { return p.command("backup", backupParams()) },
	} {
		synctest.Test(t, func(t *testing.T) {
			job := job()
			_, over := p.begin(job)
			<-over
			got := p.recorded(job.ID).want(spool.Failed, CodeTookTooLong)
			if got.DurationMs != (90 * time.Minute).Milliseconds() {
				t.Errorf("it took %d ms", got.DurationMs)
			}
			want := []string{"0 acked", "1 running", "1 stopping it takes longer than 1 h 30 min", "1 finished"}
			if diff := cmp.Diff(want, p.recorded(job.ID).messages()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestTheLongestRunTimeEndsTheRealProcess has a restic that does not end.
func TestTheLongestRunTimeEndsTheRealProcess(t *testing.T) {
	t.Parallel()
	hang := restictest.Reply{Command: "backup", Steps: []restictest.Step{{Pause: time.Hour}}, Exit: 130}
	fake := restictest.NewFake(t, fakeScript(catConfig(), hang))
	p := newPlace(t, fake.Path())
	p.schedule(func(s *Schedule) { s.MaxRun = 300 * time.Millisecond })
	p.do("backup", backupParams()).want(spool.Failed, CodeTookTooLong)
}

func TestTheFirstRuleThatHoldsLimitsAnAttempt(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	timing := Timing{Zone: berlin, Bandwidth: []Bandwidth{
		{mustWindow(t, "08:00", "18:00", "mon", "tue", "wed", "thu", "fri"), restic.Limits{UploadKiB: 500}},
		{mustWindow(t, "06:00", "22:00"), restic.Limits{UploadKiB: 2000, DownloadKiB: 9000}},
	}}
	for at, want := range map[string]restic.Limits{
		"2026-07-06T06:30:00Z": {UploadKiB: 500}, // Monday, half past eight there
		"2026-07-05T06:30:00Z": {UploadKiB: 2000, DownloadKiB: 9000},
		"2026-07-06T17:00:00Z": {UploadKiB: 2000, DownloadKiB: 9000},
		"2026-07-06T20:00:00Z": {},
	} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := timing.limits(now); got != want {
			t.Errorf("at %s: %+v, want %+v", at, got, want)
		}
	}
}

func TestTheLimitsOfTheHourAreResticsArguments(t *testing.T) {
	t.Parallel()
	fake := restictest.NewFake(t, fakeScript(catConfig(), says("backup", summary(), 0), listed("x")))
	p := newPlace(t, fake.Path())
	p.schedule(func(s *Schedule) {
		s.Bandwidth = []Bandwidth{{mustWindow(t, "00:00", "00:00"), restic.Limits{UploadKiB: 77}}}
	})
	p.do("backup", backupParams()).want(spool.Succeeded, "")
	for _, call := range fake.Calls() {
		limited := strings.Contains(strings.Join(call.Args, " "), "--limit-upload=77")
		if backup := strings.Contains(strings.Join(call.Args, " "), " backup "); backup != limited {
			t.Errorf("limited %v: %q", limited, call.Args)
		}
	}
}
