package spool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/agent/control"
)

// act is one thing that an agent does with its spool.
type act struct {
	name string
	do   func(ctx context.Context, s *Spool) error
}

// life is a little of an agent's life in which every step is taken at least once.
func life() []act { return slices.Concat(youth(), age()) }

// report hands everything over.
func report(ctx context.Context, s *Spool) error {
	items, err := s.Batch(ctx, DefaultBatchLimits(), func(string) bool { return true })
	if err != nil {
		return err
	}
	return s.Applied(ctx, allTakenWithin(s, items))
}

// youth is one job from its command to its end.
func youth() []act {
	log := func(job, lines int) func(context.Context, *Spool) error {
		return func(ctx context.Context, s *Spool) error {
			for i := range lines {
				s.Log(id(job), Line{Stream: Stdout, Text: fmt.Sprint("line ", i)})
			}
			return s.Flush(ctx)
		}
	}
	return []act{
		{"take commands", func(ctx context.Context, s *Spool) error {
			_, err := s.Journal(ctx, []control.Command{
				runCommand(1, 1), runCommand(2, 2), runCommand(3, 3), cancelCommand(4, 3), cancelCommand(5, 9),
			}, s.now())
			return err
		}},
		{"fire a slot", func(ctx context.Context, s *Spool) error {
			_, _, err := s.OpenJob(ctx, NewJob{
				ID: id(4), Operation: "backup", Trigger: "schedule", ScheduleID: id(77), Slot: firedAt(),
				Values: map[string][]byte{"slots:" + id(77): []byte("4")},
			})
			return err
		}},
		{"skip a slot", func(ctx context.Context, s *Spool) error {
			_, _, err := s.OpenJob(ctx, NewJob{
				ID: id(5), Operation: "backup", Trigger: "schedule", ScheduleID: id(77), Slot: firedAt().Add(time.Hour),
				Ended: &Outcome{Result: Skipped}, Values: map[string][]byte{"slots:" + id(77): []byte("5")},
			})
			return err
		}},
		{"wait", func(ctx context.Context, s *Spool) error { return s.Wait(ctx, id(1), "another job") }},
		{"start", func(ctx context.Context, s *Spool) error { _, err := s.Start(ctx, id(1)); return err }},
		{"attach", func(ctx context.Context, s *Spool) error { return s.Attach(ctx, id(1), []byte(`{"pid":7}`)) }},
		{"log", log(1, 2*chunkLines+7)},
		{"report", report},
		{"note", func(ctx context.Context, s *Spool) error { return s.Note(ctx, id(1), "half-way", nil) }},
		{"log on", log(1, 5)},
		{"cut for a batch", func(ctx context.Context, s *Spool) error {
			_, err := s.Batch(ctx, DefaultBatchLimits(), func(string) bool { return true })
			return err
		}},
		{"set an event aside", func(ctx context.Context, s *Spool) error {
			return s.Reject(ctx, id(1), control.Events, s.jobs[id(1)].Events.First, "odd")
		}},
		{"stop", func(ctx context.Context, s *Spool) error { return s.Stop(ctx, id(1), "asked to") }},
		{"cancel", func(ctx context.Context, s *Spool) error { return s.RequestCancel(ctx, id(2)) }},
		{"log the end", func(_ context.Context, s *Spool) error { s.Log(id(1), Line{Text: "the end"}); return nil }},
		{"finish", func(ctx context.Context, s *Spool) error {
			return s.Finish(ctx, id(1), Outcome{Result: Cancelled}, nil)
		}},
	}
}

// age is what goes wrong with the jobs after it.
func age() []act {
	return []act{
		{"start another", func(ctx context.Context, s *Spool) error { _, err := s.Start(ctx, id(4)); return err }},
		{"wait for an attempt", func(ctx context.Context, s *Spool) error {
			return s.WaitUntil(ctx, id(4), "attempt 2", firedAt().Add(time.Minute))
		}},
		{"start again", func(ctx context.Context, s *Spool) error { _, err := s.Start(ctx, id(4)); return err }},
		{"interrupt", func(ctx context.Context, s *Spool) error {
			return s.Finish(ctx, id(4), Outcome{Result: Interrupted}, nil)
		}},
		{"learn", func(ctx context.Context, s *Spool) error { return s.SetValue(ctx, "hold", []byte("20")) }},
		{"configure", func(ctx context.Context, s *Spool) error {
			return s.SaveConfig(ctx, control.AgentConfig{Revision: 2})
		}},
		{"reconcile", func(ctx context.Context, s *Spool) error {
			_, err := s.Reconcile(ctx, []control.JobVerdict{
				{JobId: id(2), Verdict: "stop", NextEventSeq: 2}, {JobId: id(3), Verdict: "forget"},
			})
			return err
		}},
		{"diverge", func(ctx context.Context, s *Spool) error {
			return s.Applied(ctx, []control.ReportVerdict{
				{JobId: id(4), Outcome: "diverged", NextEventSeq: 9, NextLogSeq: 4},
			})
		}},
		{"start a loud one", func(ctx context.Context, s *Spool) error { _, err := s.Start(ctx, id(2)); return err }},
		{"overflow", func(ctx context.Context, s *Spool) error {
			writeNoise(s, id(2), 3*smallBudget)
			return s.Flush(ctx)
		}},
		{"report the rest", report},
	}
}

// firedAt is the slot of a job in the life.
func firedAt() time.Time { return time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC) }

const smallBudget = 40 << 10

func openLife(ctx context.Context, dir string, step func(string) error) (*Spool, error) {
	return Open(ctx, Options{
		Dir: dir, Now: newClock().now, FreeSpace: roomy, Step: step,
		Budget: Budget{Total: smallBudget, PerJob: smallBudget},
	})
}

// The variables that make this test binary live the life until it is killed.
const (
	envDir  = "SPOOL_TEST_DIR"
	envStep = "SPOOL_TEST_DIE_AT" // number of the step, from 1
)

// TestLifeThatIsKilled is the process that TestKillAtEveryStep starts.
func TestLifeThatIsKilled(t *testing.T) {
	dir := os.Getenv(envDir)
	if dir == "" {
		t.Skip("the process of TestKillAtEveryStep alone")
	}
	dieAt, err := strconv.Atoi(os.Getenv(envStep))
	must(t, err)
	steps := 0
	s, err := openLife(t.Context(), dir, func(string) error {
		if steps++; steps == dieAt {
			self, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = self.Kill()
			}
			must(t, err)
			select {} // until the signal is there
		}
		return nil
	})
	must(t, err)
	for _, a := range life() {
		must(t, a.do(t.Context(), s))
		fmt.Println("did", a.name)
	}
}

// TestKillAtEveryStep kills a process before and after everything that it makes
// the disk remember, and compares what the next process finds with what an
// undisturbed one has at that point: no more, no less.
func TestKillAtEveryStep(t *testing.T) {
	states, steps := undisturbed(t)
	for _, name := range Steps() {
		if !slices.ContainsFunc(steps, func(s stepTaken) bool { return s.name == name }) {
			t.Errorf("the life never takes the step %s", name)
		}
	}
	for n, step := range steps {
		t.Run(fmt.Sprintf("%d in %s at %s", n+1, step.during, step.name), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			did := kill(t, dir, n+1)
			if did != step.acts {
				t.Fatalf("the process did %d acts before it died, want %d", did, step.acts)
			}
			s, err := openLife(t.Context(), dir, nil)
			must(t, err)
			defer s.db.Close()
			if len(s.damaged) > 0 {
				t.Fatal("the database was damaged")
			}
			if diff := cmp.Diff(states[n], dump(t, s)); diff != "" {
				t.Errorf("what the next process finds differs (-want +got):\n%s", diff)
			}
		})
	}
}

// stepTaken is a step of the undisturbed life.
type stepTaken struct {
	name   string
	during string // the act
	acts   int    // that were done before
}

// undisturbed lives the life once and returns, for each step, what a process finds
// that is started after a death there: before a write what was, after it what is.
func undisturbed(t *testing.T) (states [][]string, steps []stepTaken) {
	t.Helper()
	var s *Spool
	var acts int
	var during string
	written := []string{} // state after the last write
	s, err := openLife(t.Context(), t.TempDir(), func(name string) error {
		if strings.HasSuffix(name, ":after") {
			written = dump(t, s)
		}
		steps = append(steps, stepTaken{name, during, acts})
		states = append(states, written)
		return nil
	})
	must(t, err)
	defer s.db.Close()
	written = dump(t, s)
	for _, a := range life() {
		during = a.name
		if err := a.do(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", a.name, err)
		}
		acts++
	}
	return states, steps
}

// kill lets a process live the life in dir until the step, and returns how many
// acts it had done.
func kill(t *testing.T, dir string, step int) (did int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLifeThatIsKilled$", "-test.count=1")
	cmd.Env = append(os.Environ(), envDir+"="+dir, fmt.Sprintf("%s=%d", envStep, step))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() && exit.ExitCode() == 1 && strings.Contains(string(out), "FAIL") {
		t.Fatalf("the process was not killed: %v\n%s", err, out)
	}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "did ") {
			did++
		}
	}
	return did
}

// random matches what differs from life to life.
var random = regexp.MustCompile(`"writer_id":"[^"]*"`)

// dump is all that the disk remembers, as text.
func dump(t *testing.T, s *Spool) []string {
	t.Helper()
	var lines []string
	for _, query := range []string{
		`SELECT 'fact', name, CAST(value AS TEXT), '' FROM facts WHERE name <> 'journal_id' ORDER BY name`,
		`SELECT 'seen', id, what, epoch FROM seen ORDER BY id, what`,
		`SELECT 'job', id, CAST(doc AS TEXT), '' FROM jobs ORDER BY id`,
		`SELECT 'record', job_id || ' ' || stream || ' ' || seq, CAST(doc AS TEXT), HEX(data) FROM records ORDER BY job_id, stream, seq`,
		`SELECT 'tail', job_id, CAST(lines AS TEXT), '' FROM tails ORDER BY job_id`,
		`SELECT 'aside', job_id || ' ' || stream || ' ' || seq, reason, CAST(doc AS TEXT) FROM quarantine ORDER BY rowid`,
	} {
		rows, err := s.db.Query(query)
		must(t, err)
		for rows.Next() {
			var what, key, doc, data string
			must(t, rows.Scan(&what, &key, &doc, &data))
			lines = append(lines, random.ReplaceAllString(strings.Join([]string{what, key, doc, data}, " | "), `"writer_id":"?"`))
		}
		must(t, rows.Err())
		must(t, rows.Close())
	}
	config, err := os.ReadFile(filepath.Join(s.dir, configName))
	if err == nil {
		lines = append(lines, "config | "+string(config))
	}
	return lines
}

// TestFailureAtEveryStep makes each write fail once and checks that the agent's
// life can go on, and that a restart then finds all of it.
func TestFailureAtEveryStep(t *testing.T) {
	_, steps := undisturbed(t)
	for n, step := range steps {
		t.Run(fmt.Sprintf("%d in %s at %s", n+1, step.during, step.name), func(t *testing.T) {
			taken := 0
			s, err := openLife(t.Context(), t.TempDir(), func(string) error {
				if taken++; taken == n+1 {
					return errors.New("input/output error")
				}
				return nil
			})
			must(t, err)
			defer s.db.Close()
			for _, a := range life() {
				if a.do(t.Context(), s) != nil {
					must(t, ignoreState(a.do(t.Context(), s))) // a caller repeats what failed
				}
			}
			must(t, s.Flush(t.Context()))
			if len(s.Health()) != 1 { // records_rejected
				t.Errorf("health is %+v", s.Health())
			}
			before := memory(s)
			s = reopen(t, s)
			if diff := cmp.Diff(before, memory(s)); diff != "" {
				t.Errorf("a restart finds another state (-before +after):\n%s", diff)
			}
		})
	}
}

// ignoreState drops what a repeated change says when the first one held.
func ignoreState(err error) error {
	if errors.Is(err, ErrFinished) {
		return nil
	}
	return err
}

// memory is what the spool knows, as a caller sees it.
func memory(s *Spool) map[string]any {
	return map[string]any{
		"acked": s.AckedSeq(), "jobs": s.AgentJobs(), "running": s.Running(), "summary": s.Summary(),
	}
}
