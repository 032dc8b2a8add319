//go:build !windows

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restic-manager/restic/restictest"
)

func TestABackupGoesFromRunNowToFilesThatPlainResticRestores(t *testing.T) {
	t.Parallel()
	for _, suite := range restictest.Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withSuite(suite))
			source := files(t, 300)
			repository := w.addRepository("nas", repositorySpec{fresh: true})
			h := w.addHost("web-1", repository, []string{source})

			j := h.backUp("succeeded")
			if j.Unconfirmed || !j.Outcome.Confirmed || len(j.Outcome.SnapshotID) != 64 {
				t.Errorf("the snapshot is not confirmed by its full id: %+v", j.Outcome)
			}
			if j.Outcome.Stats.Files != 300 {
				t.Errorf("%d files, want 300", j.Outcome.Stats.Files)
			}
			w.wantDense(j)

			var snapshots struct {
				Snapshots []struct {
					ID    string
					JobID string `json:"job_id"`
				}
			}
			w.api.must("GET", "/api/v1/snapshots?host_id="+h.id, nil, &snapshots)
			if len(snapshots.Snapshots) != 1 || snapshots.Snapshots[0].ID != j.Outcome.SnapshotID || snapshots.Snapshots[0].JobID != j.ID {
				t.Errorf("snapshots: %+v", snapshots.Snapshots)
			}

			target := t.TempDir()
			w.restic(repository, "restore", j.Outcome.SnapshotID, "--target", target)
			sameTree(t, filepath.Join(target, source), source)

			second := h.backUp("succeeded")
			if second.Outcome.SnapshotID == j.Outcome.SnapshotID {
				t.Error("the second backup has the first one's snapshot")
			}
			w.api.must("GET", "/api/v1/snapshots?host_id="+h.id, nil, &snapshots)
			if len(snapshots.Snapshots) != 2 {
				t.Errorf("%d snapshots, want 2", len(snapshots.Snapshots))
			}
		})
	}
}

// wantDense demands that the job's events and log are whole: numbered densely, the
// log's lines too.
func (w *world) wantDense(j job) {
	w.t.Helper()
	var page struct {
		Events []struct {
			Seq  int64
			Kind string
		}
	}
	w.api.must("GET", "/api/v1/jobs/"+j.ID+"/events", nil, &page)
	kinds := map[string]int{}
	for i, e := range page.Events {
		if e.Seq != int64(i+1) {
			w.t.Errorf("event %d has the number %d", i+1, e.Seq)
		}
		kinds[e.Kind]++
	}
	if kinds["finished"] != 1 {
		w.t.Errorf("%d finished events, want 1: %v", kinds["finished"], page.Events)
	}
	var next, n int64
	for {
		var log struct {
			Lines []struct{ N int64 }
			Next  int64 `json:"next_after_seq"`
			End   bool
		}
		w.api.must("GET", fmt.Sprintf("/api/v1/jobs/%s/log?after_seq=%d", j.ID, next), nil, &log)
		for _, l := range log.Lines {
			if n++; l.N != n {
				w.t.Fatalf("line %d has the number %d", n, l.N)
			}
		}
		if log.End || log.Next == next {
			break
		}
		next = log.Next
	}
	if n == 0 {
		w.t.Error("the log is empty")
	}
}

func TestEachWayABackupGoesWrongHasItsOwnTrueResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	t.Run("an unreadable file is a warning that names it", func(t *testing.T) {
		source := files(t, 20)
		bad := filepath.Join(source, "d00", "unreadable")
		unreadable(t, bad)
		h := w.addHost("unreadable", w.addRepository("unreadable", repositorySpec{}), []string{source})
		j := h.backUp("warning")
		if j.Outcome.WarningsTotal != 1 || len(j.Outcome.Warnings) != 1 || j.Outcome.Warnings[0].Path != bad || j.Outcome.SnapshotID == "" {
			t.Errorf("outcome %+v, want a snapshot and a warning about %s", j.Outcome, bad)
		}
	})
	t.Run("a missing source", func(t *testing.T) {
		source := files(t, 5)
		gone := filepath.Join(source, "not there")
		h := w.addHost("missing", w.addRepository("missing", repositorySpec{}), []string{source, gone})
		j := h.backUp("warning")
		if !strings.Contains(fmt.Sprint(j.Outcome), gone) {
			t.Errorf("outcome %+v does not name %s", j.Outcome, gone)
		}
	})
	t.Run("a wrong password", func(t *testing.T) {
		first := w.addRepository("shared", repositorySpec{})
		h := w.addHost("first", first, []string{files(t, 3)})
		h.backUp("succeeded")
		again := w.addRepository("same place", repositorySpec{location: w.rest.Location("shared"), existing: true, password: "not the password"})
		other := w.addHost("second", again, []string{files(t, 3)})
		w.wantNotPrepared(other, again, "wrong_password")
	})
	t.Run("a repository said to exist that does not is never made", func(t *testing.T) {
		none := w.addRepository("nowhere", repositorySpec{existing: true, password: "whatever it is"})
		h := w.addHost("nowhere", none, []string{files(t, 3)})
		w.wantNotPrepared(h, none, "repo_not_found")
		if _, err := os.Stat(filepath.Join(w.rest.RepositoryDir("nowhere"), "config")); err == nil {
			t.Error("the repository was made")
		}
	})
	t.Run("a repository that has gone is an alarm and is not made again", func(t *testing.T) {
		repository := w.addRepository("gone", repositorySpec{})
		h := w.addHost("gone", repository, []string{files(t, 3)})
		h.backUp("succeeded")
		if err := os.Rename(w.rest.RepositoryDir("gone"), filepath.Join(t.TempDir(), "moved")); err != nil {
			t.Fatal(err)
		}
		j := h.backUp("failed")
		if !strings.HasPrefix(j.Outcome.Code, "repo_") {
			t.Errorf("code %s: %s", j.Outcome.Code, j.Outcome.Message)
		}
		if _, err := os.Stat(filepath.Join(w.rest.RepositoryDir("gone"), "config")); err == nil {
			t.Error("the repository was made again")
		}
		w.wantCondition("repositories", repository)
	})
	t.Run("a locked repository", func(t *testing.T) {
		repository := w.addRepository("locked", repositorySpec{})
		h := w.addHost("locked", repository, []string{files(t, 3)})
		h.backUp("succeeded")
		pid, release := w.lock("locked", repository)
		j := h.runNow()
		eventually(t, "the backup waits for the lock", time.Minute, func() bool {
			return w.api.call("GET", "/api/v1/jobs/"+j.ID, nil, &j) == nil && j.State == "waiting"
		})
		if holder := fmt.Sprintf("process %d on ", pid); !strings.Contains(j.WaitingOn, holder) {
			t.Errorf("it waits on %q, not on %s", j.WaitingOn, holder)
		}
		release()
		if j = w.finished(j.ID, 3*time.Minute); j.Outcome.Result != "succeeded" || j.Attempt != 1 {
			t.Errorf("it ended as %s (%s) in attempt %d", j.Outcome.Result, j.Outcome.Message, j.Attempt)
		}
	})
	t.Run("wrong credentials at the storage", func(t *testing.T) {
		repository := w.addRepository("credentials", repositorySpec{})
		h := w.addHost("credentials", repository, []string{files(t, 3)})
		h.backUp("succeeded")
		w.api.must("PUT", "/api/v1/repositories/"+repository+"/credentials/append", obj{"username": w.rest.User, "secret": "another"}, nil)
		j := h.backUp("failed")
		if j.Outcome.Code != "repo_credentials_rejected" {
			t.Errorf("code %s: %s", j.Outcome.Code, j.Outcome.Message)
		}
	})
}

// unreadable makes a file that even root cannot read: a link into /proc does not
// do, since restic stores links as links, so the file is a swap of memory that
// nobody has mapped.
func unreadable(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	mem := "/proc/self/mem"
	if out, err := exec.Command("mount", "--bind", mem, path).CombinedOutput(); err != nil {
		t.Fatalf("mount %s: %v\n%s", mem, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", path).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
}

// wantNotPrepared demands that the job that should make the repository usable
// failed with the code, and that a backup is refused then.
func (w *world) wantNotPrepared(h *host, repository, code string) {
	w.t.Helper()
	var r struct {
		State string
		Init  string `json:"init_job_id"`
	}
	eventually(w.t, "the repository has failed", time.Minute, func() bool {
		w.api.must("GET", "/api/v1/repositories/"+repository, nil, &r)
		return r.State == "failed"
	})
	if j := w.finished(r.Init, time.Minute); j.Outcome.Code != code {
		w.t.Errorf("the job ended with %s: %s, want %s", j.Outcome.Code, j.Outcome.Message, code)
	}
	w.wantCondition("repositories", repository)
	w.api.wantProblem("repository_not_ready", "POST", "/api/v1/hosts/"+h.id+"/jobs", obj{"operation": "backup"})
}

// wantCondition demands that something needs a person.
func (w *world) wantCondition(kind, id string) {
	w.t.Helper()
	var o struct {
		Conditions []struct{ Code, Message string }
	}
	w.api.must("GET", "/api/v1/"+kind+"/"+id, nil, &o)
	if len(o.Conditions) == 0 {
		w.t.Errorf("%s %s has no condition", kind, id)
	}
}

func TestAStorageThatComesBackIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.addHost("patient", w.addRepository("patient", repositorySpec{}), []string{files(t, 3)})
	h.backUp("succeeded")
	w.rest.Stop()
	j := h.runNow()
	eventually(t, "restic tries again", time.Minute, func() bool { return strings.Contains(w.log(j.ID), "retrying") })
	w.rest.Start()
	if j = w.finished(j.ID, 3*time.Minute); j.Outcome.Result != "succeeded" {
		t.Errorf("the backup ended as %s (%s: %s)", j.Outcome.Result, j.Outcome.Code, j.Outcome.Message)
	}
}

// lock makes a real restic hold an exclusive lock on a repository until release.
func (w *world) lock(name, repository string) (pid int, release func()) {
	w.t.Helper()
	return restictest.LockExclusively(w.t, filepath.Join(w.rest.RepositoryDir(name), "locks"), func(args ...string) *exec.Cmd {
		return w.plainRestic(w.t.Context(), repository, args...)
	})
}

func TestAFullStorageIsToldAsFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, waiting, withRest(restictest.WithQuota(300<<10)))
	source := t.TempDir()
	noise, err := os.Open("/dev/urandom")
	if err != nil {
		t.Fatal(err)
	}
	defer noise.Close()
	big := make([]byte, 4<<20)
	if _, err := noise.Read(big); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(source, "big"), big, 0o600); err != nil {
		t.Fatal(err)
	}
	h := w.addHost("full", w.addRepository("full", repositorySpec{}), []string{source})
	if j := h.backUp("failed"); j.Outcome.Code != "repository_full" {
		t.Errorf("code %s: %s", j.Outcome.Code, j.Outcome.Message)
	}
}

func TestAResticThatIsTooOldIsRefusedByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := restictest.Find(t, restictest.TooOld)
	h, line := w.makeHost("old", w.addRepository("old", repositorySpec{}), []string{files(t, 3)}, func(c *hostConfig) { c.restic = old.Restic })
	h.paste(line)
	h.startAgent()
	eventually(t, "the host says that its restic is too old", time.Minute, func() bool {
		var seen struct {
			Conditions []struct{ Code, Message string }
		}
		w.api.must("GET", "/api/v1/hosts/"+h.id, nil, &seen)
		return strings.Contains(fmt.Sprint(seen.Conditions), "0.14.0")
	})
}

func TestARunningBackupEndsWithoutTheServerAndIsToldAfterwards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := files(t, 4000)
	h := w.addHost("alone", w.addRepository("alone", repositorySpec{}), []string{source})
	h.backUp("succeeded")
	for i := range 4000 { // something to do, for a while
		p := filepath.Join(source, fmt.Sprintf("d%02d", i%20), fmt.Sprintf("more %d", i))
		if err := os.WriteFile(p, fmt.Appendf(nil, "%d", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id := h.runNow().ID
	eventually(t, "the backup runs", time.Minute, func() bool {
		var j job
		w.api.must("GET", "/api/v1/jobs/"+id, nil, &j)
		return j.State == "running" || j.State == "finished"
	})
	w.server.kill()
	eventually(t, "restic has ended", time.Minute, func() bool { return len(w.snapshotsIn(h)) == 2 })
	w.server.again()
	w.waitReady()
	j := w.finished(id, time.Minute)
	if j.Outcome.Result != "succeeded" || !j.Outcome.Confirmed {
		t.Errorf("outcome %+v", j.Outcome)
	}
	w.wantDense(j)
}

// snapshotsIn lists the snapshot files at the storage, past everything of ours.
func (w *world) snapshotsIn(h *host) []string {
	entries, _ := filepath.Glob(filepath.Join(w.rest.DataDir, w.rest.User, "*", "snapshots", "*"))
	return entries
}
