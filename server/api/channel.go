package api

import (
	"context"

	"restic-manager/server/fleet"
)

// ListChannelKinds is not built yet.
func (h *Handlers) ListChannelKinds(context.Context, ListChannelKindsRequestObject) (ListChannelKindsResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// ListChannels is not built yet.
func (h *Handlers) ListChannels(context.Context, ListChannelsRequestObject) (ListChannelsResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// CreateChannel is not built yet.
func (h *Handlers) CreateChannel(context.Context, CreateChannelRequestObject) (CreateChannelResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// ReadChannel is not built yet.
func (h *Handlers) ReadChannel(context.Context, ReadChannelRequestObject) (ReadChannelResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// ReplaceChannel is not built yet.
func (h *Handlers) ReplaceChannel(context.Context, ReplaceChannelRequestObject) (ReplaceChannelResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// DeleteChannel is not built yet.
func (h *Handlers) DeleteChannel(context.Context, DeleteChannelRequestObject) (DeleteChannelResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// TestChannel is not built yet.
func (h *Handlers) TestChannel(context.Context, TestChannelRequestObject) (TestChannelResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}

// ListDeliveries is not built yet.
func (h *Handlers) ListDeliveries(context.Context, ListDeliveriesRequestObject) (ListDeliveriesResponseObject, error) {
	return nil, fleet.Errorf(fleet.NotFound, "This server cannot do that yet.")
}
