package agent

import (
	"io/fs"
	"os"
	"path/filepath"
)

// places are where a system keeps the agent's files unless it is told otherwise.
type places struct{ config, state, policy string }

func defaultPlaces(getenv func(string) string) places {
	dir := filepath.Join(orDefault(getenv("ProgramData"), `C:\ProgramData`), "restic-manager")
	return places{
		config: filepath.Join(dir, "agent.yaml"),
		state:  filepath.Join(dir, "agent"),
		policy: filepath.Join(dir, "policy.yaml"),
	}
}

// resticPlaces are where packages and people put restic.
func resticPlaces(getenv func(string) string) []string {
	programs := orDefault(getenv("ProgramFiles"), `C:\Program Files`)
	return []string{
		filepath.Join(programs, "restic", "restic.exe"),
		filepath.Join(programs, "restic-manager", "restic.exe"),
		filepath.Join(orDefault(getenv("ProgramData"), `C:\ProgramData`), "chocolatey", "bin", "restic.exe"),
	}
}

const resticAdvice = `install restic (the program from restic.net as C:\Program Files\restic\restic.exe), ` +
	"or set restic in the configuration to its path"

// ownAlike leaves a file to whom the folder gives it.
func ownAlike(*os.File, fs.FileInfo) error { return nil }
