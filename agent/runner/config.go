package runner

import (
	"cmp"
	"maps"
	"slices"

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

	Timing
}

// SecretRefs lists every secret that c names, each once, in order of their ids.
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
