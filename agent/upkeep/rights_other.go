//go:build !linux

package upkeep

import (
	"fmt"

	"restic-manager/restic"
)

// actAs cannot have another's rights for a part of a process here.
func actAs(user restic.RunAs, _ func() error) error {
	return fmt.Errorf("this system cannot work with the rights of %s: run the agent as that user", user)
}
