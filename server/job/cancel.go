package job

import (
	"context"
	"errors"

	"restic-manager/server/fleet"
)

// Cancel asks for a job to be stopped. A job that its agent was never offered ends
// at once; any other is ended by its agent, whose word wins where the job ended
// first. It is idempotent. It fails with NotFound and JobFinished.
func (s *Service) Cancel(ctx context.Context, actor Actor, id fleet.JobID) (*fleet.Job, error) {
	return nil, errors.ErrUnsupported
}
