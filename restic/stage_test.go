//go:build !windows

package restic_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

const (
	snapshotID = "198a377b9b29c3e9318b554a98d602afeb1800c2e8c52a8538823af2ac9e9d5a"
	summary    = `{"message_type":"summary","files_new":1,"data_added":2109,"total_files_processed":1,` +
		`"backup_start":"2026-11-21T20:10:12.39Z","snapshot_id":"` + snapshotID + `"}` + "\n"
)

// stage is a Runner on a Fake, with what its handlers were called with.
type stage struct {
	t      *testing.T
	fake   *restictest.Fake
	runner *restic.Runner
	access restic.Access
	temp   string

	mu       sync.Mutex
	lines    []string
	progress []restic.Progress
	refs     []restic.ProcessRef
}

func newStage(t *testing.T, config restic.Config, replies ...restictest.Reply) *stage {
	t.Helper()
	location, err := restic.ParseLocation("rest:https://nas.test:8000/host1/repo/")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, fake: restictest.NewFake(t, restictest.Script{Replies: replies}), temp: t.TempDir()}
	config.Binary, config.CacheDir, config.TempDir = s.fake.Path(), filepath.Join(s.temp, "cache"), filepath.Join(s.temp, "run")
	s.runner = restic.New(config)
	s.access = restic.Access{
		Location: location, Password: restic.NewSecret("hunter2-äß"),
		Username: "host1", RESTPassword: restic.NewSecret(`rest<&"secret`), KeyHint: "39a5cee212ec2cab",
	}
	return s
}

func (s *stage) handlers() restic.Handlers {
	return restic.Handlers{
		Started: func(ref restic.ProcessRef) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.refs = append(s.refs, ref)
			return nil
		},
		Line: func(l restic.Line) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.lines = append(s.lines, string(l.Stream)+": "+l.Text)
		},
		Progress: func(p restic.Progress) { s.mu.Lock(); defer s.mu.Unlock(); s.progress = append(s.progress, p) },
	}
}

func (s *stage) source() string {
	s.t.Helper()
	path := filepath.Join(s.temp, "source")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *stage) backup(ctx context.Context) restic.Result[restic.BackupSummary] {
	s.t.Helper()
	result, err := restic.Run(ctx, s.runner, restic.Backup{Sources: []string{s.source()}, Host: "h"}, s.access, s.handlers())
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

func code[T any](result restic.Result[T]) restic.Code {
	if result.Failure == nil {
		return ""
	}
	return result.Failure.Code
}

func out(text string) restictest.Step  { return restictest.Step{Out: text} }
func errs(text string) restictest.Step { return restictest.Step{Err: text} }

func backupReply(exit int, steps ...restictest.Step) restictest.Reply {
	return restictest.Reply{Command: "backup", Exit: exit, Steps: steps}
}
