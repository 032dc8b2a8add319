package job

import (
	"context"
	"errors"
	"time"

	"restic-manager/server/fleet"
)

// LogQuery says where to read a job's log from; at most one is set.
type LogQuery struct {
	AfterSeq int64 // behind this chunk
	FromLine int64 // from the chunk that holds this line
	Tail     int   // from the chunk that holds the last so many lines
}

// LogLine is one line of a job's log.
type LogLine struct {
	N      int64 // from 1; lines that were lost leave a hole
	At     time.Time
	Stream string // "stdout", "stderr", "agent"
	Text   string
}

// LogPage is some lines of a log, whole chunks of them.
type LogPage struct {
	Lines []LogLine
	Next  int64 // the AfterSeq of the next page
	End   bool  // the job is finished and nothing more will come
}

// Log reads about 2 000 lines of a job's log at most. It fails with NotFound.
func (s *Service) Log(ctx context.Context, id fleet.JobID, q LogQuery) (LogPage, error) {
	return LogPage{}, errors.ErrUnsupported
}
