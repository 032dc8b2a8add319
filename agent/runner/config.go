package runner

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"restic-manager/agent/retention"
	"restic-manager/agent/secret"
	"restic-manager/restic"
)

// Config is what a host works by: the repositories and schedules in force. It
// names secrets and holds none. It does not change once it is handed out.
type Config struct {
	SnapshotHost string // restic's --host, for every snapshot of this machine
	Repositories map[string]Repository
	Schedules    map[string]Schedule
}

// Repository is a repository as configured.
type Repository struct {
	ID       string
	Name     string
	Location restic.Location
	ResticID string // once known, any other repository at the location is refused
	KeyID    string // restic tries this key first

	Password   secret.Ref
	Credential secret.Ref // zero where the storage asks for none

	AllowDeletingCredential bool

	Maintenance *Maintenance // nil where this host does not maintain it
}

// Maintenance is how a repository's maintenance host reaches it for what deletes, and
// what is to be kept there.
type Maintenance struct {
	Location   restic.Location // a folder of this host; or on a REST server, with Credential
	Credential secret.Ref      // handed over for one job; zero for a folder
	Schedules  []Kept
}

// Kept says which snapshots of a schedule, of any host, are to be kept.
type Kept struct {
	ScheduleID   string
	Name         string
	HostName     string
	SnapshotHost string // restic's --host of its snapshots
	Zone         *time.Location
	Rules        retention.Rules
}

// Schedule is what a host backs up, and where to.
type Schedule struct {
	ID           string
	Name         string
	Version      int64
	RepositoryID string
	Paths        []string
	Excludes     []string
	Tags         []string
	Source       string // the named source that is backed up instead of Paths
	Hooks        Hooks
	Options      restic.BackupOptions

	Timing
}

// PasswordRefs lists the passwords of c's repositories.
func (c Config) PasswordRefs() []secret.Ref {
	var refs []secret.Ref
	for _, r := range c.Repositories {
		if r.Password != (secret.Ref{}) {
			refs = append(refs, r.Password)
		}
	}
	return refs
}

// SecretRefs lists the secrets that c names and that a host keeps, each once, in order of
// their ids. What can delete is not among them.
func (c Config) SecretRefs() []secret.Ref {
	refs := map[secret.Ref]bool{}
	for _, r := range c.Repositories {
		refs[r.Password] = true
		refs[r.Credential] = true
	}
	delete(refs, secret.Ref{})
	return slices.SortedFunc(maps.Keys(refs), func(a, b secret.Ref) int {
		if a.ID != b.ID {
			return cmp.Compare(a.ID, b.ID)
		}
		return cmp.Compare(a.Version, b.Version)
	})
}
