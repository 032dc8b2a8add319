//go:build !linux

package schedule

import "time"

// suspended is not known here.
func suspended() (time.Duration, bool) { return 0, false }
