//go:build !linux && !windows

package agent

// bootID is not known here.
func bootID() string { return "unknown" }
