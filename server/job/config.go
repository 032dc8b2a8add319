package job

import (
	"context"
	"fmt"

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
	fleet.Repository            // with the host's own Location
	Password         SecretRef  // Version 0: there is none
	Append           *SecretRef // nil: the storage asks for none
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
	repositories, err := q.RepositoriesOfHost(ctx, id)
	if err != nil {
		return nil, err
	}
	credentials, err := q.CredentialsOfHost(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, r := range repositories {
		c.Repositories = append(c.Repositories, configure(r, credentials))
	}
	return c, nil
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
