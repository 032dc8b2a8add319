package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"restic-manager/agent/control"
	"restic-manager/agent/retention"
	"restic-manager/agent/runner"
	"restic-manager/agent/secret"
	"restic-manager/restic"
)

// inForce is the configuration that the agent works by, and why a newer one was
// refused, if one was.
type inForce struct {
	mu      sync.Mutex
	number  int64
	config  runner.Config
	refused *control.ConfigError
	forget  time.Time // when the refusal is no longer told, so that the server offers again; zero for never
}

func (f *inForce) get() runner.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.config
}

func (f *inForce) revision() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.number
}

func (f *inForce) refusal() *control.ConfigError {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.forget.IsZero() && time.Now().After(f.forget) {
		return nil
	}
	return f.refused
}

func (f *inForce) put(revision int64, c runner.Config) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.number, f.config, f.refused = revision, c, nil
}

// refuse keeps why a configuration is not in force. The server does not offer one again
// that was refused: where that is not its fault, the refusal is told for a while only.
func (f *inForce) refuse(revision int64, code string, err error, tell time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = &control.ConfigError{Revision: revision, Code: code, Message: clip(err.Error(), 2000)}
	f.forget = time.Time{}
	if tell > 0 {
		f.forget = time.Now().Add(tell)
	}
}

// Codes of a configuration that was not put in force.
const (
	codeConfigInvalid  = "config_invalid"
	codeConfigNotSaved = "config_not_saved" // the host's disk did not take it
)

// saveAgain is when a configuration that the disk did not take is asked for again.
const saveAgain = time.Minute

// applyConfig puts a configuration in force, or keeps the one that is and says why.
// The disk has it before anything works by it. Secrets that it no longer names go.
func (a *Agent) applyConfig(ctx context.Context, offered control.AgentConfig) {
	config, err := understandConfig(offered, a.identity.HostID)
	if err != nil {
		a.inForce.refuse(offered.Revision, codeConfigInvalid, err, 0)
		a.log.Error("configuration refused", "revision", offered.Revision, "err", err)
		return
	}
	if err := a.spool.SaveConfig(context.WithoutCancel(ctx), offered); err != nil {
		a.inForce.refuse(offered.Revision, codeConfigNotSaved, err, saveAgain)
		a.log.Error("configuration not saved", "revision", offered.Revision, "err", err)
		return
	}
	a.inForce.put(offered.Revision, config)
	a.cron.Configure(offered.Revision, a.now(), entriesOf(offered))
	a.log.Info("configuration in force", "revision", offered.Revision,
		"repositories", len(config.Repositories), "schedules", len(config.Schedules))
	a.vault.keep(config.SecretRefs(), config.PasswordRefs())
	// What the configuration before this one names is not needed any more.
	a.stopPrefetch() //guard:prefetch
	ctx, a.stopPrefetch = context.WithCancel(ctx)
	a.prefetch.Go(func() { a.fetchSecrets(ctx, config.SecretRefs()) })
}

// fetchSecrets gets what a new configuration names while the server is there, so
// that the jobs do not need it.
func (a *Agent) fetchSecrets(ctx context.Context, refs []secret.Ref) {
	for _, ref := range refs {
		_, err := a.vault.fetched(ctx, ref)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.log.Warn("secret not fetched yet", "secret", ref.ID, "err", err)
		}
	}
}

// understandConfig checks a configuration whole. What is wrong is said for all of
// it, by the ids, which are the server's own.
func understandConfig(offered control.AgentConfig, host string) (runner.Config, error) {
	c := runner.Config{
		SnapshotHost: offered.SnapshotHost,
		Repositories: map[string]runner.Repository{},
		Schedules:    map[string]runner.Schedule{},
	}
	var wrong []error
	if n := len(offered.Schedules); n > maxSchedules { //guard:config-schedules
		return c, fmt.Errorf("it has %d schedules, and a host may have %d", n, maxSchedules)
	}
	if offered.HostId != host { //guard:config-host
		wrong = append(wrong, errors.New("it is for another host"))
	}
	if err := restic.CheckHost(offered.SnapshotHost); err != nil { //guard:config-snapshot-host
		wrong = append(wrong, fmt.Errorf("snapshot_host: %w", err))
	}
	for _, r := range offered.Repositories {
		repository, err := understandRepository(r)
		if err != nil { //guard:config-repository
			wrong = append(wrong, fmt.Errorf("repository %s: %w", r.Id, err))
		}
		c.Repositories[r.Id] = repository
	}
	for _, s := range offered.Schedules {
		if _, ok := c.Repositories[s.RepositoryId]; !ok {
			wrong = append(wrong, fmt.Errorf("schedule %s: its repository is not in the configuration", s.Id))
		}
		timing, err := timingOf(s)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("schedule %s: %w", s.Id, err))
		}
		options, err := backupOptionsOf(s)
		if err != nil { //guard:config-backup-options
			wrong = append(wrong, fmt.Errorf("schedule %s: options.backup: %w", s.Id, err))
		}
		c.Schedules[s.Id] = runner.Schedule{
			ID: s.Id, Name: s.Name, Version: s.Version, RepositoryID: s.RepositoryId,
			Paths: s.Paths, Excludes: s.Excludes, Tags: s.Tags,
			Source: s.Source, Hooks: hooksOf(s.Options), Options: options, Timing: timing,
		}
	}
	return c, errors.Join(wrong...)
}

func understandRepository(r control.AgentRepository) (runner.Repository, error) {
	location, err := restic.ParseLocation(r.Location)
	repository := runner.Repository{
		ID: r.Id, Name: r.Name, Location: location, ResticID: r.ResticId, KeyID: r.KeyId,
		Password:                secret.Ref{ID: r.Password.Id, Version: r.Password.Version},
		AllowDeletingCredential: r.AllowDeletingCredential,
	}
	if r.Credential != nil {
		repository.Credential = secret.Ref{ID: r.Credential.Id, Version: r.Credential.Version}
	}
	if r.Maintenance.Location == "" {
		return repository, err
	}
	maintenance, wrong := understandMaintenance(r.Maintenance)
	repository.Maintenance = maintenance
	return repository, errors.Join(err, wrong)
}

// maxKept is how many schedules' keep rules a repository may have.
const maxKept = 50_000

func understandMaintenance(m control.AgentMaintenance) (*runner.Maintenance, error) {
	if len(m.Schedules) > maxKept {
		return nil, fmt.Errorf("maintenance: it has the keep rules of %d schedules, and may have %d", len(m.Schedules), maxKept)
	}
	location, err := restic.ParseLocation(m.Location)
	understood := &runner.Maintenance{Location: location}
	if m.Credential != nil {
		understood.Credential = secret.Ref{ID: m.Credential.Id, Version: m.Credential.Version}
	}
	wrong := []error{err}
	for _, s := range m.Schedules {
		zone, err := time.LoadLocation(s.Zone) // "" is UTC
		if err != nil || s.Zone == "Local" {
			wrong = append(wrong, fmt.Errorf("maintenance: schedule %s: this machine does not know the time zone", s.ScheduleId))
			continue
		}
		rules := retention.Rules{
			Last: s.Retention.KeepLast, Hourly: s.Retention.KeepHourly, Daily: s.Retention.KeepDaily, Weekly: s.Retention.KeepWeekly,
			Monthly: s.Retention.KeepMonthly, Yearly: s.Retention.KeepYearly, WithinDays: s.Retention.KeepWithinDays,
		}
		if err := rules.Validate(); err != nil {
			wrong = append(wrong, fmt.Errorf("maintenance: schedule %s: %w", s.ScheduleId, err))
		}
		understood.Schedules = append(understood.Schedules, runner.Kept{
			ScheduleID: s.ScheduleId, Name: s.Name, HostName: s.HostName, SnapshotHost: s.SnapshotHost, Zone: zone, Rules: rules,
		})
	}
	return understood, errors.Join(wrong...)
}
