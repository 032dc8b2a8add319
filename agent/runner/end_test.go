package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

const (
	fakeID   = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	fakeSnap = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
)

// says is a reply that prints and ends.
func says(command, out string, exit int) restictest.Reply {
	return restictest.Reply{Command: command, Steps: []restictest.Step{{Out: out + "\n"}}, Exit: exit}
}

func catConfig() restictest.Reply {
	return says("cat config", fmt.Sprintf(`{"version":2,"id":%q,"chunker_polynomial":"x"}`, fakeID), 0)
}

func summary() string {
	return fmt.Sprintf(`{"message_type":"summary","files_new":1,"total_files_processed":1,"snapshot_id":%q}`, fakeSnap)
}

// listed is a listing of one snapshot with a job's tag.
func listed(job string) restictest.Reply {
	return says("snapshots", fmt.Sprintf(
		`[{"time":"2026-01-02T03:04:05Z","tree":"t","paths":["/x"],"hostname":"web-1","tags":["rm:schedule:%s","rm:job:%s"],"id":%q,"short_id":"cccccccc"}]`,
		scheduleID, job, fakeSnap), 0)
}

func fakeScript(replies ...restictest.Reply) restictest.Script {
	return restictest.Script{Version: "0.19.0", Replies: replies}
}

// TestEveryExitCodeHasItsResult has restic end in every way, with and without a
// summary. No way but 0 with a listed snapshot is a success.
func TestEveryExitCodeHasItsResult(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a thousand processes")
	}
	fake := restictest.NewFake(t, fakeScript())
	p := newPlace(t, fake.Path())
	for exit := range 256 {
		if exit > 20 && exit%16 != 2 && exit != 130 || exit == 11 {
			continue // the rest is alike; a lock is waited for
		}
		for _, out := range []string{"", summary()} {
			fake.SetScript(fakeScript(catConfig(), says("backup", out, exit), listed("x")))
			got := p.do("backup", backupParams()).outcome()
			want := spool.Failed
			switch {
			case exit == 0 && out != "":
				want = spool.Succeeded
			case exit == 3 && out != "":
				want = spool.Warning
			}
			// A snapshot that is there although restic died is a warning, never a success.
			if got.Result != want && !(got.Result == spool.Warning && got.Code == CodeEndNotSeen) {
				t.Errorf("exit %d, summary %v: %s %s %s", exit, out != "", got.Result, got.Code, got.Message)
			}
			if want == spool.Failed && got.Result == spool.Succeeded {
				t.Errorf("exit %d without proof is a success", exit)
			}
		}
	}
}

// TestTheLogTellsASummaryInWords looks for our line behind restic's own.
func TestTheLogTellsASummaryInWords(t *testing.T) {
	t.Parallel()
	raw := fmt.Sprintf(`{"message_type":"summary","total_files_processed":2000,"total_bytes_processed":889856,"data_added_packed":332800,"snapshot_id":%q}`, fakeSnap)
	fake := restictest.NewFake(t, fakeScript(catConfig(), says("backup", raw, 0), listed("x")))
	got := newPlace(t, fake.Path()).do("backup", backupParams())
	got.want(spool.Succeeded, "")
	_, after, kept := strings.Cut(got.lines(), `total_files_processed`)
	if want := "snapshot cccccccc saved: 2 000 files, 869 KiB, 325 KiB added\""; !kept || !strings.Contains(after, want) {
		t.Errorf("the log is\n%s\nwant restic's summary and then %s", got.lines(), want)
	}
}

func TestOneFileIsNotSeveral(t *testing.T) {
	got := saved(restic.BackupSummary{SnapshotID: fakeSnap, TotalFilesProcessed: 1}, 3)
	if want := "snapshot cccccccc saved: 1 file, 0 B, 0 B added; left out: 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestASnapshotThatIsNotListedIsAFailure(t *testing.T) {
	t.Parallel()
	fake := restictest.NewFake(t, fakeScript(catConfig(), says("backup", summary(), 0), says("snapshots", "[]", 0)))
	p := newPlace(t, fake.Path())
	p.do("backup", backupParams()).want(spool.Failed, CodeSnapshotNotListed)
}

// TestTheOutcomeTellsWhetherTheRepositoryWasSeen has jobs fail before, at and after
// the look at the repository.
func TestTheOutcomeTellsWhetherTheRepositoryWasSeen(t *testing.T) {
	t.Parallel()
	fatal := func(command string, code int) restictest.Reply {
		return says(command, fmt.Sprintf(`{"message_type":"exit_error","code":%d,"message":"Fatal: no"}`, code), code)
	}
	for name, c := range map[string]struct {
		operation string
		params    map[string]any
		replies   []restictest.Reply
		want      string
	}{
		"a backup that cannot look at it":     {"backup", backupParams(), []restictest.Reply{fatal("cat config", 12)}, ""},
		"a backup that fails afterwards":      {"backup", backupParams(), []restictest.Reply{catConfig(), fatal("backup", 1)}, fakeID},
		"a backup that succeeds":              {"backup", backupParams(), []restictest.Reply{catConfig(), says("backup", summary(), 0), listed("x")}, fakeID},
		"a listing that fails afterwards":     {"snapshots", repositoryParams(), []restictest.Reply{catConfig(), fatal("snapshots", 1)}, fakeID},
		"an identify that fails afterwards":   {"identify", repositoryParams(), []restictest.Reply{catConfig(), fatal("list keys", 1)}, fakeID},
		"an init that does not come to it":    {"init", repositoryParams(), []restictest.Reply{fatal("init", 1)}, ""},
		"an init that cannot read it anymore": {"init", repositoryParams(), []restictest.Reply{says("init", `{"message_type":"initialized"}`, 0), fatal("cat config", 1)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			fake := restictest.NewFake(t, fakeScript(c.replies...))
			if got := newPlace(t, fake.Path()).do(c.operation, c.params).outcome().RepositorySeen; got != c.want {
				t.Errorf("the repository that was seen is %q, want %q", got, c.want)
			}
		})
	}
}

// TestAResticThatWasKilledMayHaveFinished finds the snapshot that it left.
func TestAResticThatWasKilledMayHaveFinished(t *testing.T) {
	t.Parallel()
	die := restictest.Reply{Command: "backup", Die: true}
	t.Run("with a snapshot", func(t *testing.T) {
		fake := restictest.NewFake(t, fakeScript(catConfig(), die, listed("x")))
		got := newPlace(t, fake.Path()).do("backup", backupParams()).want(spool.Warning, CodeEndNotSeen)
		if got.SnapshotId != fakeSnap || !got.Confirmed {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("without one", func(t *testing.T) {
		fake := restictest.NewFake(t, fakeScript(catConfig(), die, says("snapshots", "[]", 0)))
		newPlace(t, fake.Path()).do("backup", backupParams()).want(spool.Failed, "restic_killed")
	})
}

// runUntil starts a job, waits until restic runs, and cancels it with a cause.
func (p *place) runUntil(job spool.Job, running func() bool, cause error) {
	p.t.Helper()
	ctx, cancel := context.WithCancelCause(p.t.Context())
	defer cancel(nil)
	done := make(chan struct{})
	go func() { p.runner.Run(ctx, job); close(done) }()
	for end := time.Now().Add(time.Minute); !running(); {
		if time.Now().After(end) {
			p.t.Fatal("restic did not start")
		}
		pause(p.t.Context(), 10*time.Millisecond)
	}
	cancel(cause)
	<-done
}

func TestAJobThatIsToldToEnd(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		steps  []restictest.Step
		cause  error
		result spool.Result
		code   string
		says   string
	}{
		{"ends by an interrupt", []restictest.Step{{Pause: time.Minute}}, ErrCancelled, spool.Cancelled, "cancelled", ""},
		{"is killed when it does not listen", []restictest.Step{{Ignore: true}, {Pause: time.Minute}}, ErrCancelled, spool.Cancelled, "cancelled", "killed"},
		{"is interrupted when the agent stops", []restictest.Step{{Pause: time.Minute}}, ErrStopping, spool.Interrupted, CodeAgentStopped, ""},
		{"keeps its own result if it ended first", []restictest.Step{{Await: true}, {Out: summary() + "\n"}}, ErrCancelled, spool.Succeeded, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fake := restictest.NewFake(t, fakeScript(catConfig(), restictest.Reply{Command: "backup", Steps: test.steps}, listed("x")))
			p := newPlace(t, fake.Path())
			job := p.command("backup", backupParams())
			p.runUntil(job, func() bool { return len(fake.Calls()) == 2 }, test.cause)
			r := p.recorded(job.ID)
			got := r.want(test.result, test.code)
			if !strings.Contains(got.Message, test.says) {
				t.Errorf("message %q does not say %q", got.Message, test.says)
			}
			if kinds := strings.Join(withoutNotes(r.kinds()), " "); kinds != "acked running stopping finished" {
				t.Errorf("events: %s", kinds)
			}
		})
	}
}

func TestASlotThatTheAgentsStopCutsOffIsLeftToItsNextLife(t *testing.T) {
	t.Parallel()
	for catchUp, ends := range map[bool]int{true: 0, false: 1} {
		fake := restictest.NewFake(t, fakeScript(catConfig(), restictest.Reply{Command: "backup", Steps: []restictest.Step{{Pause: time.Minute}}}))
		p := newPlace(t, fake.Path())
		p.schedule(func(s *Schedule) { s.CatchUp = catchUp })
		job := p.fired()
		p.runUntil(job, func() bool { return len(fake.Calls()) == 2 }, ErrStopping)
		if got := len(p.recorded(job.ID).finished); got != ends {
			t.Errorf("with catching up %v it has %d results", catchUp, got)
		}
		if catchUp {
			p.reborn(job) // finds it
		}
	}
}

func TestAJobToldToEndWhileItWaits(t *testing.T) {
	t.Parallel()
	for cause, result := range map[error]spool.Result{ErrCancelled: spool.Cancelled, ErrStopping: ""} {
		p := newPlace(t, restictest.NewFake(t, fakeScript()).Path())
		release, err := p.runner.holds.take(t.Context(), "another", []want{{key: "repository " + repositoryID, alone: true}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		job := p.command("backup", backupParams())
		p.runUntil(job, func() bool {
			now, err := p.spool.Job(job.ID)
			return err == nil && now.Phase == spool.Waiting
		}, cause)
		release()
		now, err := p.spool.Job(job.ID)
		if err != nil {
			t.Fatal(err)
		}
		if now.Result != result {
			t.Errorf("after %v: result %q, want %q", cause, now.Result, result)
		}
	}
}

// die leaves a job the way a killed agent does: started, and never finished. It
// returns the place with a new life of its spool.
func (p *place) die(operation string, params any) (spool.Job, *place) {
	p.t.Helper()
	job := p.command(operation, params)
	if _, err := p.spool.Start(p.t.Context(), job.ID); err != nil {
		p.t.Fatal(err)
	}
	ref, err := json.Marshal(restic.ProcessRef{PID: 1 << 22})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.spool.Attach(p.t.Context(), job.ID, ref); err != nil {
		p.t.Fatal(err)
	}
	return p.reborn(job)
}

// reborn returns the place with a new life of its spool.
func (p *place) reborn(job spool.Job) (spool.Job, *place) {
	p.t.Helper()
	var err error
	if err := p.spool.Close(); err != nil {
		p.t.Fatal(err)
	}
	p.spool, err = spool.Open(p.t.Context(), spool.Options{Dir: filepath.Join(filepath.Dir(filepath.Dir(p.policy)), "state")})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = p.spool.Close() })
	p.options.Spool = p.spool
	p.runner = New(p.options)
	left := p.spool.Interrupted()
	if len(left) != 1 || left[0].ID != job.ID {
		p.t.Fatalf("left are %+v", left)
	}
	return left[0], p
}

func TestAJobThatTheAgentDiedUnder(t *testing.T) {
	t.Parallel()
	t.Run("is a warning when its snapshot is there", func(t *testing.T) {
		p := newPlace(t, restictest.NewFake(t, fakeScript(listed("x"))).Path())
		job, p := p.die("backup", backupParams())
		p.runner.Recover(t.Context(), job)
		if got := p.recorded(job.ID).want(spool.Warning, CodeEndNotSeen); got.SnapshotId != fakeSnap || !got.Confirmed {
			t.Errorf("got %+v", got)
		}
		if len(p.spool.Interrupted()) != 0 || len(p.spool.Pending()) != 0 {
			t.Error("it would be looked at again")
		}
	})
	t.Run("is interrupted when there is none, and never runs again", func(t *testing.T) {
		fake := restictest.NewFake(t, fakeScript(says("snapshots", "[]", 0)))
		p := newPlace(t, fake.Path())
		job, p := p.die("backup", backupParams())
		p.runner.Recover(t.Context(), job)
		p.recorded(job.ID).want(spool.Interrupted, CodeAgentDied)
		for _, call := range fake.Calls() {
			if strings.Contains(strings.Join(call.Args, " "), "backup") {
				t.Errorf("restic was started with %q", call.Args)
			}
		}
	})
	t.Run("is tried again when it was a slot's and left none, once and not after a later slot", func(t *testing.T) {
		for name, c := range map[string]struct {
			attempts int
			prepare  func(*place, spool.Job)
			again    bool
		}{
			"a slot's":            {1, func(*place, spool.Job) {}, true},
			"the second time":     {2, func(*place, spool.Job) {}, false},
			"one that is skipped": {1, func(p *place, _ spool.Job) { p.schedule(func(s *Schedule) { s.CatchUp = false }) }, false},
			"with attempts left": {2, func(p *place, _ spool.Job) {
				p.schedule(func(s *Schedule) { s.CatchUp, s.Retries, s.RetryAfter = false, 2, time.Minute })
			}, true},
			"a cancelled one": {1, func(p *place, j spool.Job) {
				if err := p.spool.RequestCancel(p.t.Context(), j.ID); err != nil {
					p.t.Error(err)
				}
			}, false},
			"one that a later slot has overtaken": {1, func(p *place, j spool.Job) {
				j.Slot = j.Slot.Add(time.Minute)
				p.runner.note(j)
			}, false},
		} {
			t.Run(name, func(t *testing.T) {
				p := newPlace(t, restictest.NewFake(t, fakeScript(says("snapshots", "[]", 0))).Path())
				p.schedule(func(s *Schedule) { s.CatchUp = true })
				job := p.fired()
				for range c.attempts {
					if _, err := p.spool.Start(t.Context(), job.ID); err != nil {
						t.Fatal(err)
					}
				}
				job, p = p.reborn(job)
				c.prepare(p, job)
				p.runner.Recover(t.Context(), job)
				if pending := p.spool.Pending(); (len(pending) == 1) != c.again {
					t.Fatalf("%d jobs wait", len(pending))
				}
				if !c.again {
					p.recorded(job.ID).want(spool.Interrupted, CodeAgentDied)
				}
			})
		}
	})
	t.Run("stays open when the agent is stopped meanwhile", func(t *testing.T) {
		p := newPlace(t, restictest.NewFake(t, fakeScript(says("snapshots", "", 1))).Path())
		job, p := p.die("backup", backupParams())
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(ErrStopping)
		p.runner.Recover(ctx, job)
		if left := p.spool.Interrupted(); len(left) != 1 || len(p.recorded(job.ID).finished) != 0 {
			t.Errorf("left are %+v", left)
		}
	})
	t.Run("names the clean-up when it was an init", func(t *testing.T) {
		p := newPlace(t, restictest.NewFake(t, fakeScript(says("cat config", "", 10))).Path())
		job, p := p.die("init", repositoryParams())
		p.runner.Recover(t.Context(), job)
		if got := p.recorded(job.ID).want(spool.Interrupted, CodeInitInterrupted); !strings.Contains(got.NextStep, "remove what is there") {
			t.Errorf("the next step does not say what to clean up: %s", got.NextStep)
		}
	})
}

func TestAStartThatTheDiskDoesNotTakeStartsNothing(t *testing.T) {
	t.Parallel()
	fake := restictest.NewFake(t, fakeScript(catConfig()))
	p := newPlace(t, fake.Path())
	dir := t.TempDir()
	full := false
	kept, err := spool.Open(t.Context(), spool.Options{Dir: filepath.Join(dir, "state"), Step: func(name string) error {
		if full && name == "start:before" {
			return fmt.Errorf("no space left")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	p.spool, p.options.Spool = kept, kept
	p.runner = New(p.options)
	job := p.command("backup", backupParams())
	full = true
	p.runner.Run(t.Context(), job)
	p.recorded(job.ID).want(spool.Failed, CodeJournalFailed)
	if calls := fake.Calls(); len(calls) != 0 {
		t.Errorf("restic was started: %q", calls[0].Args)
	}
}
