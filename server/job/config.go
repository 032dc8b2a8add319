package job

import (
	"context"
	"fmt"
	"slices"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Config is what an agent works by until another revision comes. It names secrets
// and never holds them.
type Config struct {
	Revision     int64
	Host         fleet.HostID
	SnapshotHost string
	Repositories []ConfigRepository
	Schedules    []fleet.Schedule
}

// ConfigRepository is a repository as one host reaches it.
type ConfigRepository struct {
	fleet.Repository              // with the host's own Location
	Password         SecretRef    // Version 0: there is none
	Append           *SecretRef   // nil: the storage asks for none
	Maintenance      *Maintenance // nil: another host maintains it, or none
}

// Maintenance is how the host that maintains a repository reaches it for what deletes,
// and what is to be kept.
type Maintenance struct {
	Location   string
	Credential *SecretRef // that can delete, handed over for a job; nil: Location is a folder
	Kept       []store.RetentionOf
}

// SecretRef names a version of a secret.
type SecretRef struct {
	ID      fleet.CredentialID
	Version int64
}

// config makes the configuration of a host, of one moment.
func (s *Service) config(ctx context.Context, id fleet.HostID) (*Config, error) {
	var c *Config
	err := s.Store.View(ctx, func(q store.Queries) error {
		var err error
		c, err = readConfig(ctx, q, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make the configuration of host %s: %w", id, err)
	}
	return c, nil
}

func readConfig(ctx context.Context, q store.Queries, id fleet.HostID) (*Config, error) {
	host, err := q.Host(ctx, id)
	if err != nil {
		return nil, err
	}
	c := &Config{Revision: host.ConfigRevision, Host: id, SnapshotHost: host.SnapshotHost}
	if c.Schedules, err = q.Schedules(ctx, id); err != nil {
		return nil, err
	}
	repositories, err := q.RepositoriesKnown(ctx, id)
	if err != nil {
		return nil, err
	}
	credentials, err := q.CredentialsOfHost(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, r := range repositories {
		known := configure(r, credentials)
		if r.MaintenanceHost == id {
			if err := c.maintain(ctx, q, &known); err != nil {
				return nil, err
			}
		}
		c.Repositories = append(c.Repositories, known)
	}
	return c, nil
}

// maintain puts to a repository what the host that maintains it needs.
func (c *Config) maintain(ctx context.Context, q store.Queries, r *ConfigRepository) (err error) {
	m := &Maintenance{}
	if m.Kept, err = q.RetentionsOfRepository(ctx, r.ID); err != nil {
		return err
	}
	r.Maintenance = m
	if m.Location = r.MaintenanceLocation; m.Location != "" {
		backsUp := slices.ContainsFunc(c.Schedules, func(s fleet.Schedule) bool { return s.RepositoryID == r.ID })
		if !backsUp { // it never goes there by the network
			r.Append = nil
		}
		return nil
	}
	credential, err := q.MaintenanceCredential(ctx, r.ID)
	if err == nil {
		m.Credential = &SecretRef{ID: credential.ID, Version: credential.Version}
	} else if !fleet.Is(err, fleet.NotFound) {
		return err
	}
	m.Location = r.MaintainedAt(credential)
	return nil
}

// configure puts the credentials that a host uses at a repository to it.
func configure(r fleet.Repository, credentials []fleet.Credential) ConfigRepository {
	out := ConfigRepository{Repository: r}
	for _, c := range credentials {
		if c.RepositoryID != r.ID {
			continue
		}
		ref := SecretRef{ID: c.ID, Version: c.Version}
		switch c.Slot {
		case fleet.PasswordSlot:
			out.Password = ref
		case fleet.AppendSlot:
			out.Append = &ref
			if c.Location != "" {
				out.Location = c.Location
			}
		}
	}
	return out
}
