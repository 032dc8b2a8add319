package agent

import (
	"time"

	"golang.org/x/sys/windows"
)

// bootID names the running of the machine since it was last started: by the minute
// when that was, since the system gives it no name.
func bootID() string {
	return "boot-" + time.Now().Add(-windows.DurationSinceBoot()).UTC().Round(2*time.Minute).Format(time.RFC3339)
}
