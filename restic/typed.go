package restic

// Typed is the object whose name a person types before an operation is ordered.
type Typed string

// What is typed.
const (
	TypedNothing    Typed = ""
	TypedRepository Typed = "repository"
	TypedHost       Typed = "host"
)

// Types tells what a person types before the operation is ordered with these params. A
// dry run changes nothing, so nothing is typed for it.
func (o Operation) Types(params map[string]any) Typed {
	if params["dry_run"] == true {
		return TypedNothing
	}
	switch {
	case o.Confirm, o.Name == "unlock" && params["force"] == true:
		return TypedRepository
	case o.Name == "restore" && params["target"] == "in_place":
		return TypedHost
	}
	return TypedNothing
}

// With is the operation as these params make it: an unlock with force may remove what a
// living process needs, so it runs where what deletes runs, and as that.
func (o Operation) With(params map[string]any) Operation {
	if o.Name == "unlock" && params["force"] == true { //guard:unlock-force
		o.Slot, o.Places = SlotMaintenance, []Place{PlaceMaintenanceHost}
	}
	return o
}

// LockOf is how a job of the operation locks the repository: a dry run may need less.
func (o Operation) LockOf(dryRun bool) Lock {
	if dryRun && o.DryLock != "" {
		return o.DryLock
	}
	return o.Lock
}

// At tells whether the operation may run at a place.
func (o Operation) At(p Place) bool {
	for _, place := range o.Places {
		if place == p {
			return true
		}
	}
	return false
}
