package job

import (
	"context"
	"errors"
)

// Run expires jobs that nobody picked up, notices agents that fell silent, and
// queues the init of repositories that wait for it, until ctx ends. Any number of
// replicas may run it.
func (s *Service) Run(ctx context.Context) error { return errors.ErrUnsupported }
