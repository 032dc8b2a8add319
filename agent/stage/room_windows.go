package stage

import (
	"fmt"
	"math"

	"golang.org/x/sys/windows"
)

// Room tells what room there is where the folder lies.
func (f *Folder) Room() (Room, error) {
	name, err := windows.UTF16PtrFromString(f.path)
	if err != nil {
		return Room{}, fmt.Errorf("free space of %s: %w", f.path, err)
	}
	var free, total uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, &total, nil); err != nil {
		return Room{}, fmt.Errorf("free space of %s: %w", f.path, err)
	}
	return Room{Free: int64(min(free, math.MaxInt64)), Total: int64(min(total, math.MaxInt64))}, nil
}
