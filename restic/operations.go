package restic

import "sync"

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

// ColumnType says how a page shows a value that an agent found.
type ColumnType string

// The types of columns.
const (
	ColumnText     ColumnType = "text"
	ColumnInt      ColumnType = "int"
	ColumnBytes    ColumnType = "bytes"
	ColumnBool     ColumnType = "bool"
	ColumnTime     ColumnType = "time"        // RFC 3339
	ColumnDuration ColumnType = "duration_ms" // milliseconds
	ColumnShare    ColumnType = "share"       // from 0 to 1
	ColumnID       ColumnType = "id"          // hexadecimal or a UUID
	ColumnPath     ColumnType = "path"
	ColumnList     ColumnType = "list" // of texts
)

// Column is a member of an operation's facts or of each of its rows.
type Column struct {
	Name  string
	Label string
	Type  ColumnType
}

// Group says among what a list of operations shows one.
type Group string

// The groups: what only reads, what moves data between hosts and the repository, what
// changes the repository or has it for itself, and what the server orders by itself when
// it is due.
const (
	GroupLook      Group = "look"
	GroupMove      Group = "move"
	GroupMaintain  Group = "maintain"
	GroupAutomatic Group = "automatic"
)

// Operation is something that a job can ask for. The recipe of the same name, at
// the agent, carries it out with one or more Ops.
type Operation struct {
	Name        string
	Title       string
	Description string
	Fields      []Field
	Group       Group
	Lock        Lock
	DryLock     Lock // of a dry run; empty: the same
	Slot        Slot
	Places      []Place
	Deletes     bool // can remove snapshots or data

	// Confirm says that a person types the repository's name before the server orders
	// it.
	Confirm bool

	// Anywhere says that it may be ordered at a host that is not configured for the
	// repository; the command then brings along how to reach it.
	Anywhere bool

	Facts []Column // members of the outcome's facts, as its recipe writes them
	Rows  []Column // members of each row of its result; none: it has no rows

	check func(Params) error // what holds between fields; nil for nothing
}

// Operations returns every operation that a job can ask for. To add one, write
// its file and add a line here.
func Operations() []Operation {
	return []Operation{
		initOperation(),
		identifyOperation(),
		backupOperation(),
		previewOperation(),
		snapshotsOperation(),
		locksOperation(),
		retentionOperation(),
		forgetOperation(),
		pruneOperation(),
		inspectOperation(),
		lsOperation(),
		indexOperation(),
		findOperation(),
		statsOperation(),
		diffOperation(),
		dumpOperation(),
		restoreOperation(),
		checkOperation(),
		unlockOperation(),
		tagOperation(),
		copyOperation(),
		rewriteOperation(),
		keyAddOperation(),
		keyRemoveOperation(),
		repairIndexOperation(),
		repairSnapshotsOperation(),
		repairPacksOperation(),
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

// TitleOf names an operation as people read it; one of a version that is gone has its
// own name.
func TitleOf(name string) string {
	if title, ok := titles()[name]; ok {
		return title
	}
	return name
}

var titles = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for _, op := range Operations() {
		all[op.Name] = op.Title
	}
	return all
})

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
