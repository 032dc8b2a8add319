//go:build !windows

package stage

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Room tells what room there is where the folder lies.
func (f *Folder) Room() (Room, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.dir.Fd()), &st); err != nil {
		return Room{}, fmt.Errorf("statfs %s: %w", f.path, err)
	}
	block := uint64(st.Bsize)
	return Room{
		Free: whole(uint64(st.Bavail) * block), Total: whole(uint64(st.Blocks) * block),
		Names: whole(uint64(st.Ffree)), AllNames: whole(uint64(st.Files)),
	}, nil
}

func whole(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
