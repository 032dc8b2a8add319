package api

import (
	"context"

	"restic-manager/server/fleet"
)

// ListHistory is not built yet.
func (h *Handlers) ListHistory(context.Context, ListHistoryRequestObject) (ListHistoryResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}
