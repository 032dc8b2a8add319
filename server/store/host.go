package store

import (
	"context"
	"fmt"

	"restic-manager/server/fleet"
)

const hostCols = "id, name, tags, profile, disabled, availability, version, created_at, enrolled_at, prefixes, snapshot_host, " +
	"last_contact, contact_deadline, os, arch, agent_version, restic_version, policy, health, spool, last_exchange, clock_offset, " +
	"command_seq, acked_seq, journal_id, session_no, config_revision, config_in_force, config_error, " +
	"schedules, enabled_schedules, timed_schedules, snapshots, active_jobs, last_backup, last_good_backup, " +
	"offers, absences, protection, protection_reason, protection_since, protection_schedule, breach_at, next_slot, unchecked, away"

// HostFilter narrows a list of hosts; empty fields do not.
type HostFilter struct {
	Query      string // a part of the name, in any case
	Tag        string
	Presence   fleet.Presence
	Protection fleet.ProtectionState // of hosts that are not disabled
	Attention  bool                  // only hosts with a condition
}

// Host reads a host. NotFound when there is none.
func (q Queries) Host(ctx context.Context, id fleet.HostID) (*fleet.Host, error) {
	var h fleet.Host
	err := q.get(ctx, &h, `SELECT `+hostCols+` FROM hosts WHERE id = ?`, id)
	return one(&h, err, "host %s", id)
}

// Hosts lists hosts by name.
func (q Queries) Hosts(ctx context.Context, f HostFilter, p Page) ([]fleet.Host, string, error) {
	var w where
	w.contains("name", f.Query)
	w.holds("tags", f.Tag)
	w.present(f.Presence, q.now())
	if f.Protection != "" {
		w.add("NOT disabled AND protection = ?", f.Protection)
	}
	if f.Attention {
		w.add("id IN (SELECT object_id FROM conditions WHERE object_type = ?)", ObjectHost)
	}
	var name string
	if ok, err := p.after(f, &name); err != nil {
		return nil, "", err
	} else if ok {
		w.add("name > ?", name)
	}
	var hosts []fleet.Host
	err := q.all(ctx, &hosts, `SELECT `+hostCols+` FROM hosts`+w.String()+` ORDER BY name LIMIT ?`, append(w.args, p.size()+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("list hosts: %w", err)
	}
	return paged(p, f, hosts, func(h *fleet.Host) []any { return []any{h.Name} })
}

// present adds what fleet.Host.Presence tells, as conditions.
func (w *where) present(p fleet.Presence, now fleet.Time) {
	switch p {
	case fleet.Disabled:
		w.add("disabled")
	case fleet.Never:
		w.add("NOT disabled AND enrolled_at = 0")
	case fleet.Offline:
		w.add("NOT disabled AND enrolled_at > 0 AND contact_deadline < ?", now)
	case fleet.Online:
		w.add("NOT disabled AND enrolled_at > 0 AND contact_deadline >= ?", now)
	}
}

// HostNames gives the names of hosts by id; deleted ones are left out.
func (q Queries) HostNames(ctx context.Context, ids []fleet.HostID) (map[fleet.HostID]string, error) {
	return names(ctx, q, "hosts", ids)
}

// HostDeleted tells whether a host of that id existed and was deleted.
func (q Queries) HostDeleted(ctx context.Context, id fleet.HostID) (bool, error) {
	var n int
	err := q.get(ctx, &n, `SELECT count(*) FROM deleted_hosts WHERE id = ?`, id)
	return n > 0, err
}

// CreateHost adds a host. NameTaken when another has its name.
func (tx *Tx) CreateHost(ctx context.Context, h *fleet.Host) error {
	if h.CreatedAt.IsZero() {
		h.CreatedAt = tx.Now
	}
	if h.Version == 0 {
		h.Version = 1
	}
	if h.Availability == "" {
		h.Availability = fleet.AlwaysOn
	}
	if h.Protection == "" {
		h.Protection, h.ProtectionReason = fleet.NotScheduled, "It has no schedule."
	}
	if h.ProtectionSince.IsZero() {
		h.ProtectionSince = tx.Now
	}
	if h.ConfigRevision == 0 {
		h.ConfigRevision = 1
	}
	h.Tags, h.Prefixes = orEmpty(h.Tags), orEmpty(h.Prefixes)
	if _, err := tx.named(ctx, insert("hosts", hostCols), h); err != nil {
		return taken(fmt.Errorf("create host: %w", err))
	}
	tx.Touch(fleet.TopicHosts, string(h.ID))
	return nil
}

// UpdateHost writes what people edit: name, tags, profile, prefixes and whether it
// is disabled. The host must have been locked, see LockHost: its version is raised by
// its agent too, so that it tells nothing about other people's changes. NameTaken when
// another has its name.
func (tx *Tx) UpdateHost(ctx context.Context, h *fleet.Host) error {
	var was struct {
		Name         string
		Disabled     bool
		Availability fleet.Availability
	}
	if err := tx.get(ctx, &was, `SELECT name, disabled, availability FROM hosts WHERE id = ?`, h.ID); err != nil {
		return missing(err, "host %s", h.ID)
	}
	err := tx.get(ctx, &h.Version, `UPDATE hosts SET name = ?, tags = ?, profile = ?, prefixes = ?, disabled = ?, availability = ?,
		version = version + 1
		WHERE id = ? RETURNING version`, h.Name, h.Tags, h.Profile, h.Prefixes, h.Disabled, h.Availability, h.ID)
	if err != nil {
		return taken(missing(err, "host %s", h.ID))
	}
	if was.Disabled != h.Disabled || was.Availability != h.Availability {
		if _, err := tx.foretell(ctx, h.ID, was.Disabled && !h.Disabled); err != nil { // nothing was missed while it was out of service
			return err
		}
		after, err := tx.Host(ctx, h.ID)
		if err != nil {
			return err
		}
		*h = *after
	}
	tx.Touch(fleet.TopicHosts, string(h.ID))
	tx.Wake(h.ID) // a parked agent learns of it at once
	if was.Name != h.Name {
		return tx.bumpMaintainersOfHost(ctx, h.ID)
	}
	return nil
}

// DeleteHost removes a host with everything that is its own. Its id is remembered,
// so that its agent is told. Where a repository can be reached by its credential alone,
// and no other host backs up there, that one stays, for all hosts: what the machine has
// backed up must be restorable onto another one.
func (tx *Tx) DeleteHost(ctx context.Context, id fleet.HostID) error {
	var repositories []fleet.RepositoryID
	err := tx.all(ctx, &repositories, `SELECT DISTINCT repository_id FROM schedules WHERE host_id = ?`, id)
	if err != nil {
		return fmt.Errorf("read the repositories of host %s: %w", id, err)
	}
	if err := tx.abandonInits(ctx, id); err != nil {
		return err
	}
	n, err := tx.exec(ctx, `DELETE FROM hosts WHERE id = ?`, id)
	if err != nil {
		return fmt.Errorf("delete host %s: %w", id, err)
	}
	if n == 0 {
		return missingNow("host %s", id)
	}
	for _, statement := range []string{
		`UPDATE credentials SET host_id = '' WHERE host_id = ? AND slot = 'append' AND repository_id NOT IN (SELECT repository_id FROM schedules)
			AND NOT EXISTS (SELECT 1 FROM credentials c WHERE c.repository_id = credentials.repository_id AND c.slot = 'append' AND c.host_id <> credentials.host_id)`,
		`DELETE FROM credentials WHERE host_id = ?`,
		`DELETE FROM conditions WHERE object_type = 'host' AND object_id = ?`,
		`UPDATE snapshots SET host_id = '' WHERE host_id = ?`,
		`UPDATE repository_locks SET host_id = '' WHERE host_id = ?`,
		`UPDATE repositories SET maintenance_host = '', maintenance_location = '', version = version + 1 WHERE maintenance_host <> '' AND maintenance_host = ?`,
	} {
		if _, err := tx.exec(ctx, statement, id); err != nil {
			return fmt.Errorf("delete what belongs to host %s: %w", id, err)
		}
	}
	if _, err := tx.exec(ctx, `INSERT INTO deleted_hosts (id, deleted_at) VALUES (?, ?)`, id, tx.Now); err != nil {
		return fmt.Errorf("remember host %s as deleted: %w", id, err)
	}
	for _, repository := range repositories {
		if err := tx.recountRepository(ctx, repository); err != nil {
			return err
		}
	}
	tx.Touch(fleet.TopicHosts, string(id))
	tx.Wake(id)
	return tx.bumpMaintainers(ctx, repositories...)
}

// abandonInits frees the repositories that a job of this host was to initialise: one
// whose job the agent never took is new again; of the others nobody knows how far
// they came, so a person must look.
func (tx *Tx) abandonInits(ctx context.Context, id fleet.HostID) error {
	var repositories []fleet.RepositoryID
	err := tx.all(ctx, &repositories, `UPDATE repositories SET init_job = '', version = version + 1,
		state = CASE WHEN init_job IN (SELECT id FROM jobs WHERE host_id = ? AND state = ?) THEN ? ELSE ? END
		WHERE state = ? AND init_job IN (SELECT id FROM jobs WHERE host_id = ?) RETURNING id`,
		id, fleet.Pending, fleet.RepositoryNew, fleet.RepositoryFailed, fleet.RepositoryInitialising, id)
	if err != nil {
		return fmt.Errorf("free the repositories that host %s was to initialise: %w", id, err)
	}
	for _, repository := range repositories {
		tx.Touch(fleet.TopicRepositories, string(repository))
	}
	return nil
}

// HostFacts is what an agent tells about its machine.
type HostFacts struct {
	OS            string    `db:"os"`
	Arch          string    `db:"arch"`
	AgentVersion  string    `db:"agent_version"`
	ResticVersion string    `db:"restic_version"`
	Policy        fleet.Doc `db:"policy"`
}

// SetHostFacts writes what an agent told at the start of its session.
func (tx *Tx) SetHostFacts(ctx context.Context, id fleet.HostID, f HostFacts) error {
	n, err := tx.exec(ctx, `UPDATE hosts SET os = ?, arch = ?, agent_version = ?, restic_version = ?, policy = ?, version = version + 1
		WHERE id = ? AND (os <> ? OR arch <> ? OR agent_version <> ? OR restic_version <> ? OR policy <> ?)`,
		f.OS, f.Arch, f.AgentVersion, f.ResticVersion, f.Policy, id, f.OS, f.Arch, f.AgentVersion, f.ResticVersion, f.Policy)
	if n > 0 {
		tx.Touch(fleet.TopicHosts, string(id))
	}
	return err
}

// HostStatus is what an agent tells with each sync.
type HostStatus struct {
	Policy        fleet.Doc
	Health        fleet.Doc
	Spool         fleet.Doc
	LastExchange  fleet.Doc
	Offers        fleet.Doc
	Absences      fleet.Doc
	ClockOffset   int64 // milliseconds
	ConfigInForce int64
	ConfigError   string
}

// StatusOf gives the status that a host's row holds.
func StatusOf(h *fleet.Host) HostStatus {
	return HostStatus{h.Policy, h.Health, h.Spool, h.LastExchange, h.Offers, h.Absences, h.ClockOffset, h.ConfigInForce, h.ConfigError}
}

// SetHostStatus writes what an agent told with a sync. Compare with StatusOf
// before: a status that did not change needs no transaction.
func (tx *Tx) SetHostStatus(ctx context.Context, id fleet.HostID, s HostStatus) error {
	_, err := tx.exec(ctx, `UPDATE hosts SET policy = ?, health = ?, spool = ?, last_exchange = ?, offers = ?, absences = ?,
		clock_offset = ?, config_in_force = ?, config_error = ?, version = version + 1 WHERE id = ?`,
		s.Policy, s.Health, s.Spool, s.LastExchange, s.Offers, s.Absences, s.ClockOffset, s.ConfigInForce, s.ConfigError, id)
	tx.Touch(fleet.TopicHosts, string(id))
	return err
}

// BumpConfig raises the configuration revision of hosts and wakes their agents,
// which fetch it.
func (tx *Tx) BumpConfig(ctx context.Context, ids ...fleet.HostID) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.execIn(ctx, `UPDATE hosts SET config_revision = config_revision + 1, version = version + 1 WHERE id IN (?)`, ids)
	if err != nil {
		return fmt.Errorf("raise the configuration revision: %w", err)
	}
	for _, id := range ids {
		tx.Touch(fleet.TopicHosts, string(id))
	}
	tx.Wake(ids...)
	return nil
}
