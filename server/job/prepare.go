package job

import (
	"context"
	"errors"

	"restic-manager/server/fleet"
)

// Prepare queues the one job that makes a new repository usable, init or identify,
// at the first host that is online and has a schedule there. Where the repository
// is not new or no such host is there, nothing happens; it is called again when a
// host comes online. Call it after the transaction that made a repository or a
// schedule.
func (s *Service) Prepare(ctx context.Context, repository fleet.RepositoryID) error {
	return errors.ErrUnsupported
}
