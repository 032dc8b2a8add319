package job

import (
	"context"

	"restic-manager/restic"
	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// checkPlace refuses an operation at a host that is not where it may run. The agent
// there refuses it too, by its own policy file.
func (w *wish) checkPlace(ctx context.Context, tx *store.Tx, op restic.Operation) error {
	if w.repository == nil || op.At(restic.PlaceHost) || w.host.ID == w.repository.MaintenanceHost {
		return nil
	}
	if w.repository.MaintenanceHost == "" { //guard:no-maintenance-host
		return noMaintenanceHost(w.repository)
	}
	names, err := tx.HostNames(ctx, []fleet.HostID{w.repository.MaintenanceHost})
	if err != nil {
		return err
	}
	return fleet.Errorf(fleet.OperationElsewhere, "This operation runs only where %s is maintained: at %s. Start it there.",
		w.repository.Name, names[w.repository.MaintenanceHost])
}

func noMaintenanceHost(r *fleet.Repository) error {
	return fleet.Errorf(fleet.NoMaintenanceHost,
		"Nobody maintains %s, so nothing that deletes can run on it. Say on its page which host does.", r.Name)
}

// confirm holds what a person typed against the name that the operation wants. The
// server's own jobs follow a plan that a person made.
func (w *wish) confirm(op restic.Operation, given map[string]any, typed string) error {
	var name, what string
	switch op.Types(given) {
	case restic.TypedNothing:
		return nil
	case restic.TypedRepository:
		if w.repository == nil {
			return nil
		}
		name, what = w.repository.Name, "repository"
	case restic.TypedHost:
		name, what = w.host.Name, "host"
	}
	if w.trigger != fleet.ByRunNow {
		return nil
	}
	if typed != name { //guard:confirmation
		return fleet.Errorf(fleet.ConfirmationNeeded, "Type the name of the %s to do this: it is %s.", what, name).At("/confirm")
	}
	w.typed = "; the name was typed: " + name
	return nil
}
