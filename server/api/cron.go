package api

import (
	"context"
	"time"

	"restic-manager/server/fleet"
)

// PreviewCron tells what a cron text means. It reads and writes nothing.
func (h *Handlers) PreviewCron(_ context.Context, r PreviewCronRequestObject) (PreviewCronResponseObject, error) {
	s := &fleet.Schedule{Cron: r.Params.Cron, Zone: r.Params.Zone, Enabled: true}
	if err := s.CheckCron(); err != nil {
		return nil, err
	}
	return PreviewCron200JSONResponse{
		Words: s.Words(), NextRuns: orEmpty(s.NextSlots(h.store.Now(), slotsShown)),
		ObjectiveS: int64(s.EffectiveObjective(fleet.AlwaysOn) / time.Second),
	}, nil
}
