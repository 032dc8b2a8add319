package api

import (
	"context"

	"restic-manager/server/fleet"
)

// What the contract has and this build has not: each is taken out of here by the
// change that builds it.

var errPending = fleet.Errorf(fleet.Unavailable, "This is not built yet.")

func (h *Handlers) CreateRepositoryJob(context.Context, CreateRepositoryJobRequestObject) (CreateRepositoryJobResponseObject, error) {
	return nil, errPending
}

func (h *Handlers) SetMaintenanceCredential(context.Context, SetMaintenanceCredentialRequestObject) (SetMaintenanceCredentialResponseObject, error) {
	return nil, errPending
}

func (h *Handlers) DeleteMaintenanceCredential(context.Context, DeleteMaintenanceCredentialRequestObject) (DeleteMaintenanceCredentialResponseObject, error) {
	return nil, errPending
}

func (h *Handlers) SetMaintenanceHost(context.Context, SetMaintenanceHostRequestObject) (SetMaintenanceHostResponseObject, error) {
	return nil, errPending
}

func (h *Handlers) ReplaceMaintenancePlan(context.Context, ReplaceMaintenancePlanRequestObject) (ReplaceMaintenancePlanResponseObject, error) {
	return nil, errPending
}

func (h *Handlers) ListLocks(context.Context, ListLocksRequestObject) (ListLocksResponseObject, error) {
	return nil, errPending
}

func (h *Handlers) ListRepositorySizes(context.Context, ListRepositorySizesRequestObject) (ListRepositorySizesResponseObject, error) {
	return nil, errPending
}

func (h *Handlers) ReadSnapshot(context.Context, ReadSnapshotRequestObject) (ReadSnapshotResponseObject, error) {
	return nil, errPending
}

func (h *Handlers) IndexSnapshot(context.Context, IndexSnapshotRequestObject) (IndexSnapshotResponseObject, error) {
	return nil, errPending
}

func (h *Handlers) ListSnapshotEntries(context.Context, ListSnapshotEntriesRequestObject) (ListSnapshotEntriesResponseObject, error) {
	return nil, errPending
}

func (h *Handlers) SearchSnapshot(context.Context, SearchSnapshotRequestObject) (SearchSnapshotResponseObject, error) {
	return nil, errPending
}
