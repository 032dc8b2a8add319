package stage

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Lost names the metadata that this process has no right to restore: restic says nothing
// of most of it.
func Lost() []string {
	rights := effective()
	var lost []string
	for _, need := range []struct {
		what string
		caps []uint
	}{
		{"owners", []uint{unix.CAP_CHOWN}},
		{"modes and times of what belongs to others", []uint{unix.CAP_FOWNER, unix.CAP_DAC_OVERRIDE}},
		{"set-gid bits", []uint{unix.CAP_FSETID}},
		{"device nodes", []uint{unix.CAP_MKNOD}},
		{"file capabilities", []uint{unix.CAP_SETFCAP}},
	} {
		for _, c := range need.caps {
			if rights&(1<<c) == 0 {
				lost = append(lost, need.what)
				break
			}
		}
	}
	return lost
}

// effective are the capabilities in force; none where they cannot be read.
func effective() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), "CapEff:")
	word, _, _ := strings.Cut(strings.TrimSpace(after), "\n")
	rights, err := strconv.ParseUint(strings.TrimSpace(word), 16, 64)
	if err != nil {
		return 0
	}
	return rights
}
