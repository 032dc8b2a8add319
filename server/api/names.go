package api

import (
	"context"
	"maps"
	"slices"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// names finds the names of objects that a page of rows holds only the ids of, with
// one read for each kind. What was deleted has no name.
type names struct {
	hosts        map[fleet.HostID]string
	repositories map[fleet.RepositoryID]string
	schedules    map[fleet.ScheduleID]string
}

func newNames() *names {
	return &names{
		hosts: map[fleet.HostID]string{}, repositories: map[fleet.RepositoryID]string{}, schedules: map[fleet.ScheduleID]string{},
	}
}

// want adds ids; empty ones are left out.
func (n *names) want(host fleet.HostID, repository fleet.RepositoryID, schedule fleet.ScheduleID) {
	if host != "" {
		n.hosts[host] = ""
	}
	if repository != "" {
		n.repositories[repository] = ""
	}
	if schedule != "" {
		n.schedules[schedule] = ""
	}
}

// read finds the names of all that was wanted.
func (n *names) read(ctx context.Context, s *store.Store) (err error) {
	if n.hosts, err = s.HostNames(ctx, slices.Collect(maps.Keys(n.hosts))); err != nil {
		return err
	}
	if n.repositories, err = s.RepositoryNames(ctx, slices.Collect(maps.Keys(n.repositories))); err != nil {
		return err
	}
	n.schedules, err = s.ScheduleNames(ctx, slices.Collect(maps.Keys(n.schedules)))
	return err
}
