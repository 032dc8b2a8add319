package job

import (
	"log/slog"
	"time"

	"restic-manager/server/fleet"
	"restic-manager/server/store"
)

// Service is what the verbs work with. It keeps no state of its own: everything is
// in the database, so any replica may serve any call. It is safe for concurrent use.
type Service struct {
	Store  *store.Store
	Sealer Sealer
	Logger *slog.Logger
	Keep   Keep

	LongestHold time.Duration // for which an exclusive job that runs holds backups back; 0: fleet.LongestHold
	BrowseBytes int64         // that all indexes of snapshots take together; 0: DefaultBrowseBytes
	RowsBytes   int64         // that the results of a host's jobs take together, compressed; 0: DefaultRowsBytes
}

// Actor is who asks for something, as the audit log names them.
type Actor struct {
	Name      string // user name, "agent:<host id>", "server", "plan"
	Address   string
	RequestID string
	Operates  bool // may order operations, not only look
}

// Agent is who a request of an agent comes from, as its bearer secret proved.
type Agent struct {
	Host    fleet.HostID
	Install string // id of the installation
}

// entry begins the audit entry of what an actor does.
func (a Actor) entry(action string) fleet.Audit {
	return fleet.Audit{Actor: a.Name, Address: a.Address, RequestID: a.RequestID, Action: action}
}

// plan is the actor of what a repository's plan orders.
func plan() Actor { return Actor{Name: "plan"} }

// server is the actor of what nobody asked for.
func server() Actor { return Actor{Name: "server"} }
