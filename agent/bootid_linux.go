package agent

import (
	"os"
	"strings"
)

// bootID names the running of the machine since it was last started.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
