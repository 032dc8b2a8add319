//go:build unix

package server

// defaultDataDir is where a server of this system keeps what it keeps.
func defaultDataDir() string { return "/var/lib/restic-manager" }
