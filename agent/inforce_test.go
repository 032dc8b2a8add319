package agent

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"restic-manager/agent/control"
)

func TestAConfigurationIsTakenWholeOrNotAtAll(t *testing.T) {
	repository := control.AgentRepository{Id: modelRepository, Location: "rest:https://nas.test/web-1/"}
	schedule := control.AgentSchedule{Id: modelSchedule, RepositoryId: modelRepository}
	good := control.AgentConfig{
		HostId: modelHost, SnapshotHost: "web-1",
		Repositories: []control.AgentRepository{repository}, Schedules: []control.AgentSchedule{schedule},
	}
	if _, err := understandConfig(good, modelHost); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	tests := map[string]struct {
		spoil func(*control.AgentConfig)
		says  string
	}{
		"for another host":                 {func(c *control.AgentConfig) { c.HostId = modelSchedule }, "another host"},
		"without a name for the snapshots": {func(c *control.AgentConfig) { c.SnapshotHost = "" }, "snapshot_host"},
		"with a name that is an option":    {func(c *control.AgentConfig) { c.SnapshotHost = "-o" }, "snapshot_host"},
		"with a location that runs programs": {func(c *control.AgentConfig) {
			c.Repositories = []control.AgentRepository{{Id: modelRepository, Location: "rclone:x:"}}
		}, "repo_location_invalid"},
		"with a schedule whose repository is not there": {func(c *control.AgentConfig) { c.Repositories = nil }, "its repository"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			spoilt := good
			test.spoil(&spoilt)
			if _, err := understandConfig(spoilt, modelHost); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
		})
	}
}

func TestBackupOptionsThatAreWrongAreRefusedWithTheConfiguration(t *testing.T) {
	config := control.AgentConfig{
		HostId: modelHost, SnapshotHost: "web-1",
		Repositories: []control.AgentRepository{{Id: modelRepository, Location: "rest:https://nas.test/web-1/"}},
		Schedules: []control.AgentSchedule{{Id: modelSchedule, RepositoryId: modelRepository, Options: &control.ScheduleOptions{
			Backup: control.BackupOptions{ExcludeCaches: true, Compression: "max", ExcludeIfPresent: []string{".nobackup"}, SkipIfUnchanged: true},
		}}},
	}
	got, err := understandConfig(config, modelHost)
	if err != nil || !got.Schedules[modelSchedule].Options.ExcludeCaches || got.Schedules[modelSchedule].Options.Compression != "max" {
		t.Fatalf("good ones: %+v, %v", got.Schedules[modelSchedule].Options, err)
	}
	config.Schedules[0].Source = "dump"
	if _, err := understandConfig(config, modelHost); err == nil || !strings.Contains(err.Error(), "named source") {
		t.Errorf("of a named source: %v", err)
	}
	config.Schedules[0].Source = ""
	config.Schedules[0].Options.Backup.Compression = "--password-command=x"
	if _, err := understandConfig(config, modelHost); err == nil || !strings.Contains(err.Error(), "options.backup") {
		t.Errorf("an option in an option: %v", err)
	}
}

func TestAConfigurationThatTheDiskDidNotTakeIsFetchedAgain(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 17)
	m.work = m.succeed
	m.inBubble(func(t *testing.T) {
		var roomy atomic.Bool
		m.step = func(name string) error {
			if !roomy.Load() && name == "config:before" {
				return syscall.ENOSPC
			}
			return nil
		}
		l := m.begin(t.Context())
		var told control.SyncRequest
		eventually(t, "the trouble to be told", time.Minute, func() bool {
			m.server.look(func() { told = m.server.lastSync })
			return told.ConfigError != nil
		})
		if told.ConfigError.Code != codeConfigNotSaved {
			t.Errorf("told %+v", told.ConfigError)
		}
		roomy.Store(true)
		eventually(t, "the configuration", 5*time.Minute, func() bool { return l.agent.inForce.revision() == 1 })
		l.end(t)
	})
}
