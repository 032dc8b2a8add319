package store

import (
	"sync"

	"restic-manager/server/fleet"
)

type contacts struct {
	mu   sync.Mutex
	seen map[fleet.HostID]contact
}

type contact struct{ at, deadline fleet.Time }
