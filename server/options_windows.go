package server

import (
	"os"
	"path/filepath"
)

// defaultDataDir is where a server of this system keeps what it keeps.
func defaultDataDir() string { return filepath.Join(os.Getenv("ProgramData"), "restic-manager") }
