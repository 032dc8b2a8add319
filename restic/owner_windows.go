package restic

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/windows"
)

func lookAtProcess(pid int) (SeenProcess, error) {
	if pid <= 0 {
		return SeenProcess{}, fmt.Errorf("%d is no process of restic", pid)
	}
	seen := SeenProcess{Boot: time.Now().Add(-windows.DurationSinceBoot())}
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) {
		seen.Gone = true
		return seen, nil
	}
	if err != nil {
		return SeenProcess{}, err
	}
	defer windows.CloseHandle(process)
	var code uint32
	if err := windows.GetExitCodeProcess(process, &code); err != nil {
		return SeenProcess{}, err
	}
	if code != stillActive {
		seen.Gone = true
		return seen, nil
	}
	name := make([]uint16, windows.MAX_LONG_PATH)
	size := uint32(len(name))
	if err := windows.QueryFullProcessImageName(process, 0, &name[0], &size); err != nil {
		return SeenProcess{}, err
	}
	seen.Restic = strings.Contains(strings.ToLower(filepath.Base(windows.UTF16ToString(name[:size]))), "restic")
	return seen, nil
}
