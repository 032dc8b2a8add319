package agent

import (
	"path/filepath"

	"restic-manager/agent/upkeep"
)

// AcceptKey has this host, where it maintains a repository, take a key for one that is
// meant to be there. It is known from the next job that looks on.
func AcceptKey(c Config, id string) error { return upkeep.AcceptKey(upkeepDir(c), id) }

// upkeepDir is where what is remembered of maintained repositories lies.
func upkeepDir(c Config) string { return filepath.Join(c.StateDir, "upkeep") }
