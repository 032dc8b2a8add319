// Package policy is the host's own list of what its agent will do. The list is a
// file that belongs to root and that the server can neither read nor write: it gets
// a summary. Whoever takes over the server is bounded by it.
//
// # Vocabulary
//
//   - A Policy is the content of that file. Without a file, or with one that others
//     could have changed, or that is not understood to the last key, the agent is
//     Locked: it runs nothing, says why, and names the command that mends it.
//   - A profile is what the file starts from: guarded, or trusting.
//   - An allowance is an exception that root has made, for a time or for good.
//   - A Refusal is the answer to something that the policy does not allow. It names
//     the one command by which root would allow it.
//
// Whatever the file does not mention is refused or has a cautious default. All keys
// are read from the first release on, also those that nothing uses yet, because an
// unknown key locks the agent.
//
// The package may import restic, for the names of operations and the meaning of
// locations, and agent/custody.
package policy

import (
	"time"
)

// Profile is what a policy file starts from.
type Profile string

const (
	// Guarded refuses what the file does not list.
	Guarded Profile = "guarded"
	// Trusting also allows repositories at any location that restic.ParseLocation
	// takes, and restores in place anywhere.
	Trusting Profile = "trusting"
)

const (
	fileVersion      = 1
	maxFile          = 64 << 10
	maxDepth         = 4    // of brackets and braces in one another
	maxColumn        = 4096 // of a line
	defaultExcludes  = 256
	defaultThreshold = 1
)

// Policy is a policy file that has been found safe and understood. It is made by
// Load or Default and does not change; its methods may be called by several
// goroutines.
type Policy struct {
	Version int     `yaml:"version"`
	Profile Profile `yaml:"profile"`

	// Operations lists what may run, by name. Absent means every operation that
	// cannot delete. Those that can run only where Maintenance says so.
	Operations []string `yaml:"operations,omitempty"`

	Backup      Backup        `yaml:"backup,omitempty"`
	Repos       Repos         `yaml:"repos,omitempty"`
	Restore     Restore       `yaml:"restore,omitempty"`
	Hooks       Scripts       `yaml:"hooks,omitempty"`
	Sources     Scripts       `yaml:"sources,omitempty"`
	Schedule    Schedule      `yaml:"schedule,omitempty"`
	Limits      Limits        `yaml:"limits,omitempty"`
	Signers     []Signer      `yaml:"signers,omitempty"`
	Threshold   int           `yaml:"threshold,omitempty"` // signatures that a dangerous command needs; absent is 1
	Update      Update        `yaml:"update,omitempty"`
	Maintenance []Maintenance `yaml:"maintenance,omitempty"`
	Allowances  []Allowance   `yaml:"allowances,omitempty"`

	digest string   // of the file's bytes
	folder string   // where the file lies
	own    []string // folders of the agent itself, see Protect
	// staging is where the folders of restores are made, see StageIn.
	staging string
	now     func() time.Time // nil is time.Now
}

// Backup bounds what may be read.
type Backup struct {
	AllowRoots  []string `yaml:"allow_roots,omitempty"`  // folders that sources lie in; absent is the whole machine
	Deny        []string `yaml:"deny,omitempty"`         // folders that are never backed up
	MustInclude []string `yaml:"must_include,omitempty"` // folders that no backup may leave out
	MaxExcludes *int     `yaml:"max_excludes,omitempty"` // patterns in one backup; absent is 256
}

// Repos bounds where data may go.
type Repos struct {
	Allow []string `yaml:"allow,omitempty"` // prefixes of locations, whole path parts
}

// Restore bounds what may be written.
type Restore struct {
	StagingDir         string   `yaml:"staging_dir,omitempty"`
	InPlaceAllow       []string `yaml:"in_place_allow,omitempty"`
	PreservePrivileged bool     `yaml:"preserve_privileged,omitempty"` // keep set-uid bits, devices, capabilities
	MaxBytes           int64    `yaml:"max_bytes,omitempty"`           // of one restore; absent is no limit
	KeepFree           int64    `yaml:"keep_free,omitempty"`           // bytes that restores leave free; absent, or 0, see Policy.KeepFree
}

// Scripts says which files of a folder of this host a job may name: hooks, and sources.
type Scripts struct {
	Dir string `yaml:"dir,omitempty"` // absent is hooks.d or sources.d beside the policy file
	// Allow lists them. Absent means each that lies in the folder: only root can put
	// one there, and does so for this alone. An empty list means none.
	Allow []Script `yaml:"allow,omitempty"`
}

// Script is a file in Scripts.Dir, and the pattern that each of its arguments matches
// as a whole. No job has arguments yet.
type Script struct {
	Name string   `yaml:"name"`
	Args []string `yaml:"args,omitempty"`
}

// Schedule says what happens when the server is away.
type Schedule struct {
	Offline string `yaml:"offline,omitempty"` // "keep", which is the default, or "pause"
}

// Limits are ceilings: a job may ask for less.
type Limits struct {
	UploadKiB   int    `yaml:"upload_kib_s,omitempty"`   // KiB a second; absent is no limit
	DownloadKiB int    `yaml:"download_kib_s,omitempty"` // likewise
	Window      string `yaml:"window,omitempty"`         // "22:00-06:00", the only time when jobs may start
}

// Signer is an operator's key, and what its signature may order.
type Signer struct {
	Name   string   `yaml:"name"`
	Key    string   `yaml:"key"`
	Rights []string `yaml:"rights"`
}

// Update says which releases of the agent may install themselves.
type Update struct {
	Channel    string `yaml:"channel,omitempty"` // "signed", which is the default, or "manual"
	MinVersion string `yaml:"min_version,omitempty"`
}

// Maintenance makes this the maintenance host of the repositories at a place and below
// it: operations that can delete run here, within these floors. Floors that are left out,
// or 0, are the defaults.
type Maintenance struct {
	Path              string  `yaml:"path,omitempty"`                // a folder of this machine
	Location          string  `yaml:"location,omitempty"`            // instead: on a REST server, with a credential that is handed over
	RepositoryID      string  `yaml:"repository_id,omitempty"`       // restic's id; any other repository there is refused
	RunAs             string  `yaml:"run_as,omitempty"`              // absent is the owner of the repository's folder
	KeepDays          int     `yaml:"keep_days,omitempty"`           // snapshots first seen within these are never removed
	KeepLast          int     `yaml:"keep_last,omitempty"`           // of each series, so many are never removed
	MaxDeleteFraction float64 `yaml:"max_delete_fraction,omitempty"` // of all snapshots, what a day's runs may remove
	UndoDays          int     `yaml:"undo_days,omitempty"`           // how long what prune removed can be brought back
}

// Default returns what is written to a host that has no policy yet: the profile,
// and the prefixes of the repositories that it may use.
func Default(profile Profile, repoPrefixes ...string) *Policy {
	return &Policy{Version: fileVersion, Profile: profile, Repos: Repos{Allow: repoPrefixes}}
}

// Protect adds folders of the agent itself to those that are never backed up, and
// that no allowance opens: its state holds what unlocks every repository it uses.
// It is called before the policy is shared.
func (p *Policy) Protect(folders ...string) { p.own = append(p.own, folders...) }

func (p *Policy) clock() time.Time {
	if p.now != nil {
		return p.now()
	}
	return time.Now()
}
