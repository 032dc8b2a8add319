//go:build unix

package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restic-manager/agent/control"
	"restic-manager/agent/policy"
	"restic-manager/agent/runner"
)

// writeScript puts an executable file into a folder of scripts.
func writeScript(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestTheHostPublishesItsScriptsAndSaysWhenTheyChange(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 40)
	m.work = m.succeed
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.yaml")
	if err := policy.Default(policy.Guarded).Write(file); err != nil {
		t.Fatal(err)
	}
	m.rules = func() (*policy.Policy, error) { return policy.Load(file) }
	hook := filepath.Join(dir, "hooks.d", "stop-database")
	writeScript(t, hook)
	m.inBubble(func(t *testing.T) {
		l := m.begin(t.Context())
		eventually(t, "a session", time.Minute, func() bool { return l.agent.session.Load() != nil })
		var opened control.SessionRequest
		m.server.look(func() { opened = m.server.opened[0] })
		want := control.Offers{Hooks: []control.Offer{{Name: "stop-database"}}, Sources: []control.Offer{}}
		if diff := cmp.Diff(want, opened.Offers); diff != "" {
			t.Errorf("at the opening (-want +got):\n%s", diff)
		}
		told := func() (last control.Offers, times int) {
			m.server.look(func() {
				if times = len(m.server.offers); times > 0 {
					last = m.server.offers[times-1]
				}
			})
			return last, times
		}
		writeScript(t, filepath.Join(dir, "sources.d", "database"))
		if err := os.Chmod(hook, 0o775); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the change", 5*time.Minute, func() bool { _, times := told(); return times > 0 })
		last, _ := told()
		if len(last.Sources) != 1 || last.Sources[0] != (control.Offer{Name: "database"}) || !strings.Contains(last.Hooks[0].Problem, "run: chmod go-w") {
			t.Errorf("told %+v", last)
		}
		if err := os.RemoveAll(filepath.Join(dir, "hooks.d")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "that the hooks are gone", 5*time.Minute, func() bool { last, _ := told(); return last.Hooks != nil && len(last.Hooks) == 0 })
		time.Sleep(time.Hour)              // virtual
		if _, times := told(); times > 4 { // an exchange may be repeated
			t.Errorf("told %d times of two changes", times)
		}
		l.end(t)
	})
}

func TestTheHooksOfAScheduleArriveAsTheContractHasThem(t *testing.T) {
	got, err := understandConfig(control.AgentConfig{
		HostId: "h", SnapshotHost: "web-1",
		Repositories: []control.AgentRepository{{Id: "r", Location: "/srv/restic"}},
		Schedules: []control.AgentSchedule{{Id: "s", RepositoryId: "r", Source: "database", Options: &control.ScheduleOptions{
			Hooks: control.ScheduleHooks{Before: "a", BeforeFailure: control.GoOn, AfterSuccess: "b", AfterFailure: "c", TimeoutS: 60},
		}}},
	}, "h")
	if err != nil {
		t.Fatal(err)
	}
	want := runner.Hooks{Before: "a", GoOn: true, AfterSuccess: "b", AfterFailure: "c", Timeout: time.Minute}
	if s := got.Schedules["s"]; s.Source != "database" || s.Hooks != want {
		t.Errorf("got %+v", s)
	}
}

func TestTheDoctorNamesScriptsThatWouldNotRun(t *testing.T) {
	dir := t.TempDir()
	x := &examination{config: Config{Policy: filepath.Join(dir, "policy.yaml"), StateDir: filepath.Join(dir, "state"), CacheDir: filepath.Join(dir, "cache")}}
	if err := policy.Default(policy.Guarded).Write(x.config.Policy); err != nil {
		t.Fatal(err)
	}
	x.scripts()
	if len(x.findings) != 0 {
		t.Errorf("without any script: %+v", x.findings)
	}
	writeScript(t, filepath.Join(dir, "hooks.d", "good"))
	writeScript(t, filepath.Join(dir, "hooks.d", "open"))
	if err := os.Chmod(filepath.Join(dir, "hooks.d", "open"), 0o775); err != nil {
		t.Fatal(err)
	}
	x.scripts()
	want := []Finding{
		{Subject: "hooks", Verdict: Warning, Says: "open would not be run: " + dir + "/hooks.d/open is writable by its group; run: chmod go-w " + dir + "/hooks.d/open"},
		{Subject: "hooks", Verdict: Good, Says: "1 that would be run, in " + dir + "/hooks.d"},
	}
	if diff := cmp.Diff(want, x.findings); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
