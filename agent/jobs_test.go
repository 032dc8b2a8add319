package agent

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/policy"
	"restic-manager/agent/runner"
	"restic-manager/agent/secret"
	"restic-manager/agent/spool"
)

// A cancel may come for a job that its agent died under: the job is over, and what it
// left in the repository is worth knowing all the same.
func TestACancelDoesNotCutShortTheLookForWhatADeadAgentLeft(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		died := mustOpenSpool(t, dir)
		const id = "33333333-3333-4333-8333-333333333333"
		params, err := json.Marshal(backupOf(1))
		if err != nil {
			t.Fatal(err)
		}
		commands := []control.Command{{Seq: 1, Id: id, Kind: "run", JobId: id, Epoch: 1, Operation: "backup", Trigger: "run-now", Params: params}}
		if _, err := died.Journal(t.Context(), commands, time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := died.Start(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if err := died.Close(); err != nil {
			t.Fatal(err)
		}
		s := mustOpenSpool(t, dir)
		j := newJobs(s, runner.New(runner.Options{
			Spool: s, Log: slog.New(slog.DiscardHandler), Secrets: anySecret{}, Recipes: lookForAMinute(),
			Policy: func() (*policy.Policy, error) { return policy.Default(policy.Trusting), nil },
			Config: func() runner.Config {
				config, err := understandConfig(m.server.config, modelHost)
				if err != nil {
					t.Error(err)
				}
				return config
			},
		}))
		j.recoverInterrupted()
		synctest.Wait()
		j.cancel(id)
		j.wait.Wait()
		if job, err := s.Job(id); err != nil || job.Result != spool.Warning {
			t.Errorf("got %+v, %v; want the result by what was found", job, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func mustOpenSpool(t *testing.T, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(t.Context(), spool.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lookForAMinute finds a snapshot, if it is given the time.
func lookForAMinute() []runner.Recipe {
	return []runner.Recipe{{Operation: "backup", Recover: func(ctx context.Context, _ *runner.Task) *runner.Ending {
		select {
		case <-time.After(time.Minute):
			return &runner.Ending{Outcome: spool.Outcome{Result: spool.Warning, Code: runner.CodeEndNotSeen}}
		case <-ctx.Done():
			return nil
		}
	}}}
}

// anySecret has every secret.
type anySecret struct{}

func (anySecret) Once(context.Context, secret.Ref) (secret.Value, error) {
	return secret.Value{}, nil
}

func (anySecret) Secret(context.Context, secret.Ref) (secret.Value, error) {
	return secret.Value{}, nil
}
