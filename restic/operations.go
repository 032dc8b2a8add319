package restic

// Lock says how an operation locks the repository.
type Lock string

// The ways to lock. A shared lock keeps exclusive ones out and the other way round.
const (
	LockNone      Lock = "none"
	LockShared    Lock = "shared"
	LockExclusive Lock = "exclusive"
)

// Slot says which of a repository's two credentials an operation needs.
type Slot string

// The slots. Append is kept on hosts and cannot delete; maintenance can, and is
// never kept on a host.
const (
	SlotAppend      Slot = "append"
	SlotMaintenance Slot = "maintenance"
)

// Place says where an operation may run.
type Place string

// The places. A maintenance host is one whose own policy file says so.
const (
	PlaceHost            Place = "host"
	PlaceMaintenanceHost Place = "maintenance_host"
)

// Operation is something that a job can ask for. The recipe of the same name, at
// the agent, carries it out with one or more Ops.
type Operation struct {
	Name        string
	Title       string
	Description string
	Fields      []Field
	Lock        Lock
	Slot        Slot
	Places      []Place
	Deletes     bool // can remove snapshots or data
}

// Operations returns every operation that a job can ask for. To add one, write
// its file and add a line here.
func Operations() []Operation {
	return []Operation{
		initOperation(),
		identifyOperation(),
		backupOperation(),
		snapshotsOperation(),
		locksOperation(),
	}
}

// OperationNamed returns the operation of that name.
func OperationNamed(name string) (Operation, bool) {
	for _, op := range Operations() {
		if op.Name == name {
			return op, true
		}
	}
	return Operation{}, false
}

func operationNames() []string {
	var names []string
	for _, op := range Operations() {
		names = append(names, op.Name)
	}
	return names
}

// repositoryField is the one field of operations on a whole repository.
func repositoryField() Field {
	return Field{
		Name:     "repository_id",
		Type:     FieldUUID,
		Label:    "Repository",
		Help:     "the id of a repository this host is configured for",
		Required: true,
	}
}
