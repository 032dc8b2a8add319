package api

import (
	"context"

	"restic-manager/server/fleet"
)

// PreviewCron is not built yet.
func (h *Handlers) PreviewCron(context.Context, PreviewCronRequestObject) (PreviewCronResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}
