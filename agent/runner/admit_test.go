package runner

import (
	"os"
	"sync"
	"testing"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/spool"
	"restic-manager/restic/restictest"
)

// TestRefusedJobs counts that no restic is started for what is refused, and that
// each refusal says what it is.
func TestRefusedJobs(t *testing.T) {
	t.Parallel()
	other := "11111111-2222-4333-8444-555555555555"
	tests := []struct {
		name      string
		operation string
		params    any
		prepare   func(*place)
		result    spool.Result
		code      string
	}{
		{"an operation that does not exist", "exec", map[string]any{"cmd": "id"}, nil, spool.Rejected, "unknown_operation"},
		{"an operation with no name", "", map[string]any{}, nil, spool.Rejected, "unknown_operation"},
		{"a field that does not exist", "backup",
			map[string]any{"schedule_id": scheduleID, "schedule_version": 3, "extra_args": []string{"-o", "sftp.command=id"}},
			nil, spool.Rejected, "unknown_field"},
		{"a field that is missing", "backup", map[string]any{"schedule_id": scheduleID}, nil, spool.Rejected, "field_required"},
		{"params that are no object", "backup", []int{1}, nil, spool.Rejected, "params_invalid"},
		{"a schedule that is not in force", "backup", map[string]any{"schedule_id": other, "schedule_version": 1},
			nil, spool.Rejected, CodeConfigNotInForce},
		{"a newer version of a schedule", "backup", map[string]any{"schedule_id": scheduleID, "schedule_version": 4},
			nil, spool.Rejected, CodeConfigNotInForce},
		{"a repository that is not in force", "snapshots", map[string]any{"repository_id": other},
			nil, spool.Rejected, CodeConfigNotInForce},
		{"a host without a policy file", "backup", backupParams(),
			func(p *place) { _ = os.Remove(p.policy) }, spool.Rejected, "policy_file_missing"},
		{"a policy file that others can write", "backup", backupParams(),
			func(p *place) { _ = os.Chmod(p.policy, 0o666) }, spool.Rejected, "policy_file_insecure"},
		{"a policy file that is not understood", "backup", backupParams(),
			func(p *place) { p.writePolicy("version: 1\nprofile: guarded\nsurprise: 1\n") }, spool.Rejected, "policy_file_invalid"},
		{"a repository that the policy does not allow", "backup", backupParams(),
			func(p *place) { p.writePolicy("version: 1\nprofile: guarded\nrepos:\n  allow: [/elsewhere]\n") }, spool.Rejected, "repo_not_allowed"},
		{"a source that the policy does not allow", "backup", backupParams(),
			func(p *place) {
				p.writePolicy("version: 1\nprofile: trusting\nbackup:\n  allow_roots: [/nowhere]\n")
			}, spool.Rejected, "path_not_allowed"},
		{"an operation that the policy does not list", "backup", backupParams(),
			func(p *place) { p.writePolicy("version: 1\nprofile: trusting\noperations: [snapshots]\n") }, spool.Rejected, "operation_not_allowed"},
		{"a repository that was initialised before", "init", repositoryParams(),
			func(p *place) { p.repository(func(r *Repository) { r.ResticID = otherResticID }) }, spool.Failed, "repo_exists"},
		{"a secret that nobody has", "backup", backupParams(),
			func(p *place) { p.secrets = nil }, spool.Failed, CodeSecretUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake := restictest.NewFake(t, restictest.Script{})
			p := newPlace(t, fake.Path())
			if test.prepare != nil {
				test.prepare(p)
			}
			got := p.do(test.operation, test.params).want(test.result, test.code)
			if got.Message == "" || got.NextStep == "" {
				t.Errorf("the refusal lacks words: message %q, next step %q", got.Message, got.NextStep)
			}
			if calls := fake.Calls(); len(calls) != 0 {
				t.Errorf("restic was started %d times", len(calls))
			}
		})
	}
}

const otherResticID = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestAJobThatCameTooLateExpires(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.NewFake(t, restictest.Script{}).Path())
	job := p.command("backup", backupParams())
	job.StartBy = time.Now().Add(-time.Second)
	p.runner.Run(t.Context(), job)
	p.recorded(job.ID).want(spool.Expired, CodeStartTooLate)
}

// TestAJobThatWaitsIsNotTooLate holds the repository until the job should have begun.
// The wait is no part of how long it took either.
func TestAJobThatWaitsIsNotTooLate(t *testing.T) {
	t.Parallel()
	fake := restictest.NewFake(t, fakeScript(catConfig(), says("snapshots", "[]", 0)))
	p := newPlace(t, fake.Path())
	job := p.command("snapshots", repositoryParams())
	job.StartBy = time.Now().Add(2 * time.Second)
	release, err := p.runner.holds.take(t.Context(), "other", []want{{key: "repository " + repositoryID, alone: true}}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() { p.runner.Run(t.Context(), job) })
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for waits := false; !waits || !job.Overdue(time.Now()); <-tick.C {
		current, err := p.spool.Job(job.ID)
		if err != nil || current.Phase == spool.Finished {
			t.Fatalf("the job did not wait: %+v, %v", current, err)
		}
		waits = current.Phase == spool.Waiting
	}
	released := time.Now()
	release()
	done.Wait()
	if got := p.recorded(job.ID).want(spool.Succeeded, ""); got.DurationMs > time.Since(released).Milliseconds() {
		t.Errorf("the job took %d ms, and ran for %s at most", got.DurationMs, time.Since(released))
	}
}

func TestAJobCancelledBeforeItBeganIsNotStarted(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.NewFake(t, restictest.Script{}).Path())
	job := p.command("backup", backupParams())
	if err := p.spool.RequestCancel(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	p.runner.Run(t.Context(), job)
	p.recorded(job.ID).want(spool.Cancelled, CodeCancelledBeforeStart)
}

func TestACommandOfAnUnknownKindIsUnsupported(t *testing.T) {
	t.Parallel()
	p := newPlace(t, restictest.NewFake(t, restictest.Script{}).Path())
	job := p.command("backup", backupParams(), func(c *control.Command) { c.Kind = "shell" })
	p.recorded(job.ID).want(spool.Rejected, "unsupported")
}

func TestThePolicyFileIsReadForEveryJob(t *testing.T) {
	t.Parallel()
	fake := restictest.NewFake(t, restictest.Script{})
	p := newPlace(t, fake.Path())
	p.writePolicy("version: 1\nprofile: guarded\nrepos:\n  allow: [/elsewhere]\n")
	p.do("snapshots", repositoryParams()).want(spool.Rejected, "repo_not_allowed")
	p.writePolicy("version: 1\nprofile: trusting\n")
	p.do("snapshots", repositoryParams()).want(spool.Failed, "restic_failed")
	if len(fake.Calls()) == 0 {
		t.Error("after the policy allowed it, restic was not started")
	}
}
