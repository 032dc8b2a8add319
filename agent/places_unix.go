//go:build unix

package agent

import (
	"io/fs"
	"os"
	"syscall"
)

// places are where a system keeps the agent's files unless it is told otherwise.
type places struct{ config, state, policy string }

func defaultPlaces(func(string) string) places {
	return places{
		config: "/etc/restic-manager/agent.yaml",
		state:  "/var/lib/restic-manager-agent",
		policy: "/etc/restic-manager/policy.yaml",
	}
}

// resticPlaces are where packages and people put restic.
func resticPlaces(func(string) string) []string {
	return []string{"/usr/bin/restic", "/usr/local/bin/restic", "/opt/restic/restic", "/usr/pkg/bin/restic",
		"/usr/local/lib/restic-manager/restic"} // the installer's own
}

const resticAdvice = "install restic (apt install restic, dnf install restic, or the program from restic.net as /usr/local/bin/restic), " +
	"or set restic in the configuration to its path"

// ownAlike gives an opened file to the owner of another, where this process is root.
func ownAlike(file *os.File, other fs.FileInfo) error {
	stat, ok := other.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return file.Chown(int(stat.Uid), int(stat.Gid))
}
