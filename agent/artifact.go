package agent

import (
	"context"
	"errors"

	"restic-manager/agent/control"
)

const codeArtifactOffset = "artifact_offset"

// Put hands over one part of a large result and returns the offset that the server
// wants next. What the network loses is repeated until ctx ends.
func (a *Agent) Put(ctx context.Context, jobID, name string, offset int64, part []byte, last bool) (next int64, err error) {
	backoff := control.Backoff{Rand: a.rand}
	for {
		answer, err := a.link.PutArtifact(ctx, jobID, name, control.PutArtifactParams{Offset: offset, Last: last}, part)
		if err == nil {
			return answer.NextOffset, a.throttle(ctx, int64(len(part)))
		}
		var refusal *control.Refusal
		if errors.As(err, &refusal) && refusal.Code == codeArtifactOffset {
			return refusal.ExpectedOffset, nil
		}
		if ctx.Err() != nil || refusal != nil && !refusal.Retryable {
			return 0, err
		}
		if err := control.Sleep(ctx, backoff.Next(err)); err != nil {
			return 0, err
		}
	}
}
