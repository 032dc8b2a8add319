//go:build !windows

package restic

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func lookAtProcess(pid int) (SeenProcess, error) {
	if pid <= 1 {
		return SeenProcess{}, fmt.Errorf("%d is no process of restic", pid)
	}
	seen := SeenProcess{Boot: bootTime()}
	if errors.Is(unix.Kill(pid, 0), unix.ESRCH) { // also where /proc hides the processes of others
		seen.Gone = true
		return seen, nil
	}
	stat, err := readStat(pid)
	switch {
	case errors.Is(err, syscall.ESRCH):
		seen.Gone = true
		return seen, nil
	case err != nil: // hidden, or of a system without /proc
		return SeenProcess{}, err
	case stat.zombie:
		seen.Gone = true
		return seen, nil
	}
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return SeenProcess{}, err
	}
	program, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe") // another user's may not be read
	seen.Restic = strings.Contains(string(name), "restic") || strings.Contains(filepath.Base(program), "restic")
	return seen, nil
}

// bootTime is when the machine was started, by its clock on the wall as it is now.
func bootTime() time.Time {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}
	}
	for line := range bytes.Lines(stat) {
		if seconds, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			if n, err := strconv.ParseInt(string(bytes.TrimSpace(seconds)), 10, 64); err == nil {
				return time.Unix(n, 0)
			}
		}
	}
	return time.Time{}
}
