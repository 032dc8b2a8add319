package agent

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"restic-manager/agent/control"
	"restic-manager/agent/spool"
	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

func TestMain(m *testing.M) { os.Exit(restictest.Main(m)) }

// TestAResticLeftByADeadAgentIsKilledBeforeAnythingStarts runs a restic that never
// ends, forgets it the way a killed agent does, and starts the next life.
func TestAResticLeftByADeadAgentIsKilledBeforeAnythingStarts(t *testing.T) {
	dir := t.TempDir()
	fake := restictest.NewFake(t, restictest.Script{Replies: []restictest.Reply{
		{Command: "cat config", Steps: []restictest.Step{{Forever: true}}},
	}})
	program := restic.New(restic.Config{Binary: fake.Path(), CacheDir: filepath.Join(dir, "cache"), TempDir: filepath.Join(dir, "tmp")})
	kept, err := spool.Open(t.Context(), spool.Options{Dir: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	job := uuid.NewString()
	command := control.Command{
		Seq: 1, Id: uuid.NewString(), Kind: "run", JobId: job, Epoch: 1, Operation: "backup", Trigger: "run-now", IssuedAt: time.Now(),
	}
	if _, err := kept.Journal(t.Context(), []control.Command{command}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Start(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	location, err := restic.ParseLocation(filepath.Join(dir, "repository"))
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	ended := make(chan restic.Result[restic.RepositoryConfig], 1)
	go func() {
		access := restic.Access{Location: location, Password: restic.NewSecret("x")}
		result, err := restic.Run(t.Context(), program, restic.CatConfig{}, access, restic.Handlers{Started: func(ref restic.ProcessRef) error {
			defer close(started)
			text, err := json.Marshal(ref)
			if err != nil {
				return err
			}
			return kept.Attach(t.Context(), job, text)
		}})
		if err != nil {
			t.Error(err)
		}
		ended <- result
	}()
	<-started
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
	kept, err = spool.Open(t.Context(), spool.Options{Dir: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	next := &Agent{spool: kept, restic: program, log: slog.New(slog.DiscardHandler)}
	if err := next.clearUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case result := <-ended:
		if result.Failure == nil || result.Failure.Code != restic.CodeResticKilled {
			t.Errorf("it ended as %+v", result.Failure)
		}
	case <-time.After(20 * time.Second):
		t.Error("it still runs")
	}
}

// TestAResticThatDoesNotEndKeepsTheHostFromNothingElse gives the next life a
// reference that can never be ended.
func TestAResticThatDoesNotEndKeepsTheHostFromNothingElse(t *testing.T) {
	dir := t.TempDir()
	kept, err := spool.Open(t.Context(), spool.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	job := uuid.NewString()
	command := control.Command{
		Seq: 1, Id: uuid.NewString(), Kind: "run", JobId: job, Epoch: 1, Operation: "backup", Trigger: "run-now", IssuedAt: time.Now(),
	}
	if _, err := kept.Journal(t.Context(), []control.Command{command}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Start(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(restic.ProcessRef{PID: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.Attach(t.Context(), job, text); err != nil {
		t.Fatal(err)
	}
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
	if kept, err = spool.Open(t.Context(), spool.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	program := restic.New(restic.Config{CacheDir: t.TempDir(), TempDir: t.TempDir()})
	next := &Agent{spool: kept, restic: program, log: slog.New(slog.DiscardHandler)}
	if err := next.clearUp(t.Context()); err != nil {
		t.Fatalf("the agent does not start: %v", err)
	}
	if len(next.orphans) != 1 {
		t.Errorf("what is left is told as %q", next.orphans)
	}
}
