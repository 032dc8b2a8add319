//go:build !windows

package restictest_test

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/restic"
	"restic-manager/restic/restictest"
)

// situation is something that happens to people, and what must come out of it.
type situation struct {
	name    string
	options []restictest.RestOption
	config  restic.Config // patience that differs
	prepare func(*world)  // what only a real storage needs
	play    func(*world)
}

// TestSituations plays every situation with the real programs of each suite, and
// with a Fake that says what they said.
func TestSituations(t *testing.T) {
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			bins := restictest.Find(t, suite)
			for _, s := range situations() {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					w := newRealWorld(t, bins, s.config, s.options...)
					if s.prepare != nil {
						s.prepare(w)
					}
					s.play(w)
					if *record {
						w.keep(suite, s.name)
					}
				})
			}
		})
		t.Run(suite+" replayed", func(t *testing.T) {
			if *record {
				t.Skip("recording")
			}
			for _, s := range situations() {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					s.play(newReplayedWorld(t, suite, s.name, s.config))
				})
			}
		})
	}
}

func situations() []situation {
	hasty := restic.Config{ProbeDeadline: 3 * time.Second}
	impatient := restic.Config{HopelessAfter: 2 * time.Second}
	return []situation{
		{name: "init makes a repository once", prepare: (*world).otherRepository, play: initOnce},
		{name: "a repository is identified", play: identify},
		{name: "a repository is missing", prepare: (*world).otherRepository, play: repositoryMissing},
		{name: "the password is wrong", play: wrongPassword},
		{name: "the storage rejects the credentials", prepare: (*world).wrongCredentials, play: credentialsRejected},
		{name: "the path belongs to another user", prepare: (*world).otherUsersPath, play: credentialsRejected},
		{name: "a backup is found again", play: backupFoundAgain},
		{name: "a file cannot be read", play: unreadable},
		{name: "one source is missing", play: oneSourceMissing},
		{name: "all sources are missing", play: allSourcesMissing},
		{name: "a snapshot is unknown", play: unknownSnapshot},
		{name: "a lock is unknown", play: unknownLock},
		{name: "another restic has locked the repository", prepare: (*world).lockExclusively, play: locked},
		{name: "the storage is unreachable", config: hasty, prepare: (*world).unreachable, play: unreachable},
		{name: "the storage does not speak TLS", config: hasty, prepare: (*world).wrongScheme, play: noTLS},
		{name: "the quota is used up", config: impatient, options: []restictest.RestOption{restictest.WithQuota(200_000)}, play: quota},
		{name: "a backup is cancelled", play: cancelled},
	}
}

func (w *world) otherRepository() { w.access = w.server.Access("other", password) }

func (w *world) wrongCredentials() { w.access.RESTPassword = restic.NewSecret("not the password") }

func (w *world) otherUsersPath() { w.relocate("/host1/", "/host2/") }

func (w *world) unreachable() { w.server.Stop() }

func (w *world) wrongScheme() { w.relocate("rest:http:", "rest:https:") }

func (w *world) relocate(from, to string) {
	w.t.Helper()
	location, err := restic.ParseLocation(strings.Replace(w.access.Location.String(), from, to, 1))
	if err != nil {
		w.t.Fatal(err)
	}
	w.access.Location = location
}

func (w *world) lockExclusively() {
	w.t.Helper()
	restictest.LockExclusively(w.t, filepath.Join(w.server.RepositoryDir("repo"), "locks"), w.command)
}

func initOnce(w *world) {
	made := mustSucceed(w, run(w, restic.Init{}))
	if len(made.ID) != 64 {
		w.t.Errorf("got %+v", made)
	}
	mustFail(w, run(w, restic.Init{}), restic.CodeRepoExists)
	if config := mustSucceed(w, run(w, restic.CatConfig{})); config.ID != made.ID {
		w.t.Errorf("config has id %s, init said %s", config.ID, made.ID)
	}
}

func identify(w *world) {
	config := mustSucceed(w, run(w, restic.CatConfig{}))
	if len(config.ID) != 64 || config.Version != 2 {
		w.t.Errorf("got %+v", config)
	}
	keys := mustSucceed(w, run(w, restic.ListKeys{}))
	if len(keys) != 1 || !keys[0].Current || len(keys[0].ID) != 64 || keys[0].Host == "" || keys[0].User == "" {
		w.t.Errorf("got %+v", keys)
	}
	w.access.KeyHint = keys[0].ID
	if again := mustSucceed(w, run(w, restic.CatConfig{})); again.ID != config.ID {
		w.t.Errorf("with a key hint: got %+v", again)
	}
}

func repositoryMissing(w *world) {
	mustFail(w, run(w, restic.CatConfig{}), restic.CodeRepoNotFound)
	mustFail(w, run(w, restic.Backup{Sources: []string{w.file("a")}, Host: "h"}), restic.CodeRepoNotFound)
}

func wrongPassword(w *world) {
	w.access.Password = restic.NewSecret("not the password")
	mustFail(w, run(w, restic.CatConfig{}), restic.CodeWrongPassword)
	mustFail(w, run(w, restic.Backup{Sources: []string{w.file("a")}, Host: "h"}), restic.CodeWrongPassword)
}

func credentialsRejected(w *world) {
	mustFail(w, run(w, restic.CatConfig{}), restic.CodeRepoCredentialsRejected)
	mustFail(w, run(w, restic.Backup{Sources: []string{w.file("a")}, Host: "h"}), restic.CodeRepoCredentialsRejected)
}

const (
	scheduleID = "0193a5c0-0000-7000-8000-000000000001"
	jobID      = "0193a5c0-0000-7000-8000-000000000002"
)

func backupFoundAgain(w *world) {
	source := filepath.Join(w.dir, "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		w.t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "#c", "$HOME", "d e"} {
		w.file(filepath.Join("source", name))
	}
	op := restic.Backup{
		Sources: []string{source}, Excludes: []string{"b", "#c", "$HOME", "d[ ]e"}, Host: "web-1.example",
		Tags: []string{"daily"}, ScheduleID: scheduleID, JobID: jobID,
	}
	summary := mustSucceed(w, run(w, op))
	if summary.TotalFilesProcessed != 1 || summary.BackupEnd.Before(summary.BackupStart) || summary.BackupStart.IsZero() {
		w.t.Errorf("got %+v", summary)
	}
	list := mustSucceed(w, run(w, restic.Snapshots{ID: summary.SnapshotID}))
	if len(list) != 1 || list[0].ID != summary.SnapshotID || list[0].Host != "web-1.example" || list[0].Summary == nil {
		w.t.Fatalf("got %+v", list)
	}
	want := []string{"daily", "rm:job:" + jobID, "rm:schedule:" + scheduleID}
	slices.Sort(list[0].Tags)
	if diff := cmp.Diff(want, list[0].Tags); diff != "" {
		w.t.Error(diff)
	}
	for filter, count := range map[string]int{jobID: 1, scheduleID: 0} {
		found := mustSucceed(w, run(w, restic.Snapshots{Tags: restic.OwnTags(scheduleID, filter), Host: "web-1.example"}))
		if w.real() && len(found) != count {
			w.t.Errorf("tags of schedule and job %s: found %d", filter, len(found))
		}
	}
}

func unreadable(w *world) {
	const never = "/proc/self/mem" // restic's own memory: at its beginning nothing is mapped
	result := run(w, restic.Backup{Sources: []string{w.file("a"), never}, Host: "h"})
	if result.Outcome != restic.Warning || result.Failure.Code != restic.CodeSourceUnreadable || result.ExitCode != 3 {
		w.t.Fatalf("got %s %v", result.Outcome, result.Failure)
	}
	if result.Items.Count != 1 || result.Items.First[0].Path != never || result.Items.First[0].Message == "" {
		w.t.Errorf("got %+v", result.Items)
	}
	if len(result.Value.SnapshotID) != 64 || result.Value.TotalFilesProcessed != 1 {
		w.t.Errorf("got %+v", result.Value)
	}
}

func oneSourceMissing(w *world) {
	result := run(w, restic.Backup{Sources: []string{w.file("a"), "/not/there"}, Host: "h"})
	if result.Outcome != restic.Warning || result.Failure.Code != restic.CodeSourceMissing || len(result.Value.SnapshotID) != 64 {
		w.t.Fatalf("got %s %v", result.Outcome, result.Failure)
	}
	if diff := cmp.Diff([]string{"/not/there"}, result.Value.MissingSources); diff != "" {
		w.t.Error(diff)
	}
	wantExit := 0
	if result.Version.Has(restic.FeatureMissingSourceExit3) {
		wantExit = 3
	}
	if result.ExitCode != wantExit {
		w.t.Errorf("%s ended with %d: correct the table of features", result.Version, result.ExitCode)
	}
}

func allSourcesMissing(w *world) {
	mustFail(w, run(w, restic.Backup{Sources: []string{"/not/there"}, Host: "h"}), restic.CodeSourceMissing)
}

func unknownSnapshot(w *world) {
	mustFail(w, run(w, restic.Snapshots{ID: strings.Repeat("0", 64)}), restic.CodeSnapshotNotFound)
}

func unknownLock(w *world) {
	mustFail(w, run(w, restic.CatLock{ID: strings.Repeat("0", 64)}), restic.CodeLockNotFound)
	if ids := mustSucceed(w, run(w, restic.ListLocks{})); len(ids) != 0 {
		w.t.Errorf("got locks %v", ids)
	}
}

func locked(w *world) {
	result := run(w, restic.Backup{Sources: []string{w.file("a")}, Host: "h"})
	mustFail(w, result, restic.CodeRepoLocked)
	if h := result.Holder; h == nil || !h.Exclusive || h.PID == 0 || h.Host == "" || h.StorageID == "" {
		w.t.Fatalf("got holder %+v", h)
	}
	ids := mustSucceed(w, run(w, restic.ListLocks{}))
	if len(ids) != 1 || !strings.HasPrefix(ids[0], result.Holder.StorageID) {
		w.t.Fatalf("got locks %v, want the one of %+v", ids, result.Holder)
	}
	lock := mustSucceed(w, run(w, restic.CatLock{ID: ids[0]}))
	if !lock.Exclusive || lock.PID != result.Holder.PID || lock.Host != result.Holder.Host {
		w.t.Errorf("got %+v, want that of %+v", lock, result.Holder)
	}
	// Reading goes on meanwhile.
	mustSucceed(w, run(w, restic.Snapshots{}))
}

func unreachable(w *world) { mustFail(w, run(w, restic.CatConfig{}), restic.CodeRepoUnreachable) }

func noTLS(w *world) { mustFail(w, run(w, restic.CatConfig{}), restic.CodeRepoTLS) }

func quota(w *world) {
	path := filepath.Join(w.dir, "big")
	content := make([]byte, 1<<20)
	_, _ = rand.Read(content)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	mustFail(w, run(w, restic.Backup{Sources: []string{path}, Host: "h"}), restic.CodeRepositoryFull)
}

func cancelled(w *world) {
	path := filepath.Join(w.dir, "endless")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Truncate(path, 64<<30); err != nil { // zeros, of which there are none on the disk
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	h := w.handlers()
	h.Progress = func(restic.Progress) { cancel() }
	result := runWith(ctx, w, restic.Backup{Sources: []string{path}, Host: "h"}, w.access, h)
	if result.Outcome != restic.Cancelled || result.Killed || result.Failure != nil {
		w.t.Fatalf("got %+v", result)
	}
	if result.ExitCode != 1 && result.ExitCode != 130 {
		w.t.Errorf("%s ended with %d", result.Version, result.ExitCode)
	}
	if ids := mustSucceed(w, run(w, restic.ListLocks{})); len(ids) != 0 {
		w.t.Errorf("locks are left: %v", ids)
	}
}
