package job

import (
	"context"
	"errors"

	"restic-manager/server/fleet"
)

// Watch says that somebody looks at a job, for the next 60 s: its agent then
// reports each second. Call it with every waiting read of a job, its events or its
// log; it writes at most once in 20 s. A job that is finished is left alone.
func (s *Service) Watch(ctx context.Context, j *fleet.Job) error { return errors.ErrUnsupported }
