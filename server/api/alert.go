package api

import (
	"context"

	"restic-manager/server/fleet"
)

// ListAlerts is not built yet.
func (h *Handlers) ListAlerts(context.Context, ListAlertsRequestObject) (ListAlertsResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// ReadAlert is not built yet.
func (h *Handlers) ReadAlert(context.Context, ReadAlertRequestObject) (ReadAlertResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// AcknowledgeAlert is not built yet.
func (h *Handlers) AcknowledgeAlert(context.Context, AcknowledgeAlertRequestObject) (AcknowledgeAlertResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// SilenceAlert is not built yet.
func (h *Handlers) SilenceAlert(context.Context, SilenceAlertRequestObject) (SilenceAlertResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// ResolveAlert is not built yet.
func (h *Handlers) ResolveAlert(context.Context, ResolveAlertRequestObject) (ResolveAlertResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}
