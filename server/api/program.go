package api

import (
	"context"

	"restic-manager/server/fleet"
)

// ListPrograms is not built yet.
func (h *Handlers) ListPrograms(context.Context, ListProgramsRequestObject) (ListProgramsResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// DownloadProgram is not built yet.
func (h *Handlers) DownloadProgram(context.Context, DownloadProgramRequestObject) (DownloadProgramResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}
